//! The kinds of queues: everything in which they differ.
//!
//! A new kind is a variant of [`Lane`]; the compiler then asks for an arm wherever kinds differ, here and in the broker.

use driver_core::{QueuePlace, Refusal};

use crate::enable::{Learned, Settings};
use crate::queue::MAX_SLOTS;

/// Queue kind: administration. One queue, index 0, interrupt source 0.
pub const ADMIN_KIND: u16 = 0;

/// Queue kind: input and output. Indices 1 to the number of pairs that the controller granted.
pub const IO_KIND: u16 = 1;

/// The most commands in the administration queue: with the broker's own and the gap, one page of entries.
pub(crate) const MAX_ADMIN_DEPTH: u16 = 62;

/// The most I/O queue pairs.
pub(crate) const MAX_PAIRS: u16 = 8;

/// The longest transfer of an administration command (a log page).
pub(crate) const MAX_ADMIN_TRANSFER_BYTES: u32 = 256 << 10;

/// One queue of the controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    Admin,
    /// I/O pair `n` is the controller's queue `n + 1`.
    Io(usize),
}

impl Lane {
    /// The queue of that kind and index, whether or not this controller has it.
    #[inline]
    pub(crate) const fn at(place: QueuePlace) -> Option<Self> {
        match (place.kind, place.index) {
            (ADMIN_KIND, 0) => Some(Self::Admin),
            (IO_KIND, 1..=MAX_PAIRS) => Some(Self::Io(place.index as usize - 1)),
            _ => None,
        }
    }

    /// The most commands in it at once; `None` where the controller has only `pairs` I/O queues.
    pub(crate) fn depth(self, settings: &Settings, pairs: u16) -> Option<u16> {
        match self {
            Self::Admin => Some(settings.admin_depth),
            Self::Io(pair) if pair < usize::from(pairs) => {
                let most = settings.cap.max_queue_entries().saturating_sub(1);
                Some(most.min(u32::from(MAX_SLOTS)) as u16)
            }
            Self::Io(_) => None,
        }
    }

    /// The longest transfer of one of its commands, in bytes.
    #[inline]
    pub(crate) fn longest(self, learned: &Learned) -> u32 {
        match self {
            Self::Admin => learned.max_transfer_bytes.min(MAX_ADMIN_TRANSFER_BYTES),
            Self::Io(_) => learned.max_transfer_bytes,
        }
    }

    /// Whether its completions can raise this vector, of those that the function has.
    ///
    /// # Errors
    /// `BadArgument`.
    pub(crate) const fn check_vector(self, vector: Option<u16>) -> Result<(), Refusal> {
        match (self, vector) {
            // The administration completion queue raises vector 0 and nothing else (Base 1.4, 3.1.10).
            (Self::Admin, Some(1..)) => Err(Refusal::BadArgument),
            _ => Ok(()),
        }
    }

    /// The I/O pair that ends and begins by itself.
    ///
    /// # Errors
    /// `NotSupported`: the administration queue ends with the controller alone.
    pub(crate) const fn pair(self) -> Result<usize, Refusal> {
        match self {
            Self::Admin => Err(Refusal::NotSupported),
            Self::Io(pair) => Ok(pair),
        }
    }
}
