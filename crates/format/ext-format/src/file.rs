//! Reading files, in runs that the caller fetches itself.

use foreign_bytes::present;

use crate::Blocks;
use crate::error::{Error, Place};
use crate::inode::{Inode, Kind};
use crate::map::Piece;
use crate::volume::Volume;

/// Consecutive bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// They lie consecutively on the device.
    Stored {
        /// First byte on the device (or partition), inside its length.
        byte_offset: u64,
        /// Number of bytes, all inside the device.
        len: u64,
    },
    /// They are zeroes and lie nowhere.
    Zeroes {
        /// Number of bytes.
        len: u64,
    },
}

/// A position in an open file, with what was learnt about its blocks.
#[derive(Clone)]
pub struct FileCursor {
    inode: Inode,
    pos: u64,
    /// Number of a block of the file, and what lies from there on.
    known: Option<(u64, Piece)>,
}

impl FileCursor {
    /// Opens a file at its beginning. Reads nothing.
    ///
    /// # Errors
    /// [`Error::IsADirectory`], [`Error::NotAFile`]; [`Error::Unsupported`] for one that is encrypted or lies in its inode.
    pub fn new<E>(inode: &Inode) -> Result<Self, Error<E>> {
        match inode.kind() {
            Kind::File => inode.readable()?,
            Kind::Directory => return Err(Error::IsADirectory),
            Kind::Link | Kind::Special => return Err(Error::NotAFile),
        }
        Ok(Self {
            inode: *inode,
            pos: 0,
            known: None,
        })
    }

    /// The file.
    pub const fn inode(&self) -> &Inode {
        &self.inode
    }

    /// Moves to `pos`; behind the end there is nothing to read.
    pub const fn seek(&mut self, pos: u64) {
        self.pos = pos;
    }

    /// Returns the next run of at most `max_bytes` and moves behind it; `None` at the end of the file.
    ///
    /// # Errors
    /// [`Error`], again by each later call.
    pub fn next_run<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        max_bytes: u64,
    ) -> Result<Option<Run>, Error<B::Error>> {
        if self.pos >= self.inode.size || max_bytes == 0 {
            return Ok(None);
        }
        let wanted = max_bytes.min(self.inode.size - self.pos);
        let block_bytes = u64::from(volume.block_bytes());
        let (logical, within) = (self.pos / block_bytes, self.pos % block_bytes);
        let piece = self.piece(volume, blocks, logical)?;
        let len = piece.blocks.saturating_mul(block_bytes) - within;
        let Some(block) = piece.place else {
            let len = len.min(wanted);
            self.pos += len;
            return Ok(Some(Run::Zeroes { len }));
        };
        let (place, count) = volume.replay.run(block, piece.blocks).ok_or({
            Error::Unsupported {
                place: Place::Inode(self.inode.number()),
                what: "has data in the journal that begins like the journal: mount it once where it comes from",
            }
        })?;
        let byte_offset = place.saturating_mul(block_bytes).saturating_add(within);
        let present = present(blocks, byte_offset)?;
        let len = (count.saturating_mul(block_bytes) - within)
            .min(wanted)
            .min(present);
        self.pos += len;
        Ok(Some(Run::Stored { byte_offset, len }))
    }

    /// What lies from a block of the file on.
    fn piece<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        logical: u64,
    ) -> Result<Piece, Error<B::Error>> {
        let behind = |first: u64, piece: Piece| {
            let skipped = logical.checked_sub(first)?;
            let left = piece.blocks.checked_sub(skipped).filter(|left| *left > 0)?;
            Some(Piece {
                place: piece.place.map(|place| place + skipped),
                blocks: left,
            })
        };
        if let Some(piece) = self.known.and_then(|(first, piece)| behind(first, piece)) {
            return Ok(piece);
        }
        // A file has at most 2^32 blocks, and this is one before its end.
        let piece = volume.map(blocks, &self.inode, logical as u32)?;
        self.known = Some((logical, piece));
        Ok(piece)
    }
}
