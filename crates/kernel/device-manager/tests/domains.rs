//! A function below a unit: what it reaches is what is allocated, and nothing is freed under a translation.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::Refusal;
use machine::*;

#[test]
fn pages_are_mapped_while_they_are_allocated() {
    let m = Machine::new();
    m.fake.put_below_unit();
    let (claim, _) = m.running(0);
    let reach = m.fake.reach();
    let own = reach.runs();
    let (_, buffer) = m.buffer(&claim, 3 * 4096);
    assert_eq!(reach.runs(), own + 1);
    assert_eq!(m.manager.buffer_free(&claim, buffer), Ok(()));
    assert_eq!(reach.runs(), own);
}

#[test]
fn the_end_of_a_claim_ends_its_domain_before_a_page_is_freed() {
    let m = Machine::new();
    m.fake.put_below_unit();
    let (claim, _) = m.running(0);
    m.buffer(&claim, 3 * 4096);
    let reach = m.fake.reach();
    let pages = m.fake.pages();
    m.fake.clear_facts();
    m.manager.release(&claim).unwrap();
    m.settle();
    assert!(reach.is_ended());
    assert_eq!((m.fake.pages(), reach.closed()), (0, Some(pages)));
    let facts = m.fake.facts();
    let at = |step: &str| facts.find(step).unwrap();
    assert!(at("step=bus-master-cleared") < at("step=translations-removed"));
    assert!(at("step=translations-removed") < at("step=scrubbed"));
    // The next claim has a domain of its own.
    m.claim(0);
    assert!(!m.fake.reach().is_ended());
}

#[test]
fn a_unit_that_does_not_forget_costs_the_pages_and_the_function() {
    let m = Machine::new();
    m.fake.put_below_unit();
    let (claim, _) = m.running(0);
    let (_, buffer) = m.buffer(&claim, 4096);
    let pages = m.fake.pages();
    m.fake.reach().stick();
    let refused = m.manager.buffer_free(&claim, buffer);
    assert_eq!(refused, Err(Refusal::DeviceError));
    m.settle();
    assert!(m.fake.facts().contains("reason=unit-does-not-forget"));
    assert_eq!(m.fake.pages(), pages, "nothing is freed");
    assert_eq!(m.try_claim(0, OWNER), Err(Refusal::Quarantined));
}
