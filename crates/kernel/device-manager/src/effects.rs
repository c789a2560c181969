//! What an operation leaves to be done once the function's lock is open again.

use alloc::vec::Vec;

use dma_ledger::{Claim, QueueId};
use ring_abi::Refusal;

use crate::{Platform, Waiter};

/// An answer to a call that waits.
pub(crate) enum Answer<P: Platform> {
    Claim(P::Claiming, Result<Claim, Refusal>),
    Act(P::Acting, Result<(), Refusal>),
    Open(P::Opening, Result<QueueId, Refusal>),
    Wait(P::Waiting, Result<u64, Refusal>),
}

impl<P: Platform> Answer<P> {
    fn give(self) {
        match self {
            Self::Claim(waiter, outcome) => waiter.answer(outcome),
            Self::Act(waiter, outcome) => waiter.answer(outcome),
            Self::Open(waiter, outcome) => waiter.answer(outcome),
            Self::Wait(waiter, outcome) => waiter.answer(outcome),
        };
    }
}

/// Answers to give, and when the function wants to be looked at again. Done when it is dropped, which only the end of a
/// [`Turn`](crate::turn::Turn) does, after its lock. Empty ones cost nothing.
pub(crate) struct Effects<'m, P: Platform> {
    platform: &'m P,
    function: u32,
    answers: Vec<Answer<P>>,
    arm_at_ns: Option<u64>,
}

impl<'m, P: Platform> Effects<'m, P> {
    #[inline(always)]
    pub(crate) const fn new(platform: &'m P, function: u32) -> Self {
        Self {
            platform,
            function,
            answers: Vec::new(),
            arm_at_ns: None,
        }
    }

    /// Answers a waiter later.
    #[expect(
        clippy::disallowed_methods,
        reason = "lent: one for each call that waits, for one turn"
    )]
    pub(crate) fn answer(&mut self, answer: Answer<P>) {
        self.answers.push(answer);
    }

    /// Wants the function to be looked at again `after_ns` from now.
    pub(crate) fn arm(&mut self, now_ns: u64, after_ns: u64) {
        // Not at once: a broker that says 0 must not keep the CPU busy.
        self.arm_at_ns = Some(now_ns.saturating_add(after_ns.max(1_000)));
    }

    /// The same at `at_ns`, unless something else wants it.
    pub(crate) fn arm_if_idle(&mut self, at_ns: u64) {
        self.arm_at_ns.get_or_insert(at_ns);
    }

    #[cold]
    #[inline(never)]
    fn run(&mut self) {
        if let Some(at_ns) = self.arm_at_ns {
            self.platform.arm(self.function, at_ns);
        }
        self.answers.drain(..).for_each(Answer::give);
    }
}

impl<P: Platform> Drop for Effects<'_, P> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.arm_at_ns.is_some() || !self.answers.is_empty() {
            self.run();
        }
    }
}
