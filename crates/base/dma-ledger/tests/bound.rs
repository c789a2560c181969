//! Bindings and the gate: by example, and against the message form in the same states.

#![cfg(not(any(loom, sabotage)))]

mod common;
use common::*;
use dma_ledger::*;
use proptest::prelude::*;

fn running() -> (Record, Claim, QueueId, PoolId, RingId) {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let queue = open_queue(&mut record, &claim);
    let pool = record
        .create_pool(&claim, 32 * PAGE_BYTES, OomPolicy::Refuse)
        .unwrap();
    let ring = record.open_ring(&claim, queue).unwrap();
    (record, claim, queue, pool, ring)
}

fn of(binding: Binding, offset: u32, length: u32) -> Option<BoundSegment> {
    Some(BoundSegment {
        binding,
        offset,
        length,
    })
}

/// Submits one command through the gate: its slot.
fn pass(
    record: &mut Record,
    (claim, queue, ring): (&Claim, QueueId, RingId),
    cookie: u64,
    data: Option<BoundSegment>,
) -> Result<u16, Refusal> {
    let mut gate = record.gate(claim, queue, ring)?;
    let (slot, frames) = gate.admit(cookie, data)?;
    assert_eq!(frames.is_some(), data.is_some());
    gate.issue(slot);
    Ok(slot)
}

#[test]
fn a_binding_names_its_buffer_until_it_ends() {
    let (mut record, claim, queue, pool, ring) = running();
    let at = (&claim, queue, ring);
    let buf = buffer(&mut record, &claim, pool, 2);
    let bound = record.bind(&claim, queue, ring, buf).unwrap();
    assert_eq!((bound.slot, bound.generation), (0, 1));
    let before = digest(&record);
    let stale = Binding {
        generation: 2,
        ..bound
    };
    let none = Binding {
        generation: 0,
        ..bound
    };
    let empty = Binding { slot: 1, ..bound };
    let beyond = Binding { slot: 128, ..bound };
    for (data, refusal) in [
        (of(stale, 0, 1), Refusal::Stale),
        (of(none, 0, 1), Refusal::Stale),
        (of(empty, 0, 1), Refusal::Stale),
        (
            of(
                Binding {
                    generation: 0,
                    ..empty
                },
                0,
                1,
            ),
            Refusal::Stale,
        ),
        (of(beyond, 0, 1), Refusal::OutOfRange),
        (of(bound, 0, 0), Refusal::ZeroLength),
        (of(bound, 0, 8193), Refusal::OutOfRange),
        (of(bound, 8192, 1), Refusal::OutOfRange),
        (of(bound, u32::MAX, u32::MAX), Refusal::OutOfRange),
    ] {
        assert_eq!(pass(&mut record, at, 1, data), Err(refusal), "{data:?}");
    }
    assert_eq!(digest(&record), before);
    let slot = pass(&mut record, at, 7, of(bound, 0, 8192)).unwrap();
    assert_eq!(record.buffer_info(&claim, buf).unwrap().in_flight, 1);
    record.unbind(&claim, queue, ring, bound).unwrap();
    assert_eq!(
        record.unbind(&claim, queue, ring, bound),
        Err(Refusal::Stale)
    );
    assert_eq!(
        pass(&mut record, at, 8, of(bound, 0, 1)),
        Err(Refusal::Stale)
    );
    // What is in flight keeps its pages.
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Busy));
    let mut gate = record.gate(&claim, queue, ring).unwrap();
    assert_eq!(gate.complete(slot), Ok(7));
    assert_eq!(gate.complete(slot), Err(Refusal::Duplicate));
    record.begin_free(&claim, buf).unwrap();
    record.audit().unwrap();
}

#[test]
fn bindings_end_though_the_buffer_is_in_flight_and_can_be_made_again() {
    let (mut record, claim, queue, pool, ring) = running();
    let at = (&claim, queue, ring);
    let buf = buffer(&mut record, &claim, pool, 1);
    let bound = record.bind(&claim, queue, ring, buf).unwrap();
    let slot = pass(&mut record, at, 1, of(bound, 0, 512)).unwrap();
    record.end_bindings(&claim, buf).unwrap();
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Busy));
    assert_eq!(
        pass(&mut record, at, 2, of(bound, 0, 512)),
        Err(Refusal::Stale)
    );
    // It is live still: by message, and bound anew in the place that has become free.
    let again = record.bind(&claim, queue, ring, buf).unwrap();
    assert_eq!((again.slot, again.generation), (0, 2));
    pass(&mut record, at, 3, of(again, 0, 512)).unwrap();
    record
        .gate(&claim, queue, ring)
        .unwrap()
        .complete(slot)
        .unwrap();
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Busy));
    record.audit().unwrap();
}

#[test]
fn places_are_bounded_and_those_of_freed_buffers_free() {
    let (mut record, claim, queue, pool, ring) = running();
    let buf = buffer(&mut record, &claim, pool, 1);
    let all: Vec<_> = (0..MAX_BINDINGS)
        .map(|_| record.bind(&claim, queue, ring, buf).unwrap())
        .collect();
    assert!(all.iter().zip(1..).all(|(one, n)| one.generation == n));
    let full = digest(&record);
    assert_eq!(
        record.bind(&claim, queue, ring, buf),
        Err(Refusal::OverBudget)
    );
    assert_eq!(digest(&record), full);
    record.end_bindings(&claim, buf).unwrap();
    record.begin_free(&claim, buf).unwrap();
    assert_eq!(
        record.bind(&claim, queue, ring, buf),
        Err(Refusal::WrongState)
    );
    let other = buffer(&mut record, &claim, pool, 1);
    let bound = record.bind(&claim, queue, ring, other).unwrap();
    assert_eq!(usize::try_from(bound.generation), Ok(MAX_BINDINGS + 1));
}

#[test]
fn a_ring_ends_with_its_queue_and_is_never_the_next_one() {
    let (mut record, claim, queue, pool, ring) = running();
    assert_eq!(record.open_ring(&claim, queue), Err(Refusal::Duplicate));
    let buf = buffer(&mut record, &claim, pool, 1);
    let bound = record.bind(&claim, queue, ring, buf).unwrap();
    pass(&mut record, (&claim, queue, ring), 5, of(bound, 0, 1)).unwrap();
    record.begin_queue_reset(&claim, queue).unwrap();
    assert_eq!(
        pass(&mut record, (&claim, queue, ring), 6, None),
        Err(Refusal::WrongState)
    );
    let receipt = record
        .prove_queue_stopped(&claim, queue, QueueProof::VirtqueueReset)
        .unwrap();
    record.finish_queue_reset(receipt).unwrap();
    record.queue_reopened(&claim, queue).unwrap();
    assert_eq!(record.next_revoked(&claim, queue), Ok(Some(5)));
    assert_eq!(
        record.gate(&claim, queue, ring).map(drop),
        Err(Refusal::Stale)
    );
    assert_eq!(record.bind(&claim, queue, ring, buf), Err(Refusal::Stale));
    let next = record.open_ring(&claim, queue).unwrap();
    assert_eq!(
        pass(&mut record, (&claim, queue, next), 7, of(bound, 0, 1)),
        Err(Refusal::Stale)
    );
    let fresh = record.bind(&claim, queue, next, buf).unwrap();
    assert_eq!((fresh.slot, fresh.generation), (0, 2));
    assert_eq!(
        record.gate(&claim, queue, ring).map(drop),
        Err(Refusal::Stale)
    );
    record.close_ring(&claim, queue, next).unwrap();
    assert_eq!(record.close_ring(&claim, queue, next), Err(Refusal::Stale));
    record.begin_reset(&claim).unwrap();
    assert_eq!(
        record.gate(&claim, queue, next).map(drop),
        Err(Refusal::WrongState)
    );
    record.audit().unwrap();
}

#[test]
fn what_the_broker_refuses_leaves_no_trace_but_its_generation() {
    let (mut record, claim, queue, pool, ring) = running();
    let buf = buffer(&mut record, &claim, pool, 1);
    let bound = record.bind(&claim, queue, ring, buf).unwrap();
    let mut gate = record.gate(&claim, queue, ring).unwrap();
    let (slot, _) = gate.admit(1, of(bound, 0, 1)).unwrap();
    assert_eq!(gate.complete(slot), Err(Refusal::WrongState));
    gate.withdraw(slot);
    gate.withdraw(slot);
    assert_eq!(gate.in_flight(), 0);
    assert_eq!(record.buffer_info(&claim, buf).unwrap().in_flight, 0);
    assert_eq!(record.in_flight(), 0);
    record.audit().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    /// A command over buffer, offset, length.
    Submit(usize, u32, u32),
    Complete(u16),
    /// A buffer is freed, and made and bound anew.
    Renew(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![Just(0u32), 0u32..9000, Just(u32::MAX)];
    let length = prop_oneof![Just(4096u32), 0u32..9000, Just(u32::MAX)];
    prop_oneof![
        6 => (0usize..3, offset, length).prop_map(|(b, o, l)| Step::Submit(b, o, l)),
        4 => (0u16..5).prop_map(Step::Complete),
        1 => (0usize..3).prop_map(Step::Renew),
    ]
}

proptest! {
    /// The gate admits and completes exactly what the message form does, with the same refusals and the same slots.
    #[test]
    fn the_gate_is_the_message_form(steps in prop::collection::vec(step(), 1..120)) {
        let (mut by_ring, claim, queue, pool, ring) = running();
        let (mut by_message, claim2, queue2, pool2, _) = running();
        let make = |record: &mut Record, claim: &Claim, pool| buffer(record, claim, pool, 2);
        let mut buffers: Vec<_> = (0..3).map(|_| {
            let own = make(&mut by_ring, &claim, pool);
            let bound = by_ring.bind(&claim, queue, ring, own).unwrap();
            (own, bound, make(&mut by_message, &claim2, pool2))
        }).collect();
        for (cookie, step) in (0..).zip(steps) {
            match step {
                Step::Submit(at, offset, length) => {
                    let (_, bound, other) = buffers[at];
                    let one = pass(&mut by_ring, (&claim, queue, ring), cookie, of(bound, offset, length));
                    let two = by_message
                        .admit(&claim2, queue2, cookie, &[segment(other, offset, length)])
                        .and_then(|admitted| by_message.issue(admitted))
                        .map(|command| command.slot);
                    prop_assert_eq!(one, two);
                }
                Step::Complete(slot) => {
                    let one = by_ring.gate(&claim, queue, ring).unwrap().complete(slot);
                    prop_assert_eq!(one, by_message.complete(&claim2, queue2, slot));
                }
                Step::Renew(at) => {
                    let (own, bound, other) = buffers[at];
                    by_ring.end_bindings(&claim, own).unwrap();
                    let one = by_ring.begin_free(&claim, own);
                    prop_assert_eq!(one, by_message.begin_free(&claim2, other));
                    if one.is_ok() {
                        for (record, id) in [(&mut by_ring, own), (&mut by_message, other)] {
                            let pages = record.take_for_scrub(id, Shot).unwrap();
                            record
                    .free(pages.withdraw(Forgotten).scrub(|_| ()))
                    .unwrap();
                        }
                        buffers[at].0 = make(&mut by_ring, &claim, pool);
                        buffers[at].2 = make(&mut by_message, &claim2, pool2);
                    }
                    let dead = pass(&mut by_ring, (&claim, queue, ring), cookie, of(bound, 0, 1));
                    prop_assert_eq!(dead, Err(Refusal::Stale));
                    buffers[at].1 = by_ring.bind(&claim, queue, ring, buffers[at].0).unwrap();
                }
            }
            by_ring.audit().unwrap();
            by_message.audit().unwrap();
            prop_assert_eq!(by_ring.queue_info(&claim, queue), by_message.queue_info(&claim2, queue2));
        }
    }
}
