//! Finds the volumes on a block device: a bare FAT volume, an MBR with its logical partitions, or a GPT.
//!
//! Owns: the reading and checking of partition tables ([`find_volumes`]), the list that comes of it ([`Layout`]), and the
//! names of what is no FAT volume ([`foreign`]).
//!
//! Invariant: this crate never writes to a device, never reads outside it, never hands out a range that leaves the
//! device or overlaps another one it hands out, and never takes a field of a GPT as true before the CRC that covers
//! it has matched. Each walk has a fixed bound, whatever the tables say.
//!
//! Sources: UEFI Specification 2.10, chapter 5 (GUID partition table, protective MBR); the classic PC partition
//! sector for MBR and extended partitions; Microsoft "FAT: General Overview of On-Disk Format" 1.03 for the test
//! that tells a FAT boot sector from a partition sector. Where the two stand in one block, the decision is that of
//! Linux (`block/partitions/msdos.c`).
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod bare;
mod blocks;
mod crc32;
mod error;
mod foreign;
mod gpt;
mod layout;
mod mbr;
mod select;

pub use bare::other_boot_sector;
pub use crc32::{Crc32, crc32};
pub use error::{EntryFault, Error, GptFault};
pub use foreign::{EXFAT, EXT, NotFat, foreign};
pub use layout::{
    BOOT_LABEL, Besides, Guid, Label, Layout, MAX_REFUSED, MAX_VOLUMES, Refused, Scheme, Volume,
    VolumeKind,
};
pub use select::{Mismatch, Selector};

use bare::Content;
use blocks::Blocks;

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

/// Finds the volumes of `device`.
///
/// - A protective entry in block 0 makes it a GPT, and then nothing but a valid GPT will do. One that counts in blocks
///   of another size than the device's (a disk that was copied, or moved to another enclosure) is found as well.
/// - Otherwise a block 0 whose four entries all make sense, at least one of them used, is an MBR, even if it is the boot
///   sector of a file system too: that is then what is left of an earlier use, and named in [`Layout::besides`].
/// - Otherwise a block 0 that is a FAT boot sector makes the whole device one volume.
///
/// What a table says about one partition that cannot be true refuses that partition ([`Layout::refused`]) and keeps the
/// others. So does a block in a chain of logical partitions that cannot be read.
pub fn find_volumes<D: BlockRead>(device: &mut D) -> Result<Layout, Error<D::Error>> {
    let mut blocks = Blocks::new(device)?;
    if let Err(unreadable) = blocks.load(0) {
        // A GPT says everything without block 0.
        return gpt::find(&mut blocks).map_err(|_| unreadable);
    }
    let first: [u8; 512] = le::array(blocks.bytes(), 0);
    let signed = mbr::has_signature(&first);
    let boot = bare::recognise(&first);
    if signed && mbr::is_protective(&first) {
        let mut layout = gpt::find(&mut blocks)?;
        besides(&mut layout, &mut blocks, boot);
        return Ok(layout);
    }
    let mut layout = match (boot, mbr::Table::parse(&first).filter(|_| signed)) {
        (_, Some(table)) if boot == Content::Unknown || table.makes_sense(&mut blocks) => {
            mbr::read(&mut blocks, &table)
        }
        (Content::Fat, _) if signed || bare::says_fat(&first) => {
            blocks.set_unit(blocks.device_unit());
            return Ok(Layout::whole_device(&blocks));
        }
        (Content::Other(name), _) => return Err(Error::OtherFileSystem { name }),
        _ => {
            let named = foreign(blocks.device_len(), |at, to| blocks.read_at(at, to).is_ok());
            return Err(match named {
                Some(name) => Error::OtherFileSystem { name },
                None if signed => mbr::not_a_table(&first),
                None => Error::NoTable,
            });
        }
    };
    besides(&mut layout, &mut blocks, boot);
    match layout.besides {
        // An image of a CD "burnt" to a stick: its table only makes firmware start it.
        Some(Besides::Other(name)) if layout.volumes.is_empty() => {
            Err(Error::OtherFileSystem { name })
        }
        _ => Ok(layout),
    }
}

/// Notes what the device holds besides the table: a boot sector in its place, or a file system in front of the first
/// partition.
fn besides<D: BlockRead>(layout: &mut Layout, blocks: &mut Blocks<'_, D>, boot: Content) {
    let unit = u64::from(layout.block_bytes);
    let first = layout.volumes.iter().map(|v| v.first_lba).min();
    let gap = first.map_or(blocks.device_len(), |lba| lba.saturating_mul(unit));
    layout.besides = match boot {
        Content::Fat => Some(Besides::Fat),
        Content::Other(name) => Some(Besides::Other(name)),
        Content::Unknown => {
            let name = foreign(gap, |at, to| blocks.read_at(at, to).is_ok());
            // The GPT that was read is none besides.
            let own = layout.scheme != Scheme::Mbr;
            name.filter(|name| !own || *name != foreign::GPT_ALONE)
                .map(Besides::Other)
        }
    };
}
