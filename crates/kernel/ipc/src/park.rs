//! Waiting on a word of one's own memory, for locks of programs.

use alloc::sync::Arc;

use ring_abi::Refusal;

use crate::finished::Finished;
use crate::records::{Parked, Thread};

/// Waits until unparked, unless the word at `address` no longer is `expected`.
pub(crate) fn park(me: &Arc<Thread>, address: u64, expected: u32, deadline: u64) -> Finished {
    let place = &me.process.parked;
    {
        // The word is read under the list's lock, and `unpark` takes it too: no wake-up falls in between.
        let mut list = place.lock();
        match me.process.vm.read_word(address) {
            Ok(value) if value == expected => {}
            Ok(_) => return Finished::default(),
            Err(refusal) => return Finished::refused(refusal),
        }
        let parked = Parked {
            address,
            thread: me.clone(),
        };
        if list.push(parked).is_err() {
            return Finished::refused(Refusal::OverBudget);
        }
    }
    loop {
        let timed_out = sched::block(deadline);
        let mut list = place.lock();
        if !list.iter().any(|p| Arc::ptr_eq(&p.thread, me)) {
            return Finished::default();
        }
        if timed_out || me.process.is_dying() {
            let gone = list.take(|p| Arc::ptr_eq(&p.thread, me));
            drop(list);
            drop(gone);
            return Finished::refused(Refusal::TimedOut);
        }
    }
}

/// Threads that are woken from one look to the next.
const WAKES_PER_LOOK: u64 = 8;

/// Wakes up to `count` threads parked on `address`. Returns how many.
pub(crate) fn unpark(me: &Thread, address: u64, count: u64) -> u64 {
    let mut woken = 0;
    while woken < count {
        let next = {
            let mut list = me.process.parked.lock();
            list.take(|p| p.address == address)
        };
        let Some(parked) = next else { break };
        sched::wake(&parked.thread.task);
        woken += 1;
        if woken.is_multiple_of(WAKES_PER_LOOK) {
            let _ = sched::point();
        }
    }
    woken
}

/// Takes a leaving thread out of the list.
pub(crate) fn forget(me: &Arc<Thread>) {
    // `me` holds the thread: no entry is the last that does.
    me.process
        .parked
        .lock()
        .retain(|p| !Arc::ptr_eq(&p.thread, me));
}
