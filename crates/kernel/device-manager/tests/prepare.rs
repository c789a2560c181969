//! Opening a queue whose memory is taken in parts: others go first in between, and whatever comes in between is kept.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{DeviceState, Refusal};
use machine::{Machine, script};

/// Pages that the broker takes before it opens the queue.
const PARTS: u32 = 5;

fn machine() -> &'static Machine {
    let it = Box::leak(Box::new(Machine::new()));
    it.fake.put_below_unit();
    script().lock().unwrap().prepare = PARTS;
    it
}

#[test]
fn others_go_first_after_each_part() {
    let it = machine();
    let claim = it.claim(0);
    it.up(&claim);
    let (looks, pages) = (it.fake.1.count(), it.fake.pages());
    it.open(&claim).unwrap();
    assert_eq!(it.fake.1.count() - looks, u64::from(PARTS));
    assert_eq!(it.fake.pages() - pages, u64::from(PARTS));
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(it.fake.pages(), 0);
}

#[test]
fn a_claim_that_ends_in_between_leaves_nothing() {
    for parts in 1..=PARTS {
        let it = machine();
        script().lock().unwrap().prepared = 0;
        let claim = it.claim(0);
        it.up(&claim);
        it.fake.1.at(parts, move || {
            it.manager.release(&claim).unwrap();
            it.settle();
        });
        assert_eq!(it.open(&claim), Err(Refusal::Stale), "{parts}");
        assert_eq!(script().lock().unwrap().prepared, parts);
        assert_eq!(it.manager.info(&claim).unwrap().state, DeviceState::Dead);
        assert_eq!(it.fake.pages(), 0);
        assert!(it.fake.reach().is_ended());
        // Whoever comes next begins anew.
        script().lock().unwrap().prepared = 0;
        let (next, _) = it.running(0);
        it.manager.release(&next).unwrap();
        it.settle();
        assert_eq!(it.fake.pages(), 0);
    }
}

#[test]
fn what_cannot_be_paid_for_is_refused_and_the_rest_is_used_later() {
    let it = machine();
    let claim = it.claim(0);
    it.up(&claim);
    let pages = it.fake.pages();
    it.fake.refuse_with(Refusal::OverBudget);
    it.fake.limit_pages(pages + 3);
    for _ in 0..2 {
        assert_eq!(it.open(&claim), Err(Refusal::OverBudget));
        assert_eq!(it.fake.pages(), pages + 3, "taken once");
    }
    it.fake.limit_pages(u64::MAX);
    // Nothing of it was at the device: its place is free.
    it.open(&claim).unwrap();
    assert_eq!(it.fake.pages(), pages + u64::from(PARTS));
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(it.fake.pages(), 0);
    assert!(it.fake.reach().is_ended());
}

#[test]
fn a_reset_in_between_refuses_the_opening() {
    let it = machine();
    let claim = it.claim(0);
    it.up(&claim);
    it.fake.1.at(2, move || it.reset(&claim).unwrap());
    assert_eq!(it.open(&claim), Err(Refusal::WrongState));
    it.up(&claim);
    it.open(&claim).unwrap();
    assert_eq!(script().lock().unwrap().prepared, PARTS);
}
