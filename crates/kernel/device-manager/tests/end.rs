//! The end of the machine, and what a person may see of it before.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{Access, Books, Live, Refusal, Saying};
use dma_ledger::{FunctionState, Phase};
use machine::{Machine, STRANGER, TAKEN, Ticket, from_device};
use units::Bdf;

#[test]
fn closing_ends_every_claim_and_refuses_new_ones() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    assert_eq!(
        it.submit(&claim, queue, 1, &[from_device(buffer, 0, 512)]),
        TAKEN
    );
    let _other = it.claim(1);
    assert!(it.manager.all_stopped().is_none());
    assert_eq!(it.manager.live().claims, 2);
    assert_eq!(it.manager.live().bus_masters, 1);

    assert_eq!(it.manager.close(), 2);
    // Somebody who asks while the devices stop is refused, and so is one who asks after.
    assert_eq!(it.try_claim(1, STRANGER), Err(Refusal::WrongState));
    it.settle();
    assert_eq!(it.manager.live(), Live::default());
    assert!(it.manager.all_stopped().is_some());
    assert!(!it.bus_master(0));
    assert_eq!(it.fake.pages(), 0);
    assert_eq!(it.try_claim(0, STRANGER), Err(Refusal::WrongState));

    it.manager.allow_claims();
    assert!(it.manager.all_stopped().is_none(), "open again");
    assert!(it.try_claim(0, STRANGER).is_ok());
}

#[test]
fn whoever_waits_for_a_teardown_is_refused_when_the_machine_goes() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    it.manager.release(&claim).unwrap();
    let ticket = Ticket::new();
    it.manager.claim("fake", 0, STRANGER, ticket.waiter());
    it.manager.close();
    it.settle();
    assert_eq!(ticket.answer(), Some(Err(Refusal::WrongState)));
    assert!(it.manager.all_stopped().is_some());
}

#[test]
fn an_inspection_agrees_with_what_was_done() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 8192);
    assert_eq!(
        it.submit(&claim, queue, 1, &[from_device(buffer, 0, 512)]),
        TAKEN
    );
    let mut all = Vec::new();
    let next = it.manager.inspect(0, &mut |seen| {
        all.push(seen);
        true
    });
    assert_eq!((next, all.len()), (0, 2));
    let seen = &all[0];
    assert_eq!(seen.state, FunctionState::Claimed(Phase::Running));
    assert_eq!(
        (seen.generation, seen.bus_master),
        (claim.generation(), true)
    );
    assert_eq!(seen.books, Books::Agree);
    assert_eq!((seen.totals.in_flight, seen.totals.pool_bytes), (1, 8192));
    assert_eq!(seen.pools.len(), 1);
    assert_eq!(seen.queues.iter().filter(|q| q.in_flight == 1).count(), 1);
    assert_eq!(all[1].state, FunctionState::Unclaimed);
    assert_eq!(it.manager.quarantined_bytes(), 0);
    // Going on where a page ended.
    let mut rest = 0;
    assert_eq!(
        it.manager.inspect(1, &mut |_| {
            rest += 1;
            true
        }),
        0
    );
    assert_eq!(rest, 1);
    assert_eq!(
        it.manager.inspect(0, &mut |_| false),
        0,
        "the same place: nothing was taken"
    );
}

#[test]
fn a_device_that_is_distrusted_is_unmapped_a_little_at_a_time() {
    const BUFFERS: usize = 40;
    let it = Machine::new();
    let (claim, _) = it.running(0);
    let pool = it.manager.pool_create(&claim, 1 << 20).unwrap();
    for _ in 0..BUFFERS {
        let layout = device_manager::Layout::Scattered;
        let buffer = it
            .manager
            .buffer_allocate(&claim, pool, 4096, layout)
            .unwrap();
        it.manager
            .buffer_window(&claim, buffer, Access::ReadWrite)
            .unwrap();
    }
    let function = Bdf::from_u32(it.manager.info(&claim).unwrap().address);
    // Out of an interrupt: the claim is dead, and nothing else was done.
    let said = it.manager.distrust(function, claim.generation());
    assert_eq!(said, Some(Saying::Aloud));
    assert_eq!(
        it.manager.configure(&claim, driver_core::Settings::Plain),
        Err(Refusal::Revoked)
    );
    let again = it.manager.distrust(function, claim.generation());
    assert_eq!(again, None, "once");
    let ticket = Ticket::new();
    it.manager.claim("fake", 0, STRANGER, ticket.waiter());
    assert_eq!(it.fake.revoked(), 0);
    let mut turns = 0;
    while !it.fake.all_revoked() {
        let before = it.fake.revoked();
        let (function, at) = it.fake.next_timer().expect("the timer is armed");
        it.fake.advance_to(at);
        it.manager.poll(function);
        assert!(
            it.fake.revoked() - before <= 2,
            "two steps each, four in one interrupt"
        );
        assert_eq!(ticket.answer(), None);
        turns += 1;
    }
    assert!(turns >= BUFFERS / 2);
    it.settle();
    assert!(matches!(ticket.answer(), Some(Ok(_))));
    assert_eq!(it.fake.pages(), 0);
}
