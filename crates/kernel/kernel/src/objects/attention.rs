//! What a break on the serial line does: whoever reads the console gets the highest priority for a while, so that a person
//! at the line is heard whatever runs.
//!
//! Equal priorities share a CPU by turns, so a program that never stops at the highest one leaves the reader its turns.

use alloc::sync::{Arc, Weak};

use cpu::Lock;
use ipc::Thread;
use sabotage::sabotage;
use sched::Task;

/// For how long after a break.
const LASTS_NS: u64 = 30_000_000_000;
const HIGHEST: u8 = sched::PRIORITIES as u8 - 1;

/// The thread that read last. A reader that works on what it read, or is kept from it, is meant as well.
static READER: Lock<Weak<Task>> = Lock::new(Weak::new());
/// Who has the highest priority, and until when.
static GIVEN: Lock<Option<(Weak<Task>, u64)>> = Lock::new(None);

/// A thread reads the console.
pub fn note_reader(thread: &Arc<Thread>) {
    let mut reader = READER.lock();
    if core::ptr::eq(reader.as_ptr(), Arc::as_ptr(&thread.task)) {
        return;
    }
    let before = core::mem::replace(&mut *reader, Arc::downgrade(&thread.task));
    drop(reader);
    drop(before);
}

/// A break came.
pub fn give() {
    sabotage!(DEAF_TO_BREAKS => return);
    let reader = READER.lock().clone();
    let Some(task) = reader.upgrade() else { return };
    let until = sched::now_ns() + LASTS_NS;
    task.lend(HIGHEST);
    let before = GIVEN.lock().replace((reader, until));
    take_back(before);
    sched::callback_at(until, end, 0);
}

fn end(_: u64) {
    let over = {
        let mut given = GIVEN.lock();
        match &*given {
            Some((_, until)) if *until > sched::now_ns() => {
                let until = *until;
                drop(given);
                return sched::callback_at(until, end, 0);
            }
            _ => given.take(),
        }
    };
    take_back(over);
}

fn take_back(given: Option<(Weak<Task>, u64)>) {
    if let Some(task) = given.and_then(|(task, _)| task.upgrade()) {
        task.give_back(HIGHEST);
    }
}
