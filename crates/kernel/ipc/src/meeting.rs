//! What waits at an endpoint: calls for a thread that receives, threads for a call, and notices of facets that are gone.
//!
//! Whether an entry still waits is asked of the entry itself. Invariant: an addition looks at what waits only where the queue
//! has doubled since the last time.

use ring_abi::Refusal;

use crate::notice::Notices;
use crate::queue::Queue;

/// Something in a queue that may have given up meanwhile.
pub(crate) trait Waiting {
    /// Whether it still waits.
    fn is_waiting(&self) -> bool;
}

/// The queues of one endpoint: `C` are calls, `R` receivers.
#[derive(Debug)]
pub(crate) struct Queues<C, R> {
    calls: Queue<C>,
    /// With so many calls in the queue, those that ended while they waited are looked for.
    look_at: usize,
    pub(crate) receivers: Queue<R>,
    /// Facets that are gone and of which the server has not heard.
    pub(crate) notices: Notices,
}

/// How many calls there are before it is worth looking for those that ended.
const LOOK_AT: usize = 64;

impl<C: Waiting, R: Waiting> Queues<C, R> {
    /// Nothing waits.
    pub(crate) fn new() -> Self {
        Self {
            calls: Queue::new(),
            look_at: 0,
            receivers: Queue::new(),
            notices: Notices::default(),
        }
    }

    /// The receiver that has waited longest, of those that still do.
    #[inline(always)]
    pub(crate) fn next_receiver(&mut self) -> Option<R> {
        loop {
            let receiver = self.receivers.pop()?;
            if receiver.is_waiting() {
                return Some(receiver);
            }
        }
    }

    /// As [`Self::next_receiver`], if it is one that `suits`; another one stays where it is.
    #[inline(always)]
    pub(crate) fn next_receiver_if(&mut self, suits: impl Fn(&R) -> bool) -> Option<R> {
        loop {
            let first = self.receivers.first()?;
            let waits = first.is_waiting();
            if waits && !suits(first) {
                return None;
            }
            let first = self.receivers.pop();
            if waits {
                return first;
            }
        }
    }

    /// The call that has waited longest, or that ended meanwhile.
    #[inline(always)]
    pub(crate) fn next_call(&mut self) -> Option<C> {
        self.calls.pop()
    }

    /// Queues the call that `make` gives.
    ///
    /// # Errors
    /// `OverBudget` where its sender cannot pay for its place.
    #[inline(always)]
    pub(crate) fn queue_call(&mut self, make: impl FnOnce() -> C) -> Result<(), Refusal> {
        if self.calls.is_full() && self.calls.len() >= self.look_at {
            self.forget_ended();
        }
        self.calls.push(make()).map_err(|_| Refusal::OverBudget)
    }

    /// Drops entries of calls that ended while they waited, now and then: a call that gives up leaves its place.
    #[cold]
    #[inline(never)]
    fn forget_ended(&mut self) {
        self.calls.retain(C::is_waiting);
        self.look_at = (self.calls.len() * 2).max(LOOK_AT);
    }
}
