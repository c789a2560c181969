//! What a call lends the thread that serves it: its caller's priority, for as long as the call lasts.
//!
//! A loan is part of the call. It is made where the call is delivered and taken back by whoever wins the ending of the
//! call, both under the lock of the call's body; so an ending takes back what was lent, once, whichever it is.
//!
//! Who waits for a call in registers lends what applies to it, loans included; what it loses while it waits, the call
//! loses too. Calls through the ring lend the thread's own priority: it does not wait for them, and they may outlast
//! the call that lent it more.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use sabotage::sabotage;

use crate::finished::Route;
use crate::records::{Body, Call, Loan, Thread};

/// Loans that follow from one another, at most: how far a call that ends has to go. What would be further lends the
/// thread's own priority.
const DEPTH: u8 = 8;

impl Loan {
    /// The call has ended, or its reply right left the thread.
    #[cold]
    #[inline(never)]
    pub(crate) fn give_back(self) {
        if let Some(to) = self.to.upgrade() {
            to.task.give_back(self.priority);
            follow(to);
        }
    }
}

/// Whether a call of `caller` has anything to lend to `to`.
#[inline(always)]
pub(crate) fn is_due(caller: &Thread, to: &Thread) -> bool {
    caller.task.priority() > to.task.base_priority()
}

/// Lends `to` what a call lends. `body` is the body of `call`, whose lock the caller holds, and the call has not ended.
#[cold]
#[inline(never)]
pub(crate) fn lend(call: &Arc<Call>, body: &mut Body, to: &Arc<Thread>) {
    let Some(caller) = &body.caller else { return };
    let depth = caller.loan_depth.load(Ordering::Relaxed);
    let priority = if body.route == Route::Register && depth < DEPTH {
        // Before the priority is read: who lowers it looks for this call afterwards.
        *caller.lending.lock() = Some((call.clone(), body.generation));
        caller.task.priority()
    } else {
        caller.task.base_priority()
    };
    if priority <= to.task.base_priority() {
        return;
    }
    // What is left from loans that ended is too high, which costs a later loan its reach and nothing else.
    let known = if to.task.has_loans() {
        to.loan_depth.load(Ordering::Relaxed)
    } else {
        0
    };
    to.loan_depth.store(known.max(depth + 1), Ordering::Relaxed);
    body.loan = Some(Loan {
        to: Arc::downgrade(to),
        priority,
    });
    to.task.lend(priority);
}

/// The reply right of a call leaves the thread that got it with the call; `to` is who gets it next, if that is known.
#[cold]
#[inline(never)]
pub(crate) fn pass_on(call: &Arc<Call>, generation: u64, to: Option<&Arc<Thread>>) {
    sabotage!(KEEP_MOVED_LOAN => return);
    let loan = {
        let mut body = call.body.lock();
        if body.generation != generation {
            return;
        }
        let loan = body.loan.take();
        if let (Some(caller), Some(to)) = (&body.caller, to)
            && is_due(caller, to)
        {
            lend(call, &mut body, to);
        }
        loan
    };
    if let Some(loan) = loan {
        loan.give_back();
    }
}

/// The priority of `thread` may have fallen: the call that it waits for lends no more than what applies to it now, and
/// so on, at most [`DEPTH`] times.
fn follow(mut thread: Arc<Thread>) {
    sabotage!(LOANS_STOP_AT_ONE => return);
    for _ in 0..DEPTH {
        let waits_for = thread.lending.lock().clone();
        let Some((call, generation)) = waits_for else {
            return;
        };
        let next = {
            let mut body = call.body.lock();
            if body.generation != generation {
                return;
            }
            lower(&mut body, thread.task.priority())
        };
        match next {
            Some(next) => thread = next,
            None => return,
        }
    }
}

/// Lowers the loan of a call to `now`. Returns the thread that has less for it.
fn lower(body: &mut Body, now: u8) -> Option<Arc<Thread>> {
    let loan = body.loan.as_mut()?;
    let was = loan.priority;
    if now >= was {
        return None;
    }
    let to = loan.to.upgrade()?;
    if now > to.task.base_priority() {
        loan.priority = now;
        to.task.lend(now);
    } else {
        body.loan = None;
    }
    to.task.give_back(was);
    Some(to)
}
