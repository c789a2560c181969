//! Random orders of operations, and controllers that write whatever they like.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use std::collections::BTreeMap;

use driver_core::{DeviceAddress, Refusal};
use model::{Harness, Posting, from_device, pair, read};
use proptest::prelude::*;

const DEPTH: u16 = 6;
const PAGES: usize = 40;

#[derive(Clone, Debug)]
enum Op {
    Submit {
        queue: u16,
        slot: u16,
        lba: u64,
        blocks: u32,
        offset: u32,
        short: bool,
    },
    Ring(u16),
    Step,
    Hold,
    Release,
    Take(u16),
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    let submit = (
        1..3u16,
        0..DEPTH + 1,
        0..16_400u64,
        1..260u32,
        0..9000u32,
        prop::bool::weighted(0.1),
    );
    prop_oneof![
        8 => submit.prop_map(|(queue, slot, lba, blocks, offset, short)|
            Op::Submit { queue, slot, lba, blocks, offset, short }),
        4 => (1..3u16).prop_map(Op::Ring),
        4 => Just(Op::Step),
        1 => Just(Op::Hold),
        2 => Just(Op::Release),
        4 => (1..3u16).prop_map(Op::Take),
        1 => Just(Op::Reset),
    ]
}

struct Flight {
    buffer: Vec<DeviceAddress>,
    lba: u64,
    offset: u32,
    length: u32,
}

fn bring_up(it: &mut Harness) {
    it.device.posting = Posting::AtOnce;
    it.bring_up(DEPTH);
    it.open(pair(2, DEPTH)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the order: what was accepted is completed once and holds the right bytes; what was refused was wrong.
    #[test]
    fn accepted_commands_complete_once(ops in proptest::collection::vec(op(), 1..120)) {
        let mut it = Harness::new();
        bring_up(&mut it);
        let buffers: Vec<Vec<DeviceAddress>> = (0..2 * DEPTH).map(|_| it.buffer(PAGES)).collect();
        let mut flights: BTreeMap<(u16, u16), Flight> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Submit { queue, slot, lba, blocks, offset, short } => {
                    let buffer = buffers[usize::from((queue - 1) * DEPTH + slot.min(DEPTH - 1))].clone();
                    let length = blocks * 512 - if short { 4 } else { 0 };
                    let given = it.submit(queue, slot, &read(lba, blocks), &[from_device(&buffer, offset, length)]);
                    let right = slot < DEPTH
                        && !flights.contains_key(&(queue, slot))
                        && lba + u64::from(blocks) <= 16_384
                        && offset % 4 == 0
                        && !short
                        && (offset + length) as usize <= PAGES * 4096;
                    prop_assert_eq!(given.is_ok(), right, "{:?}", given);
                    if right {
                        flights.insert((queue, slot), Flight { buffer, lba, offset, length });
                    }
                }
                Op::Ring(queue) => it.ring(queue),
                Op::Step => it.step(),
                Op::Hold => it.device.posting = Posting::Hold,
                Op::Release => {
                    it.device.posting = Posting::AtOnce;
                    it.post_held();
                }
                Op::Take(queue) => {
                    for done in it.take(queue).unwrap() {
                        let flight = flights.remove(&(queue, done.slot)).expect("in flight");
                        let (from, length) = (flight.lba as usize * 512, flight.length as usize);
                        let bytes = it.read_buffer(&flight.buffer, flight.offset as usize, length);
                        prop_assert!(bytes == it.device.disk[from..from + length]);
                    }
                }
                Op::Reset => {
                    bring_up(&mut it);
                    flights.clear();
                }
            }
        }
        it.device.posting = Posting::AtOnce;
        it.post_held();
        for queue in 1..3 {
            for done in it.finish(queue).unwrap() {
                prop_assert!(flights.remove(&(queue, done.slot)).is_some());
            }
        }
        prop_assert!(flights.is_empty());
    }

    /// A controller that writes anything makes the broker report at most what is in flight, once each.
    #[test]
    fn arbitrary_completions_answer_only_what_is_in_flight(
        entries in proptest::collection::vec((any::<u64>(), any::<u64>(), 0..4u8), 1..5),
        pushed in 1..DEPTH,
    ) {
        let mut it = Harness::new();
        bring_up(&mut it);
        it.device.posting = Posting::Hold;
        let buffer = it.buffer(1);
        for slot in 0..pushed {
            it.submit(1, slot, &read(0, 8), &[from_device(&buffer, 0, 4096)]).unwrap();
        }
        it.ring(1);
        it.step();
        let held = it.held();
        let mut open: Vec<u16> = (0..pushed).collect();
        for (index, (first, noise, kind)) in entries.into_iter().enumerate() {
            // Wholly random, random in one field, or quite right.
            let right = held.get(index).map_or(0, |(_, words)| words[1]);
            let second = match kind {
                0 => noise,
                1 => right ^ (noise & 0xffff),
                2 => right ^ (noise & 0xffff_0000_0000),
                _ => right,
            };
            it.device.post(1, [first, second]);
            match it.take(1) {
                Ok(done) => {
                    for completed in done {
                        let at = open.iter().position(|slot| *slot == completed.slot);
                        prop_assert!(at.is_some(), "slot {}", completed.slot);
                        open.remove(at.unwrap());
                    }
                }
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::Corrupt);
                    break;
                }
            }
        }
        // Whatever happened, a reset makes it usable.
        bring_up(&mut it);
        it.submit(1, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)]).unwrap();
        prop_assert_eq!(it.finish(1).unwrap().len(), 1);
    }
}
