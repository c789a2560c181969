//! Random and mutated tables: no reader panics, every walk ends, and what is accepted keeps its promises.

use acpi_tables::{
    Dmar, DmarStructure, Fadt, Hpet, Ivrs, IvrsBlock, Madt, MadtEntry, Mcfg, PhysReader, ReadError,
    Root, Rsdp, Signature, Table, TableError, TableRef, Viot, ViotNode, find_s5,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;

const SIGNATURES: [Signature; 8] = [
    Signature::MADT,
    Signature::MCFG,
    Signature::FADT,
    Signature::HPET,
    Signature::DMAR,
    Signature::IVRS,
    Signature::VIOT,
    Signature::DSDT,
];

fn seal(bytes: &mut [u8]) {
    if bytes.len() > 9 {
        bytes[9] = 0;
        bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
}

/// A sealed table of the right length.
fn table(signature: Signature, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.as_bytes().to_vec();
    bytes.extend_from_slice(&(36 + body.len() as u32).to_le_bytes());
    bytes.resize(36, 3);
    bytes.extend_from_slice(body);
    seal(&mut bytes);
    bytes
}

/// Reads a table in every way and checks the promises of what is accepted.
fn read_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let named = |result: Result<(), TableError>, expected| {
        if let Err(error) = result {
            assert_eq!(error.table, expected);
            assert!(!error.to_string().is_empty());
        }
    };
    named(Madt::parse(bytes).map(check_madt), Signature::MADT);
    named(Mcfg::parse(bytes).map(check_mcfg), Signature::MCFG);
    named(Fadt::parse(bytes).map(check_fadt), Signature::FADT);
    let hpet = Hpet::parse(bytes).map(|hpet| assert!(hpet.address != 0 && hpet.address >> 52 == 0));
    named(hpet, Signature::HPET);
    named(Dmar::parse(bytes).map(check_dmar), Signature::DMAR);
    named(Ivrs::parse(bytes).map(check_ivrs), Signature::IVRS);
    named(Viot::parse(bytes).map(check_viot), Signature::VIOT);
    for signature in [Signature::DSDT, Signature::MADT] {
        if let Ok(table) = Table::parse(bytes, signature)
            && let Ok(Some(types)) = find_s5(&table)
        {
            prop_assert!(types.pm1a < 8 && types.pm1b < 8);
        }
    }
    Ok(())
}

fn check_madt(madt: Madt<'_>) {
    let counts = madt.counts();
    let total = counts.local_apics
        + counts.local_x2apics
        + counts.io_apics
        + counts.source_overrides
        + counts.nmi_sources
        + counts.local_nmis
        + counts.address_overrides
        + counts.unknown;
    assert_eq!(madt.entries().count(), total);
    let unknown = madt
        .entries()
        .filter(|one| matches!(one, MadtEntry::Unknown(_)));
    assert_eq!(unknown.count(), counts.unknown);
    let ids: Vec<u32> = madt.processors().map(|one| one.apic_id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(madt.io_apics().all(|one| one.address != 0));
    assert_eq!(madt.local_apic_address() % 4096, 0);
    assert!((16..=u8::MAX).all(|line| madt.isa_source(line).gsi == u32::from(line)));
}

fn check_mcfg(mcfg: Mcfg<'_>) {
    let windows: Vec<_> = mcfg.windows().collect();
    for (index, one) in windows.iter().enumerate() {
        assert!(one.start_bus <= one.end_bus);
        let end = one.start().as_u64() + one.length_bytes();
        assert!(end <= 1 << 52);
        for other in &windows[..index] {
            let other_end = other.start().as_u64() + other.length_bytes();
            assert!(end <= other.start().as_u64() || other_end <= one.start().as_u64());
            assert!(
                one.segment != other.segment
                    || one.end_bus < other.start_bus
                    || other.end_bus < one.start_bus
            );
        }
    }
}

fn check_fadt(fadt: Fadt) {
    let registers = [
        fadt.pm1a_control,
        fadt.pm1b_control,
        fadt.pm_timer,
        fadt.sleep_control,
        fadt.reset.map(|reset| reset.register),
    ];
    for register in registers.into_iter().flatten() {
        assert_ne!(register.address, 0);
        assert!(register.address >> 52 == 0);
    }
    assert!(fadt.dsdt.is_none_or(|dsdt| dsdt != 0 && dsdt >> 52 == 0));
}

fn check_dmar(dmar: Dmar<'_>) {
    let counts = dmar.counts();
    let mut scopes = 0;
    for structure in dmar.structures() {
        let list = match structure {
            DmarStructure::Unit(unit) => {
                assert!(unit.base != 0 && unit.base & 0xfff == 0 && unit.base >> 52 == 0);
                unit.scopes
            }
            DmarStructure::Reserved(range) => {
                assert!(range.base < range.limit && range.limit >> 52 == 0);
                range.scopes
            }
            DmarStructure::Devices(list) => list.scopes,
            _ => continue,
        };
        for scope in list {
            scopes += 1;
            assert!(scope.path().len() > 0);
            assert!(
                scope
                    .path()
                    .all(|step| step.device < 32 && step.function < 8)
            );
        }
    }
    assert_eq!(scopes, counts.scopes);
    let units: Vec<_> = dmar.units().collect();
    assert_eq!(units.len(), counts.remapping_units);
    for (index, unit) in units.iter().enumerate() {
        let all = units[..index].iter().filter(|one| one.include_all);
        assert!(all.clone().all(|one| one.segment != unit.segment));
        assert!(units[..index].iter().all(|one| one.base != unit.base));
    }
}

fn check_ivrs(ivrs: Ivrs<'_>) {
    let mut entries = 0;
    for block in ivrs.blocks() {
        match block {
            IvrsBlock::Unit(unit) => {
                assert!(unit.base != 0 && unit.base >> 52 == 0);
                for entry in unit.devices {
                    entries += 1;
                    assert!(entry.first <= entry.last);
                }
            }
            IvrsBlock::Memory(range) => {
                assert!(range.devices.0 <= range.devices.1 && range.length_bytes > 0);
            }
            IvrsBlock::Unknown(_) => {}
        }
    }
    assert_eq!(entries, ivrs.counts().device_entries);
}

fn check_viot(viot: Viot<'_>) {
    let nodes: Vec<_> = viot.nodes().collect();
    let is_unit = |at: u16| {
        let named = nodes.iter().filter(|(offset, _)| *offset == at);
        named.clone().count() == 1
            && named
                .into_iter()
                .all(|(_, node)| matches!(node, ViotNode::PciUnit(..) | ViotNode::MmioUnit(_)))
    };
    let mut below = BTreeSet::new();
    for (place, (at, node)) in nodes.iter().enumerate() {
        assert!(nodes[..place].iter().all(|(before, _)| before < at));
        match *node {
            ViotNode::PciRange(range) => {
                assert!(is_unit(range.unit));
                assert!(range.segments.0 <= range.segments.1);
                assert!(range.functions.0 <= range.functions.1);
                // No function is below two units: ends and middles of ranges, which are small here or whole segments.
                let middle = range.functions.0.midpoint(range.functions.1);
                for function in BTreeSet::from([range.functions.0, middle, range.functions.1]) {
                    let others = nodes.iter().filter(|(_, other)| {
                        matches!(other, ViotNode::PciRange(other)
                            if (other.segments.0..=other.segments.1).contains(&range.segments.0)
                                && (other.functions.0..=other.functions.1).contains(&function))
                    });
                    assert_eq!(others.count(), 1);
                }
            }
            ViotNode::MmioEndpoint(unit) => assert!(is_unit(unit)),
            ViotNode::PciUnit(segment, function) => {
                assert!(below.insert(u64::from(segment) << 16 | u64::from(function)));
            }
            ViotNode::MmioUnit(base) => {
                assert!(base != 0 && base & 0xfff == 0 && base >> 52 == 0);
                // No function has an address of a page.
                assert!(below.insert(base << 32));
            }
            ViotNode::Unknown(kind) => assert!(!(1..=4).contains(&kind)),
        }
    }
}

/// Nodes of the right sizes from offset 48 on, whose units are mostly the first two of them.
fn viot_nodes() -> impl Strategy<Value = Vec<u8>> {
    let node = (
        select(&[1u8, 1, 1, 2, 3, 4, 9][..]),
        any::<[u8; 6]>(),
        prop::bool::weighted(0.97),
    );
    (vec(node, 0..8), 0u16..3).prop_map(|(nodes, more)| {
        let count = 2 + nodes.len() as u16 + more / 2;
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[48, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[3, 0, 16, 0, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[4, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0]);
        for (kind, seed, honest) in nodes {
            let length = if matches!(kind, 1 | 2) { 24 } else { 16 };
            let mut node = vec![0; length];
            node[0] = kind;
            node[2] = length as u8 - u8::from(!honest) * 4;
            match kind {
                1 => {
                    let first = seed[0] & 7;
                    node[4] = seed[1];
                    node[8] = seed[2] & 1;
                    node[10] = (seed[2] & 1) + (seed[3] & 1);
                    node[13] = first;
                    node[14..16].copy_from_slice(&[0xff, first + (seed[4] & 1)]);
                    node[16] = [48, 64, 64, 80][usize::from(seed[5] & 3)];
                }
                2 => node[16] = [48, 64][usize::from(seed[5] & 1)],
                3 => node[4..8].copy_from_slice(&[0, 0, seed[0] & 0x38, 0]),
                4 => node[8..12].copy_from_slice(&[0, seed[0] & 0xf0, seed[1], 0]),
                _ => {}
            }
            bytes.extend_from_slice(&node);
        }
        bytes
    })
}

/// Bodies that look like the real thing, so that the readers get past their first checks.
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn body(signature: Signature) -> BoxedStrategy<Vec<u8>> {
    let tagged = |header: usize, wide: bool, kinds: &'static [u8]| {
        let entry = (
            select(kinds),
            vec(any::<u8>(), 0..40),
            prop::bool::weighted(0.97),
        );
        (vec(any::<u8>(), header), vec(entry, 0..12)).prop_map(move |(mut bytes, entries)| {
            for (kind, content, honest) in entries {
                let head = if wide { 4 } else { 2 };
                let length = match (wide, kind) {
                    (false, 0 | 3) => 8,
                    (false, 1 | 5 | 10) => 12,
                    (false, 2) => 10,
                    (false, 4) => 6,
                    (false, 9) => 16,
                    _ => head + content.len(),
                };
                let said = if honest { length } else { length + 5 } as u8;
                let at = bytes.len();
                match wide {
                    true => bytes.extend_from_slice(&[kind, 0, said, 0]),
                    false => bytes.extend_from_slice(&[kind, said]),
                }
                // Small values, so that identifiers collide and flags are sometimes legal.
                bytes.extend(content.iter().map(|byte| byte & 0x0d));
                bytes.resize(at + length, 1);
                if wide && honest && header == DMAR_HEADER {
                    straighten_dmar(kind, &mut bytes, at);
                }
                if wide && honest && header == IVRS_HEADER {
                    straighten_ivrs(kind, &mut bytes, at);
                }
                if !wide {
                    straighten(kind, &mut bytes[at..]);
                }
            }
            bytes
        })
    };
    match signature {
        Signature::MADT => tagged(8, false, &[0, 0, 1, 2, 3, 4, 5, 9, 9, 10, 11, 0x7f])
            .prop_map(|mut bytes| {
                bytes[..4].copy_from_slice(&0xfee0_0000u32.to_le_bytes());
                bytes
            })
            .boxed(),
        Signature::DMAR => tagged(DMAR_HEADER, true, &[0, 0, 1, 2, 3, 4, 5, 6, 9])
            .prop_map(|mut bytes| {
                bytes[0] &= 0x3f;
                bytes
            })
            .boxed(),
        // One byte more than the header has, cut off again, so that the two can be told apart above.
        Signature::IVRS => tagged(
            IVRS_HEADER,
            true,
            &[0x10, 0x11, 0x40, 0x20, 0x21, 0x22, 0x33],
        )
        .prop_map(|bytes| bytes[1..].to_vec())
        .boxed(),
        Signature::VIOT => viot_nodes().boxed(),
        Signature::MCFG => vec((0u64..6, 0u16..3, any::<u8>(), any::<u8>()), 0..6)
            .prop_map(|windows| {
                let mut bytes = vec![0; 8];
                for (base, segment, start, end) in windows {
                    bytes.extend_from_slice(&(base << 28).to_le_bytes());
                    bytes.extend_from_slice(&segment.to_le_bytes());
                    bytes.extend_from_slice(&[start & 0x1f, end & 0x3f, 0, 0, 0, 0]);
                }
                bytes
            })
            .boxed(),
        Signature::FADT => {
            // 32-bit ports, generic addresses (space and address), flags.
            let fields = [
                40, 48, 64, 68, 76, 113, 116, 120, 128, 140, 172, 176, 184, 188, 208, 212, 244, 248,
            ];
            let field = (
                select(fields.to_vec()),
                prop_oneof![4 => 0u16..0x1000, 1 => any::<u16>()],
            );
            (80usize..240, vec(field, 0..6))
                .prop_map(|(length, fields)| {
                    let mut bytes = vec![0; length];
                    bytes[89 - 36] = 2;
                    bytes[91 - 36] = 4;
                    for (at, value) in fields {
                        let value = if matches!(at, 172 | 184 | 208 | 244) {
                            value % 4
                        } else {
                            value
                        };
                        let at = at - 36;
                        if let Some(place) = bytes.get_mut(at..at + 2) {
                            place.copy_from_slice(&value.to_le_bytes());
                        }
                    }
                    bytes
                })
                .boxed()
        }
        Signature::DSDT => {
            let pieces = [
                &b"\x08_S5_"[..],
                b"_S5_",
                b"\x12",
                b"\x06\x04",
                b"\x0a\x05",
                b"\x0a\x05\0\0",
                b"\\",
                b"\x12\x07\x02\x0a\x05\x0a\x05",
                b"\x0c",
                b"\x45\0",
            ];
            vec(
                prop_oneof![
                    select(pieces.map(<[u8]>::to_vec).to_vec()),
                    vec(any::<u8>(), 0..4)
                ],
                0..24,
            )
            .prop_map(|pieces| pieces.concat())
            .boxed()
        }
        _ => vec(any::<u8>(), 0..64).boxed(),
    }
}

const DMAR_HEADER: usize = 12;
const IVRS_HEADER: usize = 13;

/// Gives a DMAR structure fields of the right size, and its rest as a scope.
fn straighten_dmar(kind: u8, bytes: &mut Vec<u8>, at: usize) {
    let mut body = bytes.split_off(at);
    let fixed = match kind {
        0 => 16,
        1 => 24,
        3 => 20,
        4 => 10,
        _ => 8,
    };
    let seed = body.get(4..).unwrap_or_default().to_vec();
    let byte = |index: usize| seed.get(index).copied().unwrap_or(3);
    body.resize(fixed, 0);
    match kind {
        0 => body[8..16].copy_from_slice(&(u64::from(byte(0)) << 12 | 1 << 16).to_le_bytes()),
        1 => {
            body[8..16].copy_from_slice(&(u64::from(byte(0)) << 12).to_le_bytes());
            body[16..24].copy_from_slice(&0xf_ffffu64.to_le_bytes());
        }
        _ => {}
    }
    if matches!(kind, 0 | 1 | 2 | 5 | 6) && byte(1) & 4 == 0 {
        body.extend_from_slice(&[byte(2), 8, 0, 0, byte(3), byte(4), byte(5), byte(6) & 7]);
    }
    body[2] = body.len() as u8;
    bytes.extend_from_slice(&body);
}

/// Gives an IVRS block fields of the right size, and its rest as device entries.
fn straighten_ivrs(kind: u8, bytes: &mut Vec<u8>, at: usize) {
    let mut body = bytes.split_off(at);
    let fixed = match kind {
        0x10 => 24,
        0x11 | 0x40 => 40,
        0x20..=0x22 => 32,
        _ => 4,
    };
    let seed = body.get(4..).unwrap_or_default().to_vec();
    let byte = |index: usize| seed.get(index).copied().unwrap_or(2);
    body.resize(fixed, 0);
    match kind {
        0x10 | 0x11 | 0x40 => {
            body[8..16].copy_from_slice(&(u64::from(byte(0)) << 14 | 1 << 24).to_le_bytes());
            for piece in seed.chunks_exact(2) {
                match piece[0] & 3 {
                    0 => body.extend_from_slice(&[3, 1, 0, 0, 4, piece[1], 1, 0]),
                    1 => body.extend_from_slice(&[66, piece[1], 0, 0, 0, piece[1], 0, 0]),
                    _ => body.extend_from_slice(&[piece[0], piece[1], 0, 0]),
                }
            }
        }
        0x20..=0x22 => body[16..32].copy_from_slice(&[
            0,
            0x10,
            byte(1),
            0,
            0,
            0,
            0,
            0,
            0,
            0x10,
            0,
            0,
            0,
            0,
            0,
            0,
        ]),
        _ => {}
    }
    body[2] = body.len() as u8;
    bytes.extend_from_slice(&body);
}

/// Gives an MADT entry the fields without which it would be refused at once.
fn straighten(kind: u8, entry: &mut [u8]) {
    match kind {
        1 => {
            entry[4] &= 0xf0;
            entry[7] = 0xfe;
        }
        2 => entry[2] = 0,
        4 => entry[5] &= 1,
        5 => {
            entry[4] = 0;
            entry[5] = 0x10;
            entry[10..12].fill(0);
        }
        10 => entry[8] &= 1,
        _ => {}
    }
}

fn plausible() -> impl Strategy<Value = Vec<u8>> {
    select(&SIGNATURES[..])
        .prop_flat_map(|signature| (Just(signature), body(signature)))
        .prop_map(|(signature, body)| table(signature, &body))
}

/// Flat memory from address 0x1000 on.
struct Memory(Vec<u8>);

impl PhysReader for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let start = address.checked_sub(0x1000).ok_or(ReadError)?;
        let start = usize::try_from(start).map_err(|_| ReadError)?;
        let end = start.checked_add(buffer.len()).ok_or(ReadError)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(ReadError)?);
        Ok(())
    }
}

fn walk(memory: &Memory, rsdp: u64) {
    let Ok(root) = Root::locate(memory, rsdp) else {
        return;
    };
    assert!(root.len() <= acpi_tables::MAX_TABLES);
    let mut buffer = vec![0; 4096];
    for found in root.tables(memory).flatten() {
        assert!((36..=1 << 20).contains(&found.length_bytes));
        if let Ok(table) = found.copy(memory, &mut buffer) {
            let copy = table.bytes().to_vec();
            read_all(&copy).unwrap();
        }
    }
    for signature in SIGNATURES {
        if let Err(error) = root.find(memory, signature) {
            assert_eq!(error.table, signature);
        }
        if let Err(error) = root.find_unique(memory, signature) {
            assert_eq!(error.table, signature);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        read_all(&bytes)?;
        let _ = Rsdp::parse(&bytes);
    }

    #[test]
    fn sealed_random_bodies_are_survived(signature in select(&SIGNATURES[..]), body in vec(any::<u8>(), 0..400)) {
        read_all(&table(signature, &body))?;
    }

    #[test]
    fn plausible_tables_keep_their_promises(bytes in plausible()) {
        read_all(&bytes)?;
    }

    #[test]
    fn mutated_tables_are_survived(
        mut bytes in plausible(),
        flips in vec((any::<Index>(), any::<u8>()), 1..6),
        cut in any::<Index>(),
        reseal in prop::bool::weighted(0.8),
    ) {
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if reseal {
            seal(&mut bytes);
        }
        read_all(&bytes)?;
        read_all(&bytes[..cut.index(bytes.len())])?;
    }

    #[test]
    fn walks_over_hostile_memory_end(
        tables in vec(plausible(), 0..5),
        wild in vec(any::<u64>(), 0..3),
        flips in vec((any::<Index>(), any::<u8>()), 0..4),
        rsdp_at in prop_oneof![9 => Just(0x1000u64), 1 => any::<u64>()],
    ) {
        let mut memory = vec![0; 0x100];
        let mut addresses = wild;
        for table in &tables {
            addresses.push(0x1000 + memory.len() as u64);
            memory.extend_from_slice(table);
        }
        let body: Vec<u8> = addresses.iter().flat_map(|address| address.to_le_bytes()).collect();
        let root = 0x1000 + memory.len() as u64;
        memory.extend_from_slice(&table(Signature::XSDT, &body));
        let mut rsdp = b"RSD PTR \0CAPOS \x02\0\0\0\0\x24\0\0\0".to_vec();
        rsdp[8] = rsdp[..20].iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        rsdp.extend_from_slice(&root.to_le_bytes());
        rsdp.resize(36, 0);
        rsdp[32] = rsdp.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        memory[..36].copy_from_slice(&rsdp);
        let intact = Memory(memory.clone());
        let found = Root::locate(&intact, 0x1000);
        prop_assert!(found.is_ok_and(|found| found.len() + found.null_entries() == addresses.len()));
        for (at, value) in flips {
            let at = at.index(memory.len());
            memory[at] = value;
        }
        let memory = Memory(memory);
        walk(&memory, rsdp_at);
        for address in addresses {
            let _ = TableRef::read(&memory, address, Signature::DSDT);
        }
    }
}
