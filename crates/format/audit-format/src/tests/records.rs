//! Records in a ring, and the chain over them.

use alloc::vec::Vec;
use proptest::prelude::*;

use crate::{Chain, Event, Kind, RECORD_BYTES, Record, Ring, Secret, Window};

fn event(number: u64) -> Event {
    Event {
        value: number,
        function: 8,
        ..Event::new(Kind::BufferAllocated)
    }
}

#[test]
fn a_record_reads_as_it_was_written() {
    for kind in Kind::ALL {
        let record = Record {
            sequence: 7,
            ns: 1 << 40,
            event: Event {
                kind: *kind,
                outcome: 4,
                function: 0x1_0203,
                owner: 9,
                claim: 10,
                object: 11,
                object_generation: 12,
                detail: 13,
                value: u64::MAX,
            },
        };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        assert_eq!(Kind::from_number(*kind as u16), Some(*kind));
    }
}

#[test]
fn numbers_that_no_record_has_are_refused() {
    let good = Record {
        sequence: 1,
        ns: 0,
        event: event(1),
    }
    .encode();
    assert_eq!(Record::decode(&good[..63]), None);
    assert_eq!(Record::decode(&[0; RECORD_BYTES]), None);
    for (at, value) in [(0, 0), (16, 0), (17, 1), (19, 1)] {
        let mut bad = good;
        bad[at] = value;
        assert_eq!(Record::decode(&bad), None, "byte {at}");
    }
}

#[test]
fn reads_are_clamped_and_say_what_is_gone() {
    let mut ring = Ring::<8>::new();
    assert_eq!(ring.window(0, 9).unwrap().count, 0);
    for number in 0..20 {
        ring.record(event(number), number);
    }
    ring.fold();
    let all = ring.window(0, u32::MAX).unwrap();
    assert_eq!((all.first, all.count, all.dropped), (13, 8, 12));
    let from_five = ring.window(5, 3).unwrap();
    let Window {
        first,
        count,
        dropped,
        next,
        edge,
        ..
    } = from_five;
    assert_eq!((first, count, dropped, next, edge), (13, 3, 8, 16, 21));
    let edge = ring.window(21, 3).unwrap();
    assert_eq!(
        (edge.first, edge.count, edge.dropped, edge.next),
        (21, 0, 0, 21)
    );
    assert!(ring.window(22, 1).is_err());
    assert!(ring.window(u64::MAX, 1).is_err());
    assert!(ring.get(12).is_none() && ring.get(21).is_none() && ring.get(0).is_none());
    assert_eq!(ring.counters().overwritten, 12);
}

#[test]
fn records_that_nobody_read_are_one_link() {
    let mut ring = Ring::<8>::new();
    let mut bytes = Vec::new();
    for number in 0..3 {
        ring.record(event(number), number);
    }
    ring.fold();
    for sequence in 1..=3 {
        bytes.extend_from_slice(ring.get(sequence).unwrap());
    }
    let read = Chain::GENESIS.over(&bytes);
    assert_eq!(ring.head(), read);
    // Of the 17 that follow the last 8 are held, and the first 9 went unread.
    for number in 3..20 {
        ring.record(event(number), number);
        assert!(ring.unfolded() <= 8);
    }
    assert_eq!(ring.head(), read, "who records folds nothing");
    ring.fold();
    let window = ring.window(4, 20).unwrap();
    assert_eq!((window.first, window.dropped, window.count), (13, 9, 8));
    assert_eq!(window.before, read.after_unread(9));
    assert_ne!(window.before, read.after_unread(8));
    bytes.clear();
    for sequence in 13..=20 {
        bytes.extend_from_slice(ring.get(sequence).unwrap());
    }
    assert_eq!(window.before.over(&bytes), window.head);
    bytes[70] ^= 1;
    assert_ne!(window.before.over(&bytes), window.head);
}

#[test]
fn a_link_that_comes_late_changes_nothing() {
    let mut ring = Ring::<2>::new();
    ring.record(event(1), 1);
    let first = ring.link().unwrap().fold();
    let again = ring.link().unwrap().fold();
    ring.put(&first);
    let head = ring.head();
    ring.put(&again);
    assert_eq!((ring.head(), ring.unfolded()), (head, 0));
    // This one goes while it is hashed.
    ring.record(event(2), 2);
    let late = ring.link().unwrap().fold();
    for number in 3..6 {
        ring.record(event(number), number);
    }
    ring.put(&late);
    assert_eq!((ring.head(), ring.unfolded()), (head, 2));
    ring.fold();
    assert_eq!(ring.window(0, 2).unwrap().before, head.after_unread(2));
}

#[test]
fn a_flood_of_refusals_drives_nothing_else_out() {
    let mut ring = Ring::<64>::new();
    ring.record(Event::new(Kind::Claimed), 0);
    for _ in 0..10_000 {
        ring.record(Event::new(Kind::Refused), 5);
    }
    assert!(ring.get(1).is_some(), "the claim is still there");
    assert_eq!(ring.counters().kinds[Kind::Refused as usize], 10_000);
    assert_eq!(ring.counters().suppressed, 10_000 - 32);
    assert!(ring.record(Event::new(Kind::ReaderRefused), 5).is_some());
    // After a while there is room for some again.
    assert!(
        ring.record(Event::new(Kind::Refused), 1_000_000_000)
            .is_some()
    );
    assert_eq!(ring.counters().overwritten, 0);
}

#[test]
fn secrets_are_64_hexadecimal_digits() {
    let text = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    assert!(Secret::parse(text).is_some());
    assert!(Secret::parse(&text[1..]).is_none());
    assert!(Secret::parse(&text.replace('f', "g")).is_none());
    assert!(Secret::parse("").is_none());
}

proptest! {
    /// Reads at any moments, of rings that turn over: each piece is chained, goes on where the one before ended, or says what
    /// went in between, and by whom it was read makes no difference.
    #[test]
    fn two_readers_see_one_chain(rounds in proptest::collection::vec((0u64..30, 0u32..20, any::<bool>()), 1..20)) {
        let mut ring = Ring::<16>::new();
        let mut readers = [(1, Chain::GENESIS); 2];
        for (events, max, which) in rounds {
            for number in 0..events {
                ring.record(event(number), number);
            }
            ring.fold();
            let (from, chain) = readers[usize::from(which)];
            let window = ring.window(from, max).unwrap();
            prop_assert_eq!(window.edge, ring.edge());
            if window.dropped == 0 {
                prop_assert_eq!(window.before, chain);
            }
            let mut chain = window.before;
            for sequence in window.first..window.next {
                chain = chain.after(ring.get(sequence).unwrap());
            }
            if window.next == window.edge {
                prop_assert_eq!(chain, window.head);
            }
            readers[usize::from(which)] = (window.next, chain);
        }
    }

    /// Whatever is read, from wherever, is chained from `before`, and reading on from `next` misses nothing.
    #[test]
    fn readers_can_check_what_they_read(events in 0u64..60, from in 0u64..70, max in 0u32..20) {
        let mut ring = Ring::<16>::new();
        let mut chains = Vec::from([Chain::GENESIS]);
        for number in 0..events {
            let sequence = ring.record(event(number), number).unwrap();
            prop_assert_eq!(sequence, number + 1);
            ring.fold();
            chains.push(ring.head());
        }
        let Ok(window) = ring.window(from, max) else {
            prop_assert!(from > events + 1);
            return Ok(());
        };
        prop_assert_eq!(window.before, chains[window.first as usize - 1]);
        let mut chain = window.before;
        for sequence in window.first..window.next {
            chain = chain.after(ring.get(sequence).unwrap());
        }
        prop_assert_eq!(chain, chains[window.next as usize - 1]);
        prop_assert_eq!(window.first, from.max(1) + window.dropped);
        prop_assert!(window.count <= max && window.next <= window.edge);
        prop_assert!(window.count == max || window.next == window.edge);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::array::uniform32(any::<u8>())) {
        let mut record = [0; RECORD_BYTES];
        record[..32].copy_from_slice(&bytes);
        let _ = Record::decode(&record);
    }
}
