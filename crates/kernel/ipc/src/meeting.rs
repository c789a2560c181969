//! What waits at an endpoint: calls for a thread that receives, threads for a call, and notices of facets that are gone.
//!
//! Whether an entry still waits is asked of the entry itself. Invariant: no deed here looks at more entries than [`BLOCK`],
//! and an addition looks at any only where the queue has doubled since it was last looked through.

use ring_abi::Refusal;

use crate::notice::Notices;
use crate::queue::{BLOCK, Place, Queue};

/// Something in a queue that may have given up meanwhile.
pub(crate) trait Waiting {
    /// Whether it still waits.
    fn is_waiting(&self) -> bool;
}

/// The queues of one endpoint: `C` are calls, `R` receivers.
#[derive(Debug)]
pub(crate) struct Queues<C, R> {
    calls: Queue<C>,
    /// With more blocks of calls in the queue than these, those that ended while they waited are looked for.
    look_at: usize,
    /// Where that goes on; `None` while it is not under way.
    looking: Option<Place>,
    /// Additions since a part was looked at.
    turn: u8,
    pub(crate) receivers: Queue<R>,
    /// Facets that are gone and of which the server has not heard.
    pub(crate) notices: Notices,
}

/// Additions for each [part](crate::queue::PART) that is looked at.
const ADDITIONS_PER_PART: u8 = 2;

/// Those that wait may stand behind others, of threads that are ending: the lock is to be left before it is looked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended;

impl<C: Waiting, R: Waiting> Queues<C, R> {
    /// Nothing waits.
    pub(crate) fn new() -> Self {
        Self {
            calls: Queue::new(),
            look_at: 1,
            looking: None,
            turn: 0,
            receivers: Queue::new(),
            notices: Notices::default(),
        }
    }

    /// The receiver that has waited longest, of those that still do.
    ///
    /// # Errors
    /// [`Ended`] behind as many that wait no longer as are looked at in one go; they are gone.
    #[inline(always)]
    pub(crate) fn next_receiver(&mut self) -> Result<Option<R>, Ended> {
        match self.receivers.pop() {
            Some(ended) if !ended.is_waiting() => self.behind_ended(ended),
            next => Ok(next),
        }
    }

    #[cold]
    #[inline(never)]
    fn behind_ended(&mut self, ended: R) -> Result<Option<R>, Ended> {
        drop(ended);
        for _ in 1..BLOCK {
            match self.receivers.pop() {
                Some(ended) if !ended.is_waiting() => drop(ended),
                next => return Ok(next),
            }
        }
        Err(Ended)
    }

    /// The receiver that has waited longest, if it still does and is one that `suits`; another one stays where it is.
    #[inline(always)]
    pub(crate) fn next_receiver_if(&mut self, suits: impl Fn(&R) -> bool) -> Option<R> {
        let first = self.receivers.first()?;
        if first.is_waiting() && suits(first) {
            self.receivers.pop()
        } else {
            None
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
        if self.calls.is_full() && (self.looking.is_some() || self.calls.blocks() > self.look_at) {
            self.forget_ended();
        }
        self.calls.push(make()).map_err(|_| Refusal::OverBudget)
    }

    /// Drops entries of a part whose calls ended while they waited, now and then: a call that gives up leaves its place.
    #[cold]
    #[inline(never)]
    fn forget_ended(&mut self) {
        // Many may come between two looks of one thread, so only some of them look at a part.
        self.turn = (self.turn + 1) % ADDITIONS_PER_PART;
        if self.turn != 0 {
            return;
        }
        let from = self.looking.unwrap_or(Place::FIRST);
        self.looking = self.calls.retain_part(from, C::is_waiting);
        if self.looking.is_none() {
            self.look_at = self.calls.blocks() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::queue::PART;
    use core::cell::Cell;
    use std::rc::Rc;

    /// Waits until somebody says otherwise, and counts how often it was asked.
    #[derive(Clone, Debug, Default)]
    struct One(Rc<(Cell<bool>, Rc<Cell<usize>>)>);

    impl One {
        fn new(asked: &Rc<Cell<usize>>) -> Self {
            Self(Rc::new((Cell::new(true), asked.clone())))
        }

        fn end(&self) {
            self.0.0.set(false);
        }
    }

    impl Waiting for One {
        fn is_waiting(&self) -> bool {
            self.0.1.set(self.0.1.get() + 1);
            self.0.0.get()
        }
    }

    #[test]
    fn a_receiver_is_found_behind_any_number_that_ended_a_block_at_a_time() {
        let asked = Rc::new(Cell::new(0));
        let mut queues = Queues::<One, One>::new();
        let all: std::vec::Vec<One> = (0..10_000).map(|_| One::new(&asked)).collect();
        for one in &all {
            queues.receivers.push(one.clone()).unwrap();
        }
        let (last, rest) = all.split_last().unwrap();
        rest.iter().for_each(One::end);
        assert!(
            queues.next_receiver_if(|_| true).is_none(),
            "the long way finds it"
        );
        let mut turns = 0;
        let found = loop {
            asked.set(0);
            let next = queues.next_receiver();
            assert!(asked.get() <= BLOCK, "{}", asked.get());
            turns += 1;
            match next {
                Err(Ended) => {}
                Ok(found) => break found,
            }
        };
        assert!(found.is_some_and(|found| Rc::ptr_eq(&found.0, &last.0)));
        assert_eq!(turns, 10_000_usize.div_ceil(BLOCK));
        assert!(matches!(queues.next_receiver(), Ok(None)));
    }

    #[test]
    fn calls_that_gave_up_do_not_pile_up_and_no_addition_looks_at_many() {
        let asked = Rc::new(Cell::new(0));
        let mut queues = Queues::<One, One>::new();
        let mut most = 0;
        for n in 0..100_000 {
            let one = One::new(&asked);
            asked.set(0);
            queues.queue_call(|| one.clone()).unwrap();
            most = asked.get().max(most);
            if n % 50 != 0 || n >= 20_000 {
                one.end();
            }
        }
        assert!(most <= PART, "{most}");
        assert!(queues.calls.len() < 8_000, "{}", queues.calls.len());
        let waiting = core::iter::from_fn(|| queues.next_call()).filter(One::is_waiting);
        assert_eq!(waiting.count(), 400, "those that wait are all there");
    }
}
