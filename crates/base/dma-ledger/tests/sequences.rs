//! Long random sequences: several owners, functions and queues, hostile and stale arguments throughout, against a small
//! model of the machine (frames, TLBs, devices that do DMA) that knows nothing of the ledger's inside.
//!
//! After every step: a refusal has changed nothing, all totals add up, generations have not fallen. Whenever frames come
//! out: no device may touch them, no process maps them, no TLB remembers them, and they are wiped.
#![cfg(not(loom))]

mod common;
mod world;

use proptest::prelude::*;
use world::{STEPS, World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_over_long_sequences(
        steps in proptest::collection::vec(any::<[u16; 5]>(), STEPS),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.wind_down();
        // A run that never got anywhere would prove nothing.
        prop_assert!(world.seen.completed > 10 && world.seen.freed > 10, "{:?}", world.seen);
        prop_assert!(world.seen.torn_down > 2 && world.seen.refused > 100, "{:?}", world.seen);
    }
}
