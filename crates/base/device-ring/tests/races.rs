//! Both ends at once, in every interleaving and memory order that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p device-ring --test races --release`
#![cfg(loom)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use device_ring::{Command, Completion, KernelEnd, Memory, ProviderEnd, WORDS};
use loom::sync::atomic::AtomicU64;
use loom::thread;

/// The words that the models touch: the counts, and the first places of each half.
const USED: [usize; 20] = [
    0, 1, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23, 272, 273, 280, 281, 288, 289, 290, 291,
];

#[derive(Clone)]
struct Page<const ORDERED: bool>(Arc<BTreeMap<usize, AtomicU64>>);

impl<const ORDERED: bool> Page<ORDERED> {
    fn new() -> Self {
        Self(Arc::new(
            USED.iter().map(|word| (*word, AtomicU64::new(0))).collect(),
        ))
    }

    fn order(wanted: Ordering) -> Ordering {
        if ORDERED { wanted } else { Ordering::Relaxed }
    }
}

impl<const ORDERED: bool> Memory for Page<ORDERED> {
    fn words(&self) -> usize {
        WORDS
    }

    fn load(&self, word: usize, order: Ordering) -> u64 {
        self.0[&word].load(Self::order(order))
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.0[&word].store(value, Self::order(order));
    }

    fn fence(&self) {}
}

fn command(cookie: u64) -> Command {
    Command {
        cookie,
        opcode: 1,
        unit: 1,
        slot: 1,
        generation: 1,
        block: cookie,
        offset: 0,
        length: 512,
    }
}

/// A provider that writes a second command while a kick, another thread's, takes the first: what the kernel takes is whole and
/// in order, and so are the completions, though nothing but the counts orders the two.
fn a_command_and_its_completion_are_whole<const ORDERED: bool>() {
    let page = Page::<ORDERED>::new();
    let mut provider = ProviderEnd::new(page.clone()).unwrap();
    let mut kernel = KernelEnd::new(page).unwrap();
    let kicked = thread::spawn(move || {
        let mut next = 1;
        for _ in 0..2 {
            if let Some(taken) = kernel.take().unwrap() {
                assert_eq!(taken, command(next), "torn");
                kernel
                    .push(&Completion {
                        cookie: taken.cookie,
                        outcome: Ok((0, 7)),
                    })
                    .unwrap();
                next += 1;
            }
        }
        kernel.show();
    });
    provider.push(&command(1)).unwrap();
    provider.show();
    provider.push(&command(2)).unwrap();
    provider.show();
    let mut next = 1;
    while let Some(done) = provider.take().unwrap() {
        assert_eq!(done.cookie, next, "torn");
        assert_eq!(done.outcome, Ok((0, 7)), "torn");
        next += 1;
    }
    kicked.join().unwrap();
}

#[test]
fn what_is_seen_is_whole() {
    loom::model(a_command_and_its_completion_are_whole::<true>);
}

/// The model can fail: counts that order nothing let a half-written entry be seen.
#[test]
#[should_panic(expected = "torn")]
fn without_the_order_of_the_counts_an_entry_is_torn() {
    loom::model(a_command_and_its_completion_are_whole::<false>);
}
