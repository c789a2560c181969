//! One heap of deadlines per CPU: at most one entry per task, and callbacks of the kernel.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::core_state::{core, this};
use crate::task::NO_TIMER;
use crate::{NEVER, Task, now_ns};

/// Longest single arming; longer waits are armed again.
const LONGEST_NS: u64 = 1_000_000_000;
/// Callbacks that fit without allocating.
const CALLBACKS: usize = 128;

#[derive(Debug)]
enum What {
    Task(Arc<Task>),
    Callback(fn(u64), u64),
}

#[derive(Debug)]
struct Entry {
    deadline: u64,
    what: What,
}

#[derive(Debug)]
pub(crate) struct TimerHeap {
    entries: Vec<Entry>,
}

impl TimerHeap {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    pub(crate) fn reserve(&mut self, tasks: usize) {
        let wanted = tasks + CALLBACKS;
        self.entries
            .reserve(wanted.saturating_sub(self.entries.len()));
    }

    fn note(&self, at: usize) {
        if let What::Task(task) = &self.entries[at].what {
            task.timer_place.store(at as u32, Ordering::Relaxed);
        }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.entries[parent].deadline <= self.entries[at].deadline {
                break;
            }
            self.entries.swap(parent, at);
            self.note(at);
            at = parent;
        }
        self.note(at);
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.entries.len()
                    && self.entries[child].deadline < self.entries[least].deadline
                {
                    least = child;
                }
            }
            if least == at {
                break;
            }
            self.entries.swap(least, at);
            self.note(at);
            at = least;
        }
        if at < self.entries.len() {
            self.note(at);
        }
    }

    fn insert(&mut self, deadline: u64, what: What) {
        self.entries.push(Entry { deadline, what });
        self.up(self.entries.len() - 1);
    }

    fn remove(&mut self, at: usize) -> Option<What> {
        if at >= self.entries.len() {
            return None;
        }
        let entry = self.entries.swap_remove(at);
        if at < self.entries.len() {
            self.down(at);
            self.up(at);
        }
        if let What::Task(task) = &entry.what {
            task.timer_place.store(NO_TIMER, Ordering::Relaxed);
        }
        Some(entry.what)
    }

    fn first(&self) -> u64 {
        self.entries.first().map_or(NEVER, |e| e.deadline)
    }
}

/// Arms this CPU's timer for its earliest deadline, if that is earlier than what is armed.
pub(crate) fn arm(first: u64) {
    let c = this();
    let wanted = first.min(c.quantum_end.load(Ordering::Relaxed));
    if wanted >= c.armed_for.load(Ordering::Relaxed) {
        return;
    }
    c.armed_for.store(wanted, Ordering::Relaxed);
    let delta = wanted.saturating_sub(now_ns()).clamp(1, LONGEST_NS);
    apic::timer_arm(cpu::read_tsc(), delta, crate::tsc_hz());
}

/// Enters the current task's deadline into this CPU's heap.
pub(crate) fn add_task(task: &Arc<Task>, deadline: u64) {
    let c = this();
    let first = {
        let mut heap = c.timers.lock();
        task.timer_cpu.store(cpu::index() as u32, Ordering::Relaxed);
        heap.insert(deadline, What::Task(task.clone()));
        heap.first()
    };
    arm(first);
}

/// Takes a task's deadline out of whatever heap holds it.
#[inline]
pub(crate) fn cancel(task: &Task) {
    if task.timer_place.load(Ordering::Relaxed) != NO_TIMER {
        take_out(task);
    }
}

#[inline(never)]
fn take_out(task: &Task) {
    let home = core(task.timer_cpu.load(Ordering::Relaxed) as usize);
    let removed = {
        let mut heap = home.timers.lock();
        match task.timer_place.load(Ordering::Relaxed) {
            NO_TIMER => None,
            at => heap.remove(at as usize),
        }
    };
    drop(removed);
}

/// Calls `f(argument)` on this CPU at `deadline`, from the timer interrupt.
pub fn callback_at(deadline: u64, f: fn(u64), argument: u64) {
    let first = {
        let mut heap = this().timers.lock();
        heap.insert(deadline, What::Callback(f, argument));
        heap.first()
    };
    arm(first);
}

/// Handles this CPU's timer interrupt: wakes what is due, ends the quantum if it is over, arms again.
pub fn on_interrupt() {
    let c = this();
    c.armed_for.store(NEVER, Ordering::Relaxed);
    let now = now_ns();
    loop {
        let due = {
            let mut heap = c.timers.lock();
            if heap.first() > now {
                None
            } else {
                heap.remove(0)
            }
        };
        match due {
            None => break,
            Some(What::Task(task)) => crate::switch::wake_timed_out(&task),
            Some(What::Callback(f, argument)) => f(argument),
        }
    }
    if now >= c.quantum_end.load(Ordering::Relaxed) {
        c.quantum_end.store(NEVER, Ordering::Relaxed);
        c.need_resched.store(true, Ordering::Relaxed);
    }
    let first = c.timers.lock().first();
    arm(first);
}
