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
    /// Whatever is read, from wherever, is chained from `before`, and reading on from `next` misses nothing.
    #[test]
    fn readers_can_check_what_they_read(events in 0u64..60, from in 0u64..70, max in 0u32..20) {
        let mut ring = Ring::<16>::new();
        let mut chains = Vec::from([Chain::GENESIS]);
        for number in 0..events {
            let sequence = ring.record(event(number), number).unwrap();
            prop_assert_eq!(sequence, number + 1);
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
