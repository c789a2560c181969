//! What a thread has asked for and not got yet: ending it, by cancellation or because it is late.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use call_state::Ending;
use ring_abi::{NEVER, Refusal};
use sabotage::sabotage;

use crate::call::win;
use crate::finished::{Finished, Route};
use crate::records::Thread;

/// Calls of a thread that are looked at from one look to the next.
const CALLS_PER_LOOK: usize = 64;

fn look_sometimes(nth: usize) {
    if nth > 0 && nth.is_multiple_of(CALLS_PER_LOOK) {
        let _ = sched::point();
    }
}

/// Completes what is past its own deadline.
pub(crate) fn expire(me: &Arc<Thread>, now: u64) {
    let mut earliest = NEVER;
    if sabotage!(SKIP_DEADLINE) {
        me.ring.lock().set_deadline(NEVER);
        return;
    }
    // Whoever brings a receive back that the walk may have passed over lowers it meanwhile.
    me.ring.lock().set_deadline(NEVER);
    for core in me.receive_cores() {
        core.expire(me, now, &mut earliest);
    }
    for (nth, call) in me.calls(0).enumerate() {
        look_sometimes(nth);
        let (generation, _) = call.word.load();
        let deadline = {
            let body = call.body.lock();
            if body.caller.is_none() || body.generation != generation {
                continue;
            }
            body.deadline
        };
        if deadline <= now {
            if let Some(won) = win(&call, generation, Ending::TimedOut) {
                let _ = me.complete(won.route, Finished::refused(Refusal::TimedOut));
            }
            let _ = sched::point();
        } else {
            earliest = earliest.min(deadline);
        }
    }
    me.ring.lock().lower_deadline(earliest);
}

/// Cancels the pending operation with this user data.
pub(crate) fn cancel(me: &Arc<Thread>, user_data: u64) -> Result<(), Refusal> {
    let route = Route::Ring(user_data);
    if !end_pending(me, route, Ending::Cancelled) {
        return Err(Refusal::NotFound);
    }
    let _ = me.complete(route, Finished::refused(Refusal::Cancelled));
    Ok(())
}

/// Ends this thread's pending operation of a route, call or receive. `false`: there is none, or another ending won. Its
/// result is the caller's to hand over.
pub(crate) fn end_pending(me: &Arc<Thread>, route: Route, ending: Ending) -> bool {
    // Those that are cancelled one after the other mostly were called one after the other.
    let first = me.ended_last.load(Ordering::Relaxed);
    let around = (first..)
        .zip(me.calls(first))
        .chain((0..first).zip(me.calls(0)));
    for (nth, (at, call)) in around.enumerate() {
        look_sometimes(nth);
        let (generation, _) = call.word.load();
        let hit = {
            let body = call.body.lock();
            body.caller.is_some() && body.generation == generation && body.route == route
        };
        if hit && win(&call, generation, ending).is_some() {
            me.ended_last.store(at, Ordering::Relaxed);
            return true;
        }
    }
    me.receive_cores()
        .any(|core| core.forget(me, Some(route)) > 0)
}
