//! A place for one count of something, between who takes and who puts, in every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ipc --test races --release`
#![cfg(loom)]
#![allow(unsafe_code)]

extern crate alloc;

use loom::sync::atomic as atomics;

#[path = "../src/kept.rs"]
mod kept;

use std::sync::Arc;

use atomics::{AtomicBool, Ordering};
use kept::Kept;
use loom::cell::UnsafeCell;
use loom::thread;

/// What is counted: whoever has it before it is put writes, and whoever takes it reads and writes.
struct Thing(UnsafeCell<u32>);

// SAFETY: loom looks.
unsafe impl Send for Thing {}
// SAFETY: loom looks.
unsafe impl Sync for Thing {}

impl Thing {
    fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(0)))
    }

    fn write(&self, value: u32) {
        // SAFETY: loom looks.
        self.0.with_mut(|place| unsafe { *place = value });
    }

    fn read(&self) -> u32 {
        // SAFETY: loom looks.
        self.0.with(|place| unsafe { *place })
    }
}

#[test]
fn what_was_done_before_a_count_is_put_is_seen_by_who_takes_it() {
    loom::model(|| {
        let place = Arc::new(Kept::default());
        // It orders nothing, so that the order is the place's own.
        let told = Arc::new(AtomicBool::new(false));
        let (other, tells) = (place.clone(), told.clone());
        let server = thread::spawn(move || {
            let thing = Thing::new();
            thing.write(7);
            assert!(other.put(thing).is_ok());
            tells.store(true, Ordering::Relaxed);
        });
        while !told.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        // SAFETY: this thread alone takes.
        if let Some(thing) = unsafe { place.take() } {
            assert_eq!(thing.read(), 7);
            thing.write(8);
            // As at the end of the next operation.
            assert!(place.put(thing).is_ok());
        }
        server.join().unwrap();
    });
}

#[test]
fn of_two_who_put_at_once_no_count_is_used_twice() {
    loom::model(|| {
        let place = Arc::new(Kept::default());
        let things = [Thing::new(), Thing::new()];
        let puts = things.clone().map(|thing| {
            let place = place.clone();
            thread::spawn(move || place.put(thing).is_ok())
        });
        // SAFETY: this thread alone takes.
        let first = unsafe { place.take() };
        let done = puts.map(|put| put.join().unwrap());
        // SAFETY: as before.
        let second = unsafe { place.take() };
        let taken = usize::from(first.is_some()) + usize::from(second.is_some());
        assert!(taken <= done.into_iter().filter(|done| *done).count());
        if let (Some(first), Some(second)) = (&first, &second) {
            assert!(!Arc::ptr_eq(first, second), "one count was used twice");
        }
    });
}

#[test]
#[should_panic(expected = "used twice")]
fn a_second_who_takes_is_found() {
    loom::model(|| {
        let place = Arc::new(Kept::default());
        assert!(place.put(Thing::new()).is_ok());
        let other = place.clone();
        // SAFETY: none: another thread takes, too. What both have is never given back.
        let taker = thread::spawn(move || unsafe { other.take() }.map(std::mem::forget).is_some());
        // SAFETY: as before.
        let own = unsafe { place.take() }.map(std::mem::forget).is_some();
        assert!(!(own && taker.join().unwrap()), "one count was used twice");
    });
}
