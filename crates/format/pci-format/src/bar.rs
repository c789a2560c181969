//! Base address registers: what they decode and how much (PCI 6.2.5.1).

use crate::{
    Command, ConfigAccess, ConfigError, HeaderKind, Rule, read_command, reg, update_command,
};
use units::{Bdf, PHYS_ADDR_BITS};

/// Most BARs that a header has.
pub const MAX_BARS: usize = 6;

/// Largest memory BAR that is believed, in bytes: 16 TiB.
pub const MAX_MEMORY_BAR_BYTES: u64 = 1 << 44;

const IO_END: u64 = 1 << 16;

/// What a BAR decodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BarKind {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere; takes two slots.
    Memory64,
}

/// One BAR. Its range lies inside its address space and is aligned to its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// The slot, 0 to 5; the lower one of two.
    pub index: u8,
    /// What it decodes.
    pub kind: BarKind,
    /// Reads have no side effects and writes may be merged.
    pub prefetchable: bool,
    /// First address; 0 where firmware assigned none.
    pub address: u64,
    /// Bytes decoded, a power of two.
    pub size_bytes: u64,
}

impl Bar {
    /// Whether the BAR decodes memory.
    pub fn is_memory(&self) -> bool {
        self.kind != BarKind::Io
    }

    /// Whether firmware assigned an address.
    pub fn is_assigned(&self) -> bool {
        self.address != 0
    }

    /// Returns the address of `length_bytes` bytes at `offset` inside the BAR.
    ///
    /// # Errors
    /// [`Rule::Subregion`] where the range is empty or not wholly inside, [`Rule::BarAddress`] where the BAR has no
    /// address.
    pub fn subregion(&self, offset: u64, length_bytes: u64) -> Result<u64, ConfigError> {
        let at = reg::BAR0 + 4 * u16::from(self.index);
        if !self.is_assigned() {
            return Err(ConfigError::new(Rule::BarAddress, at));
        }
        match offset.checked_add(length_bytes) {
            Some(end) if length_bytes != 0 && end <= self.size_bytes => Ok(self.address + offset),
            _ => Err(ConfigError::new(Rule::Subregion, at)),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.is_memory() == other.is_memory()
            && self.is_assigned()
            && other.is_assigned()
            && self.address < other.address + other.size_bytes
            && other.address < self.address + self.size_bytes
    }
}

/// The BARs of one function, by slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BarSet {
    bars: [Option<Bar>; MAX_BARS],
}

impl BarSet {
    /// Returns the BAR that starts in slot `index`; `None` for an empty slot, for the upper half of a 64-bit BAR, and
    /// past the last slot.
    pub fn get(&self, index: u8) -> Option<&Bar> {
        self.bars.get(usize::from(index))?.as_ref()
    }

    /// Visits the BARs in slot order.
    pub fn iter(&self) -> impl Iterator<Item = &Bar> {
        self.bars.iter().flatten()
    }
}

/// Finds out what each BAR decodes, by writing ones and reading back how many stick.
///
/// Decoding is turned off meanwhile, so the function must be idle. Every register has its old value again when this
/// returns, in error too.
///
/// # Errors
/// - `Absent`: no function answers; `HeaderKind`: the header's layout is unknown;
/// - `BarType`, `BarSlot`, `BarSize`, `BarAddress`, `BarOverlap`: a BAR is malformed;
/// - `BarRestore`: a BAR or the command register did not take its old value back.
pub fn size_bars<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    header: HeaderKind,
) -> Result<BarSet, ConfigError> {
    if cfg.read16(bdf, reg::ID) == 0xffff {
        return Err(ConfigError::new(Rule::Absent, reg::ID));
    }
    let slots = match header {
        HeaderKind::Endpoint => 6,
        HeaderKind::Bridge => 2,
        // Its one BAR leads to the socket's registers, which nothing here drives.
        HeaderKind::CardBus => return Ok(BarSet::default()),
        HeaderKind::Unknown(_) => {
            return Err(ConfigError::new(Rule::HeaderKind, reg::HEADER_TYPE));
        }
    };
    let decode = Command::IO_SPACE | Command::MEMORY_SPACE;
    let before = read_command(cfg, bdf);
    update_command(cfg, bdf, Command::empty(), decode);
    let result = size_slots(cfg, bdf, slots);
    let after = update_command(cfg, bdf, before & decode, Command::empty());
    let bars = result?;
    if after != before {
        return Err(ConfigError::new(Rule::BarRestore, reg::COMMAND));
    }
    Ok(bars)
}

fn size_slots<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    slots: u8,
) -> Result<BarSet, ConfigError> {
    let mut set = BarSet::default();
    let mut slot = 0;
    while slot < slots {
        let found = size_slot(cfg, bdf, slot, slots)?;
        slot += match found {
            Some(bar) if bar.kind == BarKind::Memory64 => 2,
            _ => 1,
        };
        let Some(bar) = found else { continue };
        if set.iter().any(|other| other.overlaps(&bar)) {
            let at = reg::BAR0 + 4 * u16::from(bar.index);
            return Err(ConfigError::new(Rule::BarOverlap, at));
        }
        if let Some(place) = set.bars.get_mut(usize::from(bar.index)) {
            *place = found;
        }
    }
    Ok(set)
}

/// The bytes that a BAR decodes whose address bits read back as `mask` when they are all written as ones.
fn decoded_bytes(kind: BarKind, address: u64, mask: u64) -> Result<u64, Rule> {
    // A mask of ones above a power of two is the only one that decodes a range.
    let size_bytes = mask.wrapping_neg();
    let (largest, end) = match kind {
        BarKind::Io => (IO_END, IO_END),
        BarKind::Memory32 => (1 << 31, 1 << 32),
        BarKind::Memory64 => (MAX_MEMORY_BAR_BYTES, 1 << PHYS_ADDR_BITS),
    };
    if !size_bytes.is_power_of_two() || size_bytes > largest {
        return Err(Rule::BarSize);
    }
    let last = address.checked_add(size_bytes - 1);
    if address & (size_bytes - 1) != 0 || last.is_none_or(|last| last >= end) {
        return Err(Rule::BarAddress);
    }
    Ok(size_bytes)
}

/// Sizes the BAR that starts in `slot`; `None` for an empty slot.
fn size_slot<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    slot: u8,
    slots: u8,
) -> Result<Option<Bar>, ConfigError> {
    let offset = reg::BAR0 + 4 * u16::from(slot);
    let error = |rule| ConfigError::new(rule, offset);
    let (low, low_ones) = probe(cfg, bdf, offset)?;
    if low_ones == 0 {
        // An empty slot is all zeros; an address that cannot be changed decodes nothing that could be sized.
        return if low == 0 {
            Ok(None)
        } else {
            Err(error(Rule::BarSize))
        };
    }
    let type_bits = if low & 1 != 0 { 0x3 } else { 0xf };
    if (low ^ low_ones) & type_bits != 0 {
        return Err(error(Rule::BarType));
    }
    let (kind, address, mask) = match low & type_bits {
        1 => {
            let mask = match low_ones & !3 {
                // The upper half may be hardwired to zero where only 16 address bits exist.
                mask @ 1..=0xffff => mask | 0xffff_0000,
                mask => mask,
            };
            (BarKind::Io, u64::from(low & !3), widen(mask))
        }
        0b0000 | 0b1000 => (
            BarKind::Memory32,
            u64::from(low & !0xf),
            widen(low_ones & !0xf),
        ),
        0b0100 | 0b1100 => {
            if slot + 1 >= slots {
                return Err(error(Rule::BarSlot));
            }
            let (high, high_ones) = probe(cfg, bdf, offset + 4)?;
            let join = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low & !0xf);
            (
                BarKind::Memory64,
                join(high, low),
                join(high_ones, low_ones),
            )
        }
        _ => return Err(error(Rule::BarType)),
    };
    let size_bytes = decoded_bytes(kind, address, mask).map_err(error)?;
    Ok(Some(Bar {
        index: slot,
        kind,
        prefetchable: kind != BarKind::Io && low & 8 != 0,
        address,
        size_bytes,
    }))
}

/// Reads a register, reads it again with ones written, and restores it.
fn probe<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    offset: u16,
) -> Result<(u32, u32), ConfigError> {
    let before = cfg.read32(bdf, offset);
    cfg.write32(bdf, offset, u32::MAX);
    let ones = cfg.read32(bdf, offset);
    cfg.write32(bdf, offset, before);
    if cfg.read32(bdf, offset) != before {
        return Err(ConfigError::new(Rule::BarRestore, offset));
    }
    Ok((before, ones))
}

/// Fills the upper half with ones where there is a mask at all.
fn widen(mask: u32) -> u64 {
    match mask {
        0 => 0,
        mask => u64::from(mask) | 0xffff_ffff_0000_0000,
    }
}

#[cfg(test)]
mod tests;
