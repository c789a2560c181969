//! A mounted volume: reading its blocks as the journal leaves them.

use core::ops::Range;

use foreign_bytes::read_exact;

use crate::Blocks;
use crate::crc::carry;
use crate::error::{Error, Place, corrupt};
use crate::inode::{Inode, Kind};
use crate::journal::Replay;
use crate::name::Name;
use crate::superblock::Superblock;

/// Number of the root directory's inode.
pub(crate) const ROOT: u32 = 2;

/// No part of a block.
pub(crate) const NOWHERE: Range<u32> = 0..0;

/// What is known of a volume after its superblock, its journal and its root were looked at.
#[derive(Clone, Debug)]
pub struct Volume {
    pub(crate) superblock: Superblock,
    pub(crate) replay: Replay,
    root: Inode,
    label: Name,
}

impl Volume {
    /// Reads superblock, journal and root directory.
    ///
    /// # Errors
    /// [`Error::NotExt`] where nothing says that this is an ext volume; otherwise what is wrong with it.
    pub fn mount<B: Blocks>(blocks: &mut B) -> Result<Self, Error<B::Error>> {
        let superblock = Superblock::read(blocks)?;
        let mut volume = Self {
            superblock,
            replay: Replay::default(),
            root: Inode::EMPTY,
            label: superblock.name(),
        };
        if let Some(journal) = superblock.journal {
            volume.replay = Replay::read(&volume, blocks, journal)?;
        }
        volume.root = volume.inode(blocks, ROOT)?;
        if volume.root.kind() != Kind::Directory {
            return Err(corrupt(Place::Inode(ROOT), "is the root and no directory"));
        }
        Ok(volume)
    }

    /// The root directory.
    pub const fn root(&self) -> &Inode {
        &self.root
    }

    /// `ext2`, `ext3` or `ext4`.
    pub const fn format(&self) -> &'static str {
        self.superblock.format()
    }

    /// The volume's name; empty if it has none.
    pub fn label(&self) -> &str {
        self.label.as_str()
    }

    /// Bytes of a block.
    pub const fn block_bytes(&self) -> u32 {
        self.superblock.block_bytes
    }

    /// Bytes of the volume.
    pub fn total_bytes(&self) -> u64 {
        self.superblock
            .blocks
            .saturating_mul(self.superblock.block_bytes.into())
    }

    /// Blocks that are read from the journal, because whoever wrote last did not get to write them in their places.
    pub fn replayed_blocks(&self) -> usize {
        self.replay.len()
    }

    /// Fills `buf` from a block's byte `offset`, as the journal leaves it.
    pub(crate) fn read<B: Blocks>(
        &self,
        blocks: &mut B,
        block: u64,
        offset: u32,
        buf: &mut [u8],
    ) -> Result<(), Error<B::Error>> {
        let (place, escaped) = self.replay.place(block).unwrap_or((block, false));
        let at = place
            .checked_mul(self.superblock.block_bytes.into())
            .and_then(|at| at.checked_add(offset.into()));
        read_exact(blocks, at.unwrap_or(u64::MAX), buf)?;
        if escaped {
            Replay::unescape(offset, buf);
        }
        Ok(())
    }

    /// Carries a sum over a range of a block, of which `holes` are read as zeroes: where sums themselves stand. An empty one
    /// is [`NOWHERE`].
    pub(crate) fn sum<B: Blocks>(
        &self,
        blocks: &mut B,
        mut sum: u32,
        block: u64,
        range: Range<u32>,
        holes: [Range<u32>; 2],
    ) -> Result<u32, Error<B::Error>> {
        let mut piece = [0; 512];
        let mut at = range.start;
        while at < range.end {
            let count = (range.end - at).min(piece.len() as u32);
            let piece = piece.get_mut(..count as usize).unwrap_or_default();
            self.read(blocks, block, at, piece)?;
            for hole in holes.iter().cloned().flatten() {
                let place = hole.checked_sub(at);
                if let Some(byte) = place.and_then(|at| piece.get_mut(at as usize)) {
                    *byte = 0;
                }
            }
            sum = carry(sum, piece);
            at += count;
        }
        Ok(sum)
    }

    /// Whether `count` blocks from `first` on are blocks of the volume that can hold something.
    pub(crate) fn has_blocks(&self, first: u64, count: u64) -> bool {
        first > 0
            && first
                .checked_add(count)
                .is_some_and(|end| end <= self.superblock.blocks)
    }
}
