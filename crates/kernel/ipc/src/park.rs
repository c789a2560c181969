//! Waiting on a word of one's own memory, for locks of programs.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use cpu::Lock;
use ring_abi::Refusal;

use crate::{Finished, Thread};

const BUCKETS: usize = 64;

#[derive(Debug)]
struct Parked {
    process: u64,
    address: u64,
    thread: Arc<Thread>,
}

static TABLE: [Lock<VecDeque<Parked>>; BUCKETS] = [const { Lock::new(VecDeque::new()) }; BUCKETS];

fn bucket(process: u64, address: u64) -> &'static Lock<VecDeque<Parked>> {
    let mixed = (process ^ (address >> 2)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &TABLE[(mixed >> 58) as usize % BUCKETS]
}

/// Waits until unparked, unless the word at `address` no longer is `expected`.
pub(crate) fn park(me: &Arc<Thread>, address: u64, expected: u32, deadline: u64) -> Finished {
    let place = bucket(me.process.id, address);
    {
        // The word is read under the bucket's lock, and `unpark` takes it too: no wake-up falls in between.
        let mut list = place.lock();
        match me.process.vm.read_word(address) {
            Ok(value) if value == expected => {}
            Ok(_) => return Finished::default(),
            Err(refusal) => return Finished::refused(refusal),
        }
        list.push_back(Parked {
            process: me.process.id,
            address,
            thread: me.clone(),
        });
    }
    loop {
        let timed_out = sched::block(deadline);
        let mut list = place.lock();
        let still = list.iter().position(|p| Arc::ptr_eq(&p.thread, me));
        match still {
            None => return Finished::default(),
            Some(at) if timed_out || me.process.is_dying() => {
                let gone = list.remove(at);
                drop(list);
                drop(gone);
                return Finished::refused(Refusal::TimedOut);
            }
            Some(_) => {}
        }
    }
}

/// Wakes up to `count` threads parked on `address`. Returns how many.
pub(crate) fn unpark(me: &Thread, address: u64, count: u64) -> u64 {
    let mut woken = 0;
    while woken < count {
        let next = {
            let mut list = bucket(me.process.id, address).lock();
            let at = list
                .iter()
                .position(|p| p.process == me.process.id && p.address == address);
            at.and_then(|at| list.remove(at))
        };
        let Some(parked) = next else { break };
        sched::wake(&parked.thread.task);
        woken += 1;
    }
    woken
}

/// Takes a leaving thread out of every list.
pub(crate) fn forget(me: &Arc<Thread>) {
    for place in &TABLE {
        let mut gone = VecDeque::new();
        {
            let mut list = place.lock();
            while let Some(at) = list.iter().position(|p| Arc::ptr_eq(&p.thread, me)) {
                gone.extend(list.remove(at));
            }
        }
        drop(gone);
    }
}
