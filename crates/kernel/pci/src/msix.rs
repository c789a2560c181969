//! Writing the entries of an MSI-X table (PCI 6.8.2.6 to 6.8.2.9).

use mmio::Registers;
use pci_format::{MSIX_ENTRY_BYTES, Msix, msix_entry};

/// The table of one function, mapped.
#[derive(Debug)]
pub struct MsixTable {
    registers: Registers,
    vectors: u16,
}

impl MsixTable {
    /// Takes the registers that the structure calls its table, from its first byte on; `None` where they are too few.
    pub fn new(registers: Registers, msix: &Msix) -> Option<Self> {
        let vectors = msix.vectors;
        let needed = u64::from(vectors) * MSIX_ENTRY_BYTES;
        (registers.len() as u64 >= needed).then_some(Self { registers, vectors })
    }

    /// Vectors of the table.
    pub const fn vectors(&self) -> u16 {
        self.vectors
    }

    /// Masks the vector and writes its message. `false`, and nothing is written, past the last vector.
    pub fn program(&self, vector: u16, address: u64, data: u32) -> bool {
        self.mask(vector)
            && self.write(vector, msix_entry::ADDRESS_LOW, address as u32)
            && self.write(vector, msix_entry::ADDRESS_HIGH, (address >> 32) as u32)
            && self.write(vector, msix_entry::DATA, data)
    }

    /// Masks one vector. `false` past the last vector.
    pub fn mask(&self, vector: u16) -> bool {
        self.write(vector, msix_entry::CONTROL, msix_entry::CONTROL_MASKED)
    }

    /// Masks one vector and reads that back, which every message that the function sent before overtakes: when this
    /// returns, they have arrived. `false` past the last vector, or where the bit does not hold.
    pub fn mask_and_flush(&self, vector: u16) -> bool {
        let at = u64::from(vector) * MSIX_ENTRY_BYTES + msix_entry::CONTROL;
        self.mask(vector)
            && usize::try_from(at)
                .ok()
                .and_then(|at| self.registers.read32(at).ok())
                .is_some_and(|control| control & msix_entry::CONTROL_MASKED != 0)
    }

    /// Unmasks one vector. `false` past the last vector.
    pub fn unmask(&self, vector: u16) -> bool {
        self.write(vector, msix_entry::CONTROL, 0)
    }

    /// Masks every vector. What is left of a message is written anew before its vector is unmasked; a table may have 2048 entries,
    /// and this is done in one go.
    pub fn mask_all(&self) {
        let masked = msix_entry::CONTROL_MASKED;
        let (first, stride) = (msix_entry::CONTROL as usize, MSIX_ENTRY_BYTES as usize);
        // The table was made with room for all of them.
        let _ = self
            .registers
            .write32_each(first, stride, self.vectors.into(), masked);
    }

    fn write(&self, vector: u16, field: u64, value: u32) -> bool {
        if vector >= self.vectors {
            return false;
        }
        let at = u64::from(vector) * MSIX_ENTRY_BYTES + field;
        usize::try_from(at).is_ok_and(|at| self.registers.write32(at, value).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pci_format::MsixRegion;

    #[test]
    fn entries_are_written_inside_the_table_only() {
        let mut backing = [0u64; 6];
        let region = |offset, length_bytes| MsixRegion {
            bar: 0,
            offset,
            length_bytes,
        };
        let msix = Msix {
            offset: 0x40,
            vectors: 2,
            table: region(0, 32),
            pending: region(64, 8),
        };
        let mut registers = |bytes| {
            // SAFETY: `backing` outlives the table and is otherwise read only after the table's last use.
            unsafe { Registers::new((&raw mut backing).cast(), bytes) }
        };
        assert!(MsixTable::new(registers(31), &msix).is_none());
        let table = MsixTable::new(registers(48), &msix).unwrap();
        table.mask_all();
        assert_eq!(backing, [0, 1 << 32, 0, 1 << 32, 0, 0]);
        assert!(table.program(1, 0x1_fee0_0000, 0x41));
        assert!(!table.program(2, 1, 1) && !table.mask(2) && !table.unmask(u16::MAX));
        assert!(table.unmask(0));
        assert_eq!(backing, [0, 0, 0x1_fee0_0000, 1 << 32 | 0x41, 0, 0]);
    }
}
