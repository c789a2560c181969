//! A read-only reader of exFAT that holds up on hostile volumes.
//!
//! Owns: the on-disk format (boot region, FAT, directory entry sets, names, times) and the walks over it. The caller owns the
//! bytes: every read goes through [`Blocks`], which is meant to be a cache, and file data is fetched by the caller itself
//! ([`FileCursor::next_run`]).
//!
//! ```text
//! Volume::mount ─► root() ─► resolve / list ─► Node ─► FileCursor ─► next_run
//! ```
//!
//! Invariant: this crate never writes, allocates, recurses or panics, and never trusts what it reads: every cluster number is
//! checked before it is used, every walk is bounded ([`MAX_SCAN_BYTES`], [`MAX_STEPS`], and a chain that comes back on itself is
//! noticed), the sums of the boot region and of every set of entries are compared, and what is wrong comes back as an [`Error`]
//! that names the structure.
//!
//! Source: Microsoft, "exFAT file system specification" (revision 1.00), cited by section.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod boot;
mod chain;
mod dir;
mod error;
mod file;
mod name;
mod set;
mod time;

pub use boot::Volume;
pub use dir::Step;
pub use error::Error;
pub use file::{FileCursor, Run};
pub use name::{MAX_NAME_BYTES, Name, eq_fold};
pub use set::{Entry, Node, attribute};
pub use time::Time;

/// Bytes of a directory that one request may look at.
pub const MAX_SCAN_BYTES: u64 = 64 << 20;
/// Entries of the FAT that one request may follow.
pub const MAX_STEPS: u32 = 1 << 22;

/// The bytes of a volume. Small reads are frequent (4 to 512 bytes, close together), so put a cache behind it.
pub trait Blocks {
    /// What a failed read reports.
    type Error;

    /// Fills `buf` from `byte_offset`. Both ends lie inside [`len_bytes`](Self::len_bytes).
    ///
    /// # Errors
    /// Nothing in `buf` means anything then.
    fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Returns the number of bytes of the volume's device or partition.
    fn len_bytes(&self) -> u64;
}

/// Reads inside the device or says where the device ends.
pub(crate) fn read_exact<B: Blocks>(
    blocks: &mut B,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), Error<B::Error>> {
    let device_bytes = blocks.len_bytes();
    match offset.checked_add(buf.len() as u64) {
        Some(end) if end <= device_bytes => blocks.read(offset, buf).map_err(Error::Device),
        _ => Err(Error::BeyondDevice {
            offset,
            device_bytes,
        }),
    }
}
