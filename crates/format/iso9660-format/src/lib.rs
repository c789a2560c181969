//! What an ISO 9660 file system says: volume, directories, where a file's bytes lie.
//!
//! Owns: reading the primary volume descriptor ([`Volume::open`]), directory records ([`Entries`]), paths
//! ([`Volume::find`]), a file's bytes ([`Volume::read`]), and how a name is spelled on such a volume ([`Name::plain`]).
//! Source: ECMA-119, 4th edition (June 2019); section numbers are of its second-edition numbering, which most texts use.
//! Only what the smallest reader needs: 2048-byte sectors and blocks, plain names of at most 31 characters, files in one
//! extent. Rock Ridge, Joliet and path tables are not looked at.
//!
//! Invariant: it never reads a sector outside the volume, and the volume never leaves the medium; it never believes a
//! field that is written in both byte orders unless both agree, never follows a directory into one of its parents, never
//! writes, allocates, recurses or panics, whatever the bytes. What it does not understand it refuses by name ([`Rule`]).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod directory;
mod error;
mod name;
mod record;
mod volume;

pub use directory::Entries;
pub use error::{Error, Fault, Rule};
pub use name::{MAX_NAME, Name};
pub use record::{Entry, Extent, Kind};
pub use volume::{IDENTITY_BYTES, Identity, MAX_DEPTH, Volume};

/// Bytes of a sector and of a logical block.
pub const SECTOR_BYTES: usize = 2048;
/// One sector.
pub type Sector = [u8; SECTOR_BYTES];

/// Where sectors come from.
pub trait Medium {
    /// Why a sector could not be read.
    type Error;

    /// Reads sectors from `lba` on into `into`, whose length is a multiple of [`SECTOR_BYTES`].
    ///
    /// # Errors
    /// Nothing in `into` means anything then.
    fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), Self::Error>;
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
