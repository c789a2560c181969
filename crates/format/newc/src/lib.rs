//! The newc archive that carries a boot package: a reader that borrows from the archive and a writer that is deterministic.
//!
//! Owns the byte layout of the "new ASCII" cpio format (magic `070701`; cpio(5), section "New ASCII Format") and nothing
//! else: it does not know which paths a boot package needs.
//!
//! Invariant: the reader never allocates, never panics, and never yields bytes from outside the archive; the writer never
//! lets two runs over the same files differ (inode numbers count up, times and owners are zero).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;

mod read;
mod write;

pub use read::{Archive, Entries, Entry, Error, Reason};
pub use write::{DATA_ALIGN, Node, Sink, Writer};

/// Bytes of a header, before the name.
const HEADER_BYTES: usize = 110;
/// What a header starts with.
const MAGIC: &[u8; 6] = b"070701";
/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// Mode bits that tell the kind of an entry.
const KIND_MASK: u32 = 0o170_000;
/// A regular file, in the mode's kind bits.
const KIND_FILE: u32 = 0o100_000;
/// A folder, in the mode's kind bits.
const KIND_FOLDER: u32 = 0o040_000;

#[cfg(test)]
mod tests;
