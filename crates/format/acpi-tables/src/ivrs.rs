//! AMD's I/O virtualisation table (AMD IOMMU Specification 3.08, 5.2).

use crate::{Rule, Signature, Table, TableError};
use le::checked;

mod device;

pub use device::{DeviceEntries, DeviceEntry, DeviceEntryKind, SpecialDevice};

/// Bytes before the first block.
const FIXED_BYTES: usize = 48;
/// Type, flags, and the length in 16 bits.
const BLOCK_HEADER_BYTES: usize = 4;
/// Bytes of a unit block before its device entries, without and with a copy of the extended features.
const UNIT_10H_BYTES: usize = 24;
const UNIT_EXTENDED_BYTES: usize = 40;
const MEMORY_BYTES: usize = 32;
/// Most unit blocks that a table may list: three descriptions of each unit at worst.
pub const MAX_UNIT_BLOCKS: usize = 64;
/// Most blocks of all kinds, and most device entries in all of them together.
const MAX_BLOCKS: usize = 4096;
const MAX_DEVICE_ENTRIES: usize = 16384;

/// The least alignment of a unit's registers, which take 16 KiB without performance counters (3.4).
const REGISTER_MASK: u64 = 0x3fff;
const PAGE_MASK: u64 = 0xfff;

/// A unit block (IVHD). Firmware may describe one unit by several, for older and newer readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitBlock<'a> {
    /// Block type: 0x10, 0x11 or 0x40.
    pub kind: u8,
    /// Flags as the block gives them.
    pub flags: u8,
    /// Requester id of the function whose configuration space has the unit's capability.
    pub device_id: u16,
    /// Offset of that capability.
    pub capability_offset: u16,
    /// Physical address of its registers, never 0, a multiple of 16 KiB.
    pub base: u64,
    /// The segment group that it serves.
    pub segment: u16,
    /// The devices that it serves.
    pub devices: DeviceEntries<'a>,
}

/// A memory block (IVMD): a range with access rules of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryBlock {
    /// Flags as the block gives them.
    pub flags: u8,
    /// Requester ids of the devices, first and last.
    pub devices: (u16, u16),
    /// First byte, a multiple of 4 KiB.
    pub start: u64,
    /// Bytes, a multiple of 4 KiB and not 0.
    pub length_bytes: u64,
}

/// One block of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IvrsBlock<'a> {
    /// Types 0x10, 0x11 and 0x40.
    Unit(UnitBlock<'a>),
    /// Types 0x20 (all devices), 0x21 (one) and 0x22 (a range).
    Memory(MemoryBlock),
    /// A type that this crate does not decode.
    Unknown(u8),
}

/// How many blocks of each kind a table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IvrsCounts {
    /// Unit blocks of type 0x10.
    pub units_10h: usize,
    /// Unit blocks of type 0x11.
    pub units_11h: usize,
    /// Unit blocks of type 0x40.
    pub units_40h: usize,
    /// Memory ranges with access rules of their own (types 0x20 to 0x22).
    pub memory_ranges: usize,
    /// Blocks of another type.
    pub unknown: usize,
    /// Device entries in all unit blocks, padding left out.
    pub device_entries: usize,
}

/// A checked IVRS table: every block and every device entry decodes.
#[derive(Clone, Copy, Debug)]
pub struct Ivrs<'a> {
    blocks: &'a [u8],
    information: u32,
    counts: IvrsCounts,
}

impl<'a> Ivrs<'a> {
    /// Checks the table, its blocks and their device entries.
    ///
    /// # Errors
    /// As [`Table::parse`], and
    /// - `EntryLength`: a block or entry shorter than its fixed fields, a memory block of another length;
    /// - `EntryOverrun`: a block reaches past the table, an entry past its block;
    /// - `Address`: registers at 0, misaligned or above 52 bits; a memory range that is empty, misaligned or too high;
    /// - `Field`: an entry type that is reserved among those of 4 bytes, a special device that is neither I/O APIC nor
    ///   HPET, a memory block whose devices end before they start;
    /// - `Unpaired`: a range of devices that starts and does not end, or the reverse, or ends below its start;
    /// - `Overlap`: two blocks of one type with one register address;
    /// - `TooMany`: over 64 unit blocks, 4096 blocks or 16384 device entries.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::IVRS)?.at_least(FIXED_BYTES)?;
        let error = |rule| table.error(rule);
        let blocks = table.bytes().get(FIXED_BYTES..).unwrap_or_default();
        let mut ivrs = Self {
            blocks,
            information: checked::u32(table.bytes(), 36).ok_or(error(Rule::Truncated))?,
            counts: IvrsCounts::default(),
        };
        let mut seen = [None; MAX_UNIT_BLOCKS];
        let mut rest = blocks;
        let mut visited = 0;
        while !rest.is_empty() {
            let (block, after) = next_block(rest).map_err(error)?;
            rest = after;
            visited += 1;
            ivrs.counts.add(&block);
            if visited > MAX_BLOCKS || ivrs.counts.device_entries > MAX_DEVICE_ENTRIES {
                return Err(error(Rule::TooMany));
            }
            if let IvrsBlock::Unit(unit) = block {
                note(&mut seen, (unit.kind, unit.base)).map_err(error)?;
            }
        }
        Ok(ivrs)
    }

    /// Returns the width of the physical addresses that the units translate to, in bits.
    pub fn physical_address_bits(&self) -> u8 {
        (self.information >> 8 & 0x7f) as u8
    }

    /// Whether firmware asks to restrict DMA until the system says otherwise.
    pub fn dma_opt_in(&self) -> bool {
        self.information & 1 << 1 != 0
    }

    /// Returns how many blocks of each kind there are.
    pub fn counts(&self) -> IvrsCounts {
        self.counts
    }

    /// Visits the blocks in table order.
    pub fn blocks(&self) -> IvrsBlocks<'a> {
        IvrsBlocks(self.blocks)
    }

    /// Visits the unit blocks of the newest type that the table has: each unit once.
    pub fn units(&self) -> impl Iterator<Item = UnitBlock<'a>> + 'a {
        let newest = match self.counts {
            IvrsCounts { units_40h: 1.., .. } => 0x40,
            IvrsCounts { units_11h: 1.., .. } => 0x11,
            _ => 0x10,
        };
        self.blocks().filter_map(move |block| match block {
            IvrsBlock::Unit(unit) if unit.kind == newest => Some(unit),
            _ => None,
        })
    }
}

impl IvrsCounts {
    fn add(&mut self, block: &IvrsBlock<'_>) {
        let count = match block {
            IvrsBlock::Unit(unit) => {
                self.device_entries += unit.devices.count();
                match unit.kind {
                    0x10 => &mut self.units_10h,
                    0x11 => &mut self.units_11h,
                    _ => &mut self.units_40h,
                }
            }
            IvrsBlock::Memory(_) => &mut self.memory_ranges,
            IvrsBlock::Unknown(_) => &mut self.unknown,
        };
        *count += 1;
    }
}

/// Notes a unit block behind those before it.
fn note(seen: &mut [Option<(u8, u64)>], unit: (u8, u64)) -> Result<(), Rule> {
    for place in seen {
        match place {
            Some(earlier) if *earlier == unit => return Err(Rule::Overlap),
            Some(_) => {}
            None => {
                *place = Some(unit);
                return Ok(());
            }
        }
    }
    Err(Rule::TooMany)
}

/// The walk over the blocks of an [`Ivrs`].
#[derive(Clone, Debug)]
pub struct IvrsBlocks<'a>(&'a [u8]);

impl<'a> Iterator for IvrsBlocks<'a> {
    type Item = IvrsBlock<'a>;

    fn next(&mut self) -> Option<IvrsBlock<'a>> {
        // `parse` saw every block decode, so an error here only ends the walk.
        let (block, rest) = next_block(self.0).ok()?;
        self.0 = rest;
        Some(block)
    }
}

/// Splits the first block off and decodes it.
fn next_block(bytes: &[u8]) -> Result<(IvrsBlock<'_>, &[u8]), Rule> {
    let (Some(kind), Some(length)) = (checked::u8(bytes, 0), checked::u16(bytes, 2)) else {
        return Err(Rule::EntryOverrun);
    };
    let length = usize::from(length);
    if length < BLOCK_HEADER_BYTES {
        return Err(Rule::EntryLength);
    }
    let (block, rest) = bytes.split_at_checked(length).ok_or(Rule::EntryOverrun)?;
    let decoded = match kind {
        0x10 => unit(kind, block, UNIT_10H_BYTES)?,
        0x11 | 0x40 => unit(kind, block, UNIT_EXTENDED_BYTES)?,
        0x20..=0x22 => memory(kind, block)?,
        other => IvrsBlock::Unknown(other),
    };
    Ok((decoded, rest))
}

/// IVHD (5.2.2).
fn unit(kind: u8, block: &[u8], fixed: usize) -> Result<IvrsBlock<'_>, Rule> {
    let short = Rule::EntryLength;
    let entries = block.get(fixed..).ok_or(short)?;
    let base = checked::u64(block, 8).ok_or(short)?;
    let too_high = base >> units::PHYS_ADDR_BITS != 0;
    if base == 0 || base & REGISTER_MASK != 0 || too_high {
        return Err(Rule::Address);
    }
    Ok(IvrsBlock::Unit(UnitBlock {
        kind,
        flags: checked::u8(block, 1).ok_or(short)?,
        device_id: checked::u16(block, 4).ok_or(short)?,
        capability_offset: checked::u16(block, 6).ok_or(short)?,
        base,
        segment: checked::u16(block, 16).ok_or(short)?,
        devices: device::check(entries)?,
    }))
}

/// IVMD (5.2.3).
fn memory(kind: u8, block: &[u8]) -> Result<IvrsBlock<'_>, Rule> {
    let short = Rule::EntryLength;
    if block.len() != MEMORY_BYTES {
        return Err(short);
    }
    let (first, last) = (
        checked::u16(block, 4).ok_or(short)?,
        checked::u16(block, 6).ok_or(short)?,
    );
    let devices = match kind {
        0x20 => (0, u16::MAX),
        0x21 => (first, first),
        _ if last < first => return Err(Rule::Field),
        _ => (first, last),
    };
    let (start, length_bytes) = (
        checked::u64(block, 16).ok_or(short)?,
        checked::u64(block, 24).ok_or(short)?,
    );
    let end = start.checked_add(length_bytes);
    let fits = end.is_some_and(|end| end <= 1 << units::PHYS_ADDR_BITS);
    if length_bytes == 0 || (start | length_bytes) & PAGE_MASK != 0 || !fits {
        return Err(Rule::Address);
    }
    Ok(IvrsBlock::Memory(MemoryBlock {
        flags: checked::u8(block, 1).ok_or(short)?,
        devices,
        start,
        length_bytes,
    }))
}

#[cfg(test)]
mod tests;
