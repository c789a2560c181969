//! A journal on a disk that loses power, and one that somebody changed.

use alloc::vec::Vec;
use proptest::prelude::*;

use super::disk::{BLOCK, Ram};
use crate::segment::Header;
use crate::{
    Batch, CELL_BYTES, Chain, Error, Event, Geometry, HEADER_BYTES, INSTALLATION_BYTES, Journal,
    Key, Kind, RECORD_BYTES, Recovery, Refused, Ring, Rule, SLOT_CELLS, Secret, recover,
};

const CELLS: usize = 2 + 3 * 6;
const INSTALLATION: [u8; INSTALLATION_BYTES] = *b"an installation.";

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn key_of(installation: &[u8; INSTALLATION_BYTES]) -> Key {
    Key::derive(&secret(), installation)
}

/// A boot of the log: one ring, and segments of `each` records.
fn boot(disk: Ram, segments: usize, each: u64) -> Ram {
    let (mut journal, _) = Journal::open(disk, &key_of, &mut |_, _| {}).unwrap();
    let mut ring = Ring::<64>::new();
    let mut from = 1;
    for _ in 0..segments {
        for number in 0..each {
            ring.record(
                Event {
                    value: number,
                    ..Event::new(Kind::Claimed)
                },
                number,
            );
        }
        from = append(&mut journal, &mut ring, from);
    }
    journal.into_region()
}

fn append(journal: &mut Journal<Ram>, ring: &mut Ring<64>, from: u64) -> u64 {
    ring.fold();
    let window = ring.window(from, 128).unwrap();
    let records: Vec<u8> = (window.first..window.next)
        .flat_map(|sequence| *ring.get(sequence).unwrap())
        .collect();
    journal
        .append(&Batch {
            first: window.first,
            records: &records,
            dropped: window.dropped,
            suppressed: 0,
            before: window.before,
        })
        .unwrap();
    window.next
}

fn formatted() -> Ram {
    let mut disk = Ram::new(CELLS);
    Journal::format(&mut disk, &secret(), INSTALLATION).unwrap();
    disk.most_unflushed = 0;
    disk
}

/// Recovers, and gives every record that was taken for valid.
fn read(disk: &Ram) -> (Result<Recovery, Error<()>>, Vec<u8>) {
    let mut records = Vec::new();
    let found = recover(&mut disk.clone(), &key_of, &mut |_, bytes| {
        records.extend_from_slice(bytes);
    });
    (found.map(|(found, _)| found), records)
}

fn refused(disk: &Ram) -> Option<Refused> {
    match read(disk).0 {
        Ok(found) => found.refused,
        Err(Error::Refused(refused)) => Some(refused),
        Err(other) => panic!("{other:?}"),
    }
}

fn slot(number: u64) -> usize {
    let geometry = Geometry::of_cells(CELLS as u64).unwrap();
    geometry.cell_of(number) as usize * CELL_BYTES
}

fn copy_slot(disk: &mut Ram, from: &[u8], to: u64) {
    let at = slot(to);
    disk.bytes[at..at + from.len()].copy_from_slice(from);
}

fn slot_bytes(disk: &Ram, number: u64) -> Vec<u8> {
    disk.bytes[slot(number)..][..SLOT_CELLS as usize * CELL_BYTES].to_vec()
}

fn at_slot(slot: u64, rule: Rule) -> Option<Refused> {
    Some(Refused {
        slot: Some(slot),
        rule,
    })
}

/// Changes a segment as whoever has the key could.
fn reseal(disk: &mut Ram, number: u64, key: &Key, change: impl Fn(&mut Header, &mut Vec<u8>)) {
    let at = slot(number);
    let block: &[u8; HEADER_BYTES] = disk.bytes[at..].first_chunk().unwrap();
    let mut header = Header::decode(block, &key_of(&INSTALLATION)).unwrap();
    let mut records = header
        .check_records(&disk.bytes[at + CELL_BYTES..])
        .unwrap()
        .to_vec();
    change(&mut header, &mut records);
    header.records = crate::Digest::of_records(&records);
    let block = header.encode(key);
    disk.bytes[at..at + HEADER_BYTES].copy_from_slice(&block);
    disk.bytes[at + CELL_BYTES..][..records.len()].copy_from_slice(&records);
}

#[test]
fn a_blank_region_is_blank_and_a_small_one_too_small() {
    assert_eq!(read(&Ram::new(CELLS)).0, Err(Error::Blank));
    assert_eq!(read(&Ram::new(13)).0, Err(Error::TooSmall));
    let mut cut = formatted();
    cut.bytes.truncate(17 * CELL_BYTES);
    assert_eq!(read(&cut).0, Err(Error::TooSmall));
}

#[test]
fn boots_go_on_with_the_chain_of_segments() {
    let mut disk = formatted();
    for (boots, segments) in [(1, 2), (2, 4), (3, 6), (4, 6), (5, 6)] {
        disk = boot(disk, 2, 5);
        let found = read(&disk).0.unwrap();
        assert_eq!(found.refused, None);
        assert_eq!((found.segments, found.records), (segments, segments * 5));
        assert_eq!(found.newest.unwrap().index, boots * 2 - 1);
        assert_eq!(found.newest.unwrap().boot, boots - 1);
    }
    assert_eq!(
        disk.most_unflushed, 1,
        "each write lasts before the next one"
    );
}

#[test]
fn a_gap_is_told_and_does_not_break_the_chain() {
    let (mut journal, _) = Journal::open(formatted(), &key_of, &mut |_, _| {}).unwrap();
    let mut ring = Ring::<64>::new();
    for number in 0..100 {
        ring.record(Event::new(Kind::Claimed), number);
    }
    let next = append(&mut journal, &mut ring, 1);
    for number in 0..70 {
        ring.record(Event::new(Kind::Claimed), number);
    }
    append(&mut journal, &mut ring, next);
    let mut dropped = Vec::new();
    let found = recover(&mut journal.into_region(), &key_of, &mut |header, _| {
        dropped.push(header.dropped);
    });
    assert_eq!(found.unwrap().0.refused, None);
    assert_eq!(dropped, [36, 6]);
}

#[test]
fn batches_that_fit_no_segment_are_refused() {
    let (mut journal, _) = Journal::open(formatted(), &key_of, &mut |_, _| {}).unwrap();
    for bytes in [0, 63, 129 * RECORD_BYTES] {
        let batch = Batch {
            first: 1,
            records: &[0; 129 * RECORD_BYTES][..bytes],
            dropped: 0,
            suppressed: 0,
            before: Chain::GENESIS,
        };
        assert_eq!(journal.append(&batch), Err(Error::BadBatch));
    }
}

#[test]
fn what_was_done_to_a_segment_is_named() {
    let disk = boot(formatted(), 4, 5);
    let body = |number| slot(number) + CELL_BYTES;
    let with = |change: &dyn Fn(&mut Ram)| {
        let mut changed = disk.clone();
        change(&mut changed);
        refused(&changed)
    };
    assert_eq!(with(&|_| {}), None);
    assert_eq!(
        with(&|d| d.bytes[body(1) + 70] ^= 1),
        at_slot(1, Rule::BadDigest)
    );
    assert_eq!(
        with(&|d| d.bytes[body(1) + 128..body(2) - CELL_BYTES].fill(0)),
        at_slot(1, Rule::Truncated)
    );
    assert_eq!(
        with(&|d| d.bytes[slot(2) + 56] = 1),
        at_slot(2, Rule::BadSeal)
    );
    assert_eq!(
        with(&|d| d.bytes[slot(2) + 300] = 1),
        at_slot(2, Rule::BadFormat)
    );
    assert_eq!(with(&|d| d.bytes[slot(2)] = 0), at_slot(2, Rule::BadFormat));
    assert_eq!(
        with(&|d| d.bytes[slot(2)..][..BLOCK].fill(0)),
        at_slot(2, Rule::Missing)
    );
    assert_eq!(
        with(&|d| d.bytes[slot(3)..][..BLOCK].fill(0)),
        at_slot(3, Rule::Missing)
    );
    let (first, third) = (slot_bytes(&disk, 0), slot_bytes(&disk, 2));
    assert_eq!(
        with(&|d| copy_slot(d, &first, 2)),
        at_slot(2, Rule::Replayed)
    );
    assert_eq!(
        with(&|d| copy_slot(d, &first, 4)),
        at_slot(4, Rule::Replayed)
    );
    assert_eq!(
        with(&|d| copy_slot(d, &first, 5)),
        at_slot(5, Rule::Replayed)
    );
    assert_eq!(
        with(&|d| copy_slot(d, &third, 1)),
        at_slot(1, Rule::Reordered)
    );
}

#[test]
fn other_keys_and_forged_names_are_told_apart() {
    let disk = boot(formatted(), 3, 5);
    let other = Key::derive(&Secret::new([8; 32]), &INSTALLATION);
    let mine = key_of(&INSTALLATION);
    let mut changed = disk.clone();
    reseal(&mut changed, 1, &other, |header, _| header.key = other.id());
    assert_eq!(refused(&changed), at_slot(1, Rule::WrongKey));
    let mut changed = disk.clone();
    reseal(&mut changed, 1, &other, |header, _| header.key = mine.id());
    assert_eq!(refused(&changed), at_slot(1, Rule::BadSeal));
    let found = recover(&mut disk.clone(), &|_| other.clone(), &mut |_, _| {});
    let Err(Error::Refused(refused)) = found else {
        panic!("another key reads it")
    };
    assert_eq!(
        refused,
        Refused {
            slot: None,
            rule: Rule::WrongKey
        }
    );
}

#[test]
fn whoever_has_the_key_still_cannot_change_one_segment_alone() {
    let disk = boot(formatted(), 3, 5);
    let mine = key_of(&INSTALLATION);
    let rechain = |header: &mut Header, records: &mut Vec<u8>| {
        records[56] ^= 1;
        header.after = header.before.over(records);
    };
    let mut changed = disk.clone();
    reseal(&mut changed, 0, &mine, rechain);
    assert_eq!(refused(&changed), at_slot(1, Rule::BrokenLink));
    let mut changed = disk.clone();
    reseal(&mut changed, 2, &mine, rechain);
    assert_eq!(refused(&changed), at_slot(2, Rule::RolledBack));
    let mut changed = disk.clone();
    reseal(&mut changed, 1, &mine, |_, records| records[56] ^= 1);
    assert_eq!(refused(&changed), at_slot(1, Rule::BrokenChain));
    let mut changed = disk;
    reseal(&mut changed, 1, &mine, |_, records| records[0] = 99);
    assert_eq!(refused(&changed), at_slot(1, Rule::BadRecord));
}

#[test]
fn a_region_put_together_from_two_times_is_refused() {
    let one = boot(formatted(), 2, 5);
    let (left, right) = (boot(one.clone(), 2, 5), boot(one.clone(), 2, 6));
    // A segment of the other branch: its seal is good, and so is its place.
    let mut spliced = left.clone();
    copy_slot(&mut spliced, &slot_bytes(&right, 2), 2);
    assert_eq!(refused(&spliced), at_slot(3, Rule::BrokenLink));
    // Superblocks of before under segments of after.
    let mut old = left;
    old.bytes[..2 * CELL_BYTES].copy_from_slice(&one.bytes[..2 * CELL_BYTES]);
    assert_eq!(refused(&old), at_slot(3, Rule::RolledBack));
}

#[test]
fn one_spoilt_superblock_is_told_and_two_are_refused() {
    let disk = boot(formatted(), 3, 5);
    for copy in 0..2 {
        let mut changed = disk.clone();
        changed.bytes[copy * CELL_BYTES + 40] ^= 1;
        let found = read(&changed).0.unwrap();
        assert!(found.spoilt_copy && found.refused.is_none());
        assert_eq!(found.segments, 3);
    }
    let mut changed = disk;
    changed.bytes[40] ^= 1;
    changed.bytes[CELL_BYTES + 40] ^= 1;
    assert_eq!(
        refused(&changed),
        Some(Refused {
            slot: None,
            rule: Rule::BadSeal
        })
    );
}

/// Power lost at every step of an append, with every kind of torn write.
#[test]
fn a_crash_leaves_the_state_before_or_the_segment() {
    for before in 0..14 {
        let mut disk = formatted();
        for _ in 0..before {
            disk = boot(disk, 1, 20);
        }
        let base = disk.clone();
        disk.writes.clear();
        let after = boot(disk, 1, 20);
        assert_eq!(after.writes.len(), 4);
        for (torn, write) in after.writes.iter().enumerate() {
            let blocks = write.bytes.len() / BLOCK;
            for pattern in [0u32, 1, 2, 5, 0xaaaa_aaaa, 0x5555_5555, !0, !1] {
                let mut crashed = base.clone();
                for whole in &after.writes[..torn] {
                    crashed.apply(whole, |_| true);
                }
                crashed.apply(write, |block| pattern >> (block % 32) & 1 == 1);
                let found = read(&crashed).0.unwrap_or_else(|error| {
                    panic!(
                        "{before} segments, write {torn} of {blocks} blocks, {pattern:x}: {error:?}"
                    )
                });
                assert_eq!(found.refused, None, "{before} {torn} {pattern:x}");
                let newest = found.newest.map_or(0, |newest| newest.index + 1);
                assert!(
                    newest == before || newest == before + 1,
                    "{before} {torn} {pattern:x}"
                );
                // And it goes on from there.
                let on = boot(crashed, 2, 3);
                assert_eq!(read(&on).0.unwrap().refused, None);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// No change of any byte makes the reader take for valid what was never written, or panic.
    #[test]
    fn nothing_forged_is_read(
        segments in 1usize..9,
        changes in proptest::collection::vec((0usize..CELLS * CELL_BYTES, 1u8..=255), 1..4),
    ) {
        let disk = boot(formatted(), segments, 5);
        let (_, truth) = read(&disk);
        let mut changed = disk.clone();
        for (at, bits) in &changes {
            changed.bytes[*at] ^= bits;
        }
        let (found, records) = read(&changed);
        prop_assert!(truth.starts_with(&records));
        if let Ok(found) = found {
            prop_assert!(found.refused.is_some() || records == truth);
        }
    }

    /// Whole blocks exchanged at random.
    #[test]
    fn no_rearrangement_is_read(
        segments in 1usize..9,
        swaps in proptest::collection::vec((0usize..CELLS, 0usize..CELLS), 1..4),
    ) {
        let disk = boot(formatted(), segments, 5);
        let (_, truth) = read(&disk);
        let mut changed = disk.clone();
        for (from, to) in &swaps {
            let cell = disk.bytes[from * CELL_BYTES..][..CELL_BYTES].to_vec();
            changed.bytes[to * CELL_BYTES..][..CELL_BYTES].copy_from_slice(&cell);
        }
        let (found, records) = read(&changed);
        // The oldest segment's slot may have been blanked for the next one: a blank header there is no offence.
        let rest = truth.get(5 * RECORD_BYTES..).unwrap_or_default();
        prop_assert!(truth.starts_with(&records) || rest.starts_with(&records));
        if let Ok(found) = found {
            let whole = records == truth || records == rest;
            prop_assert!(found.refused.is_some() || whole || found.spoilt_copy);
        }
    }
}
