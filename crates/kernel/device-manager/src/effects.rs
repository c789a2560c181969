//! What an operation leaves to be done once the function's lock is open again.

use alloc::vec::Vec;

use ring_abi::Refusal;

use crate::{Done, Platform, Waiter};

/// Answers to give, and when the function wants to be looked at again. Empty ones cost nothing.
pub(crate) struct Effects<P: Platform> {
    answers: Vec<(P::Waiter, Result<Done, Refusal>)>,
    arm_at_ns: Option<u64>,
}

impl<P: Platform> Effects<P> {
    pub(crate) const fn new() -> Self {
        Self {
            answers: Vec::new(),
            arm_at_ns: None,
        }
    }

    /// Answers a waiter later.
    pub(crate) fn answer(&mut self, waiter: P::Waiter, outcome: Result<Done, Refusal>) {
        self.answers.push((waiter, outcome));
    }

    /// Wants the function to be looked at again `after_ns` from now.
    pub(crate) fn arm(&mut self, now_ns: u64, after_ns: u64) {
        // Not at once: a broker that says 0 must not keep the CPU busy.
        self.arm_at_ns = Some(now_ns.saturating_add(after_ns.max(1_000)));
    }

    /// Does it. No lock is held.
    pub(crate) fn run(self, platform: &P, function: u32) {
        if let Some(at_ns) = self.arm_at_ns {
            platform.arm(function, at_ns);
        }
        for (waiter, outcome) in self.answers {
            waiter.answer(outcome);
        }
    }
}
