//! Remapping tables of AMD's kind, block by block.

use super::*;
use crate::testing::table;
use std::vec;
use std::vec::Vec;

const B: u64 = 0xfed8_0000;

fn unit(kind: u8, base: u64, entries: &[u8]) -> Vec<u8> {
    let fixed = if kind == 0x10 { 24 } else { 40 };
    let mut block = vec![0; fixed];
    block[0] = kind;
    block[2..4].copy_from_slice(&u16::try_from(fixed + entries.len()).unwrap().to_le_bytes());
    block[4..6].copy_from_slice(&0x10u16.to_le_bytes());
    block[6..8].copy_from_slice(&0x40u16.to_le_bytes());
    block[8..16].copy_from_slice(&base.to_le_bytes());
    block[16..18].copy_from_slice(&2u16.to_le_bytes());
    block.extend_from_slice(entries);
    block
}

fn memory(kind: u8, first: u16, last: u16, start: u64, length: u64) -> Vec<u8> {
    let mut block = vec![kind, 0, 32, 0];
    block.extend_from_slice(&first.to_le_bytes());
    block.extend_from_slice(&last.to_le_bytes());
    block.extend_from_slice(&[0; 8]);
    block.extend_from_slice(&start.to_le_bytes());
    block.extend_from_slice(&length.to_le_bytes());
    block
}

fn ivrs(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut body = (0x3000u32 | 2).to_le_bytes().to_vec();
    body.extend_from_slice(&[0; 8]);
    blocks.iter().for_each(|one| body.extend_from_slice(one));
    table(b"IVRS", 2, &body)
}

fn rule(blocks: &[Vec<u8>]) -> Option<Rule> {
    Ivrs::parse(&ivrs(blocks)).err().map(|error| error.rule)
}

fn entries(bytes: &[u8]) -> Result<Vec<DeviceEntry>, Rule> {
    let bytes = ivrs(&[unit(0x10, B, bytes)]);
    let parsed = Ivrs::parse(&bytes).map_err(|error| error.rule)?;
    Ok(parsed.units().next().unwrap().devices.collect())
}

#[test]
fn blocks_are_decoded_and_the_newest_description_counts() {
    let bytes = ivrs(&[
        unit(0x10, B, &[2, 8, 0, 0]),
        unit(0x10, B + 0x4000, &[]),
        unit(0x11, B, &[1, 0, 0, 0]),
        memory(0x21, 5, 9, 0x1000, 0x2000),
        memory(0x20, 5, 0, 0x1000, 0x2000),
        vec![0x33, 0, 4, 0],
    ]);
    let parsed = Ivrs::parse(&bytes).unwrap();
    let expected = IvrsCounts {
        units_10h: 2,
        units_11h: 1,
        units_40h: 0,
        memory_ranges: 2,
        unknown: 1,
        device_entries: 2,
    };
    assert_eq!(parsed.counts(), expected);
    assert_eq!(parsed.physical_address_bits(), 0x30);
    assert!(parsed.dma_opt_in());
    let units: Vec<_> = parsed.units().collect();
    assert_eq!(units.len(), 1);
    let unit = units[0];
    assert_eq!(
        (
            unit.kind,
            unit.device_id,
            unit.capability_offset,
            unit.segment
        ),
        (0x11, 0x10, 0x40, 2)
    );
    let ranges: Vec<_> = parsed
        .blocks()
        .filter_map(|block| match block {
            IvrsBlock::Memory(range) => Some(range.devices),
            _ => None,
        })
        .collect();
    assert_eq!(ranges, [(5, 5), (0, u16::MAX)]);
}

#[test]
fn every_kind_of_device_entry_is_decoded() {
    let mut named = vec![240, 0x34, 0x12, 0];
    named.extend_from_slice(b"AMDI0020");
    named.extend_from_slice(&[0; 8]);
    named.extend_from_slice(&[2, 3, b'A', b'B', b'C']);
    let all = [
        &[0, 0, 0, 0][..],
        &[1, 0, 0, 7],
        &[2, 8, 0, 0],
        // A range with padding before its end.
        &[3, 0, 1, 0, 0, 0, 0, 0, 4, 0xff, 1, 0],
        &[66, 9, 0, 0, 0, 8, 0, 0],
        &[67, 0, 2, 0, 0, 8, 0, 0, 4, 0xff, 2, 0],
        &[70, 10, 0, 0, 0, 0, 0, 0],
        &[71, 0, 3, 0, 0, 0, 0, 0, 4, 0, 3, 0],
        &[72, 0, 0, 0xd7, 2, 0xa0, 0, 1],
        &[72, 0, 0, 0, 0, 0xa1, 0, 2],
        &named,
        &[130, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let found = entries(&all).unwrap();
    let short: Vec<_> = found
        .iter()
        .map(|one| (one.kind, one.first, one.last))
        .collect();
    use DeviceEntryKind::{Alias, All, Named, Range, Special, Unknown};
    assert_eq!(
        short,
        [
            (All, 0, u16::MAX),
            (Range, 8, 8),
            (Range, 0x100, 0x1ff),
            (Alias(8), 9, 9),
            (Alias(8), 0x200, 0x2ff),
            (Range, 10, 10),
            (Range, 0x300, 0x300),
            (Special(SpecialDevice::IoApic(2)), 0xa0, 0xa0),
            (Special(SpecialDevice::Hpet(0)), 0xa1, 0xa1),
            (Named, 0x1234, 0x1234),
            (Unknown(130), 1, 1),
        ]
    );
    assert_eq!((found[0].settings, found[7].settings), (7, 0xd7));
}

#[test]
fn ranges_are_paired() {
    for bytes in [
        &[3, 0, 1, 0][..],
        &[4, 0, 1, 0],
        &[3, 0, 1, 0, 2, 0, 1, 0],
        &[3, 0, 1, 0, 3, 0, 1, 0],
        &[3, 1, 1, 0, 4, 0, 1, 0],
        &[71, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(entries(bytes), Err(Rule::Unpaired), "{bytes:?}");
    }
}

#[test]
fn bad_entries_are_refused() {
    assert_eq!(entries(&[2, 0, 0]), Err(Rule::EntryOverrun));
    assert_eq!(entries(&[66, 0, 0, 0, 0, 0, 0]), Err(Rule::EntryOverrun));
    assert_eq!(entries(&[240; 21]), Err(Rule::EntryOverrun));
    assert_eq!(entries(&[5, 0, 0, 0]), Err(Rule::Field));
    assert_eq!(entries(&[72, 0, 0, 0, 0, 0, 0, 3]), Err(Rule::Field));
}

#[test]
fn bad_lengths_are_refused() {
    let raw = |bytes: &[u8]| rule(&[bytes.to_vec()]);
    assert_eq!(raw(&[0x33, 0, 0, 0]), Some(Rule::EntryLength));
    assert_eq!(raw(&[0x33, 0, 5, 0]), Some(Rule::EntryOverrun));
    assert_eq!(raw(&[0x33, 0]), Some(Rule::EntryOverrun));
    for kind in [0x10, 0x11, 0x40, 0x20, 0x21, 0x22] {
        assert_eq!(
            raw(&[kind, 0, 8, 0, 0, 0, 0, 0]),
            Some(Rule::EntryLength),
            "{kind}"
        );
    }
    let bytes = table(b"IVRS", 2, &[0; 11]);
    let short = Ivrs::parse(&bytes);
    assert_eq!(short.unwrap_err().rule, Rule::Truncated);
}

#[test]
fn bad_units_and_ranges_are_refused() {
    for base in [0, B + 0x1000, 1 << 52] {
        assert_eq!(rule(&[unit(0x10, base, &[])]), Some(Rule::Address));
    }
    assert_eq!(
        rule(&[unit(0x10, B, &[]), unit(0x10, B, &[])]),
        Some(Rule::Overlap)
    );
    assert_eq!(rule(&[unit(0x10, B, &[]), unit(0x40, B, &[])]), None);
    let many: Vec<_> = (0..65u64)
        .map(|n| unit(0x10, B + n * 0x4000, &[]))
        .collect();
    assert_eq!(rule(&many), Some(Rule::TooMany));
    assert_eq!(rule(&many[..64]), None);
    let full = unit(0x10, B, &[2, 0, 0, 0].repeat(16_000));
    let second = unit(0x10, B + 0x4000, &[2, 0, 0, 0].repeat(1000));
    assert_eq!(rule(&[full, second]), Some(Rule::TooMany));
    for (start, length) in [
        (0, 0),
        (1, 0x1000),
        (0, 0x800),
        (1 << 52, 0x1000),
        (!0xfff, 0x1000),
    ] {
        assert_eq!(
            rule(&[memory(0x22, 1, 2, start, length)]),
            Some(Rule::Address)
        );
    }
    assert_eq!(rule(&[memory(0x22, 3, 2, 0, 0x1000)]), Some(Rule::Field));
}
