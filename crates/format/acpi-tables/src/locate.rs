//! From the root pointer to each table (5.2.5, 5.2.7, 5.2.8).

use crate::table::sum;
use crate::table::{HEADER_BYTES, MAX_TABLE_BYTES, Table, peek};
use crate::{Rule, Signature, TableError};
use core::fmt;
use le::checked;

/// Most tables that a root table may list.
pub const MAX_TABLES: usize = 256;

const RSDP_V1_BYTES: usize = 20;
const RSDP_V2_BYTES: usize = 36;
/// One past the last physical address that x86-64 can name.
const PHYS_END: u64 = 1 << units::PHYS_ADDR_BITS;

/// The physical range cannot be read: it is no memory, or none that the reader maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadError;

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("physical memory not readable")
    }
}

impl core::error::Error for ReadError {}

/// Reads physical memory in which firmware may have left tables.
pub trait PhysReader {
    /// Fills `buffer` from the physical address `address`. Never partly: an error means nothing was learned.
    ///
    /// # Errors
    /// [`ReadError`] where any byte of the range is not readable; the range may wrap, which is not readable.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError>;
}

impl<T: PhysReader + ?Sized> PhysReader for &T {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        (**self).read(address, buffer)
    }
}

/// The root pointer, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rsdp {
    /// 0 for ACPI 1.0, 2 for everything later.
    pub revision: u8,
    /// Physical address of the RSDT, 0 where there is none.
    pub rsdt: u32,
    /// Physical address of the XSDT, 0 where there is none.
    pub xsdt: u64,
}

impl Rsdp {
    /// Checks a root pointer: `bytes` are 20 or more, from its start. Only revisions 2 and up need all 36.
    ///
    /// # Errors
    /// Named `RSDP`: `Truncated`, `Signature`, `Checksum` (either one), `Address` (no root table).
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let error = |rule| TableError::new(Signature::RSDP, rule);
        let truncated = error(Rule::Truncated);
        let first = bytes.get(..RSDP_V1_BYTES).ok_or(truncated)?;
        if checked::array(first, 0) != Some(*b"RSD PTR ") {
            return Err(error(Rule::Signature));
        }
        if sum(first) != 0 {
            return Err(error(Rule::Checksum));
        }
        let revision = checked::u8(first, 15).ok_or(truncated)?;
        let rsdt = checked::u32(first, 16).ok_or(truncated)?;
        let mut xsdt = 0;
        // Revision 1 never existed; firmware that says so has only the first 20 bytes.
        if revision >= 2 {
            let length = checked::u32(bytes, 20).ok_or(truncated)?;
            let length = usize::try_from(length).map_err(|_| truncated)?;
            if length < RSDP_V2_BYTES {
                return Err(truncated);
            }
            // The extended checksum covers the whole length; no revision defines more than 36 bytes.
            let whole = bytes.get(..length).ok_or(truncated)?;
            if sum(whole) != 0 {
                return Err(error(Rule::Checksum));
            }
            xsdt = checked::u64(whole, 24).ok_or(truncated)?;
        }
        if (rsdt == 0 && xsdt == 0) || xsdt >= PHYS_END {
            return Err(error(Rule::Address));
        }
        Ok(Self {
            revision,
            rsdt,
            xsdt,
        })
    }

    /// Reads and checks the root pointer at a physical address.
    ///
    /// # Errors
    /// As [`Self::parse`], and `Unreadable`.
    pub fn read(reader: &impl PhysReader, address: u64) -> Result<Self, TableError> {
        let unreadable = |_| TableError::new(Signature::RSDP, Rule::Unreadable);
        let mut bytes = [0; RSDP_V2_BYTES];
        // The longer form may lie at the end of what is readable only if it is there at all.
        let (first, rest) = bytes.split_at_mut(RSDP_V1_BYTES);
        reader.read(address, first).map_err(unreadable)?;
        if checked::u8(first, 15) >= Some(2) {
            let second = address.checked_add(RSDP_V1_BYTES as u64);
            let second = second.ok_or(ReadError).map_err(unreadable)?;
            reader.read(second, rest).map_err(unreadable)?;
        }
        Self::parse(&bytes)
    }
}

/// Where one table lies; only its header has been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRef {
    /// The signature in its header.
    pub signature: Signature,
    /// Physical address of its first byte.
    pub address: u64,
    /// The length its header gives, 36 to [`MAX_TABLE_BYTES`].
    pub length_bytes: u32,
}

impl TableRef {
    /// Reads the header at a physical address, as for the DSDT, which no root table lists.
    ///
    /// # Errors
    /// Named `expected`: `Address`, `Unreadable`, `Signature`, `Truncated`, `TooLong`.
    pub fn read(
        reader: &impl PhysReader,
        address: u64,
        expected: Signature,
    ) -> Result<Self, TableError> {
        match Self::read_any(reader, address, expected) {
            Ok(table) if table.signature == expected => Ok(table),
            Err(error) if error.table == expected => Err(error),
            _ => Err(TableError::new(expected, Rule::Signature)),
        }
    }

    /// Copies the table into `buffer` and checks the copy.
    ///
    /// # Errors
    /// Named after the table: `TooLong` where `buffer` is shorter, `Unreadable`, `Checksum`, and `Signature` or
    /// `Truncated` where the header changed since it was looked at.
    pub fn copy<'b>(
        &self,
        reader: &impl PhysReader,
        buffer: &'b mut [u8],
    ) -> Result<Table<'b>, TableError> {
        let error = |rule| TableError::new(self.signature, rule);
        let length = usize::try_from(self.length_bytes).map_err(|_| error(Rule::TooLong))?;
        let buffer = buffer.get_mut(..length).ok_or(error(Rule::TooLong))?;
        reader
            .read(self.address, buffer)
            .map_err(|_| error(Rule::Unreadable))?;
        Table::parse(buffer, self.signature)
    }

    /// Whether two tables hold the same bytes; memory that cannot be read is equal to nothing.
    fn is_same(&self, other: &Self, reader: &impl PhysReader) -> bool {
        if self == other {
            return true;
        }
        if self.length_bytes != other.length_bytes {
            return false;
        }
        let (mut one, mut two) = ([0; 64], [0; 64]);
        let mut at = 0;
        while at < u64::from(self.length_bytes) {
            let bytes = (u64::from(self.length_bytes) - at).min(64) as usize;
            let (Some(one), Some(two)) = (one.get_mut(..bytes), two.get_mut(..bytes)) else {
                return false;
            };
            let read = |address: u64, into: &mut [u8]| {
                let from = address.checked_add(at).ok_or(ReadError)?;
                reader.read(from, into)
            };
            if read(self.address, one).is_err() || read(other.address, two).is_err() || one != two {
                return false;
            }
            at += bytes as u64;
        }
        true
    }

    fn read_any(
        reader: &impl PhysReader,
        address: u64,
        named: Signature,
    ) -> Result<Self, TableError> {
        let error = |rule| TableError::new(named, rule);
        if address == 0 || address >= PHYS_END {
            return Err(error(Rule::Address));
        }
        let mut header = [0; HEADER_BYTES];
        reader
            .read(address, &mut header)
            .map_err(|_| error(Rule::Unreadable))?;
        let (signature, length) = peek(&header).ok_or(error(Rule::Truncated))?;
        // From here on the table can be called by its own name.
        let error = |rule| TableError::new(signature, rule);
        if length < HEADER_BYTES {
            return Err(error(Rule::Truncated));
        }
        if length > MAX_TABLE_BYTES {
            return Err(error(Rule::TooLong));
        }
        let length_bytes = u32::try_from(length).map_err(|_| error(Rule::TooLong))?;
        Ok(Self {
            signature,
            address,
            length_bytes,
        })
    }
}

/// A checked root table: the addresses of up to [`MAX_TABLES`] tables, copied out of it (2 KiB).
#[derive(Clone)]
pub struct Root {
    signature: Signature,
    addresses: [u64; MAX_TABLES],
    count: usize,
    null_entries: usize,
}

impl Root {
    /// Walks from the root pointer at physical address `rsdp` to the root table: the XSDT where one is given, else
    /// the RSDT. A malformed XSDT is refused, never replaced by the RSDT: the two could disagree.
    ///
    /// # Errors
    /// As [`Rsdp::read`]; named `XSDT` or `RSDT`: `Address`, `Unreadable`, `Signature`, `Truncated`, `TooLong`,
    /// `TooMany`, `EntryOverrun` (a last entry cut short), `Checksum`.
    pub fn locate(reader: &impl PhysReader, rsdp: u64) -> Result<Self, TableError> {
        let rsdp = Rsdp::read(reader, rsdp)?;
        if rsdp.xsdt != 0 {
            Self::read(reader, rsdp.xsdt, Signature::XSDT, 8)
        } else {
            Self::read(reader, u64::from(rsdp.rsdt), Signature::RSDT, 4)
        }
    }

    fn read(
        reader: &impl PhysReader,
        address: u64,
        signature: Signature,
        entry_bytes: usize,
    ) -> Result<Self, TableError> {
        let error = |rule| TableError::new(signature, rule);
        let table = TableRef::read(reader, address, signature)?;
        let length = usize::try_from(table.length_bytes).map_err(|_| error(Rule::TooLong))?;
        let body = length.saturating_sub(HEADER_BYTES);
        if body % entry_bytes != 0 {
            return Err(error(Rule::EntryOverrun));
        }
        if body / entry_bytes > MAX_TABLES {
            return Err(error(Rule::TooMany));
        }
        let mut bytes = [0; HEADER_BYTES + 8 * MAX_TABLES];
        let checked = table.copy(reader, &mut bytes)?;
        let mut root = Self {
            signature,
            addresses: [0; MAX_TABLES],
            count: 0,
            null_entries: 0,
        };
        let entries = checked.bytes().get(HEADER_BYTES..).unwrap_or_default();
        for entry in entries.chunks_exact(entry_bytes) {
            let address = checked::u64(entry, 0).or(checked::u32(entry, 0).map(u64::from));
            match (address, root.addresses.get_mut(root.count)) {
                // Some firmware leaves holes; they list nothing.
                (Some(0), _) => root.null_entries += 1,
                (Some(address), Some(slot)) => {
                    *slot = address;
                    root.count += 1;
                }
                _ => return Err(error(Rule::TooMany)),
            }
        }
        Ok(root)
    }

    /// Returns which root table was used.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Returns the number of tables listed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no table is listed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the number of entries that were zero and therefore skipped.
    pub fn null_entries(&self) -> usize {
        self.null_entries
    }

    /// Visits every listed table in order; a table whose header cannot be used gives its error, and the walk goes on.
    pub fn tables<'a, R: PhysReader>(&'a self, reader: &'a R) -> Tables<'a, R> {
        Tables {
            reader,
            named: self.signature,
            addresses: self.addresses.get(..self.count).unwrap_or_default().iter(),
        }
    }

    /// Finds the first table signed `signature`; `Ok(None)` where none is listed.
    ///
    /// # Errors
    /// The error of that very table; a table of another name never hides it.
    pub fn find(
        &self,
        reader: &impl PhysReader,
        signature: Signature,
    ) -> Result<Option<TableRef>, TableError> {
        for table in self.tables(reader) {
            match table {
                Ok(table) if table.signature == signature => return Ok(Some(table)),
                Err(error) if error.table == signature => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Finds the one table signed `signature`; `Ok(None)` where none is listed.
    ///
    /// The root table's order is nobody's promise, so of two tables that differ neither counts. Two that are the same
    /// byte for byte are one table that is listed twice.
    ///
    /// # Errors
    /// As [`Self::find`], and `Duplicate`.
    pub fn find_unique(
        &self,
        reader: &impl PhysReader,
        signature: Signature,
    ) -> Result<Option<TableRef>, TableError> {
        let mut found: Option<TableRef> = None;
        for table in self.tables(reader) {
            let table = match table {
                Ok(table) if table.signature == signature => table,
                Err(error) if error.table == signature => return Err(error),
                _ => continue,
            };
            match found {
                Some(first) if !first.is_same(&table, reader) => {
                    return Err(TableError::new(signature, Rule::Duplicate));
                }
                _ => found = Some(table),
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({}, {} tables)", self.signature, self.count)
    }
}

/// The walk over the tables of a [`Root`].
pub struct Tables<'a, R> {
    reader: &'a R,
    named: Signature,
    addresses: core::slice::Iter<'a, u64>,
}

impl<R: PhysReader> Iterator for Tables<'_, R> {
    type Item = Result<TableRef, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let address = *self.addresses.next()?;
        Some(TableRef::read_any(self.reader, address, self.named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeMemory, table};
    use std::vec;
    use std::vec::Vec;

    const RSDP_AT: u64 = 0xf_5000;
    const ROOT_AT: u64 = 0x7fe_0000;

    fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
        let mut bytes = b"RSD PTR \0CAPOS ".to_vec();
        bytes.push(revision);
        bytes.extend_from_slice(&rsdt.to_le_bytes());
        bytes[8] = sum(&bytes).wrapping_neg();
        if revision >= 2 {
            bytes.extend_from_slice(&36u32.to_le_bytes());
            bytes.extend_from_slice(&xsdt.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes[32] = sum(&bytes).wrapping_neg();
        }
        bytes
    }

    fn xsdt(addresses: &[u64]) -> Vec<u8> {
        let body: Vec<u8> = addresses.iter().flat_map(|a| a.to_le_bytes()).collect();
        table(b"XSDT", 1, &body)
    }

    fn memory(root: Vec<u8>, tables: Vec<(u64, Vec<u8>)>) -> FakeMemory {
        let mut pieces = vec![(RSDP_AT, rsdp(2, 0, ROOT_AT)), (ROOT_AT, root)];
        pieces.extend(tables);
        FakeMemory(pieces)
    }

    fn locate_rule(root: Vec<u8>) -> TableError {
        Root::locate(&memory(root, vec![]), RSDP_AT).unwrap_err()
    }

    #[test]
    fn revision_1_walks_the_rsdt_in_20_bytes() {
        let hpet = table(b"HPET", 1, &[0; 20]);
        let root = table(b"RSDT", 1, &0x1000u32.to_le_bytes());
        let memory = FakeMemory(vec![
            (RSDP_AT, rsdp(0, ROOT_AT as u32, 0)),
            (ROOT_AT, root),
            (0x1000, hpet.clone()),
        ]);
        let root = Root::locate(&memory, RSDP_AT).unwrap();
        assert_eq!((root.signature(), root.len()), (Signature::RSDT, 1));
        let found = root.find(&memory, Signature::HPET).unwrap().unwrap();
        let mut buffer = [0; 64];
        assert_eq!(found.copy(&memory, &mut buffer).unwrap().bytes(), &hpet[..]);
        let mut short = [0; 55];
        assert_eq!(
            found.copy(&memory, &mut short).unwrap_err().rule,
            Rule::TooLong
        );
    }

    #[test]
    fn revision_2_prefers_the_xsdt_and_skips_holes() {
        let mcfg = table(b"MCFG", 1, &[0; 8]);
        let mut memory = memory(xsdt(&[0, 0x2000, 0]), vec![(0x2000, mcfg)]);
        memory.0[0].1 = rsdp(2, 0xdead, ROOT_AT);
        let root = Root::locate(&memory, RSDP_AT).unwrap();
        assert_eq!(
            (root.signature(), root.len(), root.null_entries()),
            (Signature::XSDT, 1, 2)
        );
        assert_eq!(root.find(&memory, Signature::MADT), Ok(None));
        assert!(!root.is_empty());
    }

    #[test]
    fn root_pointer_rules_are_named() {
        let rule = |bytes: &[u8]| Rsdp::parse(bytes).err().map(|error| error.rule);
        let good = rsdp(2, 1, 2);
        assert_eq!(rule(&good), None);
        assert_eq!(rule(&good[..35]), Some(Rule::Truncated));
        assert_eq!(rule(&good[..19]), Some(Rule::Truncated));
        for at in [0, 16, 33] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            let expected = if at == 0 {
                Rule::Signature
            } else {
                Rule::Checksum
            };
            assert_eq!(rule(&bytes), Some(expected), "byte {at}");
        }
        assert_eq!(rule(&rsdp(2, 0, 0)), Some(Rule::Address));
        assert_eq!(rule(&rsdp(0, 0, 0)), Some(Rule::Address));
        assert_eq!(rule(&rsdp(2, 1, PHYS_END)), Some(Rule::Address));
        let mut short = good.clone();
        short[20] = 20;
        assert_eq!(rule(&short), Some(Rule::Truncated));
    }

    #[test]
    fn an_unreadable_root_pointer_is_named() {
        for at in [0, RSDP_AT + 17, u64::MAX - 10, u64::MAX] {
            let error = Root::locate(&memory(xsdt(&[]), vec![]), at).unwrap_err();
            assert_eq!(error, TableError::new(Signature::RSDP, Rule::Unreadable));
        }
        // Revision 2 at the very end of memory: the second part is not there.
        let cut = FakeMemory(vec![(RSDP_AT, rsdp(2, 0, ROOT_AT)[..20].to_vec())]);
        let error = Root::locate(&cut, RSDP_AT).unwrap_err();
        assert_eq!(error, TableError::new(Signature::RSDP, Rule::Unreadable));
    }

    #[test]
    fn root_table_rules_are_named() {
        assert!(Root::locate(&memory(xsdt(&[1; MAX_TABLES]), vec![]), RSDP_AT).is_ok());
        assert_eq!(locate_rule(xsdt(&[1; MAX_TABLES + 1])).rule, Rule::TooMany);
        assert_eq!(
            locate_rule(table(b"XSDT", 1, &[0; 9])).rule,
            Rule::EntryOverrun
        );
        assert_eq!(locate_rule(table(b"RSDT", 1, &[])).rule, Rule::Signature);
        assert_eq!(locate_rule(vec![0; 8]).rule, Rule::Unreadable);
        let mut flipped = xsdt(&[1]);
        flipped[36] = 2;
        let error = locate_rule(flipped);
        assert_eq!(error, TableError::new(Signature::XSDT, Rule::Checksum));
        let mut endless = xsdt(&[1]);
        endless[7] = 0xff;
        assert_eq!(locate_rule(endless).rule, Rule::TooLong);
    }

    #[test]
    fn one_bad_table_does_not_hide_the_others() {
        let mut bad = table(b"SSDT", 1, &[]);
        bad[4] = 3;
        let tables = vec![(0x1000, bad), (0x2000, table(b"MCFG", 1, &[0; 8]))];
        let memory = memory(xsdt(&[0x66_0000, 0x1000, u64::MAX, 0x2000]), tables);
        let root = Root::locate(&memory, RSDP_AT).unwrap();
        let seen: Vec<_> = root
            .tables(&memory)
            .map(|table| table.map(|t| t.signature).map_err(|e| std::format!("{e}")))
            .collect();
        assert_eq!(
            seen,
            [
                Err("XSDT: unreadable".into()),
                Err("SSDT: truncated".into()),
                Err("XSDT: address".into()),
                Ok(Signature::MCFG)
            ]
        );
        assert!(root.find(&memory, Signature::MCFG).unwrap().is_some());
        let error = root.find(&memory, Signature::new(*b"SSDT")).unwrap_err();
        assert_eq!(error.rule, Rule::Truncated);
    }

    #[test]
    fn of_two_tables_that_differ_neither_counts() {
        let mcfg = |byte: u8| table(b"MCFG", 1, &[byte; 80]);
        let mut broken = mcfg(0);
        broken[4] = 3;
        let pieces = vec![
            (0x1000, mcfg(0)),
            (0x2000, mcfg(0)),
            (0x3000, mcfg(1)),
            (0x4000, table(b"MCFG", 1, &[0; 81])),
            (0x5000, broken),
        ];
        let find = |addresses: &[u64]| {
            let memory = memory(xsdt(addresses), pieces.clone());
            let root = Root::locate(&memory, RSDP_AT).unwrap();
            root.find_unique(&memory, Signature::MCFG)
                .map(|table| table.map(|table| table.address))
                .map_err(|error| error.rule)
        };
        assert_eq!(find(&[]), Ok(None));
        assert_eq!(find(&[0x1000]), Ok(Some(0x1000)));
        assert_eq!(find(&[0x1000, 0x1000]), Ok(Some(0x1000)));
        assert_eq!(find(&[0x1000, 0x2000]), Ok(Some(0x2000)));
        assert_eq!(find(&[0x1000, 0x3000]), Err(Rule::Duplicate));
        assert_eq!(find(&[0x1000, 0x2000, 0x4000]), Err(Rule::Duplicate));
        assert_eq!(find(&[0x1000, 0x5000]), Err(Rule::Truncated));
    }

    #[test]
    fn a_table_outside_the_root_is_checked_by_name() {
        let memory = FakeMemory(vec![(0x3000, table(b"SSDT", 2, &[]))]);
        let rule = |address| {
            TableRef::read(&memory, address, Signature::DSDT)
                .unwrap_err()
                .rule
        };
        assert_eq!(rule(0x3000), Rule::Signature);
        assert_eq!(rule(0), Rule::Address);
        assert_eq!(rule(0x4000), Rule::Unreadable);
    }
}
