//! Where things lie in a region of a block device.
//!
//! Cells of [`CELL_BYTES`] whatever the device's blocks are: two superblocks in the first two, then slots of
//! [`SLOT_CELLS`], each a header and its records. Segment `i` lies in slot `i` modulo the number of slots.

use crate::key::{INSTALLATION_BYTES, Key, KeyId};
use crate::record::RECORD_BYTES;
use crate::rule::Rule;
use crate::segment::{Digest, HEADER_BYTES, SEGMENT_RECORDS, check_seal, is_blank, seal};

/// The type of an audit partition, 6f1d8e2c-53b4-4a9f-8c0e-a3d27b9415c6, as a GUID partition table holds it.
pub const PARTITION_TYPE: [u8; 16] = [
    0x2c, 0x8e, 0x1d, 0x6f, 0xb4, 0x53, 0x9f, 0x4a, 0x8c, 0x0e, 0xa3, 0xd2, 0x7b, 0x94, 0x15, 0xc6,
];
/// Bytes of a cell: the largest block a device may have.
pub const CELL_BYTES: usize = 4096;
/// Cells of a slot: one for the header, the rest for records.
pub const SLOT_CELLS: u64 = 1 + (SEGMENT_RECORDS * RECORD_BYTES / CELL_BYTES) as u64;
/// The first cell of the first slot.
pub const FIRST_SLOT_CELL: u64 = 2;
/// Fewer slots than this make no region.
const MIN_SLOTS: u64 = 4;

const MAGIC: [u8; 8] = *b"CAPOSAUR";
const VERSION: u32 = 1;

/// A region of a block device, as cells.
pub trait Region {
    /// What a failed access reports.
    type Error;

    /// Returns how many whole cells there are.
    fn cells(&self) -> u64;

    /// Fills `to`, a whole number of cells, from `cell` on.
    ///
    /// # Errors
    /// The device's.
    fn read(&mut self, cell: u64, to: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes `from`, a whole number of cells, from `cell` on. It need not last before [`Self::flush`], and a crash may
    /// leave any part of it; but each block of 512 bytes is written as a whole or not at all.
    ///
    /// # Errors
    /// The device's.
    fn write(&mut self, cell: u64, from: &[u8]) -> Result<(), Self::Error>;

    /// Returns once everything written before lasts.
    ///
    /// # Errors
    /// The device's.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

/// How many slots a region has, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    slots: u64,
}

impl Geometry {
    /// The geometry of a region of so many cells; `None` for one that is too small.
    #[must_use]
    pub fn of_cells(cells: u64) -> Option<Self> {
        let slots = cells.checked_sub(FIRST_SLOT_CELL)? / SLOT_CELLS;
        let slots = slots.min(u64::from(u32::MAX));
        (slots >= MIN_SLOTS).then_some(Self { slots })
    }

    /// How many slots there are.
    #[must_use]
    pub const fn slots(&self) -> u64 {
        self.slots
    }

    /// The slot of a segment.
    #[must_use]
    pub const fn slot_of(&self, index: u64) -> u64 {
        index % self.slots
    }

    /// The header's cell of a slot; the records' cells follow it.
    #[must_use]
    pub const fn cell_of(&self, slot: u64) -> u64 {
        FIRST_SLOT_CELL + slot * SLOT_CELLS
    }
}

/// What a region says about itself; two copies, written in turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Slots of the region when it was made.
    pub slots: u64,
    /// The name that the key is derived with.
    pub installation: [u8; INSTALLATION_BYTES],
    /// Rises with each writing; its parity chooses the copy.
    pub generation: u64,
    /// How many segments have been sealed: the index of the next one.
    pub next_index: u64,
    /// How many boots have sealed segments.
    pub boots: u64,
    /// The key.
    pub key: KeyId,
    /// Digest of the newest sealed header.
    pub newest: Digest,
}

impl Superblock {
    /// Lays it out and seals it.
    #[must_use]
    pub fn encode(&self, key: &Key) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        le::put(&mut out, 0, &MAGIC);
        le::put(&mut out, 8, &VERSION.to_le_bytes());
        le::put(&mut out, 12, &(self.slots as u32).to_le_bytes());
        le::put(&mut out, 16, &self.installation);
        le::put(&mut out, 32, &self.generation.to_le_bytes());
        le::put(&mut out, 40, &self.next_index.to_le_bytes());
        le::put(&mut out, 48, &self.boots.to_le_bytes());
        le::put(&mut out, 56, &self.key.0);
        le::put(&mut out, 64, &self.newest.0);
        seal(&mut out, key);
        out
    }

    /// The installation a copy names, before anything of it is believed; `None` for what is no superblock.
    #[must_use]
    pub fn installation(bytes: &[u8; HEADER_BYTES]) -> Option<[u8; INSTALLATION_BYTES]> {
        (le::array::<8>(bytes, 0) == MAGIC).then(|| le::array(bytes, 16))
    }

    /// Reads a copy and checks its seal. `None`: it is blank.
    ///
    /// # Errors
    /// [`Rule::BadFormat`], [`Rule::WrongKey`], [`Rule::BadSeal`].
    pub fn decode(bytes: &[u8; HEADER_BYTES], key: &Key) -> Result<Option<Self>, Rule> {
        if is_blank(bytes) {
            return Ok(None);
        }
        if le::array::<8>(bytes, 0) != MAGIC || le::u32(bytes, 8) != VERSION {
            return Err(Rule::BadFormat);
        }
        check_seal(bytes, 56, key)?;
        Ok(Some(Self {
            slots: u64::from(le::u32(bytes, 12)),
            installation: le::array(bytes, 16),
            generation: le::u64(bytes, 32),
            next_index: le::u64(bytes, 40),
            boots: le::u64(bytes, 48),
            key: KeyId(le::array(bytes, 56)),
            newest: Digest(le::array(bytes, 64)),
        }))
    }
}
