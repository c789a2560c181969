//! Chains: what the device reads is what was submitted, and what it writes is believed only where it fits.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod class;
mod model;

use class::make;
use driver_core::{Completed, Refusal};
use model::{BUS, Descriptor, FROM, Harness, KINDS, Kind, Piece, TO, usual};
use proptest::prelude::*;

fn running(kind: Kind) -> Harness {
    // Few pages: the model's memory is never given back.
    let mut one = Harness::with_pages(kind, &[16, 8], 128, make);
    one.up(usual());
    one.open(0, 16).unwrap();
    one.open(1, 8).unwrap();
    one
}

fn done(slot: u16, status: u16, result: u32) -> Result<Option<Completed>, Refusal> {
    Ok(Some(Completed {
        slot,
        status,
        result,
    }))
}

/// A descriptor that the device reads.
fn read(address: u64, length: u32) -> Descriptor {
    Descriptor {
        address,
        length,
        device_writes: false,
    }
}

/// A descriptor that the device writes.
fn written(address: u64, length: u32) -> Descriptor {
    Descriptor {
        device_writes: true,
        ..read(address, length)
    }
}

#[test]
fn a_chain_is_header_segments_status() {
    for kind in KINDS {
        let mut one = running(kind);
        let buffer = one.buffer(3);
        let page = |at: usize| buffer.pages[at].bus();
        let pieces = [Piece(&buffer, 4000, 200, TO), Piece(&buffer, 8192, 512, TO)];
        let header: [u8; 16] = std::array::from_fn(|at| at as u8 + 10);
        one.submit(1, 5, &header, &pieces).unwrap();
        assert_eq!(one.state().take(1), None, "not before it rings");
        one.ring(1);
        let (head, links) = one.state().take(1).unwrap();
        assert_eq!(
            links[1..4],
            [
                read(page(0) + 4000, 96),
                read(page(1), 104),
                read(page(2), 512),
            ]
        );
        let (first, last) = (links[0], links[4]);
        assert_eq!((first.length, first.device_writes), (16, false));
        assert_eq!((last.length, last.device_writes, links.len()), (1, true, 5));
        assert_eq!(one.read(first.address, 16), header);
        assert_eq!(one.read(last.address, 1), [0xff]);
        assert_eq!(one.next(1), Ok(None));
        one.write(last.address, &[7]);
        one.state().post(1, head.into(), 1);
        assert_eq!(one.next(1), done(5, 7, 1));
        assert_eq!(one.next(1), Ok(None));

        // The other way round, with a header that the device writes.
        one.submit(0, 3, &[0; 12], &[Piece(&buffer, 0, 10, FROM)])
            .unwrap();
        one.ring(0);
        let (head, links) = one.state().take(0).unwrap();
        assert!(links.len() == 2 && links.iter().all(|one| one.device_writes));
        assert_eq!(links[1], written(page(0), 10));
        one.state().post(0, head.into(), 22);
        assert_eq!(one.next(0), done(3, 0, 22));
    }
}

#[test]
fn one_notification_per_batch_at_the_queues_own_address() {
    for kind in KINDS {
        let mut one = running(kind);
        let buffer = one.buffer(1);
        one.ring(0);
        assert!(one.state().notified.is_empty(), "nothing to tell");
        for slot in 0..3 {
            one.submit(0, slot, &[], &[Piece(&buffer, 0, 16, FROM)])
                .unwrap();
        }
        one.submit(1, 0, &[], &[Piece(&buffer, 0, 16, TO)]).unwrap();
        assert!(one.state().notified.is_empty());
        one.ring(0);
        one.ring(0);
        one.ring(1);
        let at = |index: u64| match kind.is_modern() {
            true => (4 * index, index),
            false => (16, index),
        };
        assert_eq!(one.state().notified, [at(0), at(1)]);
        for _ in 0..3 {
            assert!(one.state().take(0).is_some());
        }
        // A device that asks not to be told is not.
        one.state().set_used_flags(0, 1);
        one.submit(0, 4, &[], &[Piece(&buffer, 0, 16, FROM)])
            .unwrap();
        one.ring(0);
        assert_eq!(one.state().notified.len(), 2);
        assert!(one.state().take(0).is_some());
        // After a reset there is nothing to ring.
        one.submit(0, 5, &[], &[Piece(&buffer, 0, 16, FROM)])
            .unwrap();
        one.reset().unwrap();
        one.ring(0);
        assert_eq!(one.state().notified.len(), 2);
    }
}

#[test]
fn a_refused_command_changes_nothing() {
    for kind in [KINDS[0], KINDS[2]] {
        let mut one = running(kind);
        let buffer = one.buffer(20);
        let whole = 20 * 4096;
        // A chain longer than the queue, a segment past its pages, the wrong way, no descriptor at all.
        for (pieces, refusal) in [
            (&[Piece(&buffer, 0, whole, FROM)][..], Refusal::OutOfRange),
            (&[Piece(&buffer, 4096, whole, FROM)], Refusal::OutOfRange),
            (&[Piece(&buffer, u32::MAX, 1, FROM)], Refusal::OutOfRange),
            (&[Piece(&buffer, 0, 10, TO)], Refusal::BadArgument),
            (&[], Refusal::LengthMismatch),
        ] {
            assert_eq!(one.submit(0, 1, &[], pieces), Err(refusal));
        }
        one.submit(0, 1, &[], &[Piece(&buffer, 0, 12 * 4096, FROM)])
            .unwrap();
        let five = [Piece(&buffer, 0, 5 * 4096, FROM)];
        assert_eq!(one.submit(0, 2, &[], &five), Err(Refusal::QueueFull));
        one.submit(0, 2, &[], &[Piece(&buffer, 0, 4 * 4096, FROM)])
            .unwrap();
        let none = one.submit(0, 3, &[], &[Piece(&buffer, 0, 1, FROM)]);
        assert_eq!(none, Err(Refusal::QueueFull));
        one.ring(0);
        for (slot, links) in [(1, 12), (2, 4)] {
            let (head, chain) = one.state().take(0).unwrap();
            assert_eq!(chain.len(), links);
            one.state().post(0, head.into(), 0);
            assert_eq!(one.next(0), done(slot, 0, 0));
        }
        assert_eq!(one.state().take(0), None);
        // Everything is free again, in whatever order it came back.
        one.submit(0, 9, &[], &[Piece(&buffer, 0, 16 * 4096, FROM)])
            .unwrap();
        one.ring(0);
        assert_eq!(one.state().take(0).unwrap().1.len(), 16);
    }
}

/// What a hostile used ring says, and what must come of it.
#[test]
fn every_contradiction_ends_the_queue() {
    type Lie = fn(&mut Harness, u16);
    let lies: [Lie; 9] = [
        |one, _| one.state().post(0, 16, 0),
        |one, _| one.state().post(0, u32::MAX, 0),
        |one, head| one.state().post(0, u32::from(head) | 1 << 16, 0),
        // A descriptor inside a chain, and one that is free.
        |one, head| one.state().post(0, u32::from(head) + 1, 0),
        |one, head| one.state().post(0, u32::from(head) + 5, 0),
        // More than the chain has room for.
        |one, head| one.state().post(0, head.into(), 4097),
        |one, head| one.state().post(0, head.into(), u32::MAX),
        // More elements than there are chains.
        |one, _| one.state().jump(0, 2),
        |one, _| one.state().jump(0, 0x8000),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let mut one = running(KINDS[index % 4]);
        let buffer = one.buffer(3);
        one.submit(0, 7, &[], &[Piece(&buffer, 96, 4096, FROM)])
            .unwrap();
        one.ring(0);
        let (head, links) = one.state().take(0).unwrap();
        assert_eq!(links.len(), 2);
        lie(&mut one, head);
        assert_eq!(one.next(0), Err(Refusal::Corrupt), "{index}");
        // It stays so, whatever the device says next.
        one.state().post(0, head.into(), 1);
        assert_eq!(one.next(0), Err(Refusal::Corrupt));
        let more = one.submit(0, 8, &[], &[Piece(&buffer, 0, 1, FROM)]);
        assert_eq!(more, Err(Refusal::WrongState));
        let rung = one.state().notified.len();
        one.ring(0);
        assert_eq!(one.state().notified.len(), rung);
        // The other queue goes on, and a reset makes all new: nothing of before completes.
        one.submit(1, 0, &[], &[Piece(&buffer, 0, 1, TO)]).unwrap();
        one.up(usual());
        one.open(0, 16).unwrap();
        assert_eq!(one.next(0), Ok(None));
    }
}

#[test]
fn a_chain_completes_once_and_only_when_it_was_told() {
    for kind in [KINDS[0], KINDS[2]] {
        let mut one = running(kind);
        let buffer = one.buffer(1);
        let piece = [Piece(&buffer, 0, 16, FROM)];
        one.submit(0, 1, &[], &piece).unwrap();
        one.submit(0, 2, &[], &piece).unwrap();
        one.ring(0);
        let (first, _) = one.state().take(0).unwrap();
        one.state().post(0, first.into(), 16);
        assert_eq!(one.next(0), done(1, 0, 16));
        // The same again, while another is in flight.
        one.state().post(0, first.into(), 16);
        assert_eq!(one.next(0), Err(Refusal::Corrupt));

        let mut one = running(kind);
        one.submit(0, 1, &[], &piece).unwrap();
        one.ring(0);
        one.submit(0, 2, &[], &piece).unwrap();
        // Descriptor 1 is written, but the device was not told of it.
        one.state().post(0, 1, 16);
        assert_eq!(one.next(0), Err(Refusal::Corrupt));

        // What the class cannot make sense of ends the queue too: a status byte that nobody wrote.
        let mut one = running(kind);
        one.submit(1, 1, &[1; 16], &[Piece(&buffer, 0, 16, TO)])
            .unwrap();
        one.ring(1);
        let (head, _) = one.state().take(1).unwrap();
        one.state().post(1, head.into(), 1);
        assert_eq!(one.next(1), Err(Refusal::Corrupt));
        assert_eq!(one.next(1), Err(Refusal::Corrupt));
    }
}

#[test]
fn stale_rings_say_nothing_after_a_reset() {
    for kind in KINDS {
        let mut one = running(kind);
        let buffer = one.buffer(1);
        let piece = [Piece(&buffer, 0, 16, FROM)];
        one.submit(0, 1, &[], &piece).unwrap();
        one.ring(0);
        let (head, _) = one.state().take(0).unwrap();
        one.state().post(0, head.into(), 16);
        one.up(usual());
        one.open(0, 16).unwrap();
        assert_eq!(one.next(0), Ok(None));
        let [table, ..] = one.state().queues[0].parts;
        assert!(table >= BUS && one.read(table, 256).iter().all(|byte| *byte == 0));
        one.submit(0, 4, &[], &piece).unwrap();
        one.ring(0);
        let (head, _) = one.state().take(0).unwrap();
        one.state().post(0, head.into(), 5);
        assert_eq!(one.next(0), done(4, 0, 5));
    }
}

/// One step of a random life of a queue.
#[derive(Clone, Copy, Debug)]
enum Move {
    Submit(u8),
    Ring,
    Take,
    /// Finish the chain taken at this place among those not finished.
    Finish(u8, u16),
    /// A used element of random content.
    Lie(u32, u32),
    Poll,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0u8..6).prop_map(Move::Submit),
        3 => Just(Move::Ring),
        4 => Just(Move::Take),
        4 => (any::<u8>(), 0u16..4200).prop_map(|(which, length)| Move::Finish(which, length)),
        1 => (prop_oneof![0u32..20, any::<u32>()], prop_oneof![0u32..9000, any::<u32>()])
            .prop_map(|(id, length)| Move::Lie(id, length)),
        4 => Just(Move::Poll),
    ];
    proptest::collection::vec(one, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the device posts: every completion answers one slot in flight, once, with no more bytes than it has room
    /// for; free descriptors never get lost, and chains in flight never share one.
    #[test]
    fn random_devices_never_complete_what_is_not_in_flight(kind in 0usize..4, moves in moves()) {
        let mut one = running(KINDS[kind]);
        let buffer = one.buffer(6);
        // Room of each slot in flight.
        let mut rooms = [None; 16];
        let mut taken: Vec<u16> = Vec::new();
        let mut broken = false;
        for step in moves {
            match step {
                Move::Submit(pages) => {
                    let Some(slot) = rooms.iter().position(Option::is_none) else { continue };
                    let length = u32::from(pages) * 4096 + 16;
                    let outcome = one.submit(0, slot as u16, &[], &[Piece(&buffer, 0, length, FROM)]);
                    match outcome {
                        Ok(()) => rooms[slot] = Some(length),
                        Err(Refusal::QueueFull) => {}
                        Err(refusal) => prop_assert!(broken && refusal == Refusal::WrongState),
                    }
                }
                Move::Ring => one.ring(0),
                Move::Take => taken.extend(one.state().take(0).map(|(head, _)| head)),
                Move::Finish(which, length) => {
                    if !taken.is_empty() {
                        let head = taken.swap_remove(usize::from(which) % taken.len());
                        one.state().post(0, head.into(), u32::from(length) % 17);
                    }
                }
                Move::Lie(id, length) => one.state().post(0, id, length),
                Move::Poll => match one.next(0) {
                    Ok(None) => {}
                    Ok(Some(completed)) => {
                        let room = rooms[usize::from(completed.slot)].take();
                        prop_assert!(room.is_some_and(|room| completed.result <= room));
                    }
                    Err(refusal) => {
                        prop_assert_eq!(refusal, Refusal::Corrupt);
                        broken = true;
                    }
                },
            }
        }
    }

    /// A device that keeps to the rules, in whatever order it finishes, loses nothing.
    #[test]
    fn honest_devices_complete_everything(kind in 0usize..4, order in proptest::collection::vec((0u32..5, any::<u8>()), 1..200)) {
        let mut one = running(KINDS[kind]);
        let buffer = one.buffer(6);
        let mut flying: Vec<(u16, u16, u32)> = Vec::new();
        for (at, (pages, which)) in (0u16..).zip(order) {
            let length = pages * 4096 + 1;
            let slot = at % 16;
            if flying.iter().all(|(_, used, _)| *used != slot)
                && one.submit(0, slot, &[], &[Piece(&buffer, 0, length, FROM)]).is_ok()
            {
                one.ring(0);
                let (head, links) = one.state().take(0).unwrap();
                prop_assert_eq!(links.iter().map(|link| link.length).sum::<u32>(), length);
                flying.push((head, slot, length));
            } else if !flying.is_empty() {
                let (head, slot, length) = flying.swap_remove(usize::from(which) % flying.len());
                one.state().post(0, head.into(), length);
                prop_assert_eq!(one.next(0), done(slot, 0, length));
            }
        }
        for (head, slot, _) in flying {
            one.state().post(0, head.into(), 0);
            prop_assert_eq!(one.next(0), done(slot, 0, 0));
        }
        // Every descriptor is free: the longest chain fits.
        let long = one.buffer(16);
        prop_assert_eq!(one.submit(0, 0, &[], &[Piece(&long, 0, 16 * 4096, FROM)]), Ok(()));
    }
}
