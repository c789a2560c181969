//! Pools, buffers, queues: budgets, revocation, and commands that a device or a provider would like to abuse.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use driver_core::Settings;
use std::sync::Arc;

use device_manager::{Access, CommandRequest, Layout, MAX_BATCH, Refusal, SegmentRequest};
use dma_ledger::QueueState;
use machine::{Machine, TAKEN, done, from_device, refused, script};

#[test]
fn budgets_and_sizes_are_kept() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    assert_eq!(m.pool_create(&claim, 0), Err(Refusal::ZeroLength));
    assert_eq!(m.pool_create(&claim, u64::MAX), Err(Refusal::OverBudget));
    let pool = m.pool_create(&claim, 3 * 4096).unwrap();
    assert_eq!(
        m.buffer_allocate(&claim, pool, 0, Layout::Scattered),
        Err(Refusal::ZeroLength)
    );
    assert_eq!(
        m.buffer_allocate(&claim, pool, 4 * 4096, Layout::Scattered),
        Err(Refusal::OverBudget)
    );
    assert_eq!(
        m.buffer_allocate(&claim, pool, u64::MAX, Layout::Scattered),
        Err(Refusal::OutOfRange)
    );
    let buffer = m
        .buffer_allocate(&claim, pool, 2 * 4096, Layout::Contiguous)
        .unwrap();
    assert_eq!(m.pool_info(&claim, pool).unwrap().used, 2 * 4096);
    it.fake.limit_pages(2);
    assert_eq!(
        m.buffer_allocate(&claim, pool, 1, Layout::Scattered),
        Err(Refusal::NoMemory)
    );
    assert_eq!(m.pool_info(&claim, pool).unwrap().used, 2 * 4096);
    assert_eq!(m.pool_close(&claim, pool), Err(Refusal::Busy));
    m.buffer_free(&claim, buffer).unwrap();
    assert_eq!(m.buffer_free(&claim, buffer), Err(Refusal::Stale));
    m.pool_close(&claim, pool).unwrap();
    assert_eq!(it.fake.pages(), 0);
}

#[test]
fn a_buffer_in_flight_stays_and_a_freed_one_is_gone_everywhere() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let m = &it.manager;
    // So many that the search for what is given up goes in stretches.
    let others = m.pool_create(&claim, 1000 * 4096).unwrap();
    for _ in 0..1000 {
        m.buffer_allocate(&claim, others, 4096, Layout::Scattered)
            .unwrap();
    }
    let (pool, buffer) = it.buffer(&claim, 4096);
    let writable = m.buffer_window(&claim, buffer, Access::ReadWrite).unwrap();
    let read_only = m.buffer_window(&claim, buffer, Access::Read).unwrap();
    assert_eq!(it.fake.mappings(), 2);
    m.buffer_window(&claim, buffer, Access::ReadWrite).unwrap();
    assert_eq!(it.fake.mappings(), 2);
    assert_eq!(
        it.submit(&claim, queue, 5, &[from_device(buffer, 8, 8)]),
        TAKEN
    );
    assert_eq!(m.buffer_free(&claim, buffer), Err(Refusal::Busy));
    m.buffer_release(&claim, buffer);
    assert!(!writable.is_revoked());
    script().lock().unwrap().completions.push_back(done(0));
    assert_eq!(it.complete(&claim, queue).unwrap()[0].cookie, 5);
    writable.write(0, b"left behind");
    // The next allocation finds it idle and given up.
    let next = m
        .buffer_allocate(&claim, pool, 4096, Layout::Scattered)
        .unwrap();
    assert!(writable.is_revoked() && read_only.is_revoked());
    assert_eq!(m.buffer_info(&claim, buffer), Err(Refusal::Stale));
    assert_eq!(
        it.submit(&claim, queue, 6, &[from_device(buffer, 0, 8)]),
        refused(Refusal::Stale)
    );
    assert_eq!(
        it.submit(&claim, queue, 6, &[from_device(next, 0, 8)]),
        TAKEN
    );
}

#[test]
fn segments_are_checked_before_anything_is_written() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    let attempt = |segments: &[SegmentRequest]| it.submit(&claim, queue, 0, segments).refusal;
    assert_eq!(
        attempt(&[from_device(buffer, 0, 0)]),
        Some(Refusal::ZeroLength)
    );
    assert_eq!(
        attempt(&[from_device(buffer, 0, 4097)]),
        Some(Refusal::OutOfRange)
    );
    assert_eq!(
        attempt(&[from_device(buffer, 4096, 1)]),
        Some(Refusal::OutOfRange)
    );
    assert_eq!(
        attempt(&[from_device(buffer, u32::MAX, u32::MAX)]),
        Some(Refusal::OutOfRange)
    );
    assert_eq!(
        attempt(&[from_device(buffer, 0, 1); 65]),
        Some(Refusal::OutOfRange)
    );
    script().lock().unwrap().refuse_submit = Some(Refusal::LengthMismatch);
    assert_eq!(
        attempt(&[from_device(buffer, 0, 1)]),
        Some(Refusal::LengthMismatch)
    );
    let state = script();
    let state = state.lock().unwrap();
    assert!(state.written.is_empty() && state.rings == 0);
    drop(state);
    let info = it.manager.queue_info(&claim, queue).unwrap();
    assert_eq!((info.in_flight, info.pinned), (0, 0));
    assert_eq!(it.manager.buffer_info(&claim, buffer).unwrap().in_flight, 0);
}

#[test]
fn a_batch_stops_at_the_first_refusal_and_rings_once() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    let command = |cookie: u64, length: u32| CommandRequest {
        cookie,
        template: &[0],
        segments: [Ok(from_device(buffer, 0, length))],
    };
    let batch = [
        Ok(command(1, 1)),
        Ok(command(2, 1)),
        Err(Refusal::BadHandle),
        Ok(command(4, 1)),
    ];
    let outcome = it.manager.queue_submit(&claim, queue, batch);
    assert_eq!(
        (outcome.accepted, outcome.refusal),
        (2, Some(Refusal::BadHandle))
    );
    let lost = CommandRequest {
        cookie: 3,
        template: &[0][..],
        segments: [Err(Refusal::WrongKind)],
    };
    let outcome = it.manager.queue_submit(&claim, queue, [Ok(lost)]);
    assert_eq!(
        (outcome.accepted, outcome.refusal),
        (0, Some(Refusal::WrongKind))
    );
    assert_eq!(script().lock().unwrap().rings, 1);
    // Eight slots.
    let many = (0..MAX_BATCH as u64).map(|cookie| Ok(command(cookie, 1)));
    let outcome = it.manager.queue_submit(&claim, queue, many);
    assert_eq!(
        (outcome.accepted, outcome.refusal),
        (6, Some(Refusal::QueueFull))
    );
    assert_eq!(script().lock().unwrap().rung.len(), 8);
    let nothing = it
        .manager
        .queue_submit(&claim, queue, batch.into_iter().take(0));
    assert_eq!((nothing.accepted, nothing.refusal), (0, None));
}

#[test]
fn completions_of_nothing_in_flight_change_nothing() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    assert_eq!(
        it.submit(&claim, queue, 77, &[from_device(buffer, 0, 1)]),
        TAKEN
    );
    for slot in [3, 7, 8, u16::MAX, 0, 0] {
        script().lock().unwrap().completions.push_back(done(slot));
    }
    let cookies: Vec<u64> = it
        .complete(&claim, queue)
        .unwrap()
        .iter()
        .map(|one| one.cookie)
        .collect();
    assert_eq!(cookies, [77]);
    assert_eq!(it.manager.queue_info(&claim, queue).unwrap().in_flight, 0);
    assert_eq!(it.complete(&claim, queue).unwrap(), []);
    // What came before a contradiction is handed out; then it is said.
    assert_eq!(
        it.submit(&claim, queue, 78, &[from_device(buffer, 0, 1)]),
        TAKEN
    );
    let slot = script().lock().unwrap().rung[1];
    let mut out = arrayvec::ArrayVec::new();
    script().lock().unwrap().completions.extend([
        done(slot),
        Err(Refusal::Corrupt),
        Err(Refusal::Corrupt),
    ]);
    it.manager
        .queue_complete(&claim, queue, &mut out, 0)
        .unwrap();
    assert!(out.is_empty());
    assert_eq!(it.complete(&claim, queue).unwrap()[0].cookie, 78);
    assert_eq!(it.complete(&claim, queue), Err(Refusal::Corrupt));
}

#[test]
fn a_reset_returns_everything_in_flight_once() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    for cookie in 1..=3 {
        assert_eq!(
            it.submit(&claim, queue, cookie, &[from_device(buffer, 0, 1)]),
            TAKEN
        );
    }
    let ticket = machine::Ticket::new();
    it.manager.reset(&claim, ticket.waiter());
    // While it runs nothing goes in and nothing comes out, and the buffer stays.
    assert_eq!(
        it.submit(&claim, queue, 4, &[]),
        refused(Refusal::WrongState)
    );
    assert_eq!(it.complete(&claim, queue), Err(Refusal::WrongState));
    assert_eq!(it.manager.buffer_free(&claim, buffer), Err(Refusal::Busy));
    it.settle();
    assert!(!it.bus_master(0));
    script().lock().unwrap().completions.push_back(done(0));
    let got = it.complete(&claim, queue).unwrap();
    let mut cookies: Vec<_> = got.iter().map(|one| (one.cookie, one.refusal)).collect();
    cookies.sort_unstable_by_key(|one| one.0);
    assert_eq!(
        cookies,
        [1, 2, 3].map(|cookie| (cookie, Some(Refusal::Revoked)))
    );
    assert_eq!(it.complete(&claim, queue), Err(Refusal::Stale));
    assert_eq!(
        it.submit(&claim, queue, 4, &[]),
        refused(Refusal::WrongState)
    );
    it.manager.buffer_free(&claim, buffer).unwrap();
    script().lock().unwrap().completions.clear();
    it.manager.configure(&claim, Settings::Plain).unwrap();
    it.enable(&claim).unwrap();
    let again = it.open(&claim).unwrap();
    assert_ne!(queue, again);
    it.manager.queue_close(&claim, queue);
    assert_eq!(it.manager.queue_info(&claim, queue), Err(Refusal::Stale));
    assert_eq!(
        it.reset_queue(&claim, again),
        Err(Refusal::NotSupported),
        "this broker cannot, and nothing has changed"
    );
    assert_eq!(it.submit(&claim, again, 9, &[]), TAKEN);
}

#[test]
fn one_queue_is_reset_while_the_device_runs() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    script().lock().unwrap().queue_reset = Ok(Some(3));
    for cookie in 1..=3 {
        let piece = from_device(buffer, 0, 1);
        assert_eq!(it.submit(&claim, queue, cookie, &[piece]), TAKEN);
    }
    let rings = script().lock().unwrap().rings;
    let ticket = machine::Ticket::new();
    it.manager.queue_reset(&claim, queue, ticket.waiter());
    assert_eq!(
        it.submit(&claim, queue, 4, &[]),
        refused(Refusal::WrongState)
    );
    script().lock().unwrap().completions.push_back(done(0));
    assert_eq!(it.complete(&claim, queue), Err(Refusal::WrongState));
    assert_eq!(it.manager.buffer_free(&claim, buffer), Err(Refusal::Busy));
    it.settle();
    assert_eq!(ticket.answer(), Some(Ok(())));
    script().lock().unwrap().completions.clear();
    assert!(it.bus_master(0), "the device runs on");
    assert_eq!(script().lock().unwrap().rings, rings);
    // What was in flight comes back first, once, and then the same queue takes commands again.
    let mut cookies: Vec<_> = it.complete(&claim, queue).unwrap();
    cookies.sort_unstable_by_key(|one| one.cookie);
    let revoked = Some(Refusal::Revoked);
    assert!(cookies.iter().all(|one| one.refusal == revoked));
    assert_eq!(
        cookies.iter().map(|one| one.cookie).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(it.complete(&claim, queue), Ok(Vec::new()));
    assert_eq!(it.submit(&claim, queue, 5, &[]), TAKEN);
    it.manager.buffer_free(&claim, buffer).unwrap();
}

#[test]
fn a_queue_that_proves_nothing_keeps_its_pages() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    script().lock().unwrap().queue_reset = Ok(None);
    let piece = from_device(buffer, 0, 1);
    assert_eq!(it.submit(&claim, queue, 1, &[piece]), TAKEN);
    assert_eq!(it.reset_queue(&claim, queue), Err(Refusal::TimedOut));
    assert_eq!(it.manager.buffer_free(&claim, buffer), Err(Refusal::Busy));
    assert_eq!(it.reset_queue(&claim, queue), Err(Refusal::WrongState));
    it.reset(&claim).unwrap();
    assert_eq!(it.complete(&claim, queue).unwrap()[0].cookie, 1);
    it.manager.buffer_free(&claim, buffer).unwrap();
}

#[test]
fn a_queue_whose_holder_left_during_its_reset_takes_nothing() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    script().lock().unwrap().queue_reset = Ok(Some(3));
    assert_eq!(it.submit(&claim, queue, 1, &[]), TAKEN);
    let ticket = machine::Ticket::new();
    it.manager.queue_reset(&claim, queue, ticket.waiter());
    it.manager.queue_close(&claim, queue);
    it.settle();
    assert_eq!(
        it.submit(&claim, queue, 2, &[]),
        refused(Refusal::WrongState)
    );
    it.reset(&claim).unwrap();
    assert_eq!(it.manager.queue_info(&claim, queue), Err(Refusal::Stale));
}

#[test]
fn a_reset_in_the_middle_of_a_batch_rings_nothing() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    let ticket = machine::Ticket::new();
    let batch = (0..2).map(|cookie| {
        if cookie == 1 {
            it.manager.reset(&claim, ticket.waiter());
        }
        Ok(CommandRequest {
            cookie,
            template: &[0],
            segments: [Ok(from_device(buffer, 0, 1))],
        })
    });
    let outcome = it.manager.queue_submit(&claim, queue, batch);
    assert_eq!(
        (outcome.accepted, outcome.refusal),
        (1, Some(Refusal::WrongState))
    );
    it.settle();
    assert_eq!(script().lock().unwrap().rings, 0);
    let got = it.complete(&claim, queue).unwrap();
    assert_eq!((got.len(), got[0].refusal), (1, Some(Refusal::Revoked)));
}

#[test]
fn queues_that_cannot_be_are_not() {
    let it = Machine::new();
    let claim = it.claim(0);
    it.up(&claim);
    let open = |kind, index, depth, vector| {
        let ticket = machine::Ticket::new();
        let spec = driver_core::QueueSpec {
            kind,
            index,
            depth,
            vector,
        };
        it.manager.queue_open(&claim, spec, ticket.waiter());
        it.settle();
        ticket.answer().unwrap().err()
    };
    assert_eq!(open(0, 0, 4, None), Some(Refusal::OutOfRange));
    assert_eq!(open(1, 1, 17, None), Some(Refusal::OutOfRange));
    assert_eq!(open(1, 1, 0, None), Some(Refusal::OutOfRange));
    assert_eq!(open(1, 1, 4, Some(4)), Some(Refusal::OutOfRange));
    assert_eq!(open(1, 1, 13, None), Some(Refusal::WrongState));
    script().lock().unwrap().open_looks = None;
    assert_eq!(open(1, 1, 4, None), Some(Refusal::TimedOut));
    script().lock().unwrap().open_looks = Some(0);
    // Half of it may exist at the device: only a reset gives its place back.
    assert_eq!(open(1, 1, 4, Some(3)), Some(Refusal::WrongState));
    it.up(&claim);
    assert_eq!(open(1, 1, 4, Some(3)), None);
    it.reset(&claim).unwrap();
}

#[test]
fn a_closed_queue_takes_nothing_more() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    assert_eq!(
        it.submit(&claim, queue, 1, &[from_device(buffer, 0, 1)]),
        TAKEN
    );
    it.manager.queue_close(&claim, queue);
    assert_eq!(
        it.submit(&claim, queue, 2, &[]),
        refused(Refusal::WrongState)
    );
    let info = it.manager.queue_info(&claim, queue).unwrap();
    assert_eq!((info.state, info.in_flight), (QueueState::Stopped, 1));
    it.reset(&claim).unwrap();
    assert_eq!(it.manager.queue_info(&claim, queue), Err(Refusal::Stale));
    it.manager.buffer_free(&claim, buffer).unwrap();
}

/// The provider dies on another CPU while a buffer's mappings are being revoked here.
#[test]
fn a_teardown_waits_for_whoever_is_still_unmapping() {
    for views in [false, true] {
        let it = Arc::new(Machine::new());
        let (claim, _) = it.running(0);
        let (_, buffer) = it.buffer(&claim, 4096);
        let window = it
            .manager
            .buffer_window(&claim, buffer, Access::ReadWrite)
            .unwrap();
        window.write(0, b"secret");
        let (id, view) = it.manager.mmio_map(&claim, 0, 0, 4096).unwrap();
        let other = Arc::clone(&it);
        let act = move || {
            other.manager.release(&claim).unwrap();
            for _ in 0..20 {
                let (function, at) = other.fake.next_timer().unwrap();
                other.fake.advance_to(at);
                other.manager.poll(function);
            }
            let facts = other.fake.facts();
            assert!(facts.contains("step=submissions-stopped"));
            assert!(!facts.contains("step=mappings-removed"));
        };
        if views {
            view.meanwhile(act);
            it.manager.mmio_unmap(&claim, id).unwrap();
        } else {
            window.meanwhile(act);
            it.manager.buffer_free(&claim, buffer).unwrap();
        }
        it.settle();
        assert!(it.fake.facts().contains("@device.released"));
        assert_eq!(it.fake.pages(), 0);
    }
}

#[test]
fn out_of_memory_does_what_the_pool_says() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    let pool = it.manager.pool_create(&claim, 1 << 20).unwrap();
    let (_, kept) = it.buffer(&claim, 4096);
    it.fake.limit_pages(0);
    let ask = || {
        it.manager
            .buffer_allocate(&claim, pool, 8192, Layout::Scattered)
    };
    assert_eq!(ask(), Err(Refusal::NoMemory));
    assert_eq!(it.manager.buffer_info(&claim, kept).unwrap().bytes, 4096);
    assert_eq!(it.manager.pool_info(&claim, pool).unwrap().used, 0);
    it.manager
        .pool_policy(&claim, pool, dma_ledger::OomPolicy::Revoke)
        .unwrap();
    // Where it is the account that cannot pay, the machine may have enough.
    it.fake.refuse_with(Refusal::OverBudget);
    assert_eq!(ask(), Err(Refusal::OverBudget));
    it.fake.refuse_with(Refusal::NoMemory);
    assert_eq!(ask(), Err(Refusal::NoMemory));
    assert_eq!(ask(), Err(Refusal::Revoked), "the claim has ended");
    it.settle();
    it.fake.limit_pages(u64::MAX);
    it.claim(0);
}
