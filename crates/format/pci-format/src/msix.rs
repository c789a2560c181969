//! Extended message-signalled interrupts (PCI 6.8.2).

use crate::{BarSet, Capability, ConfigAccess, ConfigError, Rule};
use units::Bdf;

/// Bytes in one table entry.
pub const MSIX_ENTRY_BYTES: u64 = 16;

/// Offsets inside a table entry, and the bit in its last dword.
pub mod msix_entry {
    /// Message address, low half.
    pub const ADDRESS_LOW: u64 = 0;
    /// Message address, high half.
    pub const ADDRESS_HIGH: u64 = 4;
    /// Message data.
    pub const DATA: u64 = 8;
    /// Vector control.
    pub const CONTROL: u64 = 12;
    /// `Vector Control.Mask Bit`: the vector does not signal.
    pub const CONTROL_MASKED: u32 = 1;
}

const ENABLE: u32 = 1 << 31;
const FUNCTION_MASK: u32 = 1 << 30;

/// A range inside a memory BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsixRegion {
    /// Slot of the BAR.
    pub bar: u8,
    /// Offset in bytes, a multiple of 8.
    pub offset: u64,
    /// Length in bytes.
    pub length_bytes: u64,
}

impl MsixRegion {
    /// Whether any byte of a range in BAR `bar` belongs to this region.
    pub fn touches(&self, bar: u8, offset: u64, length_bytes: u64) -> bool {
        bar == self.bar
            && length_bytes != 0
            && offset < self.offset + self.length_bytes
            && self.offset < offset.saturating_add(length_bytes)
    }
}

/// The MSI-X structure of one function. Table and pending bits lie inside memory BARs and not on one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msix {
    /// Offset of the structure.
    pub offset: u16,
    /// Vectors, 1 to 2048.
    pub vectors: u16,
    /// The table, 16 bytes for each vector.
    pub table: MsixRegion,
    /// The pending bits, 8 bytes for each 64 vectors.
    pub pending: MsixRegion,
}

/// Decodes an MSI-X capability and checks it against the function's BARs.
///
/// # Errors
/// `CapabilityOverrun`, and `MsixRegion` at the offset of the register that names the bad region.
pub fn read_msix<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    capability: Capability,
    bars: &BarSet,
) -> Result<Msix, ConfigError> {
    let offset = capability.at_least(12)?;
    let vectors = (cfg.read32(bdf, offset) >> 16) as u16 & 0x7ff;
    let vectors = vectors + 1;
    let table_bytes = u64::from(vectors) * MSIX_ENTRY_BYTES;
    let pending_bytes = u64::from(vectors.div_ceil(64)) * 8;
    let table = region(cfg, bdf, offset + 4, table_bytes, bars)?;
    let pending = region(cfg, bdf, offset + 8, pending_bytes, bars)?;
    if table.touches(pending.bar, pending.offset, pending.length_bytes) {
        return Err(ConfigError::new(Rule::MsixRegion, offset + 8));
    }
    Ok(Msix {
        offset,
        vectors,
        table,
        pending,
    })
}

fn region<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    at: u16,
    length_bytes: u64,
    bars: &BarSet,
) -> Result<MsixRegion, ConfigError> {
    let error = ConfigError::new(Rule::MsixRegion, at);
    let value = cfg.read32(bdf, at);
    let bar = (value & 7) as u8;
    let offset = u64::from(value & !7);
    let found = bars.get(bar).filter(|bar| bar.is_memory()).ok_or(error)?;
    if offset + length_bytes > found.size_bytes {
        return Err(error);
    }
    Ok(MsixRegion {
        bar,
        offset,
        length_bytes,
    })
}

impl Msix {
    /// Returns the offset of a vector's entry inside the BAR of the table.
    ///
    /// # Errors
    /// [`Rule::MsixIndex`] past the last vector.
    pub fn entry_offset(&self, vector: u16) -> Result<u64, ConfigError> {
        if vector >= self.vectors {
            return Err(ConfigError::new(Rule::MsixIndex, self.offset));
        }
        Ok(self.table.offset + u64::from(vector) * MSIX_ENTRY_BYTES)
    }

    /// Whether any byte of a range in BAR `bar` belongs to the table or the pending bits. Such a page is never
    /// mapped into a process.
    pub fn touches(&self, bar: u8, offset: u64, length_bytes: u64) -> bool {
        self.table.touches(bar, offset, length_bytes)
            || self.pending.touches(bar, offset, length_bytes)
    }

    /// Whether the function signals through the table.
    pub fn is_enabled<C: ConfigAccess + ?Sized>(&self, cfg: &C, bdf: Bdf) -> bool {
        cfg.read32(bdf, self.offset) & ENABLE != 0
    }

    /// Turns MSI-X on with the function mask set: nothing signals before [`Self::unmask`].
    pub fn enable_masked<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        self.update(cfg, bdf, ENABLE | FUNCTION_MASK, 0);
    }

    /// Sets the function mask: no vector signals, whatever its own mask bit says.
    pub fn mask<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        self.update(cfg, bdf, FUNCTION_MASK, 0);
    }

    /// Clears the function mask: each vector's own mask bit counts.
    pub fn unmask<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        self.update(cfg, bdf, 0, FUNCTION_MASK);
    }

    /// Turns MSI-X off.
    pub fn disable<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        self.update(cfg, bdf, 0, ENABLE);
    }

    fn update<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf, set: u32, clear: u32) {
        let control = cfg.read32(bdf, self.offset);
        cfg.write32(bdf, self.offset, (control | set) & !clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};
    use crate::{HeaderKind, size_bars};

    /// A 16 KiB memory BAR in slot 0, I/O in slot 2, a 4 KiB 64-bit BAR in slot 4.
    fn device(control: u32, table: u32, pending: u32) -> (Fake, BarSet) {
        let mut fake = Fake::endpoint();
        fake.bar(0, 0xfebf_0000, 0xffff_c000);
        fake.bar(2, 0xc001, 0xffff_ffe0);
        fake.bar(4, 0xfe00_0004, 0xffff_f000);
        fake.bar(5, 0, 0xffff_ffff);
        fake.set(0x70, control << 16 | 0x11);
        fake.writable(0x70, 0xc000_0000);
        fake.set(0x74, table);
        fake.set(0x78, pending);
        let bars = size_bars(&mut fake, BDF, HeaderKind::Endpoint).unwrap();
        (fake, bars)
    }

    fn read(control: u32, table: u32, pending: u32) -> Result<Msix, ConfigError> {
        let (fake, bars) = device(control, table, pending);
        read_msix(
            &fake,
            BDF,
            Capability {
                id: 0x11,
                offset: 0x70,
            },
            &bars,
        )
    }

    #[test]
    fn regions_decode_and_entries_are_found() {
        let msix = read(64, 0x2000, 0x804).unwrap();
        assert_eq!(msix.vectors, 65);
        let table = MsixRegion {
            bar: 0,
            offset: 0x2000,
            length_bytes: 65 * 16,
        };
        let pending = MsixRegion {
            bar: 4,
            offset: 0x800,
            length_bytes: 16,
        };
        assert_eq!((msix.table, msix.pending), (table, pending));
        assert_eq!(msix.entry_offset(0), Ok(0x2000));
        assert_eq!(msix.entry_offset(64), Ok(0x2400));
        assert_eq!(
            msix.entry_offset(65),
            Err(ConfigError::new(Rule::MsixIndex, 0x70))
        );
    }

    #[test]
    fn regions_outside_a_memory_bar_are_refused() {
        let refused = |table, pending, at| {
            let error = read(0, table, pending).unwrap_err();
            assert_eq!(error, ConfigError::new(Rule::MsixRegion, at));
        };
        // Past the end, in an I/O BAR, an empty slot, an upper half, slots that do not exist.
        refused(0x4000, 0x804, 0x74);
        refused(0x3ff8, 0x804, 0x74);
        refused(0xffff_fff8, 0x804, 0x74);
        for bar in [1, 2, 3, 5, 6, 7] {
            refused(bar, 0x804, 0x74);
            refused(0, bar, 0x78);
        }
        refused(0, 0x1004, 0x78);
        assert!(read(0, 0x3ff0, 0xff8 | 4).is_ok());
    }

    #[test]
    fn table_and_pending_bits_do_not_overlap() {
        assert_eq!(read(1, 0x100, 0x118).unwrap_err().rule, Rule::MsixRegion);
        assert_eq!(read(1, 0x100, 0x100).unwrap_err().rule, Rule::MsixRegion);
        assert!(read(1, 0x100, 0x120).is_ok());
        assert!(read(1, 0x100, 0xf8).is_ok());
    }

    #[test]
    fn the_structure_must_fit() {
        let (fake, bars) = device(0, 0, 0x804);
        let at = |offset| read_msix(&fake, BDF, Capability { id: 0x11, offset }, &bars);
        assert_eq!(at(0xf8).unwrap_err().rule, Rule::CapabilityOverrun);
        assert_eq!(at(0xfc).unwrap_err().rule, Rule::CapabilityOverrun);
    }

    #[test]
    fn touching_is_exact_to_the_byte() {
        let msix = read(0, 0x1000, 0x804).unwrap();
        assert!(msix.touches(0, 0x1000, 1) && msix.touches(0, 0x100f, 1));
        assert!(!msix.touches(0, 0x1010, 0x1000) && !msix.touches(0, 0, 0x1000));
        assert!(msix.touches(0, 0, 0x1001) && msix.touches(0, 0, u64::MAX));
        assert!(msix.touches(4, 0x807, u64::MAX) && !msix.touches(2, 0x1000, 1));
        assert!(!msix.touches(0, 0x1004, 0));
    }

    #[test]
    fn control_bits_move_alone() {
        let (mut fake, bars) = device(3, 0, 0x804);
        let msix = read_msix(
            &fake,
            BDF,
            Capability {
                id: 0x11,
                offset: 0x70,
            },
            &bars,
        )
        .unwrap();
        msix.enable_masked(&mut fake, BDF);
        assert_eq!(fake.get(0x70), 0xc003_0011);
        msix.unmask(&mut fake, BDF);
        assert_eq!(fake.get(0x70), 0x8003_0011);
        assert!(msix.is_enabled(&fake, BDF));
        msix.mask(&mut fake, BDF);
        msix.disable(&mut fake, BDF);
        assert_eq!(fake.get(0x70), 0x4003_0011);
    }
}
