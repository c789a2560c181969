//! Long walks at full width.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};

use crate::explore::{Outcome, Subject, kind};

/// Takes `cases` walks of up to `length` operations each, chosen at random, and says so in the line that `cargo xtask prove`
/// reads.
///
/// # Panics
/// Where something is wrong, with the smallest walk found that leads there; where hardly anything was done.
pub fn at_random<T: Subject>(
    subject: &str,
    widths: &str,
    cases: u32,
    length: usize,
    start: impl Fn() -> T,
) {
    at_random_in(subject, widths, cases, length, |with| with(&mut start()));
}

/// As [`at_random`], for what borrows from things that `start` makes and takes away again.
///
/// # Panics
/// As [`at_random`].
pub fn at_random_in<Op: Copy + Debug>(
    subject: &str,
    widths: &str,
    cases: u32,
    length: usize,
    start: impl Fn(&mut dyn FnMut(&mut dyn Subject<Op = Op>)),
) {
    let kinds = RefCell::new(BTreeMap::<String, [u64; 2]>::new());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let picks = vec(any::<u32>(), length / 2..length);
    let walked = TestRunner::new(config).run(&picks, |picks| {
        start(&mut |it| {
            for pick in &picks {
                let ops = it.ops();
                let Some(op) = ops.get(*pick as usize % ops.len().max(1)).copied() else {
                    break;
                };
                let outcome = it.apply(op);
                it.check();
                let mut kinds = kinds.borrow_mut();
                kinds.entry(kind(&op)).or_default()[usize::from(outcome == Outcome::Refused)] += 1;
            }
        });
        Ok(())
    });
    if let Err(error) = walked {
        panic!("{subject}: {error}");
    }
    let kinds = kinds.into_inner();
    let steps: u64 = kinds.values().flatten().sum();
    let done: u64 = kinds.values().map(|[done, _]| done).sum();
    assert!(
        done * 100 > steps,
        "{subject}: {done} of {steps} operations were done: {kinds:?}"
    );
    println!(
        "@prove.random subject={subject} widths=\"{widths}\" walks={cases} steps~{steps} done~{done}"
    );
}
