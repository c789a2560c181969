//! Remapping tables of Intel's kind, structure by structure.

use super::*;
use crate::testing::table;
use std::vec;
use std::vec::Vec;

/// A structure of that type around `body`, with its length.
fn structure(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend_from_slice(&u16::try_from(4 + body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn scope(kind: u8, id: u8, bus: u8, path: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, (6 + path.len()) as u8, 0, 0, id, bus];
    bytes.extend_from_slice(path);
    bytes
}

fn unit(flags: u8, segment: u16, base: u64, scopes: &[u8]) -> Vec<u8> {
    let mut body = vec![flags, 0];
    body.extend_from_slice(&segment.to_le_bytes());
    body.extend_from_slice(&base.to_le_bytes());
    body.extend_from_slice(scopes);
    structure(0, &body)
}

fn reserved(base: u64, limit: u64, scopes: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend_from_slice(&base.to_le_bytes());
    body.extend_from_slice(&limit.to_le_bytes());
    body.extend_from_slice(scopes);
    structure(1, &body)
}

fn dmar(structures: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![38, 0b101];
    body.extend_from_slice(&[0; 10]);
    structures
        .iter()
        .for_each(|one| body.extend_from_slice(one));
    table(b"DMAR", 1, &body)
}

fn rule(structures: &[Vec<u8>]) -> Option<Rule> {
    Dmar::parse(&dmar(structures)).err().map(|error| error.rule)
}

const B: u64 = 0xfed9_0000;

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn every_kind_is_decoded_with_its_scopes() {
    let endpoint = scope(1, 0, 0, &[2, 0]);
    let below = scope(2, 0, 0x80, &[0x1c, 4, 0, 1]);
    let mut named = vec![0, 0, 0, 7];
    named.extend_from_slice(b"\\_SB.X\0");
    let mut affinity = vec![0; 4];
    affinity.extend_from_slice(&B.to_le_bytes());
    affinity.extend_from_slice(&3u32.to_le_bytes());
    let list = |kind, flags, scopes: &[u8]| {
        let mut body = vec![flags, 0, 1, 0];
        body.extend_from_slice(scopes);
        structure(kind, &body)
    };
    let bytes = dmar(&[
        unit(0, 0, B, &[endpoint.clone(), below.clone()].concat()),
        unit(1, 0, B + 0x1000, &scope(3, 8, 0xf0, &[0x1f, 0])),
        reserved(0xc_0000, 0xc_ffff, &endpoint),
        list(2, 1, &below),
        structure(3, &affinity),
        structure(4, &named),
        list(5, 1, &endpoint),
        list(6, 0, &[endpoint.clone(), scope(9, 0, 0, &[1, 1])].concat()),
        structure(77, &[]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!(dmar.host_address_bits(), 39);
    assert!(dmar.interrupt_remapping() && !dmar.x2apic_opt_out() && dmar.dma_opt_in());
    let expected = DmarCounts {
        remapping_units: 2,
        reserved_ranges: 1,
        root_port_services: 1,
        affinities: 1,
        named_devices: 1,
        translation_caches: 1,
        integrated_properties: 1,
        unknown: 1,
        scopes: 8,
    };
    assert_eq!(dmar.counts(), expected);
    let units: Vec<_> = dmar.units().collect();
    assert!(!units[0].include_all && units[1].include_all);
    let scopes: Vec<_> = units[0].scopes.collect();
    let path: Vec<_> = scopes[1]
        .path()
        .map(|step| (step.device, step.function))
        .collect();
    assert_eq!(
        (scopes[1].kind, scopes[1].start_bus),
        (ScopeKind::Hierarchy, 0x80)
    );
    assert_eq!(path, [(0x1c, 4), (0, 1)]);
    assert_eq!(
        units[1].scopes.into_iter().next().unwrap().enumeration_id,
        8
    );
    let range = dmar.reserved().next().unwrap();
    assert_eq!((range.base, range.limit), (0xc_0000, 0xc_ffff));
    let kinds: Vec<_> = dmar
        .structures()
        .filter_map(|one| match one {
            DmarStructure::NamedDevice { number, name } => Some((number, name)),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [(7, &b"\\_SB.X"[..])]);
}

#[test]
fn bad_lengths_are_refused() {
    let raw = |bytes: &[u8]| rule(&[bytes.to_vec()]);
    assert_eq!(raw(&[0, 0, 0, 0]), Some(Rule::EntryLength));
    assert_eq!(raw(&[9, 0, 3, 0]), Some(Rule::EntryLength));
    assert_eq!(raw(&[9, 0, 5, 0]), Some(Rule::EntryOverrun));
    assert_eq!(raw(&[9, 0, 4]), Some(Rule::EntryOverrun));
    // Every decoded type cut before the end of its fixed fields.
    for kind in 0..7u16 {
        assert_eq!(
            rule(&[structure(kind, &[0; 2])]),
            Some(Rule::EntryLength),
            "{kind}"
        );
    }
    let bytes = table(b"DMAR", 1, &[0; 11]);
    let short = Dmar::parse(&bytes);
    assert_eq!(short.unwrap_err().rule, Rule::Truncated);
}

#[test]
fn bad_scopes_are_refused() {
    let with = |scopes: &[u8]| rule(&[unit(0, 0, B, scopes)]);
    assert_eq!(with(&[]), None);
    assert_eq!(with(&[1]), Some(Rule::EntryOverrun));
    assert_eq!(with(&[1, 0, 0, 0, 0, 0]), Some(Rule::EntryLength));
    assert_eq!(with(&[1, 6, 0, 0, 0, 0]), Some(Rule::EntryLength));
    assert_eq!(with(&[1, 9, 0, 0, 0, 0, 0, 0, 0]), Some(Rule::EntryLength));
    assert_eq!(with(&[1, 8, 0, 0, 0, 0, 0]), Some(Rule::EntryOverrun));
    assert_eq!(with(&scope(1, 0, 0, &[31, 7])), None);
    assert_eq!(with(&scope(1, 0, 0, &[32, 0])), Some(Rule::Field));
    assert_eq!(with(&scope(1, 0, 0, &[0, 8])), Some(Rule::Field));
}

#[test]
fn bad_units_are_refused() {
    assert_eq!(rule(&[unit(0, 0, 0, &[])]), Some(Rule::Address));
    assert_eq!(rule(&[unit(0, 0, B + 8, &[])]), Some(Rule::Address));
    assert_eq!(rule(&[unit(0, 0, 1 << 52, &[])]), Some(Rule::Address));
    assert_eq!(rule(&[unit(0, 0, !0xfff, &[])]), Some(Rule::Address));
    let same = [unit(0, 0, B, &[]), unit(0, 1, B, &[])];
    assert_eq!(rule(&same), Some(Rule::Overlap));
    // Four pages of registers reach into the next unit's.
    let mut wide = unit(0, 0, B, &[]);
    wide[5] = 2;
    assert_eq!(
        rule(&[wide, unit(0, 0, B + 0x3000, &[])]),
        Some(Rule::Overlap)
    );
    let all = |segment, base| unit(1, segment, base, &[]);
    assert_eq!(rule(&[all(0, B), all(0, B + 0x1000)]), Some(Rule::Overlap));
    assert_eq!(rule(&[all(0, B), all(1, B + 0x1000)]), None);
    assert_eq!(
        rule(&[all(0, B), unit(0, 0, B + 0x1000, &[])]),
        Some(Rule::Order)
    );
    let many: Vec<_> = (0..65u64)
        .map(|n| unit(0, 0, B + n * 0x1000, &[]))
        .collect();
    assert_eq!(rule(&many), Some(Rule::TooMany));
    assert_eq!(rule(&many[..64]), None);
}

#[test]
fn bad_reserved_ranges_are_refused() {
    let one = scope(1, 0, 0, &[2, 0]);
    assert_eq!(rule(&[reserved(0, 0xfff, &one)]), None);
    assert_eq!(rule(&[reserved(0, 0xfff, &[])]), Some(Rule::Field));
    for (base, limit) in [(1, 0xfff), (0, 0x1000), (0x2000, 0xfff), (0, u64::MAX)] {
        assert_eq!(rule(&[reserved(base, limit, &one)]), Some(Rule::Address));
    }
}

#[test]
fn more_than_fits_is_refused() {
    let many: Vec<_> = (0..4097).map(|_| structure(9, &[])).collect();
    assert_eq!(rule(&many), Some(Rule::TooMany));
    assert_eq!(rule(&many[..4096]), None);
    let scopes = scope(1, 0, 0, &[2, 0]).repeat(4000);
    let full = [
        unit(0, 0, B, &scopes),
        unit(0, 0, B + 0x1000, &scopes),
        unit(0, 0, B + 0x2000, &scopes),
    ];
    assert_eq!(rule(&full), Some(Rule::TooMany));
    assert_eq!(rule(&full[..2]), None);
}

#[test]
fn names_and_widths_are_checked() {
    assert_eq!(
        rule(&[structure(4, &[0, 0, 0, 1, b'A', b'B'])]),
        Some(Rule::Field)
    );
    assert_eq!(rule(&[structure(3, &[0; 17])]), Some(Rule::EntryLength));
    let mut body = vec![64, 0];
    body.extend_from_slice(&[0; 10]);
    let wide = table(b"DMAR", 1, &body);
    assert_eq!(Dmar::parse(&wide).unwrap_err().rule, Rule::Field);
}
