//! What the hardware audit log is told.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use audit_format::{Event, Kind, TEARDOWN_STEPS};
use device_manager::{Access, Layout, Refusal};
use machine::{Machine, OWNER};

fn kinds(events: &[Event]) -> Vec<Kind> {
    events.iter().map(|event| event.kind).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn a_life_is_told_in_its_order() {
    let machine = Machine::new();
    let (claim, queue) = machine.running(0);
    let up = machine.fake.audited();
    let expected = [
        Kind::Claimed,
        Kind::ResetBegun,
        Kind::ResetProven,
        Kind::Configured,
        Kind::BusMasterOn,
        Kind::Enabled,
        Kind::QueueOpened,
    ];
    assert_eq!(kinds(&up), expected);
    for event in &up {
        assert_eq!((event.owner, event.claim), (OWNER.0, claim.generation()));
        assert_eq!(event.function, machine.manager.address_of(&claim));
    }
    assert_eq!(
        (up[6].object, up[6].object_generation),
        (queue.index(), queue.generation())
    );

    let manager = &machine.manager;
    let pool = manager.pool_create(&claim, 1 << 20).unwrap();
    let buffer = manager
        .buffer_allocate(&claim, pool, 8192, Layout::Scattered)
        .unwrap();
    manager
        .buffer_window(&claim, buffer, Access::ReadWrite)
        .unwrap();
    manager
        .buffer_window(&claim, buffer, Access::ReadWrite)
        .unwrap();
    manager.buffer_free(&claim, buffer).unwrap();
    let route = manager.interrupt_open(&claim, 0).unwrap();
    manager.interrupt_close(&claim, &route).unwrap();
    manager.queue_close(&claim, queue);
    manager.pool_close(&claim, pool).unwrap();
    let used = machine.fake.audited();
    let expected = [
        Kind::PoolCreated,
        Kind::BufferAllocated,
        Kind::BufferShared,
        Kind::BufferFreed,
        Kind::InterruptAttached,
        Kind::InterruptDetached,
        Kind::QueueClosed,
        Kind::PoolClosed,
    ];
    assert_eq!(
        kinds(&used),
        expected,
        "a window that exists is not shared anew"
    );
    assert_eq!(used[1].value, 8192);
    assert!(used.iter().all(|event| event.owner == OWNER.0));

    manager.release(&claim).unwrap();
    machine.settle();
    let end = machine.fake.audited();
    let steps: Vec<u32> = end
        .iter()
        .filter(|event| event.kind == Kind::TeardownStep)
        .map(|event| event.detail)
        .collect();
    // The last is that of functions with a domain.
    let all: Vec<u32> = (1..TEARDOWN_STEPS.len() as u32).collect();
    assert_eq!(steps, all, "each step once, in order");
    assert_eq!(end[0].kind, Kind::ClaimEnding);
    assert_eq!(end.last().unwrap().kind, Kind::Released);
    assert_eq!(end.last().unwrap().claim, claim.generation());
}

#[test]
fn routes_that_a_teardown_takes_are_told() {
    let machine = Machine::new();
    let (claim, _) = machine.running(0);
    machine.manager.interrupt_open(&claim, 0).unwrap();
    machine.manager.interrupt_open(&claim, 1).unwrap();
    machine.fake.audited();
    machine.manager.release(&claim).unwrap();
    machine.settle();
    let end = machine.fake.audited();
    let detached = end
        .iter()
        .filter(|event| event.kind == Kind::InterruptDetached);
    assert_eq!(detached.count(), 2);
}

#[test]
fn a_stale_claim_that_asks_is_told_once_and_changes_nothing() {
    let machine = Machine::new();
    let (claim, _) = machine.running(0);
    machine.manager.release(&claim).unwrap();
    machine.settle();
    machine.fake.audited();
    assert_eq!(machine.reset(&claim), Err(Refusal::Stale));
    let told = machine.fake.audited();
    assert_eq!(kinds(&told), [Kind::Refused]);
    assert_eq!(told[0].outcome, Refusal::Stale.code());
}
