//! Queues whose entries their holder writes: where they may be, and what becomes of their rings.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{BufferId, Claim, Counts, QueueId, QueueSpec, Refusal, Rings, Saying};
use machine::*;

/// A device that runs and has no queue, and two buffers of it.
fn ready(m: &Machine) -> (Claim, Rings) {
    let claim = m.claim(0);
    m.up(&claim);
    let rings = Rings {
        submissions: m.buffer(&claim, 4096).1,
        completions: m.buffer(&claim, 4096).1,
    };
    (claim, rings)
}

fn open(m: &Machine, claim: &Claim, depth: u16, rings: Rings) -> Result<QueueId, Refusal> {
    let spec = QueueSpec {
        kind: 1,
        index: 1,
        depth,
        vector: None,
    };
    let ticket = Ticket::new();
    m.manager
        .queue_open_direct(claim, spec, rings, ticket.waiter());
    m.settle();
    ticket.answer().unwrap()
}

fn below_unit() -> Machine {
    let m = Machine::new();
    m.fake.put_below_unit();
    m
}

fn free(m: &Machine, claim: &Claim, rings: Rings) -> [Result<(), Refusal>; 2] {
    [rings.submissions, rings.completions].map(|ring| m.manager.buffer_free(claim, ring))
}

const BELL: Counts = Counts { tail: 3, head: 1 };

#[test]
fn without_a_domain_nobody_writes_addresses() {
    let m = Machine::new();
    let (claim, rings) = ready(&m);
    assert_eq!(open(&m, &claim, 8, rings), Err(Refusal::NotSupported));
    assert_eq!(free(&m, &claim, rings), [Ok(()); 2]);
    // A queue of the broker's has no addresses to give, and no doorbell.
    let queue = m.open(&claim).unwrap();
    let (_, buffer) = m.buffer(&claim, 4096);
    let manager = &m.manager;
    let address = manager.buffer_address(&claim, queue, buffer);
    assert_eq!(address, Err(Refusal::NotSupported));
    let rung = manager.queue_doorbell(&claim, queue, BELL);
    assert_eq!(rung, Err(Refusal::NotSupported));
}

#[test]
fn its_rings_stay_until_the_device_has_stopped() {
    let m = below_unit();
    let (claim, rings) = ready(&m);
    let queue = open(&m, &claim, 8, rings).unwrap();
    m.manager.queue_doorbell(&claim, queue, BELL).unwrap();
    assert_eq!(script().lock().unwrap().told, [(3, 1)]);
    let (_, data) = m.buffer(&claim, 4096);
    assert!(m.manager.buffer_address(&claim, queue, data).is_ok());
    assert_eq!(free(&m, &claim, rings), [Err(Refusal::Busy); 2]);
    assert_eq!(m.manager.buffer_free(&claim, data), Ok(()));
    m.manager.queue_close(&claim, queue);
    assert_eq!(free(&m, &claim, rings), [Err(Refusal::Busy); 2]);
    let rung = m.manager.queue_doorbell(&claim, queue, BELL);
    assert_eq!(rung, Err(Refusal::WrongState));
    m.reset(&claim).unwrap();
    assert_eq!(free(&m, &claim, rings), [Ok(()); 2]);
    let pages = m.fake.pages();
    m.manager.release(&claim).unwrap();
    m.settle();
    assert_eq!(m.fake.pages(), 0, "{pages} before");
}

#[test]
fn a_reset_ends_it_once_and_its_addresses_with_it() {
    let m = below_unit();
    let (claim, rings) = ready(&m);
    let queue = open(&m, &claim, 8, rings).unwrap();
    m.reset(&claim).unwrap();
    let owed = m.complete(&claim, queue).unwrap();
    assert_eq!(owed.len(), 1);
    assert_eq!(owed[0].refusal, Some(Refusal::Revoked));
    assert_eq!(m.complete(&claim, queue), Err(Refusal::Stale));
    for refused in [
        m.manager.queue_doorbell(&claim, queue, BELL).err(),
        m.manager
            .buffer_address(&claim, queue, rings.submissions)
            .err(),
    ] {
        assert_eq!(refused, Some(Refusal::WrongState));
    }
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let m = below_unit();
    let (claim, rings) = ready(&m);
    let other = m.claim(1);
    let foreign: BufferId = m.buffer(&other, 4096).1;
    let twice = Rings {
        completions: rings.submissions,
        ..rings
    };
    let stolen = Rings {
        completions: foreign,
        ..rings
    };
    // Its pages are looked at in one go.
    let endless = Rings {
        submissions: m.buffer(&claim, 256 * 1024 + 4096).1,
        ..rings
    };
    // Long enough to be looked at, and in pieces.
    let scattered = Rings {
        submissions: m.buffer(&claim, 256 * 1024).1,
        ..rings
    };
    for (depth, rings, why) in [
        (8, endless, Refusal::OutOfRange),
        (8, scattered, Refusal::Misaligned),
        (8, twice, Refusal::BadArgument),
        (8, stolen, Refusal::ForeignBuffer),
        (0, rings, Refusal::OutOfRange),
        (17, rings, Refusal::OutOfRange),
    ] {
        assert_eq!(open(&m, &claim, depth, rings), Err(why));
    }
    // Refused by the broker, with the rings pinned already.
    script().lock().unwrap().short_rings = true;
    assert_eq!(open(&m, &claim, 8, rings), Err(Refusal::OutOfRange));
    script().lock().unwrap().short_rings = false;
    assert_eq!(free(&m, &claim, rings), [Ok(()); 2]);
    assert!(m.open(&claim).is_ok());
}

#[test]
fn what_is_refused_before_its_domain_is_looked_at_takes_nothing_from_what_may_be_said() {
    let m = below_unit();
    let (claim, rings) = ready(&m);
    let reach = m.fake.reach();
    let other = m.claim(1);
    let stolen = Rings {
        completions: m.buffer(&other, 4096).1,
        ..rings
    };
    let endless = Rings {
        submissions: m.buffer(&claim, 256 * 1024 + 4096).1,
        ..rings
    };
    m.fake.clear_facts();
    for _ in 0..300 {
        let refused = open(&m, &claim, 8, endless);
        assert_eq!(refused, Err(Refusal::OutOfRange));
        let refused = open(&m, &claim, 8, stolen);
        assert_eq!(refused, Err(Refusal::ForeignBuffer));
    }
    assert_eq!((m.fake.facts(), reach.said()), (String::new(), None));
    open(&m, &claim, 8, rings).unwrap();
    assert_eq!(reach.said(), Some(Saying::Aloud));
}
