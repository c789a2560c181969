//! What the provider knows of virtio disks: their shape and their commands.
//!
//! Owns: which configuration ([`Fields`]) makes which [`Geometry`], and the requests of a disk ([`Requests`]). Invariant: it never calls anything, and never sees an address.
//!
//! Source: Virtual I/O Device 1.2, section 5.2.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use provider_core::block::{Commands, Geometry};
use virtio_format::blk::{self, HEADER_BYTES, Kind, Request};
use virtio_format::feature::VERSION_1;

/// Bytes of a sector, in which the device counts whatever its blocks are, as a shift.
const SECTOR_SHIFT: u8 = blk::SECTOR_BYTES.trailing_zeros() as u8;

/// Bytes of a page, as a shift: a window's pages need not be contiguous.
const PAGE_SHIFT: u32 = 12;

/// The longest requests to make zeros, which a device may do by writing them, and to discard: others wait behind them.
const ZERO_BYTES: u32 = 32 << 20;
const DISCARD_BYTES: u32 = 1 << 30;

/// Asks for the disk's name.
pub const GET_ID: [u8; HEADER_BYTES] = Request {
    kind: Kind::GetId,
    sector: 0,
}
.to_bytes();

/// What the configuration says; fields whose feature was not agreed on are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Sectors of 512 bytes.
    pub sectors: u64,
    /// The most bytes of a piece.
    pub size_max: Option<u32>,
    /// The most pieces of a request.
    pub seg_max: Option<u32>,
    /// Bytes of a block.
    pub block_bytes: Option<u32>,
    /// The most sectors of a request to discard.
    pub discard_sectors: Option<u32>,
    /// The most sectors of a request to make zeros of.
    pub zero_sectors: Option<u32>,
}

/// The requests of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// Sectors of a block, as a shift.
    shift: u8,
}

impl Commands for Requests {
    fn unit(&self) -> u16 {
        0
    }

    fn block(&self, block: u64) -> Option<u64> {
        // `checked_mul` because a shift would lose bits.
        block.checked_mul(1 << self.shift)
    }

    fn is_success(&self, status: u16) -> bool {
        status == u16::from(blk::S_OK)
    }

    /// An error says no more than that there was one; what is not supported stays so (section 5.2.6).
    fn is_final(&self, status: u16) -> bool {
        status != u16::from(blk::S_IOERR)
    }
}

/// What a status that is not success is called (section 5.2.6).
pub const fn status_name(status: u16) -> &'static str {
    const IOERR: u16 = blk::S_IOERR as u16;
    const UNSUPP: u16 = blk::S_UNSUPP as u16;
    match status {
        IOERR => "io-error",
        UNSUPP => "unsupported",
        _ => "reserved",
    }
}

/// The disk that features and configuration make, with a ring of `ring` descriptors. `None` where a block is none that this system works with: 512 bytes to 4096, a power of two.
pub fn shape(features: u64, fields: &Fields, ring: u16) -> Option<(Geometry, Requests)> {
    let block_bytes = fields.block_bytes.unwrap_or(1 << SECTOR_SHIFT);
    if !block_bytes.is_power_of_two() || !(512..=4096).contains(&block_bytes) {
        return None;
    }
    let block_shift = block_bytes.trailing_zeros() as u8;
    let shift = block_shift - SECTOR_SHIFT;
    // Header and status take a descriptor each. A transfer that begins inside a page has one piece more than it has
    // pages.
    let room = u32::from(ring.saturating_sub(2));
    let pieces = fields.seg_max.unwrap_or(room).min(room).max(2) - 1;
    let piece_bytes = fields.size_max.unwrap_or(u32::MAX).min(1 << PAGE_SHIFT);
    // The broker asks for them of devices of version 1 alone.
    let clear = |sectors: Option<u32>, bytes: u32| match features & VERSION_1 {
        0 => 0,
        _ => sectors.unwrap_or(0).min(bytes >> SECTOR_SHIFT) >> shift,
    };
    let geometry = Geometry {
        blocks: fields.sectors >> shift,
        block_shift,
        command_blocks: (pieces.saturating_mul(piece_bytes) >> block_shift).max(1),
        read_only: features & blk::F_RO != 0,
        write_cache: features & blk::F_FLUSH != 0,
        zero_blocks: clear(fields.zero_sectors, ZERO_BYTES),
        discard_blocks: clear(fields.discard_sectors, DISCARD_BYTES),
    };
    Some((geometry, Requests { shift }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_in_sectors_whatever_a_block_is() {
        let fields = Fields {
            sectors: 8001,
            block_bytes: Some(4096),
            ..Fields::default()
        };
        let (geometry, requests) = shape(blk::F_FLUSH, &fields, 256).unwrap();
        assert_eq!((geometry.blocks, geometry.block_shift), (1000, 12));
        assert!(geometry.write_cache && !geometry.read_only);
        assert_eq!(requests.block(3), Some(24));
        assert_eq!(requests.block(u64::MAX), None);
        assert_eq!(GET_ID[0], 8);
        assert!(requests.is_success(0) && !requests.is_success(1));
    }

    #[test]
    fn commands_end_where_the_device_or_its_ring_does() {
        let blocks = |seg_max, size_max, ring| {
            let fields = Fields {
                sectors: 1 << 20,
                seg_max,
                size_max,
                ..Fields::default()
            };
            let (geometry, _) = shape(0, &fields, ring).unwrap();
            geometry.command_blocks
        };
        assert_eq!(blocks(Some(254), None, 256), 253 * 8);
        assert_eq!(blocks(Some(1000), None, 64), 61 * 8);
        assert_eq!(blocks(None, None, 4), 8);
        assert_eq!(blocks(Some(0), None, 0), 8);
        assert_eq!(blocks(Some(3), Some(512), 256), 2);
        assert_eq!(blocks(Some(3), Some(0), 256), 1);
    }

    #[test]
    fn what_a_device_clears_at_once_is_what_it_says_and_bounded() {
        let clears = |features, block_bytes, sectors| {
            let fields = Fields {
                sectors: 1 << 30,
                block_bytes,
                discard_sectors: sectors,
                zero_sectors: sectors,
                ..Fields::default()
            };
            let (geometry, _) = shape(features, &fields, 256).unwrap();
            geometry.clear_bytes()
        };
        assert_eq!(clears(VERSION_1, None, Some(100)), [51_200; 2]);
        assert_eq!(clears(VERSION_1, Some(4096), Some(100)), [49_152; 2]);
        assert_eq!(clears(VERSION_1, None, Some(u32::MAX)), [32 << 20, 1 << 30]);
        assert_eq!(clears(VERSION_1, None, None), [0; 2]);
        assert_eq!(clears(0, None, Some(100)), [0; 2], "a legacy device");
    }

    #[test]
    fn odd_blocks_are_no_disk() {
        for block_bytes in [0, 1, 256, 513, 8192, u32::MAX] {
            let fields = Fields {
                sectors: 100,
                block_bytes: Some(block_bytes),
                ..Fields::default()
            };
            assert_eq!(shape(0, &fields, 256), None, "{block_bytes}");
        }
        let (geometry, _) = shape(blk::F_RO, &Fields::default(), 256).unwrap();
        assert!(geometry.read_only && !geometry.write_cache && geometry.blocks == 0);
    }
}
