//! AMD's I/O virtualisation table, as far as its blocks can be counted (AMD IOMMU Specification 3.08, 5.2).

use crate::bytes::{u8_at, u16_at};
use crate::{Rule, Signature, Table, TableError};

/// Bytes before the first block.
const FIXED_BYTES: usize = 48;
/// Type, flags, and the length in 16 bits.
const BLOCK_HEADER_BYTES: usize = 4;

/// What an IVRS table lists. The blocks are counted and their lengths checked; nothing in them is decoded.
///
/// Firmware may describe one unit by several block types (0x10, 0x11, 0x40) for older and newer readers, so the sum of
/// the unit counts can exceed the number of units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ivrs {
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
}

impl Ivrs {
    /// Checks the table and the lengths of its blocks.
    ///
    /// # Errors
    /// As [`Table::parse`], `EntryLength` (below 4 bytes), `EntryOverrun`.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::IVRS)?.at_least(FIXED_BYTES)?;
        let mut found = Self::default();
        let mut rest = table.bytes().get(FIXED_BYTES..).unwrap_or_default();
        while !rest.is_empty() {
            let (Some(kind), Some(length)) = (u8_at(rest, 0), u16_at(rest, 2)) else {
                return Err(table.error(Rule::EntryOverrun));
            };
            let length = usize::from(length);
            if length < BLOCK_HEADER_BYTES {
                return Err(table.error(Rule::EntryLength));
            }
            rest = rest.get(length..).ok_or(table.error(Rule::EntryOverrun))?;
            *match kind {
                0x10 => &mut found.units_10h,
                0x11 => &mut found.units_11h,
                0x40 => &mut found.units_40h,
                0x20..=0x22 => &mut found.memory_ranges,
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

    fn parse(blocks: &[u8]) -> Result<Ivrs, Rule> {
        let mut body = std::vec![0; 12];
        body.extend_from_slice(blocks);
        Ivrs::parse(&table(b"IVRS", 2, &body)).map_err(|error| error.rule)
    }

    #[test]
    fn blocks_are_counted_by_type() {
        let found = parse(&[
            0x10, 0, 4, 0, 0x11, 0, 6, 0, 1, 2, 0x40, 0, 4, 0, 0x21, 0, 4, 0, 0x33, 0, 4, 0,
        ]);
        let expected = Ivrs {
            units_10h: 1,
            units_11h: 1,
            units_40h: 1,
            memory_ranges: 1,
            unknown: 1,
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn bad_lengths_are_refused() {
        assert_eq!(parse(&[0x10, 0, 0, 0]), Err(Rule::EntryLength));
        assert_eq!(parse(&[0x10, 0, 5, 0]), Err(Rule::EntryOverrun));
        assert_eq!(parse(&[0x10, 0]), Err(Rule::EntryOverrun));
        let short = Ivrs::parse(&table(b"IVRS", 2, &[0; 11]));
        assert_eq!(short.unwrap_err().rule, Rule::Truncated);
    }
}
