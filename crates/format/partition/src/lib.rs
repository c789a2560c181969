//! Finds the volumes on a block device: a bare FAT volume, an MBR with its logical partitions, or a GPT.
//!
//! Owns: the reading and checking of partition tables ([`find_volumes`]) and the list that comes of it ([`Layout`]).
//!
//! Invariant: this crate never writes to a device, never reads outside it, never hands out a range that leaves the
//! device or overlaps another one it hands out, and never takes a field of a GPT as true before the CRC that covers
//! it has matched. Each walk has a fixed bound, whatever the tables say.
//!
//! Sources: UEFI Specification 2.10, chapter 5 (GUID partition table, protective MBR); the classic PC partition
//! sector for MBR and extended partitions; Microsoft "FAT: General Overview of On-Disk Format" 1.03 for the test
//! that tells a FAT boot sector from a partition sector.
#![no_std]
#![forbid(unsafe_code)]

mod bare;
mod crc32;
mod error;
mod gpt;
mod layout;
mod le;
mod mbr;

pub use crc32::{Crc32, crc32};
pub use error::{EntryFault, Error, GptFault};
pub use layout::{
    Guid, Label, Layout, MAX_REFUSED, MAX_VOLUMES, Refused, Scheme, Volume, VolumeKind,
};

/// Smallest block size that is accepted, in bytes.
pub const MIN_BLOCK_BYTES: u32 = 512;
/// Largest block size that is accepted, in bytes.
pub const MAX_BLOCK_BYTES: u32 = 4096;

/// A device that is read block by block.
pub trait BlockRead {
    /// What a failed read reports.
    type Error;

    /// Returns the size of a block in bytes; a power of two from 512 to 4096.
    fn block_bytes(&self) -> u32;

    /// Returns the number of blocks of the device.
    fn blocks(&self) -> u64;

    /// Fills `buf`, which is exactly one block long, with block `lba`.
    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
}

/// One block of the device, copied.
pub(crate) struct Block {
    bytes: [u8; MAX_BLOCK_BYTES as usize],
    len: usize,
}

impl Block {
    /// Makes an empty block for a device, once its block size has been checked.
    fn new<D: BlockRead>(device: &D) -> Result<Self, Error<D::Error>> {
        let block_bytes = device.block_bytes();
        if !block_bytes.is_power_of_two()
            || !(MIN_BLOCK_BYTES..=MAX_BLOCK_BYTES).contains(&block_bytes)
        {
            return Err(Error::BlockSize { block_bytes });
        }
        Ok(Self {
            bytes: [0; MAX_BLOCK_BYTES as usize],
            len: block_bytes as usize,
        })
    }

    /// Reads block `lba` into this buffer. The caller has checked `lba` against the device.
    fn load<D: BlockRead>(&mut self, device: &mut D, lba: u64) -> Result<(), Error<D::Error>> {
        let buf = self.bytes.get_mut(..self.len).unwrap_or_default();
        device
            .read(lba, buf)
            .map_err(|error| Error::Read { lba, error })
    }

    /// Returns the bytes of the block.
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Finds the volumes of `device`.
///
/// A protective entry in block 0 makes it a GPT, and then nothing but a valid GPT will do. Otherwise a block 0 that
/// is a FAT boot sector makes the whole device one volume, and else it is read as an MBR. What a table says about
/// one partition that cannot be true refuses that partition ([`Layout::refused`]) and keeps the others.
///
/// Needs about 12 KiB of stack.
pub fn find_volumes<D: BlockRead>(device: &mut D) -> Result<Layout, Error<D::Error>> {
    let mut block = Block::new(device)?;
    let blocks = device.blocks();
    if blocks == 0 {
        return Err(Error::Empty);
    }
    block.load(device, 0)?;
    if !mbr::has_signature(block.bytes()) {
        return Err(
            match bare::recognise_unsigned(device, &mut block, blocks)? {
                Some(name) => Error::OtherFileSystem { name },
                None => Error::NoTable,
            },
        );
    }
    if mbr::is_protective(block.bytes()) {
        return gpt::read(device, &mut block, blocks);
    }
    match bare::recognise(block.bytes()) {
        bare::Content::Fat => Ok(Layout::whole_device(blocks)),
        bare::Content::Other(name) => Err(Error::OtherFileSystem { name }),
        bare::Content::Unknown => mbr::read(device, &mut block, blocks),
    }
}
