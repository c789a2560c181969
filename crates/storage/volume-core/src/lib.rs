//! The capOS volume over a block trait: the same code in a service, a simulator and a host tool.
//!
//! Owns: mounting, the copy-on-write tree, the space map, transaction groups and their order, and the views of them:
//! files and directories, objects and bindings, snapshots. The format is `docs/volume-format.md`.
//!
//! Invariant: never writes a block that the last root or the one before it reaches, never writes a root before what it
//! leads to is durable or can be verified ([`Txg`] holds that order), never recurses, and never goes on after an error
//! of the disk: the open group is dropped and the volume stays as its last root has it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod commit;
mod error;
mod files;
mod mount;
mod scrub;
mod sealed;
mod snapshots;
mod space;
mod store;
mod tree;
mod verify;
mod volume;

pub use commit::{Durability, Durable, Flushed, Ready, Rooted, Txg, Verifiable, Written};
pub use error::{Error, Place};
pub use files::{Entry, ROOT_DIR};
pub use mount::{Access, Mounted, NewVolume, format};
pub use scrub::{Flaw, ObjectNamed, Owner, Scrubbed};
pub use store::{Binding, Expect};
pub use tree::View;
pub use volume::{Usage, Volume};

use volume_format::BLOCK;

/// A disk, or a part of one, in blocks of 4096 bytes.
///
/// A write is handed over: a later read sees it, and [`flush`](Self::flush) makes it durable and answers for its
/// failure. Two writes of one block before a flush occur only after a roll-back; the later one counts.
pub trait Blocks {
    /// What a failed command reports.
    type Error;

    /// All blocks of the disk.
    fn blocks(&self) -> u64;

    /// Fills `buf`, whole blocks, from block `lba` on.
    ///
    /// # Errors
    /// The disk's.
    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Hands one block over.
    ///
    /// # Errors
    /// The disk's, of this write or of an earlier one.
    fn write(&mut self, lba: u64, block: &[u8]) -> Result<(), Self::Error>;

    /// Makes every write before it durable.
    ///
    /// # Errors
    /// The disk's: then nothing is known of the writes since the flush before.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

/// A block of zeroes, or nothing if there is no memory.
pub(crate) fn new_block() -> Option<alloc::vec::Vec<u8>> {
    let mut block = alloc::vec::Vec::new();
    block.try_reserve_exact(BLOCK).ok()?;
    block.resize(BLOCK, 0);
    Some(block)
}

/// Puts an element at the end, or says that there is no memory.
pub(crate) fn push<T, E>(list: &mut alloc::vec::Vec<T>, element: T) -> Result<(), Error<E>> {
    list.try_reserve(1).map_err(|_| Error::NoMemory)?;
    list.push(element);
    Ok(())
}
