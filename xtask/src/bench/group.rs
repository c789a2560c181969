//! How rows are measured: in which guest, and from which medium it starts.

use super::row::{HOLD_MAX, HOLD_MAX_DOMAIN, HOLD_MAX_TWO};
use crate::image::Shape;
use crate::image::contents::Loader;
use crate::qemu::FirmwareKind;

/// What a row is measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// From the loader's first instruction to the first one of a program, booted directly.
    Boot,
    /// The same under UEFI firmware.
    BootUefi,
    /// From the machine's reset to the first instruction of a program, from a boot medium.
    Reset(Start),
    /// Loops that need no device, booted under `-icount`.
    Calls,
    /// Loops that read a disk, in real time: `-icount` would jump over the waits.
    Block,
    /// Loops over registers, DMA memory and commands, in real time for the same reason.
    Device,
    /// The same below a remapping unit that is on, where every function has a domain of its own.
    Domain,
    /// The same below a unit without tables, which is told of each run by a request.
    Requests,
    /// Everything large that a program can ask for. What counts is the longest stretch with interrupts off, of all
    /// repetitions.
    Hold,
    /// The same with two CPUs.
    HoldTwo,
    /// What is longer or other below a remapping unit that is on.
    HoldDomain,
}

impl Group {
    /// Whether a program marks what is measured, so that it can be told where the instructions go.
    pub fn has_marks(self) -> bool {
        matches!(
            self,
            Self::Calls | Self::Block | Self::Device | Self::Domain | Self::Requests
        )
    }

    /// Whether the longest stretch with interrupts off counts, not the sum.
    pub fn is_hold(self) -> bool {
        self.longest().is_some()
    }

    /// The row for the longest stretch of all, where that is what counts.
    pub fn longest(self) -> Option<&'static str> {
        match self {
            Self::Hold => Some(HOLD_MAX),
            Self::HoldTwo => Some(HOLD_MAX_TWO),
            Self::HoldDomain => Some(HOLD_MAX_DOMAIN),
            Self::Boot
            | Self::BootUefi
            | Self::Reset(_)
            | Self::Calls
            | Self::Block
            | Self::Device
            | Self::Domain
            | Self::Requests => None,
        }
    }
}

/// A medium and the machine that boots it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// What kind of medium; `None` is QEMU's direct boot.
    pub shape: Option<Shape>,
    /// Who reads it first.
    pub firmware: FirmwareKind,
    /// Which loader it carries.
    pub loader: Loader,
    /// QEMU's machine type.
    pub model: &'static str,
}
