//! The memory-mapped PCI configuration windows (PCI Firmware Specification 3.3, 4.1.2).

use crate::{Rule, Signature, Table, TableError};
use le::checked;
use units::{Bdf, PhysAddr};

/// Bytes before the first entry: the header and eight reserved bytes.
const FIXED_BYTES: usize = 44;
const ENTRY_BYTES: usize = 16;
/// Most windows a table may list; the check for overlaps is quadratic.
const MAX_WINDOWS: usize = 256;
/// Configuration space of one bus: 32 devices of 8 functions of 4 KiB.
const BUS_BYTES: u64 = 1 << 20;

/// One window: the configuration space of a range of buses of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EcamWindow {
    /// The segment group.
    pub segment: u16,
    /// First bus that is decoded.
    pub start_bus: u8,
    /// Last bus that is decoded, never below the first.
    pub end_bus: u8,
    /// Physical address that bus 0 has or would have; a multiple of 1 MiB.
    base: u64,
}

impl EcamWindow {
    /// Returns the physical address of the first decoded bus.
    pub fn start(&self) -> PhysAddr {
        PhysAddr::truncate(self.base + u64::from(self.start_bus) * BUS_BYTES)
    }

    /// Returns the bytes the window spans: 1 MiB for each bus.
    pub fn length_bytes(&self) -> u64 {
        (u64::from(self.end_bus - self.start_bus) + 1) * BUS_BYTES
    }

    /// Returns the physical address of a function's 4 KiB of configuration space; `None` where another window, or
    /// none, holds it.
    pub fn function_address(&self, bdf: Bdf) -> Option<PhysAddr> {
        let inside =
            bdf.segment() == self.segment && (self.start_bus..=self.end_bus).contains(&bdf.bus());
        inside.then(|| PhysAddr::truncate(self.base + bdf.ecam_offset()))
    }

    fn overlaps(&self, other: &Self) -> bool {
        let same_bus = self.segment == other.segment
            && self.start_bus <= other.end_bus
            && other.start_bus <= self.end_bus;
        let (start, other_start) = (self.start().as_u64(), other.start().as_u64());
        let same_bytes =
            start < other_start + other.length_bytes() && other_start < start + self.length_bytes();
        same_bus || same_bytes
    }
}

/// A checked MCFG: no two windows claim the same bus or the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'a> {
    entries: &'a [u8],
}

impl<'a> Mcfg<'a> {
    /// Checks the table and all of its windows. A table without windows is legal.
    ///
    /// # Errors
    /// As [`Table::parse`], and
    /// - `EntryOverrun`: the last entry is cut short;
    /// - `BusRange`: a window ends before it starts;
    /// - `Address`: a base that is zero, no multiple of 1 MiB, or whose window needs more than 52 bits;
    /// - `Overlap`: two windows share a bus of one segment, or bytes;
    /// - `TooMany`: over 256 windows.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::MCFG)?.at_least(FIXED_BYTES)?;
        let error = |rule| table.error(rule);
        let entries = table.bytes().get(FIXED_BYTES..).unwrap_or_default();
        if entries.len() % ENTRY_BYTES != 0 {
            return Err(error(Rule::EntryOverrun));
        }
        if entries.len() / ENTRY_BYTES > MAX_WINDOWS {
            return Err(error(Rule::TooMany));
        }
        for (index, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
            let window = decode(entry).map_err(error)?;
            if (EcamWindows { entries })
                .take(index)
                .any(|other| other.overlaps(&window))
            {
                return Err(error(Rule::Overlap));
            }
        }
        Ok(Self { entries })
    }

    /// Visits the windows in table order.
    pub fn windows(&self) -> EcamWindows<'a> {
        EcamWindows {
            entries: self.entries,
        }
    }

    /// Returns the physical address of a function's configuration space; `None` where no window holds it.
    pub fn function_address(&self, bdf: Bdf) -> Option<PhysAddr> {
        self.windows()
            .find_map(|window| window.function_address(bdf))
    }
}

/// The walk over the windows of an [`Mcfg`].
#[derive(Clone, Debug)]
pub struct EcamWindows<'a> {
    entries: &'a [u8],
}

impl Iterator for EcamWindows<'_> {
    type Item = EcamWindow;

    fn next(&mut self) -> Option<EcamWindow> {
        let (entry, rest) = self.entries.split_at_checked(ENTRY_BYTES)?;
        self.entries = rest;
        decode(entry).ok()
    }
}

fn decode(entry: &[u8]) -> Result<EcamWindow, Rule> {
    let cut = Rule::EntryOverrun;
    let window = EcamWindow {
        base: checked::u64(entry, 0).ok_or(cut)?,
        segment: checked::u16(entry, 8).ok_or(cut)?,
        start_bus: checked::u8(entry, 10).ok_or(cut)?,
        end_bus: checked::u8(entry, 11).ok_or(cut)?,
    };
    if window.end_bus < window.start_bus {
        return Err(Rule::BusRange);
    }
    let end = window
        .base
        .checked_add((u64::from(window.end_bus) + 1) * BUS_BYTES);
    let fits = end.is_some_and(|end| end <= 1 << units::PHYS_ADDR_BITS);
    if window.base == 0 || !window.base.is_multiple_of(BUS_BYTES) || !fits {
        return Err(Rule::Address);
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;
    use std::vec::Vec;

    fn entry(base: u64, segment: u16, start: u8, end: u8) -> Vec<u8> {
        let mut bytes = base.to_le_bytes().to_vec();
        bytes.extend_from_slice(&segment.to_le_bytes());
        bytes.extend_from_slice(&[start, end, 0, 0, 0, 0]);
        bytes
    }

    fn mcfg(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut body = [0; 8].to_vec();
        entries
            .iter()
            .for_each(|entry| body.extend_from_slice(entry));
        table(b"MCFG", 1, &body)
    }

    fn rule(entries: &[Vec<u8>]) -> Option<Rule> {
        Mcfg::parse(&mcfg(entries)).err().map(|error| error.rule)
    }

    const B: u64 = 0xb000_0000;

    #[test]
    fn several_segments_give_each_function_its_address() {
        let bytes = mcfg(&[
            entry(B, 0, 0, 255),
            entry(0x40_0000_0000, 1, 0x10, 0x1f),
            entry(0x50_0000_0000, 1, 0x20, 0x20),
        ]);
        let mcfg = Mcfg::parse(&bytes).unwrap();
        assert_eq!(mcfg.windows().count(), 3);
        let address = |bdf: Bdf| mcfg.function_address(bdf).map(PhysAddr::as_u64);
        assert_eq!(
            address(Bdf::new(0, 255, 31, 7).unwrap()),
            Some(B + 0x0fff_f000)
        );
        assert_eq!(
            address(Bdf::new(1, 0x10, 0, 1).unwrap()),
            Some(0x40_0100_1000)
        );
        assert_eq!(
            address(Bdf::new(1, 0x20, 1, 0).unwrap()),
            Some(0x50_0200_8000)
        );
        assert_eq!(address(Bdf::new(1, 0x0f, 0, 0).unwrap()), None);
        assert_eq!(address(Bdf::new(2, 0x10, 0, 0).unwrap()), None);
        let second = mcfg.windows().nth(1).unwrap();
        assert_eq!(second.start().as_u64(), 0x40_0100_0000);
        assert_eq!(second.length_bytes(), 16 << 20);
    }

    #[test]
    fn bad_ranges_are_refused_by_rule() {
        assert_eq!(rule(&[entry(B, 0, 5, 4)]), Some(Rule::BusRange));
        assert_eq!(rule(&[entry(B + 0x8_0000, 0, 0, 4)]), Some(Rule::Address));
        assert_eq!(rule(&[entry(0, 0, 0, 4)]), Some(Rule::Address));
        assert_eq!(
            rule(&[entry(u64::MAX - 0xf_ffff, 0, 0, 255)]),
            Some(Rule::Address)
        );
        assert_eq!(rule(&[entry((1 << 52) - (1 << 20), 0, 0, 0)]), None);
        assert_eq!(
            rule(&[entry((1 << 52) - (1 << 20), 0, 0, 1)]),
            Some(Rule::Address)
        );
        assert_eq!(
            rule(&[entry(B, 0, 0, 8)[..15].to_vec()]),
            Some(Rule::EntryOverrun)
        );
        assert_eq!(rule(&[]), None);
        assert_eq!(
            Mcfg::parse(&table(b"MCFG", 1, &[0; 7])).unwrap_err().rule,
            Rule::Truncated
        );
    }

    #[test]
    fn overlaps_in_buses_or_bytes_are_refused() {
        let other = 0x1_0000_0000;
        assert_eq!(
            rule(&[entry(B, 0, 0, 8), entry(other, 0, 8, 9)]),
            Some(Rule::Overlap)
        );
        assert_eq!(rule(&[entry(B, 0, 0, 8), entry(other, 0, 9, 9)]), None);
        assert_eq!(rule(&[entry(B, 0, 0, 8), entry(other, 1, 0, 8)]), None);
        assert_eq!(
            rule(&[entry(B, 0, 0, 8), entry(B, 1, 8, 8)]),
            Some(Rule::Overlap)
        );
        assert_eq!(rule(&[entry(B, 0, 0, 8), entry(B, 1, 9, 9)]), None);
    }

    #[test]
    fn too_many_windows_are_refused() {
        let many: Vec<_> = (0..257u64)
            .map(|n| entry(B + (n << 20), n as u16, 0, 0))
            .collect();
        assert_eq!(rule(&many), Some(Rule::TooMany));
        assert_eq!(rule(&many[..256]), None);
    }
}
