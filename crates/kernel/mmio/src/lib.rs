//! Volatile access to registers and to memory that somebody else may write at the same time.
//!
//! Owns the only raw pointers to such memory: [`Registers`] for device registers, [`SharedBytes`] for memory shared
//! with a device or a process; and [`Ports`], the I/O ports of one device. Invariant: it never forms a reference to such
//! memory, and never reads or writes outside the range it was made for.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)]

mod order;
mod ports;
mod registers;
mod shared;

pub use order::{note_released, note_stored, tell};
pub use ports::{PortBus, Ports};
pub use registers::{RegisterModel, Registers};
pub use shared::SharedBytes;

/// An access that does not fit the region, or is not aligned to its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRegion {
    /// Offset asked for, in bytes.
    pub offset: usize,
    /// Width asked for, in bytes.
    pub bytes: usize,
}

/// What a caller is told whose request led there.
impl From<OutOfRegion> for ring_abi::Refusal {
    fn from(_: OutOfRegion) -> Self {
        Self::OutOfRange
    }
}

/// Checks that `offset .. offset + bytes` lies within `len` and that `offset` is a multiple of `align`.
fn check(offset: usize, bytes: usize, align: usize, len: usize) -> Result<(), OutOfRegion> {
    match offset.checked_add(bytes) {
        Some(end) if end <= len && offset.is_multiple_of(align) => Ok(()),
        _ => Err(OutOfRegion { offset, bytes }),
    }
}
