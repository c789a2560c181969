//! One heap of deadlines per CPU: at most one entry per task; and a short list of callbacks of the kernel.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::core_state::{core, this};
use crate::heap::{DeadlineHeap, Placed};
use crate::task::NO_TIMER;
use crate::{NEVER, Task, now_ns};

/// Longest single arming; longer waits are armed again.
const LONGEST_NS: u64 = 1_000_000_000;
/// Tasks that one interrupt wakes, at most. If more are due, the timer is armed for at once.
const WAKES: usize = 8;
/// Callbacks that have a place from the start. The kernel has more of them only where many devices end at once.
const CALLBACK_PLACES: usize = 16;
/// Callbacks that one interrupt runs, at most: each does a piece of work of its own that is bounded.
const CALLBACKS: usize = 1;

impl Placed for Arc<Task> {
    fn placed(&self, place: u32) {
        self.timer_place.store(place, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Callback {
    deadline: u64,
    f: fn(u64),
    argument: u64,
}

#[derive(Debug)]
pub(crate) struct TimerHeap {
    tasks: DeadlineHeap<Arc<Task>>,
    /// One for each pair of function and argument, of which the kernel has few.
    callbacks: Vec<Callback>,
}

impl TimerHeap {
    pub(crate) const fn new() -> Self {
        Self {
            tasks: DeadlineHeap::new(),
            callbacks: Vec::new(),
        }
    }

    /// `false`: no memory.
    pub(crate) fn reserve(&mut self, tasks: usize) -> bool {
        let more = CALLBACK_PLACES.saturating_sub(self.callbacks.len());
        self.tasks.reserve(tasks) && self.callbacks.try_reserve_exact(more).is_ok()
    }

    /// A callback that waits already comes at the earlier of both times: a program that can ask for ever earlier ones
    /// does not fill the list.
    #[expect(
        clippy::disallowed_methods,
        reason = "lent: as many as the kernel has of them"
    )]
    fn add_callback(&mut self, deadline: u64, f: fn(u64), argument: u64) {
        let same = |c: &&mut Callback| c.argument == argument && core::ptr::fn_addr_eq(c.f, f);
        match self.callbacks.iter_mut().find(same) {
            Some(c) => c.deadline = c.deadline.min(deadline),
            None => {
                // As many as the kernel has of them, whoever runs when one is first asked for.
                let _kernel = frames::paid_by_kernel();
                self.callbacks.push(Callback {
                    deadline,
                    f,
                    argument,
                });
            }
        }
    }

    fn count_due(&self, now: u64) -> usize {
        self.callbacks.iter().filter(|c| c.deadline <= now).count()
    }

    fn due_callback(&mut self, now: u64) -> Option<Callback> {
        let at = self.callbacks.iter().position(|c| c.deadline <= now)?;
        Some(self.callbacks.swap_remove(at))
    }

    fn first(&self) -> u64 {
        self.callbacks
            .iter()
            .fold(self.tasks.first(), |first, c| first.min(c.deadline))
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
pub(crate) fn add_task(task: &Task, deadline: u64) {
    let c = this();
    let first = {
        let mut heap = c.timers.lock();
        task.timer_cpu.store(cpu::index() as u32, Ordering::Relaxed);
        heap.tasks.insert(deadline, task.counted());
        heap.tasks.first()
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
        // Read under the lock: the timer interrupt may have taken it out meanwhile.
        heap.tasks.remove(task.timer_place.load(Ordering::Relaxed))
    };
    drop(removed);
}

/// Calls `f(argument)` on this CPU at `deadline`, or earlier, from the timer interrupt. One that waits already on this
/// CPU is moved to the earlier time, not doubled: `f` finds out by itself what is due, and asks again for what is not.
pub fn callback_at(deadline: u64, f: fn(u64), argument: u64) {
    this().timers.lock().add_callback(deadline, f, argument);
    arm(deadline);
}

/// Handles this CPU's timer interrupt: wakes what is due, ends the quantum if it is over, arms again.
pub fn on_interrupt() {
    #[cfg(sabotage)]
    frames::assert_kernel_pays();
    let c = this();
    c.armed_for.store(NEVER, Ordering::Relaxed);
    let now = now_ns();
    for _ in 0..WAKES {
        let due = c.timers.lock().tasks.pop_due(now);
        let Some(task) = due else { break };
        crate::switch::wake_timed_out(&task);
    }
    // Each does a bounded part of its work. One that asks for more at once gets it with the next interrupt.
    let waiting = c.timers.lock().count_due(now);
    for _ in 0..waiting.min(CALLBACKS) {
        let due = c.timers.lock().due_callback(now);
        let Some(callback) = due else { break };
        (callback.f)(callback.argument);
    }
    if now >= c.quantum_end.load(Ordering::Relaxed) {
        c.quantum_end.store(NEVER, Ordering::Relaxed);
        c.need_resched.store(true, Ordering::Relaxed);
    }
    let first = c.timers.lock().first();
    arm(first);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(_: u64) {}

    #[test]
    fn a_callback_waits_once_and_at_the_earliest_time() {
        let mut heap = TimerHeap::new();
        for deadline in (1..1000).rev() {
            heap.add_callback(deadline, one, 7);
        }
        heap.add_callback(500, one, 7);
        heap.add_callback(20, one, 8);
        assert_eq!(heap.callbacks.len(), 2);
        assert_eq!(heap.first(), 1);
        assert_eq!(heap.due_callback(1).map(|c| c.argument), Some(7));
        assert!(heap.due_callback(19).is_none());
        assert_eq!(heap.due_callback(20).map(|c| c.argument), Some(8));
        assert_eq!(heap.first(), NEVER);
    }
}
