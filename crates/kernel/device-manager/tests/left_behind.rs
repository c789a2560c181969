//! What an operation leaves when it fails halfway: nothing. And what the end of a claim leaves on: nothing.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{CommandRequest, DeviceState, Layout, QueueSpec, Refusal, SegmentRequest};
use driver_core::Settings;
use machine::{
    FakeConfig, Machine, OWNER, STRANGER, TAKEN, Ticket, bdf, done, from_device, script,
};
use pci_format::ConfigAccess;

/// The MSI-X structure of the machine's functions; enabled and masked are the two highest bits of its first dword.
const MSIX: u16 = 0x40;

#[test]
fn enabling_without_memory_takes_the_bus_away_and_charges_nothing() {
    let it = Machine::new();
    let claim = it.claim(0);
    assert_eq!(it.reset(&claim), Ok(()));
    it.manager.configure(&claim, Settings::Plain).unwrap();
    it.fake.limit_pages(0);
    assert_eq!(it.enable(&claim), Err(Refusal::NoMemory));
    assert!(!it.bus_master(0));
    // The charge is gone too, or the teardown would wait for its pages for ever.
    it.fake.limit_pages(u64::MAX);
    it.manager.release(&claim).unwrap();
    it.settle();
    assert!(it.fake.facts().contains("@device.released"));
    it.running(0);
}

#[test]
fn a_buffer_whose_holder_left_makes_room_for_the_next() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let m = &it.manager;
    let pool = m.pool_create(&claim, 4096).unwrap();
    let buffer = m
        .buffer_allocate(&claim, pool, 4096, Layout::Scattered)
        .unwrap();
    assert_eq!(
        it.submit(&claim, queue, 1, &[from_device(buffer, 0, 8)]),
        TAKEN
    );
    m.buffer_release(&claim, buffer);
    assert_eq!(
        m.buffer_allocate(&claim, pool, 4096, Layout::Scattered),
        Err(Refusal::OverBudget)
    );
    script().lock().unwrap().completions.push_back(done(0));
    assert_eq!(it.complete(&claim, queue).unwrap().len(), 1);
    m.buffer_allocate(&claim, pool, 4096, Layout::Scattered)
        .unwrap();
}

#[test]
fn a_batch_of_nothing_needs_a_live_queue_all_the_same() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let nothing = || core::iter::empty::<Result<CommandRequest<'_, Segments>, Refusal>>();
    type Segments = Vec<Result<SegmentRequest, Refusal>>;
    assert_eq!(
        it.manager.queue_submit(&claim, queue, nothing()).refusal,
        None
    );
    it.up(&claim);
    let old = it.manager.queue_submit(&claim, queue, nothing());
    assert_eq!(old.refusal, Some(Refusal::Stale));
    assert_eq!(script().lock().unwrap().rings, 0);
}

#[test]
fn the_end_of_a_claim_turns_its_signals_off() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    it.manager.interrupt_open(&claim, 1).unwrap();
    let control = || it.config.read32(bdf(4), MSIX) >> 30;
    assert_eq!(control(), 0b10, "enabled, and masked one by one");
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(control() & 0b10, 0);
}

#[test]
fn a_death_leaves_the_others_in_the_line() {
    let it = Machine::new();
    let claim = it.claim(0);
    it.manager.release(&claim).unwrap();
    let (dead, alive) = (Ticket::new(), Ticket::new());
    it.manager.claim("fake", 0, OWNER, dead.waiter());
    it.manager.claim("fake", 0, STRANGER, alive.waiter());
    dead.go();
    it.settle();
    assert_eq!(dead.answer(), None);
    assert!(matches!(alive.answer(), Some(Ok(_))));
}

#[test]
fn more_memory_than_is_wiped_in_one_go_is_wiped_in_several() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    let pool = it.manager.pool_create(&claim, 32 << 20).unwrap();
    for _ in 0..4 {
        let buffer = it
            .manager
            .buffer_allocate(&claim, pool, 5 << 20, Layout::Scattered);
        buffer.unwrap();
    }
    it.manager.release(&claim).unwrap();
    it.settle();
    assert!(it.fake.facts().contains("@device.released"));
    assert_eq!(it.fake.pages(), 0);
}

#[test]
fn queues_that_do_not_open_leave_their_place() {
    let it = Machine::new();
    let claim = it.claim(0);
    it.up(&claim);
    let refused = QueueSpec {
        kind: 1,
        index: 1,
        depth: 13,
        vector: None,
    };
    for _ in 0..100 {
        let ticket = Ticket::new();
        it.manager.queue_open(&claim, refused, ticket.waiter());
        assert_eq!(ticket.answer(), Some(Err(Refusal::WrongState)));
    }
    it.open(&claim).unwrap();
    // One that never comes into being keeps its place until a reset, and no longer.
    for _ in 0..100 {
        it.up(&claim);
        script().lock().unwrap().open_looks = None;
        assert_eq!(it.open(&claim), Err(Refusal::TimedOut));
    }
    script().lock().unwrap().open_looks = Some(0);
    it.up(&claim);
    it.open(&claim).unwrap();
}

#[test]
fn a_device_that_did_not_stop_is_not_asked_again() {
    let it = Machine::with(FakeConfig::new().without_flr());
    let (claim, _) = it.running(0);
    script().lock().unwrap().reset_looks = None;
    let ticket = Ticket::new();
    it.manager.reset(&claim, ticket.waiter());
    while ticket.answer().is_none() {
        let (function, at) = it.fake.next_timer().unwrap();
        it.fake.advance_to(at);
        it.manager.poll(function);
        // It would say that it stopped, now that it has been given up.
        if it.fake.facts().contains("step=begun") {
            script().lock().unwrap().reset_looks = Some(0);
        }
    }
    assert_eq!(
        it.manager.info(&claim).unwrap().state,
        DeviceState::Quarantined
    );
    assert!(it.fake.facts().contains("@device.quarantined"));
}

#[test]
fn after_a_function_level_reset_a_claim_goes_on_with_its_interrupts() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    script().lock().unwrap().reset_looks = None;
    let ticket = Ticket::new();
    it.manager.reset(&claim, ticket.waiter());
    while it.config.resets(bdf(4)) == 0 {
        let (function, at) = it.fake.next_timer().unwrap();
        it.fake.advance_to(at);
        it.manager.poll(function);
    }
    script().lock().unwrap().reset_looks = Some(0);
    it.settle();
    assert_eq!(ticket.answer(), Some(Ok(())));
    it.manager.configure(&claim, Settings::Plain).unwrap();
    assert_eq!(it.enable(&claim), Ok(()));
    it.manager.interrupt_open(&claim, 1).unwrap();
    assert_eq!(it.config.read32(bdf(4), MSIX) >> 30, 0b10);
}
