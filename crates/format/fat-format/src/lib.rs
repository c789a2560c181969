//! A read-only reader of FAT12, FAT16 and FAT32 volumes that holds up on hostile ones.
//!
//! Owns: the on-disk format (boot sector, FAT, directories, names, times) and the walks over it. The caller owns the
//! bytes: every read goes through [`Blocks`], which is meant to be a cache, and file data can be fetched by the
//! caller itself in large pieces ([`FileCursor::next_run`]).
//!
//! ```text
//! Volume::mount ─► root() ─► lookup / resolve / list ─► Node ─► FileCursor ─► next_run | read_at
//! ```
//!
//! Invariant: this crate never writes, allocates or recurses, and never trusts what it reads: every cluster number is
//! checked before it is used, every read is checked against the device, every chain walk ends (a loop is found by
//! Brent's method, and the number of clusters bounds all walks), and what is wrong comes back as an [`Error`] that
//! names the rule and how far the data is good.
//!
//! Sources: Microsoft "FAT: General Overview of On-Disk Format" 1.03 (cited as FATGEN with its section) and ECMA-107.
#![no_std]
#![forbid(unsafe_code)]

mod boot;
mod chain;
mod dir;
mod error;
mod fat;
mod file;
mod find;
mod mount;
mod name;
mod time;
mod volume;

pub use boot::FatKind;
pub use dir::{DirWalk, Entry, Node, Step, attribute};
pub use error::{BootFault, ChainFault, Error};
pub use file::{FileCursor, Run};
pub use find::check_name;
pub use foreign_bytes::{Blocks, ReadError};
pub use name::{MAX_NAME_BYTES, Name, ShortName, eq_fold, hash_fold};
pub use time::LocalNs;
pub use volume::{Condition, Volume};
