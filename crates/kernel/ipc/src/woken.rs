//! The thread that a result woke.

use alloc::sync::Arc;

use sched::{Taken, Task};

/// The thread that waited for a result it now has, if one did. It is in nobody's run queue: whoever holds this lets it run.
#[must_use = "the thread never runs again"]
#[derive(Debug)]
pub(crate) struct Woken(Option<Taken>);

impl Woken {
    /// Nobody waited.
    pub(crate) const NOBODY: Self = Self(None);

    /// Takes the run of a task over, if it waits.
    #[inline(always)]
    pub(crate) fn claim(task: &Arc<Task>) -> Self {
        Self(sched::claim(task))
    }

    /// Lets it run beside the current thread.
    #[inline(always)]
    pub(crate) fn run(self) {
        if let Some(task) = self.0 {
            sched::make_ready(task);
        }
    }

    /// Gives it this CPU while the current thread waits, until `deadline` at most. `true`: the deadline came.
    #[inline(always)]
    pub(crate) fn switch(self, deadline: u64) -> bool {
        match self.0 {
            Some(task) => sched::block_and_switch(task, deadline),
            None => sched::block(deadline),
        }
    }

    /// Whether nobody waited.
    pub(crate) const fn is_nobody(&self) -> bool {
        self.0.is_none()
    }
}
