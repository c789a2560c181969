//! Which endpoints a thread may have receives pending on.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound::{Excluded, Unbounded};

use ring_abi::Refusal;

/// What a new entry takes, at most: it has no way to be refused.
const ENTRY_BYTES: u64 = 2048;
/// Entries that an addition looks at: those of endpoints that are closed are found before long.
const SWEEP: usize = 2;

/// By the address of the endpoint, which the entry keeps from being anybody else's.
#[derive(Debug)]
pub(crate) struct Receives<E> {
    all: BTreeMap<usize, Arc<E>>,
    /// The one that was noted last: a server mostly receives on one. 0: none.
    last: usize,
    swept: usize,
}

impl<E> Receives<E> {
    pub(crate) const fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            last: 0,
            swept: 0,
        }
    }

    fn key(core: &Arc<E>) -> usize {
        Arc::as_ptr(core).addr()
    }

    /// Notes an endpoint, and forgets some of those that are closed.
    ///
    /// # Errors
    /// `OverBudget`.
    #[inline(always)]
    pub(crate) fn note(&mut self, core: &Arc<E>, is_closed: fn(&E) -> bool) -> Result<(), Refusal> {
        if self.last == Self::key(core) {
            return Ok(());
        }
        self.add(core, is_closed)
    }

    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    #[inline(never)]
    fn add(&mut self, core: &Arc<E>, is_closed: fn(&E) -> bool) -> Result<(), Refusal> {
        let key = Self::key(core);
        if !self.all.contains_key(&key) {
            self.sweep(is_closed);
            let all = &mut self.all;
            frames::with_room(ENTRY_BYTES, || all.insert(key, core.clone()))
                .map_err(|_| Refusal::OverBudget)?;
        }
        self.last = key;
        Ok(())
    }

    fn sweep(&mut self, is_closed: fn(&E) -> bool) {
        for _ in 0..SWEEP {
            let Some(core) = self.after(self.swept) else {
                self.swept = 0;
                return;
            };
            self.swept = Self::key(&core);
            if is_closed(&core) {
                self.all.remove(&self.swept);
                if self.last == self.swept {
                    self.last = 0;
                }
            }
        }
    }

    /// The endpoint that comes after the one at `address`; the first one after 0.
    fn after(&self, address: usize) -> Option<Arc<E>> {
        let next = self.all.range((Excluded(address), Unbounded)).next()?;
        Some(next.1.clone())
    }

    /// The endpoint that comes after `last`, or the first.
    pub(crate) fn next(&self, last: Option<&Arc<E>>) -> Option<Arc<E>> {
        self.after(last.map_or(0, Self::key))
    }

    /// Takes one out.
    pub(crate) fn pop(&mut self) -> Option<Arc<E>> {
        self.last = 0;
        Some(self.all.pop_first()?.1)
    }
}
