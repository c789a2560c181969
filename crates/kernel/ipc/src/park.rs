//! Waiting on a word of one's own memory, for locks of programs.

use alloc::sync::Arc;

use ring_abi::Refusal;

use crate::finished::Finished;
use crate::records::Thread;

/// Waits until unparked, unless the word at `address` no longer is `expected`.
pub(crate) fn park(me: &Arc<Thread>, address: u64, expected: u32, deadline: u64) -> Finished {
    let parked = &me.process.parked;
    let place = {
        // The word is read under the list's lock, and `unpark` takes it too: no wake-up falls in between.
        let mut list = parked.lock();
        match me.process.vm.read_word(address) {
            Ok(value) if value == expected => {}
            Ok(_) => return Finished::default(),
            Err(refusal) => return Finished::refused(refusal),
        }
        match list.add(address, me.clone()) {
            Ok(place) => place,
            Err(refusal) => return Finished::refused(refusal),
        }
    };
    // Whichever way this ends, the thread is in the list no more.
    loop {
        let timed_out = sched::block(deadline);
        let mut list = parked.lock();
        if !list.has(place) {
            return Finished::default();
        }
        if timed_out || me.process.is_dying() {
            let gone = list.remove(place);
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
        let next = me.process.parked.lock().next(address);
        let Some(thread) = next else { break };
        sched::wake(&thread.task);
        woken += 1;
        if woken.is_multiple_of(WAKES_PER_LOOK) {
            let _ = sched::point();
        }
    }
    woken
}
