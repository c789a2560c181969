//! Budgets of CPU time: who has used theirs up waits for the next period.
//!
//! A period begins at the same time for all. A switch to a task with a budget arms the timer for the end of what is left; one from it
//! counts what it used. Who has nothing left is set aside on the way back to user mode, or when it would be taken from its queue,
//! and asked again when the next period begins, a few at a time. Nothing here allocates, and nothing walks but over those few.
//! A task without a budget costs one comparison.

use core::sync::atomic::Ordering;

use sabotage::sabotage;

use crate::core_state::{Core, this};
use crate::switch::announce;
use crate::{NEVER, Task, now_ns, timer, tsc_hz, tsc_to_ns};

/// How long a period is.
pub const PERIOD_NS: u64 = 20_000_000;

/// The same in ticks of the TSC.
fn period_ticks() -> u64 {
    tsc_hz() / (1_000_000_000 / PERIOD_NS)
}

/// Whether a task has no time left. One whose owner ends is let go on: that takes little, and gives all back.
#[inline]
pub(crate) fn is_out(task: &Task) -> bool {
    task.bucket().is_some() && has_none_left(task, 0)
}

#[cold]
#[inline(never)]
fn has_none_left(task: &Task, ran: u64) -> bool {
    sabotage!(IGNORE_BUDGETS => return false);
    let left = task.bucket().map_or(u64::MAX, |bucket| {
        bucket.left(cpu::read_tsc(), period_ticks())
    });
    left <= ran && !task.is_ending()
}

/// Whether the task that runs has used up what was left when it was switched to. If not, the timer is armed for the rest.
#[cold]
#[inline(never)]
pub(crate) fn ran_out(c: &Core, me: &Task) -> bool {
    let now = cpu::read_tsc();
    let ran = now.saturating_sub(c.switched_at.load(Ordering::Relaxed));
    let out = has_none_left(me, ran);
    if !out {
        bound(c, me, now, ran);
    }
    out
}

/// A task has run from `since` until `now`.
#[inline]
pub(crate) fn spend(from: &Task, since: u64, now: u64) {
    if let Some(bucket) = from.bucket() {
        bucket.spend(now.wrapping_sub(since), now, period_ticks());
    }
}

/// A task runs from `now` on.
#[inline]
pub(crate) fn begin(c: &Core, to: &Task, now: u64) {
    if to.bucket().is_some() {
        bound(c, to, now, 0);
    }
}

/// Makes the timer come when what is left is used up, of which the task has used `ran` since it was switched to.
fn bound(c: &Core, task: &Task, now: u64, ran: u64) {
    let Some(bucket) = task.bucket() else { return };
    let left = bucket.left(now, period_ticks()).saturating_sub(ran);
    let end = now_ns() + tsc_to_ns(left);
    if end < c.quantum_end.load(Ordering::Relaxed) {
        c.quantum_end.store(end, Ordering::Relaxed);
    }
    timer::arm(NEVER);
}

/// Somebody here waits for the next period.
#[cold]
#[inline(never)]
pub(crate) fn await_refill() {
    let ticks = period_ticks().max(1);
    let now = cpu::read_tsc();
    let begins = (now / ticks + 1) * ticks;
    timer::callback_at(now_ns() + tsc_to_ns(begins - now) + 1, refill, 0);
}

/// A period has begun: who waited for it is asked whether there is time again.
fn refill(_: u64) {
    let (c, cpu) = (this(), cpu::index());
    let (highest, more, any) = {
        let mut queue = c.queue.lock();
        let (highest, more) = queue.take_back(cpu, is_out);
        c.waiting.store(queue.occupied(), Ordering::Relaxed);
        (highest, more, queue.has_spent())
    };
    if let Some(priority) = highest {
        announce(c, cpu, priority);
    }
    if more {
        timer::callback_at(now_ns(), refill, 0);
    } else if any {
        await_refill();
    }
}
