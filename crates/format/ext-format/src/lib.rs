//! A read-only reader of ext2, ext3 and ext4 that holds up on hostile volumes.
//!
//! Owns: the on-disk format (superblock, group descriptors, inodes, extents and block pointers, directories, symbolic
//! links, the journal) and the walks over it. The caller owns the bytes: every read goes through [`Blocks`], which is meant
//! to be a cache, and file data is fetched by the caller itself ([`FileCursor::next_run`]).
//!
//! ```text
//! Volume::mount ─► root() ─► resolve / list ─► Inode ─► FileCursor ─► next_run
//! ```
//!
//! A volume that was not unmounted is read as its journal leaves it ([`Volume::replayed_blocks`]); nothing is written.
//!
//! Invariant: this crate never writes, recurses or panics, and never trusts what it reads: every block number is checked
//! before it is used, every walk is bounded ([`MAX_SCAN_BYTES`], [`MAX_LINKS`], [`MAX_DEPTH`], six levels of a tree), what it
//! keeps in memory is bounded ([`MAX_REPLAYED`]), sums are compared wherever the volume has them, a symbolic link never leads
//! out of the directory that a path began in, and what is wrong comes back as an [`Error`] that names the structure.
//!
//! Source: "ext4 Data Structures and Algorithms" of the Linux kernel's documentation, cited by its section names.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod crc;
mod dir;
mod error;
mod file;
mod find;
mod group;
mod inode;
mod journal;
mod map;
mod name;
mod superblock;
mod volume;

pub use dir::{Entry, Step};
pub use error::{Error, Place};
pub use file::{FileCursor, Run};
pub use foreign_bytes::{Blocks, ReadError};
pub use inode::{Inode, Kind};
pub use journal::MAX_REPLAYED;
pub use name::{MAX_NAME_BYTES, Name};
pub use volume::Volume;

/// Bytes of directories that one request may look at.
pub const MAX_SCAN_BYTES: u64 = 64 << 20;
/// Symbolic links that one path may lead over: as many as Linux follows.
pub const MAX_LINKS: u32 = 40;
/// Directories that a path may lead down.
pub const MAX_DEPTH: usize = 256;
/// Bytes of a path, links included.
pub const MAX_PATH_BYTES: usize = 4096;
