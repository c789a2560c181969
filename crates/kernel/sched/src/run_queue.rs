use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::Task;

/// Count of priorities.
pub const PRIORITIES: usize = 32;

/// Runnable tasks of one CPU, first in first out within a priority.
#[derive(Debug)]
pub(crate) struct RunQueue {
    levels: [VecDeque<Arc<Task>>; PRIORITIES],
    occupied: u32,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            levels: [const { VecDeque::new() }; PRIORITIES],
            occupied: 0,
        }
    }

    /// Makes sure that `tasks` tasks fit at any one priority, so that pushing never allocates.
    pub(crate) fn reserve(&mut self, tasks: usize) {
        for level in &mut self.levels {
            level.reserve(tasks.saturating_sub(level.len()));
        }
    }

    pub(crate) fn push(&mut self, task: Arc<Task>, priority: u8) {
        let p = usize::from(priority) % PRIORITIES;
        self.levels[p].push_back(task);
        self.occupied |= 1 << p;
    }

    pub(crate) fn push_front(&mut self, task: Arc<Task>, priority: u8) {
        let p = usize::from(priority) % PRIORITIES;
        self.levels[p].push_front(task);
        self.occupied |= 1 << p;
    }

    /// The highest priority that waits.
    pub(crate) fn highest(&self) -> Option<u8> {
        (self.occupied != 0).then(|| 31 - self.occupied.leading_zeros() as u8)
    }

    pub(crate) fn pop(&mut self) -> Option<Arc<Task>> {
        let p = usize::from(self.highest()?);
        let task = self.levels[p].pop_front();
        if self.levels[p].is_empty() {
            self.occupied &= !(1 << p);
        }
        task
    }
}
