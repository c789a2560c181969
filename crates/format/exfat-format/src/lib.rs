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
pub use foreign_bytes::{Blocks, ReadError};
pub use name::{MAX_NAME_BYTES, Name, eq_fold};
pub use set::{Entry, Node, attribute};
pub use time::Time;

/// Bytes of a directory that one request may look at.
pub const MAX_SCAN_BYTES: u64 = 64 << 20;
/// Entries of the FAT that one request may follow.
pub const MAX_STEPS: u32 = 1 << 22;
