//! What the FAT service does, apart from its process: cache, mount and read path, over a [`Disk`].
//!
//! Owns: which bytes of the disk are kept and for how long ([`Cache`]), what lies on it and which volume
//! stands for it ([`survey()`]), the formats that are read as one ([`Volume`]), where names stand ([`Names`]), and how file
//! data gets from the disk's window to a client's ([`read_file`]).
//!
//! Invariant: nothing here is ever parsed in memory that somebody else can write: metadata is copied out of the window
//! first, file data is never looked at. No client can make this crate keep more than its constants say.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod cache;
mod mount;
mod names;
mod read;
mod refusal;
mod volumes;

pub use cache::{Cache, CacheError, Disk, Part};
pub use mount::{MountError, Place, Survey, survey};
pub use names::{MAX_NAMES, Names};
pub use partition::{Besides, Refused};
pub use read::{OpenFile, read_file};
pub use refusal::refusal;
pub use volumes::{Directory, Facts, Fault, Mounted, Node, Remark, Source, Step, Volume};

#[cfg(test)]
mod testing;
