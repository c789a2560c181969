//! The threads of a process.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use cpu::Lock;
use pieces::Sorted;
use ring_abi::Refusal;

use crate::marks::Marks;

/// Threads in one piece of the list.
const LISTED: usize = 256;

/// Threads by their numbers, which count from 1 and are never used again.
#[derive(Debug)]
pub(crate) struct Roster<T> {
    threads: Lock<Sorted<u64, Arc<T>, LISTED>>,
    made: AtomicU64,
}

impl<T> Roster<T> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self {
            threads: Lock::new(Sorted::new()),
            made: AtomicU64::new(0),
        }
    }

    /// How many there are now.
    pub(crate) fn len(&self) -> usize {
        self.threads.lock().len()
    }

    /// Whether there ever was one.
    pub(crate) fn had_any(&self) -> bool {
        self.made.load(Ordering::Relaxed) > 0
    }

    /// The number of a new thread.
    pub(crate) fn next_number(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes a thread in, unless the process is ending.
    ///
    /// # Errors
    /// `WrongState` for a process that is ending, `OverBudget`.
    pub(crate) fn adopt(&self, number: u64, thread: &Arc<T>, marks: &Marks) -> Result<(), Refusal> {
        let mut threads = self.threads.lock();
        if marks.is_dying() {
            return Err(Refusal::WrongState);
        }
        let listed = frames::refusable(|| threads.insert(number, thread.clone()));
        listed.map(drop).map_err(|_| Refusal::OverBudget)
    }

    /// Takes a leaving thread out. The last one takes the process with it: `true`, and the process is ending from now on.
    pub(crate) fn remove(&self, number: u64, marks: &Marks) -> bool {
        let mut threads = self.threads.lock();
        let gone = threads.remove(number);
        let last = threads.is_empty();
        if last {
            marks.set_dying();
        }
        drop(threads);
        drop(gone);
        last
    }

    /// The thread after the one of this number, or the first after 0.
    pub(crate) fn after(&self, number: u64) -> Option<Arc<T>> {
        let threads = self.threads.lock();
        threads.from(number + 1).next().map(|(_, t)| t.clone())
    }
}
