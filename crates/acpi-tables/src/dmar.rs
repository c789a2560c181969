//! Intel's DMA remapping table, as far as its structures can be counted (VT-d Specification 4.1, 8.1).

use crate::bytes::{u8_at, u16_at};
use crate::{Rule, Signature, Table, TableError};

/// Bytes before the first structure.
const FIXED_BYTES: usize = 48;
/// Type and length, both 16 bits.
const STRUCTURE_HEADER_BYTES: usize = 4;

/// What a DMAR table lists. The structures are counted and their lengths checked; nothing in them is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dmar {
    /// Widest address that a device may use, in bits: 1 to 256 as the field encodes it.
    pub host_address_bits: u16,
    /// Interrupt remapping is supported.
    pub interrupt_remapping: bool,
    /// Remapping units (DRHD).
    pub remapping_units: usize,
    /// Memory ranges that firmware keeps using (RMRR).
    pub reserved_ranges: usize,
    /// Root ports with address translation services (ATSR).
    pub root_port_services: usize,
    /// Affinities of units to memory nodes (RHSA).
    pub affinities: usize,
    /// Devices known only by an ACPI name (ANDD).
    pub named_devices: usize,
    /// Structures of a type that is not counted by name.
    pub unknown: usize,
}

impl Dmar {
    /// Checks the table and the lengths of its structures.
    ///
    /// # Errors
    /// As [`Table::parse`], `EntryLength` (below 4 bytes), `EntryOverrun`.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::DMAR)?.at_least(FIXED_BYTES)?;
        let bytes = table.bytes();
        let truncated = table.error(Rule::Truncated);
        let mut found = Self {
            host_address_bits: u16::from(u8_at(bytes, 36).ok_or(truncated)?) + 1,
            interrupt_remapping: u8_at(bytes, 37).ok_or(truncated)? & 1 != 0,
            ..Self::default()
        };
        let mut rest = bytes.get(FIXED_BYTES..).unwrap_or_default();
        while !rest.is_empty() {
            let (Some(kind), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
                return Err(table.error(Rule::EntryOverrun));
            };
            let length = usize::from(length);
            if length < STRUCTURE_HEADER_BYTES {
                return Err(table.error(Rule::EntryLength));
            }
            rest = rest.get(length..).ok_or(table.error(Rule::EntryOverrun))?;
            *match kind {
                0 => &mut found.remapping_units,
                1 => &mut found.reserved_ranges,
                2 => &mut found.root_port_services,
                3 => &mut found.affinities,
                4 => &mut found.named_devices,
                _ => &mut found.unknown,
            } += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    fn parse(structures: &[u8]) -> Result<Dmar, Rule> {
        let mut body = std::vec![38, 1];
        body.extend_from_slice(&[0; 10]);
        body.extend_from_slice(structures);
        Dmar::parse(&table(b"DMAR", 1, &body)).map_err(|error| error.rule)
    }

    #[test]
    fn structures_are_counted_by_type() {
        let found = parse(&[
            0, 0, 4, 0, 0, 0, 5, 0, 9, 1, 0, 4, 0, 2, 0, 4, 0, 3, 0, 4, 0, 4, 0, 4, 0, 5, 0, 4, 0,
        ]);
        let expected = Dmar {
            host_address_bits: 39,
            interrupt_remapping: true,
            remapping_units: 2,
            reserved_ranges: 1,
            root_port_services: 1,
            affinities: 1,
            named_devices: 1,
            unknown: 1,
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn bad_lengths_are_refused() {
        assert_eq!(parse(&[0, 0, 0, 0]), Err(Rule::EntryLength));
        assert_eq!(parse(&[0, 0, 3, 0]), Err(Rule::EntryLength));
        assert_eq!(parse(&[0, 0, 5, 0]), Err(Rule::EntryOverrun));
        assert_eq!(parse(&[0, 0, 4]), Err(Rule::EntryOverrun));
        let short = Dmar::parse(&table(b"DMAR", 1, &[0; 11]));
        assert_eq!(short.unwrap_err().rule, Rule::Truncated);
    }
}
