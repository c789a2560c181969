//! Tables as firmware writes them, and each way of getting one wrong.

use super::decode::fixed_length;
use super::*;
use crate::testing::table;
use std::vec;
use std::vec::Vec;

fn madt(entries: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    entries
        .iter()
        .for_each(|entry| body.extend_from_slice(entry));
    table(b"APIC", 3, &body)
}

fn rule(entries: &[&[u8]]) -> Option<Rule> {
    Madt::parse(&madt(entries)).err().map(|error| error.rule)
}

fn lapic(uid: u8, id: u8, flags: u8) -> [u8; 8] {
    [0, 8, uid, id, flags, 0, 0, 0]
}

fn x2apic(uid: u8, id: u32, flags: u8) -> [u8; 16] {
    let [a, b, c, d] = id.to_le_bytes();
    [9, 16, 0, 0, a, b, c, d, flags, 0, 0, 0, uid, 0, 0, 0]
}

fn io_apic(id: u8, address_high: u8, gsi: u8) -> [u8; 12] {
    [1, 12, id, 0, 0, 0, 0xc0, address_high, gsi, 0, 0, 0]
}

const IRQ0: [u8; 10] = [2, 10, 0, 0, 2, 0, 0, 0, 0, 0];
const IRQ9: [u8; 10] = [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0];
const LINT1_ALL: [u8; 6] = [4, 6, 0xff, 0, 0, 1];

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn a_q35_table_decodes_in_full() {
    let bytes = madt(&[
        &lapic(0, 0, 1),
        &lapic(1, 1, 1),
        &lapic(2, 2, 2),
        &io_apic(0, 0xfe, 0),
        &IRQ0,
        &IRQ9,
        &LINT1_ALL,
        &[3, 8, 0x0f, 0, 7, 0, 0, 0],
        &[10, 12, 5, 0, 3, 0, 0, 0, 0, 0, 0, 0],
        &x2apic(9, 0x1234, 1),
        &[0x10, 4, 0, 0],
        &[0x80, 2],
    ]);
    let madt = Madt::parse(&bytes).unwrap();
    assert_eq!(
        madt.counts(),
        MadtCounts {
            local_apics: 3,
            local_x2apics: 1,
            io_apics: 1,
            source_overrides: 2,
            nmi_sources: 1,
            local_nmis: 2,
            address_overrides: 0,
            unknown: 2,
        }
    );
    assert_eq!(madt.local_apic_address(), 0xfee0_0000);
    assert!(madt.has_8259());
    let ids: Vec<_> = madt
        .processors()
        .map(|one| (one.apic_id, one.uid))
        .collect();
    assert_eq!(ids, [(0, 0), (1, 1), (0x1234, 9)]);
    let io: Vec<_> = madt.io_apics().collect();
    let expected = IoApic {
        id: 0,
        address: 0xfec0_0000,
        gsi_base: 0,
    };
    assert_eq!(io, [expected]);
    let entries: Vec<_> = madt.entries().collect();
    assert_eq!(entries.len(), 12);
    let online_capable = |entry: &MadtEntry| matches!(entry, MadtEntry::Processor(p) if p.online_capable && !p.enabled);
    assert!(online_capable(&entries[2]));
    assert_eq!(
        entries[6],
        MadtEntry::LocalApicNmi(LocalApicNmi {
            uid: None,
            lint: 1,
            polarity: Polarity::BusDefault,
            trigger: Trigger::BusDefault
        })
    );
    assert_eq!(
        entries[7],
        MadtEntry::NmiSource(NmiSource {
            gsi: 7,
            polarity: Polarity::ActiveLow,
            trigger: Trigger::Level
        })
    );
    assert!(matches!(
        entries[8],
        MadtEntry::LocalApicNmi(LocalApicNmi {
            uid: Some(3),
            lint: 0,
            ..
        })
    ));
    assert_eq!(entries[11], MadtEntry::Unknown(0x80));
}

#[test]
fn isa_lines_follow_their_overrides() {
    let irq10 = [2, 10, 0, 10, 20, 0, 0, 0, 0x0f, 0];
    let bytes = madt(&[&IRQ0, &IRQ9, &irq10]);
    let madt = Madt::parse(&bytes).unwrap();
    let source = |gsi, active_low, level| InterruptSource {
        gsi,
        active_low,
        level,
    };
    assert_eq!(madt.isa_source(0), source(2, false, false));
    assert_eq!(madt.isa_source(9), source(9, false, true));
    assert_eq!(madt.isa_source(10), source(20, true, true));
    assert_eq!(madt.isa_source(4), source(4, false, false));
}

#[test]
fn a_processor_listed_twice_is_started_once() {
    let bytes = madt(&[
        &lapic(0, 0, 1),
        &x2apic(0, 0, 1),
        &lapic(1, 0xff, 0),
        &lapic(2, 0xff, 0),
        &x2apic(1, 1, 1),
        &x2apic(1, 300, 1),
    ]);
    let madt = Madt::parse(&bytes).unwrap();
    let ids: Vec<_> = madt.processors().map(|one| one.apic_id).collect();
    assert_eq!(ids, [0, 1, 300]);
}

#[test]
fn the_address_override_wins_once() {
    let five = |low: u8, high: u8| [5, 12, 0, 0, low, 0, 0, 0, high, 0, 0, 0];
    let mut over = five(0, 8);
    over[6] = 0xe0;
    let bytes = madt(&[&over]);
    let madt = Madt::parse(&bytes).unwrap();
    assert_eq!(madt.local_apic_address(), 0x8_00e0_0000);
    assert_eq!(rule(&[&over, &over]), Some(Rule::Overlap));
    assert_eq!(rule(&[&five(0, 0)]), Some(Rule::Address));
    assert_eq!(rule(&[&five(8, 1)]), Some(Rule::Address));
    let wide = [5, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0];
    assert_eq!(rule(&[&wide]), Some(Rule::Address));
}

#[test]
fn entry_lengths_are_checked() {
    assert_eq!(rule(&[&[0, 0]]), Some(Rule::EntryLength));
    assert_eq!(rule(&[&[0x7f, 0]]), Some(Rule::EntryLength));
    assert_eq!(rule(&[&[0x7f, 1]]), Some(Rule::EntryLength));
    assert_eq!(rule(&[&[0x7f, 3, 0]]), None);
    assert_eq!(rule(&[&[0x7f, 4, 0]]), Some(Rule::EntryOverrun));
    assert_eq!(rule(&[&[0]]), Some(Rule::EntryOverrun));
    assert_eq!(rule(&[&lapic(0, 0, 1)[..7]]), Some(Rule::EntryOverrun));
    for kind in [0u8, 1, 2, 3, 4, 5, 9, 10] {
        let right = fixed_length(kind).unwrap() as u8;
        for length in [right - 1, right + 1] {
            let mut entry = vec![0; usize::from(length)];
            entry[..2].copy_from_slice(&[kind, length]);
            assert_eq!(rule(&[&entry]), Some(Rule::EntryLength), "type {kind}");
        }
    }
}

#[test]
fn reserved_fields_are_refused() {
    let change = |at: usize, to: u8| {
        let mut entry = IRQ9;
        entry[at] = to;
        rule(&[&entry])
    };
    assert_eq!(change(2, 1), Some(Rule::Field));
    assert_eq!(change(3, 16), Some(Rule::Field));
    assert_eq!(change(8, 2), Some(Rule::Field));
    assert_eq!(change(8, 8), Some(Rule::Field));
    assert_eq!(rule(&[&[4, 6, 0, 0, 0, 2]]), Some(Rule::Field));
    assert_eq!(rule(&[&[3, 8, 2, 0, 0, 0, 0, 0]]), Some(Rule::Field));
}

#[test]
fn duplicates_are_refused() {
    assert_eq!(
        rule(&[&lapic(0, 4, 1), &lapic(1, 4, 1)]),
        Some(Rule::Overlap)
    );
    assert_eq!(
        rule(&[&x2apic(0, 4, 1), &x2apic(1, 4, 1)]),
        Some(Rule::Overlap)
    );
    assert_eq!(rule(&[&IRQ9, &IRQ9]), Some(Rule::Overlap));
    assert_eq!(
        rule(&[&io_apic(1, 0xfe, 0), &io_apic(1, 0xfd, 24)]),
        Some(Rule::Overlap)
    );
    assert_eq!(
        rule(&[&io_apic(1, 0xfe, 0), &io_apic(2, 0xfe, 24)]),
        Some(Rule::Overlap)
    );
    assert_eq!(
        rule(&[&io_apic(1, 0xfe, 0), &io_apic(2, 0xfd, 0)]),
        Some(Rule::Overlap)
    );
    assert_eq!(rule(&[&io_apic(1, 0xfe, 0), &io_apic(2, 0xfd, 24)]), None);
}

#[test]
fn io_apic_addresses_must_point_somewhere() {
    assert_eq!(
        rule(&[&[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
        Some(Rule::Address)
    );
    assert_eq!(
        rule(&[&[1, 12, 0, 0, 8, 0, 0xc0, 0xfe, 0, 0, 0, 0]]),
        Some(Rule::Address)
    );
}

#[test]
fn floods_are_refused() {
    let many: Vec<_> = (0..=2048u32).map(|id| x2apic(0, id, 0)).collect();
    let all: Vec<&[u8]> = many.iter().map(|one| &one[..]).collect();
    assert_eq!(rule(&all), Some(Rule::TooMany));
    assert_eq!(rule(&all[..2048]), None);
    let unknown: Vec<&[u8]> = vec![&[0x7f, 2]; 8193];
    assert_eq!(rule(&unknown), Some(Rule::TooMany));
    assert_eq!(rule(&unknown[..8192]), None);
}

#[test]
fn the_fixed_part_must_be_there() {
    let rule = |bytes: &[u8]| Madt::parse(bytes).unwrap_err().rule;
    assert_eq!(rule(&table(b"APIC", 1, &[0; 7])), Rule::Truncated);
    assert_eq!(rule(&table(b"APIC", 1, &[0; 8])), Rule::Address);
}
