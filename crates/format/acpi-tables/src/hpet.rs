//! The high-precision event timer (IA-PC HPET Specification 1.0a, 3.2.4).

use crate::{Rule, Signature, Table, TableError};
use le::checked;

const TABLE_BYTES: usize = 56;

/// A checked HPET table: one block of timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hpet {
    /// Physical address of the 1 KiB of registers, never 0.
    pub address: u64,
    /// Hardware id: revision, comparators, PCI vendor.
    pub hardware_id: u32,
    /// Number of this block, 0 for the first.
    pub number: u8,
    /// Least ticks of the main counter that a periodic comparator may take without losing interrupts.
    pub min_ticks: u16,
}

impl Hpet {
    /// Checks the table.
    ///
    /// # Errors
    /// As [`Table::parse`], `Field` where the registers are not in memory, and `Address` where their address is
    /// zero, no multiple of 8, or too wide.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::HPET)?.at_least(TABLE_BYTES)?;
        let bytes = table.bytes();
        let truncated = table.error(Rule::Truncated);
        if checked::u8(bytes, 40) != Some(0) {
            return Err(table.error(Rule::Field));
        }
        let address = checked::u64(bytes, 44).ok_or(truncated)?;
        let last = address.saturating_add(0x3ff);
        if address == 0 || address % 8 != 0 || last >> units::PHYS_ADDR_BITS != 0 {
            return Err(table.error(Rule::Address));
        }
        Ok(Self {
            address,
            hardware_id: checked::u32(bytes, 36).ok_or(truncated)?,
            number: checked::u8(bytes, 52).ok_or(truncated)?,
            min_ticks: checked::u16(bytes, 53).ok_or(truncated)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    fn parse(space: u8, address: u64) -> Result<Hpet, Rule> {
        let mut body = [0; 20];
        body[..4].copy_from_slice(&0x8086_a201u32.to_le_bytes());
        body[4] = space;
        body[8..16].copy_from_slice(&address.to_le_bytes());
        body[17] = 0x80;
        Hpet::parse(&table(b"HPET", 1, &body)).map_err(|error| error.rule)
    }

    #[test]
    fn a_q35_table_decodes() {
        let expected = Hpet {
            address: 0xfed0_0000,
            hardware_id: 0x8086_a201,
            number: 0,
            min_ticks: 0x80,
        };
        assert_eq!(parse(0, 0xfed0_0000), Ok(expected));
    }

    #[test]
    fn unusable_blocks_are_refused() {
        assert_eq!(parse(1, 0xfed0_0000), Err(Rule::Field));
        for bad in [0, 0xfed0_0004, 1 << 52, !7] {
            assert_eq!(parse(0, bad), Err(Rule::Address));
        }
        let short = Hpet::parse(&table(b"HPET", 1, &[0; 19]));
        assert_eq!(short.unwrap_err().rule, Rule::Truncated);
    }
}
