//! NVMe registers, commands, completions, identify data and physical region pages as data.
//!
//! Owns: offsets and fields of the controller registers ([`regs`]), the 64-byte command ([`Command`]) and the
//! 16-byte completion ([`Completion`], [`Status`]), the parts of identify data that this system uses
//! ([`identify`]), which template a provider may submit and how many bytes it moves ([`template`]), and the
//! arithmetic of PRP entries and lists ([`prp`]).
//!
//! Invariant: this crate never touches a device or memory that one can see, and nothing in it trusts a length or a
//! value that came from a provider or from a device: every read is bounds-checked and every sum checked.
//!
//! Source: NVM Express Base Specification 1.4 (section numbers below are its own), with the fields that 2.0 added
//! named as such.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod command;
mod completion;
pub mod identify;
pub mod prp;
pub mod regs;
pub mod template;

pub use command::{COMMAND_BYTES, Command, FUA, RANGE_BYTES, admin, feature, io};
pub use completion::{COMPLETION_BYTES, Completion, RingPosition, Status};

/// The class code (class, subclass, interface) of an NVMe I/O controller: mass storage, non-volatile memory, NVMe.
pub const CLASS_CODE: u32 = 0x01_08_02;

/// The memory page size this system runs controllers with (CC.MPS = 0), in bytes.
pub const PAGE_BYTES: u32 = 4096;

/// Its shift.
pub const PAGE_SHIFT: u32 = 12;

/// The longest transfer, in bytes, that this system's broker builds lists for, whatever the controller takes. Part of
/// what broker and provider agree on, so that a provider cuts its requests where the broker would refuse them.
///
/// 1023 pages, so that a transfer begun inside a page has 1024 pieces: what QEMU's controller maps for one command.
pub const MAX_TRANSFER_BYTES: u32 = 1023 * PAGE_BYTES;
