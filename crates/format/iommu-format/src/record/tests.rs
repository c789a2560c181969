//! Records made from tables that are right, and from tables that are not.

use super::*;
use std::vec;
use std::vec::Vec;

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend_from_slice(&u32::try_from(36 + body.len()).unwrap().to_le_bytes());
    bytes.resize(36, 1);
    bytes.extend_from_slice(body);
    bytes[9] = 0;
    bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

fn scope(kind: u8, path: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, (6 + path.len()) as u8, 0, 0, 0, 0];
    bytes.extend_from_slice(path);
    bytes
}

fn drhd(flags: u8, base: u64, scopes: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&u16::try_from(16 + scopes.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&[flags, 0, 0, 0]);
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(scopes);
    bytes
}

fn rmrr(base: u64, limit: u64) -> Vec<u8> {
    let mut bytes = vec![1, 0, 32, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(&limit.to_le_bytes());
    bytes.extend_from_slice(&scope(1, &[2, 0]));
    bytes
}

fn dmar(structures: &[Vec<u8>]) -> Vec<u8> {
    table(b"DMAR", &[&[38; 12][..], &structures.concat()].concat())
}

fn ivrs(entries: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 24];
    block[0] = 0x10;
    block[2] = (24 + entries.len()) as u8;
    block[8..16].copy_from_slice(&0xfed8_0000u64.to_le_bytes());
    block.extend_from_slice(entries);
    table(b"IVRS", &[&[0; 12][..], &block].concat())
}

fn with<'a>(change: impl FnOnce(&mut FirmwareTables<'a>)) -> Record {
    let mut tables = FirmwareTables::default();
    change(&mut tables);
    Record::new(tables, &[])
}

fn read_dmar(bytes: &[u8]) -> Record {
    with(|tables| tables.dmar = Some(Dmar::parse(bytes)))
}

fn read_ivrs(bytes: &[u8]) -> Record {
    with(|tables| tables.ivrs = Some(Ivrs::parse(bytes)))
}

/// Nodes of 16 and 24 bytes, from offset 48 on.
fn viot(nodes: &[Vec<u8>]) -> Vec<u8> {
    let head = [nodes.len() as u8, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    table(b"VIOT", &[&head[..], &nodes.concat()].concat())
}

fn virtio_unit(segment: u8, function: u8) -> Vec<u8> {
    let mut bytes = vec![3, 0, 16, 0, segment, 0, function];
    bytes.resize(16, 0);
    bytes
}

/// All functions of a bus of some segments.
fn virtio_bus(segments: (u8, u8), bus: u8, endpoint: u32, unit: u8) -> Vec<u8> {
    let mut bytes = vec![1, 0, 24, 0];
    bytes.extend_from_slice(&endpoint.to_le_bytes());
    bytes.extend_from_slice(&[segments.0, 0, segments.1, 0, 0, bus, 0xff, bus, unit]);
    bytes.resize(24, 0);
    bytes
}

fn read_viot(nodes: &[Vec<u8>]) -> Record {
    let bytes = viot(nodes);
    with(|tables| tables.viot = Some(Viot::parse(&bytes)))
}

const B: u64 = 0xfed9_0000;

#[test]
fn units_scopes_and_ranges_are_kept() {
    let bridges = [BusNumbers {
        bdf: Bdf::new(0, 0, 1, 0).unwrap(),
        primary: 0,
        secondary: 3,
        subordinate: 4,
    }];
    let bytes = dmar(&[
        drhd(
            0,
            B,
            &[
                scope(1, &[1, 0, 5, 0]),
                scope(2, &[1, 0]),
                scope(1, &[7, 0, 0, 0]),
            ]
            .concat(),
        ),
        drhd(1, B + 0x1000, &scope(3, &[30, 7])),
        rmrr(0x1000, 0x1fff),
    ]);
    let record = Record::new(
        FirmwareTables {
            dmar: Some(Dmar::parse(&bytes)),
            ..FirmwareTables::default()
        },
        &bridges,
    );
    assert_eq!(record.discovery, Discovery::Listed);
    assert_eq!(record.units.len(), 2);
    let targets: Vec<_> = record
        .scopes
        .iter()
        .map(|one| (one.unit, one.target))
        .collect();
    let at = |bus, device| Bdf::new(0, bus, device, 0).unwrap();
    assert_eq!(
        targets,
        [
            (Some(0), ScopeTarget::Function(at(3, 5))),
            (Some(0), ScopeTarget::Below(at(0, 1))),
            (Some(0), ScopeTarget::Unresolved),
            (Some(1), ScopeTarget::IoApic(0, 0xf7)),
            (None, ScopeTarget::Function(at(0, 2))),
        ]
    );
    assert_eq!(record.ranges.len(), 1);
}

#[test]
fn each_end_of_the_search_has_its_name() {
    let label = |record: Record| record.discovery.label();
    assert_eq!(label(with(|_| ())), "absent-blocked");
    assert_eq!(label(read_dmar(b"DMAR")), "malformed-fail-closed");
    assert_eq!(label(read_ivrs(b"IVRS")), "malformed-fail-closed");
    assert_eq!(label(read_dmar(&dmar(&[]))), "unsupported-fail-closed");
    let strange = dmar(&[drhd(1, B, &scope(9, &[0, 0]))]);
    let record = read_dmar(&strange);
    assert_eq!(
        record.discovery,
        Discovery::Unsupported(Unsupported::UnknownScope)
    );
    let (one, other) = (dmar(&[drhd(1, B, &[])]), ivrs(&[]));
    let both = with(|tables| {
        tables.dmar = Some(Dmar::parse(&one));
        tables.ivrs = Some(Ivrs::parse(&other));
    });
    assert_eq!(
        both.discovery,
        Discovery::Unsupported(Unsupported::BothVendors)
    );
    assert!(both.units.is_empty());
    // A malformed second table is not hidden by a good first one.
    let mixed = with(|tables| {
        tables.dmar = Some(Dmar::parse(&one));
        tables.ivrs = Some(Ivrs::parse(b""));
    });
    assert_eq!(label(mixed), "malformed-fail-closed");
}

#[test]
fn more_than_is_kept_is_not_used() {
    let units =
        |count: u64| -> Vec<Vec<u8>> { (0..count).map(|n| drhd(0, B + n * 0x1000, &[])).collect() };
    let label = |structures: &[Vec<u8>]| read_dmar(&dmar(structures)).discovery.label();
    assert_eq!(label(&units(MAX_UNITS as u64)), "listed");
    assert_eq!(
        label(&units(MAX_UNITS as u64 + 1)),
        "retained-capped-fail-closed"
    );
    // So many that the table's reader refuses it.
    assert_eq!(label(&units(65)), "retained-capped-fail-closed");
    let mut many = units(1);
    many.extend((0..=MAX_RANGES as u64).map(|n| rmrr(n << 12, n << 12 | 0xfff)));
    assert_eq!(label(&many[..many.len() - 1]), "listed");
    assert_eq!(label(&many), "retained-capped-fail-closed");
    let wide = drhd(0, B, &scope(1, &[0, 0]).repeat(MAX_SCOPES + 1));
    let record = read_dmar(&dmar(&[wide]));
    assert_eq!(record.discovery, Discovery::Capped);
    assert_eq!(record.scopes.len(), MAX_SCOPES);
}

#[test]
fn amd_entries_become_scopes() {
    let record = read_ivrs(&ivrs(&[
        2, 8, 0, 0, 3, 0, 1, 0, 4, 0xff, 1, 0, 72, 0, 0, 0, 0, 0xa0, 0, 1, 66, 9, 0, 0, 0, 8, 0, 0,
    ]));
    assert_eq!(record.discovery, Discovery::Listed);
    let targets: Vec<_> = record.scopes.iter().map(|one| one.target).collect();
    assert_eq!(
        targets,
        [
            ScopeTarget::Requesters(8, 8),
            ScopeTarget::Requesters(0x100, 0x1ff),
            ScopeTarget::IoApic(0, 0xa0),
            ScopeTarget::Aliased(9, 9, 8),
        ]
    );
    assert!(read_ivrs(&ivrs(&[1, 0, 0, 0])).units[0].include_all);
    let unknown = [130, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        read_ivrs(&ivrs(&unknown)).discovery,
        Discovery::Unsupported(Unsupported::UnknownScope)
    );
}

#[test]
fn functions_below_a_virtio_iommu_have_the_numbers_that_its_table_gives() {
    let record = read_viot(&[
        virtio_unit(0, 0x18),
        virtio_bus((0, 0), 0, 0, 48),
        virtio_bus((0, 0), 7, 0x9000, 48),
        virtio_unit(0, 0x20),
        virtio_bus((3, 3), 7, 0, 112),
    ]);
    assert_eq!(record.discovery, Discovery::Listed);
    let at = |segment, bus| Bdf::new(segment, bus, 4, 0).unwrap();
    let cover = |segment, bus| record.cover(at(segment, bus), &[]);
    assert_eq!(cover(0, 7), crate::Cover::Unit(0));
    assert_eq!(cover(3, 7), crate::Cover::Unit(1));
    assert_eq!(
        (cover(0, 8), cover(3, 0)),
        (crate::Cover::None, crate::Cover::None)
    );
    let endpoints: Vec<_> = record.endpoints(0).collect();
    assert_eq!(endpoints, [(0, 0xff, 0), (0x700, 0x7ff, 0x9000)]);
    let function = Some(Bdf::new(0, 0, 3, 0).unwrap());
    assert_eq!(record.units[0].vendor, Vendor::Virtio { function });
    assert!(!record.remaps_interrupts([]) && !record.units[0].vendor.judges_interrupts());
}

#[test]
fn a_reservation_is_for_one_function() {
    let mut record = read_viot(&[virtio_unit(0, 0x18), virtio_bus((0, 0), 0, 0, 48)]);
    let at = |device| Bdf::new(0, 0, device, 0).unwrap();
    assert!(record.reserve(at(4)));
    assert_eq!(record.reserved(at(4), &[]), crate::Reserved::Memory);
    assert_eq!(record.reserved(at(5), &[]), crate::Reserved::Nothing);
    assert_eq!(record.cover(at(4), &[]), crate::Cover::Unit(0));
}

#[test]
fn a_virtio_iommu_of_several_segments_or_beside_another_vendor_is_not_used() {
    let segments = Discovery::Unsupported(Unsupported::Segments);
    let spans = [virtio_unit(0, 0x18), virtio_bus((0, 1), 0, 0, 48)];
    assert_eq!(read_viot(&spans).discovery, segments);
    let two = [
        virtio_unit(0, 0x18),
        virtio_bus((0, 0), 0, 0, 48),
        virtio_bus((1, 1), 0, 0, 48),
    ];
    assert_eq!(read_viot(&two).discovery, segments);
    let (one, other) = (viot(&[virtio_unit(0, 0x18)]), ivrs(&[]));
    let both = with(|tables| {
        tables.viot = Some(Viot::parse(&one));
        tables.ivrs = Some(Ivrs::parse(&other));
    });
    assert_eq!(
        both.discovery,
        Discovery::Unsupported(Unsupported::BothVendors)
    );
    assert_eq!(
        read_viot(&[]).discovery,
        Discovery::Unsupported(Unsupported::NoUnit)
    );
    let beside = [virtio_unit(0, 0x18), vec![9, 0, 4, 0]];
    assert_eq!(read_viot(&beside).unknown, 1);
}
