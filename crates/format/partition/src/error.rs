//! Why a device, a table or one entry is refused.

use core::fmt;

use crate::NotFat;

/// Why no list of volumes could be made of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The device could not read a block.
    Read {
        /// The block that was asked for.
        lba: u64,
        /// What the device said.
        error: E,
    },
    /// The block size is not a power of two from 512 to 4096.
    BlockSize {
        /// The size the device reports.
        block_bytes: u32,
    },
    /// The device has no blocks.
    Empty,
    /// Block 0 has no 55 AA signature: there is neither a table nor a FAT volume.
    NoTable,
    /// The device is no table and no FAT volume, but something else that is known.
    OtherFileSystem {
        /// Its name, as part of a sentence.
        name: &'static str,
    },
    /// Block 0 has the signature, but one of its entries cannot be part of an MBR.
    NotMbr {
        /// Entry, counted from 1.
        number: u32,
        /// Its status byte, which may only be 00 or 80.
        status: u8,
    },
    /// A protective MBR announces a GPT, and neither copy of it is valid.
    Gpt {
        /// What is wrong with the copy at block 1.
        primary: GptFault,
        /// What is wrong with the copy in the last block.
        backup: GptFault,
    },
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { lba, error } => write!(f, "cannot read block {lba}: {error}"),
            Self::BlockSize { block_bytes } => {
                write!(
                    f,
                    "block size {block_bytes} is not a power of two from 512 to 4096"
                )
            }
            Self::Empty => f.write_str("the device has no blocks"),
            Self::NoTable => f.write_str(
                "no partition table and no FAT volume: block 0 lacks the 55 AA signature",
            ),
            Self::OtherFileSystem { name } => {
                write!(f, "the disk holds {}", NotFat(name))
            }
            Self::NotMbr { number, status } => {
                write!(
                    f,
                    "block 0 is not a partition table: entry {number} has status {status:02x}, not 00 or 80"
                )
            }
            Self::Gpt { primary, backup } => {
                write!(
                    f,
                    "the GPT is not valid: primary: {primary}; backup: {backup}"
                )
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

/// What is wrong with one copy of a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GptFault {
    /// The device is too small to have this copy.
    Missing,
    /// The block cannot be read.
    Unreadable,
    /// The block does not begin with the header signature.
    Signature,
    /// The revision is not 1.x.
    Revision(u32),
    /// The header size is below 92 bytes or above the block size.
    HeaderSize(u32),
    /// The header CRC does not match.
    HeaderCrc {
        /// What the header says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The header says that it stands in another block.
    OwnLba(u64),
    /// First and last usable block are out of order, or cover the header.
    UsableRange {
        /// First usable block.
        first: u64,
        /// Last usable block.
        last: u64,
    },
    /// The entry size is not 128 to 4096 bytes and a power of two, or there are no entries, or over 4096.
    EntryShape {
        /// Number of entries.
        count: u32,
        /// Bytes of an entry.
        bytes: u32,
    },
    /// The entry array overlaps block 0 or its header, or leaves the device.
    EntryArray {
        /// Its first block.
        lba: u64,
    },
    /// The CRC of the entry array does not match.
    EntryCrc {
        /// What the header says.
        stored: u32,
        /// What the array gives.
        computed: u32,
    },
}

impl fmt::Display for GptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the device is too small for it"),
            Self::Unreadable => f.write_str("it cannot be read"),
            Self::Signature => f.write_str("header signature missing"),
            Self::Revision(revision) => write!(f, "unknown revision {revision:#010x}"),
            Self::HeaderSize(bytes) => write!(f, "header size {bytes} is out of range"),
            Self::HeaderCrc { stored, computed } => {
                write!(
                    f,
                    "header CRC mismatch (stored {stored:08x}, computed {computed:08x})"
                )
            }
            Self::OwnLba(lba) => write!(f, "header claims to stand in block {lba}"),
            Self::UsableRange { first, last } => {
                write!(f, "usable blocks {first} to {last} make no sense")
            }
            Self::EntryShape { count, bytes } => {
                write!(f, "{count} entries of {bytes} bytes are out of range")
            }
            Self::EntryArray { lba } => write!(f, "entry array at block {lba} does not fit"),
            Self::EntryCrc { stored, computed } => {
                write!(
                    f,
                    "entry array CRC mismatch (stored {stored:08x}, computed {computed:08x})"
                )
            }
        }
    }
}

/// Why one partition of an otherwise readable table is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryFault {
    /// It has no blocks, or ends before it begins.
    ZeroLength,
    /// It covers block 0 or another part of the table.
    CoversTable,
    /// It begins behind the device.
    BeyondDevice {
        /// First block of the partition.
        first: u64,
        /// Blocks of the device.
        device_blocks: u64,
    },
    /// It leaves the extended partition that it belongs to.
    OutsideParent,
    /// It overlaps another partition, which is kept.
    Overlaps {
        /// Number of the other partition.
        other: u32,
    },
    /// The block that should describe this logical partition lacks its signature or has bad entries.
    ChainBlock {
        /// The block.
        lba: u64,
    },
    /// The chain of logical partitions comes back to a block it has been at.
    ChainLoop {
        /// The block.
        lba: u64,
    },
    /// The block that should describe this logical partition, and lead to those behind it, cannot be read.
    ChainUnreadable {
        /// The block.
        lba: u64,
    },
    /// The chain of logical partitions is longer than 128.
    ChainTooLong,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroLength => f.write_str("it has no blocks"),
            Self::CoversTable => f.write_str("it covers the partition table itself"),
            Self::BeyondDevice {
                first,
                device_blocks,
            } => {
                write!(
                    f,
                    "it begins at block {first}, the device has {device_blocks}"
                )
            }
            Self::OutsideParent => f.write_str("it leaves the range that contains it"),
            Self::Overlaps { other } => write!(f, "it overlaps partition {other}"),
            Self::ChainBlock { lba } => {
                write!(f, "block {lba} does not describe a logical partition")
            }
            Self::ChainLoop { lba } => {
                write!(f, "the chain of logical partitions loops at block {lba}")
            }
            Self::ChainUnreadable { lba } => {
                write!(f, "block {lba}, which describes it, cannot be read")
            }
            Self::ChainTooLong => f.write_str("the chain of logical partitions is longer than 128"),
        }
    }
}
