//! What is said of a function whose holders claim and drop it without end.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{Platform, QueueId, Refusal};
use dma_ledger::Claim;
use machine::{FakeConfig, Machine, STRANGER, Ticket, script};

/// Facts of a claim that is dropped as it came: that, nine steps, and the end.
const OF_A_CLAIM: usize = 11;
const AT_ONCE: usize = 256;
const ONE_MORE_NS: u64 = 250_000_000;

/// Claims and drops the first function, and lets no more time pass than that takes. The last timer, if one is left.
fn claim_and_drop(it: &Machine) -> Option<u64> {
    let ticket = Ticket::new();
    it.manager.claim("fake", 0, machine::OWNER, ticket.waiter());
    let claim = ticket.answer().unwrap().unwrap();
    it.manager.release(&claim).unwrap();
    while let Some((function, at)) = it.fake.next_timer() {
        if at > it.fake.now() + ONE_MORE_NS / 10 {
            return Some(at);
        }
        it.fake.advance_to(at);
        it.manager.poll(function);
    }
    None
}

fn said(it: &Machine, topic: &str) -> usize {
    let facts = it.fake.facts();
    facts.lines().filter(|line| line.starts_with(topic)).count()
}

/// The sum of what was told of facts that were not stated.
fn told(it: &Machine) -> usize {
    let facts = it.fake.facts();
    let unsaid = facts
        .lines()
        .filter(|line| line.starts_with("@device.unsaid "));
    unsaid
        .map(|line| {
            line.rsplit_once("facts~")
                .unwrap()
                .1
                .parse::<usize>()
                .unwrap()
        })
        .sum()
}

/// Facts that were stated, and what was told of those that were not.
fn all(it: &Machine) -> usize {
    it.fake.facts().lines().count() - said(it, "@device.unsaid ") + told(it)
}

#[test]
fn claims_without_end_leave_the_others_their_room_and_every_fact_is_said_or_counted() {
    const CLAIMS: usize = 200;
    let it = Machine::new();
    it.fake.clear_facts();
    let mut left = None;
    let began = it.fake.now();
    for _ in 0..CLAIMS {
        left = claim_and_drop(&it);
    }
    let more = (it.fake.now() - began) / ONE_MORE_NS;
    let lines = it.fake.facts().lines().count();
    let most = AT_ONCE + 2 * (more as usize + 1);
    assert!((AT_ONCE..=most).contains(&lines), "{lines}");
    assert!(all(&it) < CLAIMS * OF_A_CLAIM);
    // Nobody does anything any more, and it is told.
    it.fake.advance_to(left.expect("it waits to be told"));
    it.manager.poll(0);
    assert_eq!(all(&it), CLAIMS * OF_A_CLAIM);
    assert_eq!(it.fake.next_timer(), None);
    // The share is the function's: that of another is whole.
    it.fake.clear_facts();
    let other = it.try_claim(1, STRANGER).unwrap();
    it.manager.release(&other).unwrap();
    it.settle();
    let facts = it.fake.facts();
    assert_eq!(facts.lines().count(), OF_A_CLAIM, "{facts}");
}

#[test]
fn what_was_not_said_is_told_with_the_next_fact_that_may_be() {
    let it = Machine::new();
    it.fake.clear_facts();
    let mut claims = 0;
    while claims < 2000 {
        claim_and_drop(&it);
        claims += 1;
        // One more may be said now and then, and tells of those before it.
        it.fake.advance_to(it.fake.now() + ONE_MORE_NS / 50);
    }
    it.fake.advance_to(it.fake.now() + ONE_MORE_NS);
    it.manager.poll(0);
    assert!(said(&it, "@device.unsaid ") > 10, "{}", told(&it));
    assert_eq!(all(&it), claims * OF_A_CLAIM);
}

#[test]
fn a_quarantine_is_said_whatever_was_said_before() {
    let it = Machine::with(FakeConfig::new().without_flr());
    for _ in 0..50 {
        claim_and_drop(&it);
    }
    it.fake.clear_facts();
    let claim: Claim = it.claim(0);
    it.fake.clear_facts();
    script().lock().unwrap().reset_looks = None;
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(said(&it, "@device.quarantined "), 1, "{}", it.fake.facts());
}

#[test]
fn a_look_that_comes_before_it_is_wanted_ends_nothing_early_and_loses_nothing() {
    const CLAIMS: usize = 50;
    const MS: u64 = 1_000_000;
    let it = Machine::new();
    it.fake.clear_facts();
    for _ in 0..CLAIMS {
        claim_and_drop(&it);
    }
    let ticket = Ticket::new();
    it.manager.claim("fake", 0, machine::OWNER, ticket.waiter());
    let claim = ticket.answer().unwrap().unwrap();
    // It waits to be told, and something else wants to be looked at later.
    let (function, at) = it.fake.next_timer().unwrap();
    it.fake.arm(function, at);
    it.fake.advance_to(at - MS);
    let reset = Ticket::new();
    it.manager.reset(&claim, reset.waiter());
    assert_eq!(it.fake.next_timer(), Some((function, at)));
    it.fake.advance_to(at);
    it.manager.poll(function);
    assert_eq!(reset.answer(), None);
    it.settle();
    assert_eq!(reset.answer(), Some(Ok(())));
    assert_eq!(all(&it), CLAIMS * OF_A_CLAIM + 2);
}

/// Resets a queue, and lets no more time pass than that takes.
fn reset_queue(it: &Machine, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
    let ticket = Ticket::new();
    it.manager.queue_reset(claim, queue, ticket.waiter());
    while ticket.answer().is_none() {
        let (function, at) = it.fake.next_timer().expect("it is being reset");
        it.fake.advance_to(at);
        it.manager.poll(function);
    }
    ticket.answer().unwrap()
}

#[test]
fn what_an_operation_did_not_say_is_told_though_its_end_says_nothing() {
    const RESETS: usize = 300;
    let it = Machine::new();
    script().lock().unwrap().queue_reset = Ok(Some(1));
    let (claim, queue) = it.running(0);
    it.fake.clear_facts();
    for _ in 0..RESETS {
        assert_eq!(reset_queue(&it, &claim, queue), Ok(()));
    }
    assert!(all(&it) < RESETS, "the last of them were not told yet");
    it.settle();
    assert_eq!(all(&it), RESETS);
    // Nor does the end of one that comes to nothing: the device let go of the queue, and does not take it again.
    for _ in 0..RESETS {
        assert_eq!(reset_queue(&it, &claim, queue), Ok(()));
    }
    script().lock().unwrap().open_looks = None;
    let failed = reset_queue(&it, &claim, queue);
    assert_eq!(failed, Err(Refusal::TimedOut));
    it.settle();
    assert_eq!(all(&it), 2 * RESETS + 1);
}

#[test]
fn books_that_differ_are_stated_whatever_was_said_before() {
    const CLAIMS: usize = 50;
    let it = Machine::new();
    it.fake.put_below_unit();
    it.fake.clear_facts();
    claim_and_drop(&it);
    let of_a_claim = all(&it);
    let mut left = None;
    for _ in 1..CLAIMS {
        left = claim_and_drop(&it);
    }
    // That they agree was one fact too many.
    assert_eq!(it.fake.reach().closed(), None);
    it.fake.advance_to(left.unwrap());
    it.manager.poll(0);
    it.fake.clear_facts();
    let ticket = Ticket::new();
    it.manager.claim("fake", 0, machine::OWNER, ticket.waiter());
    let claim = ticket.answer().unwrap().unwrap();
    it.fake.reach().falsify();
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(it.fake.reach().closed(), Some(0));
    // Stated, it is not among those that were not; the fake writes no line for it.
    assert_eq!(all(&it), of_a_claim);
}
