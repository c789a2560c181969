//! Inodes ("Index Nodes").

use sabotage::sabotage;

use crate::Blocks;
use crate::crc::carry;
use crate::error::{Error, Place, corrupt};
use crate::volume::{NOWHERE, Volume};

/// `i_flags`.
mod flag {
    pub(super) const ENCRYPTED: u32 = 0x800;
    pub(super) const INDEXED: u32 = 0x1000;
    pub(super) const EXTENTS: u32 = 0x8_0000;
    pub(super) const INLINE_DATA: u32 = 0x1000_0000;
}

/// Bytes of `i_block`.
const INLINE_BYTES: usize = 60;
const NS_PER_S: i64 = 1_000_000_000;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Special,
}

/// A file or directory. About 120 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Inode {
    pub(crate) number: u32,
    mode: u16,
    flags: u32,
    pub(crate) size: u64,
    /// Pointers, a tree's root, or a link's target.
    pub(crate) block: [u8; INLINE_BYTES],
    /// What sums of what belongs to it are begun with.
    pub(crate) seed: Option<u32>,
    /// Nanoseconds since 1970 in UTC, where the inode has room for it.
    pub created_ns: Option<i64>,
    /// As above.
    pub modified_ns: i64,
}

impl Inode {
    pub(crate) const EMPTY: Self = Self {
        number: 0,
        mode: 0,
        flags: 0,
        size: 0,
        block: [0; INLINE_BYTES],
        seed: None,
        created_ns: None,
        modified_ns: 0,
    };

    /// Its number.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What it is ("i_mode").
    pub const fn kind(&self) -> Kind {
        match self.mode >> 12 {
            0x8 => Kind::File,
            0x4 => Kind::Directory,
            0xa => Kind::Link,
            _ => Kind::Special,
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Bytes of it.
    pub const fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Whether nobody may write it, by its permissions.
    pub const fn is_read_only(&self) -> bool {
        self.mode & 0o222 == 0
    }

    pub(crate) const fn has_extents(&self) -> bool {
        self.flags & flag::EXTENTS != 0
    }

    pub(crate) const fn is_indexed(&self) -> bool {
        self.flags & flag::INDEXED != 0
    }

    /// Whether its bytes are where blocks are.
    pub(crate) fn readable<E>(&self) -> Result<(), Error<E>> {
        let what = if self.flags & flag::ENCRYPTED != 0 {
            "is encrypted, and its key is not on the volume"
        } else if self.flags & flag::INLINE_DATA != 0 {
            "holds its data itself (inline_data), which is not read here"
        } else {
            return Ok(());
        };
        Err(Error::Unsupported {
            place: Place::Inode(self.number),
            what,
        })
    }
}

/// Seconds, and the two bits that carry them beyond 2038 with the nanoseconds above ("Inode Timestamps").
fn time_ns(seconds: u32, extra: u32) -> i64 {
    let seconds = i64::from(seconds as i32) + (i64::from(extra & 3) << 32);
    let ns = i64::from(extra >> 2).min(NS_PER_S - 1);
    seconds.saturating_mul(NS_PER_S).saturating_add(ns)
}

impl Volume {
    /// Reads an inode.
    pub(crate) fn inode<B: Blocks>(
        &self,
        blocks: &mut B,
        number: u32,
    ) -> Result<Inode, Error<B::Error>> {
        let place = Place::Inode(number);
        let known = &self.superblock;
        let Some(index) = number.checked_sub(1).filter(|_| number <= known.inodes) else {
            return Err(corrupt(place, "is none of the volume's"));
        };
        let (group, index) = (
            index / known.inodes_per_group,
            index % known.inodes_per_group,
        );
        let table = self.inode_table(blocks, group)?;
        let byte = u64::from(index) * u64::from(known.inode_bytes);
        let block = table + byte / u64::from(known.block_bytes);
        let at = (byte % u64::from(known.block_bytes)) as u32;
        // What lies in the second half of larger inodes ends before byte 152.
        let mut bytes = [0; 256];
        let held = bytes.get_mut(..known.inode_bytes.min(256) as usize);
        self.read(blocks, block, at, held.unwrap_or_default())?;
        let seed = known.seed.map(|seed| {
            let own = carry(seed, &number.to_le_bytes());
            carry(own, &le::array::<4>(&bytes, 0x64))
        });
        // How much of the second half is used.
        let extra = match known.inode_bytes > 128 {
            true => 128 + u32::from(le::u16(&bytes, 0x80)),
            false => 128,
        };
        if extra > known.inode_bytes {
            return Err(corrupt(place, "says that it is longer than inodes are"));
        }
        if let Some(seed) = seed {
            let (low, high) = (at + 0x7c..at + 0x7e, at + 0x82..at + 0x84);
            let wide = extra >= 0x84;
            let holes = [low, if wide { high } else { NOWHERE }];
            let sum = self.sum(blocks, seed, block, at..at + known.inode_bytes, holes)?;
            let stands = u32::from(le::u16(&bytes, 0x7c)) | u32::from(le::u16(&bytes, 0x82)) << 16;
            let mask = if wide { !0 } else { 0xffff };
            if (sum ^ stands) & mask != 0 && !sabotage!(EXT_IGNORE_SUM) {
                return Err(corrupt(place, "does not have the sum that it says it has"));
            }
        }
        self.decode(number, &bytes, extra, seed)
            .map_err(|fault| corrupt(place, fault))
    }

    fn decode(
        &self,
        number: u32,
        bytes: &[u8; 256],
        used: u32,
        seed: Option<u32>,
    ) -> Result<Inode, &'static str> {
        let mode = le::u16(bytes, 0);
        if mode == 0 {
            return Err("is not in use");
        }
        let extra = |at: u32| match used >= at + 4 {
            true => le::u32(bytes, at as usize),
            false => 0,
        };
        let mut inode = Inode {
            number,
            mode,
            flags: le::u32(bytes, 0x20),
            size: le::u32(bytes, 4).into(),
            block: le::array(bytes, 0x28),
            seed,
            created_ns: (used >= 0x98).then(|| time_ns(le::u32(bytes, 0x90), extra(0x94))),
            modified_ns: time_ns(le::u32(bytes, 0x10), extra(0x88)),
        };
        if !inode.is_directory() || self.superblock.large_directories {
            inode.size |= u64::from(le::u32(bytes, 0x6c)) << 32;
        }
        let blocks = inode.size.div_ceil(self.superblock.block_bytes.into());
        if inode.kind() != Kind::Special && blocks > 1 << 32 {
            return Err("says that it is longer than files can be");
        }
        Ok(inode)
    }
}
