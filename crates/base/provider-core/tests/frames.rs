//! Random sequences at a network session: whatever client and device do, each piece that was taken comes back exactly
//! once, and no lane ever holds more than its places.

use proptest::prelude::*;
use provider_core::nic::{Lane, Piece, Traffic};
use ring_abi::Refusal;

const DEPTHS: [usize; 2] = [5, 3];
const LANES: [Lane; 2] = [Lane::Receive, Lane::Transmit];

#[derive(Clone, Debug)]
enum Step {
    HandOver(usize, u32, u32),
    Plan(usize),
    Done(usize, usize, Result<u32, Refusal>),
    Forge(usize, u64),
    GiveUp(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        (0u32..4000).prop_map(Ok),
        Just(Err(Refusal::Revoked)),
        Just(Err(Refusal::QueueFull))
    ];
    prop_oneof![
        (0usize..2, 0u32..20_000, 0u32..3000).prop_map(|(l, o, n)| Step::HandOver(l, o, n)),
        (0usize..2).prop_map(Step::Plan),
        (0usize..2, 0usize..8, outcome).prop_map(|(l, i, r)| Step::Done(l, i, r)),
        (0usize..2, any::<u64>()).prop_map(|(l, c)| Step::Forge(l, c)),
        (0u64..4).prop_map(Step::GiveUp),
    ]
}

proptest! {
    #[test]
    fn every_piece_comes_back_once(steps in prop::collection::vec(step(), 1..200)) {
        let mut traffic = Traffic::new(16_384, 1514, DEPTHS[0] as u16, DEPTHS[1] as u16);
        let mut taken = [0usize; 2];
        let mut flying: [Vec<(u64, Piece)>; 2] = Default::default();
        let mut returned = [0usize; 2];
        let mut given_up = [0usize; 2];
        let mut first = 0;
        for step in steps {
            match step {
                Step::HandOver(lane, offset, length) => {
                    let held = taken[lane] - given_up[lane];
                    let piece = Piece { offset, length };
                    match traffic.hand_over(LANES[lane], piece) {
                        Ok(()) => {
                            prop_assert!(offset + length <= 16_384 && held < DEPTHS[lane]);
                            taken[lane] += 1;
                        }
                        Err(Refusal::QueueFull) => prop_assert_eq!(held, DEPTHS[lane]),
                        Err(_) => {}
                    }
                }
                Step::Plan(lane) => {
                    if let Some((cookie, piece)) = traffic.plan(LANES[lane]) {
                        prop_assert!(flying[lane].iter().all(|(other, _)| *other != cookie));
                        flying[lane].push((cookie, piece));
                    } else {
                        let elsewhere = flying[lane].len() + returned[lane];
                        prop_assert_eq!(taken[lane], elsewhere, "nothing waits");
                    }
                }
                Step::Done(lane, index, outcome) if index < flying[lane].len() => {
                    let (cookie, piece) = flying[lane].swap_remove(index);
                    let before = traffic.events().count();
                    traffic.done(LANES[lane], cookie, outcome);
                    traffic.done(LANES[lane], cookie, Ok(1));
                    returned[lane] += 1;
                    prop_assert_eq!(traffic.events().count(), before + 1);
                    let event = traffic.events().last().unwrap();
                    prop_assert_eq!((event.lane, event.offset), (LANES[lane], piece.offset));
                    if let Ok(bytes) = event.outcome {
                        prop_assert!(bytes <= piece.length && outcome.is_ok());
                    }
                }
                Step::Done(..) => {}
                Step::Forge(lane, cookie) => {
                    let before = traffic.events().count();
                    let known = flying[lane].iter().any(|(other, _)| *other == cookie);
                    if !known {
                        traffic.done(LANES[lane], cookie, Ok(1));
                    }
                    prop_assert_eq!(traffic.events().count(), before);
                }
                Step::GiveUp(count) => {
                    let lanes: Vec<Lane> = traffic.events().map(|event| event.lane).collect();
                    let result = traffic.give_up(first + count);
                    if count <= lanes.len() as u64 {
                        prop_assert_eq!(result, Ok(()));
                        first += count;
                        for lane in lanes.iter().take(count as usize) {
                            given_up[usize::from(*lane == Lane::Transmit)] += 1;
                        }
                    } else {
                        prop_assert_eq!(result, Err(Refusal::OutOfRange));
                    }
                }
            }
            for (lane, held) in flying.iter().enumerate() {
                prop_assert_eq!(usize::from(traffic.flying(LANES[lane])), held.len());
            }
            let open = returned[0] + returned[1] - given_up[0] - given_up[1];
            prop_assert_eq!(traffic.events().count(), open);
        }
    }
}
