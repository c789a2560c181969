//! Queues whose entries their holder writes.

#![cfg(not(any(loom, sabotage)))]

mod common;
use common::*;
use dma_ledger::*;

fn running() -> (Record, Claim, [BufferId; 2]) {
    started(one())
}

fn started(mut record: Record) -> (Record, Claim, [BufferId; 2]) {
    let claim = bring_up(&mut record, 1);
    let pool = record
        .create_pool(&claim, 32 * PAGE_BYTES, OomPolicy::Refuse)
        .unwrap();
    let rings = [2, 1].map(|pages| buffer(&mut record, &claim, pool, pages));
    (record, claim, rings)
}

#[test]
fn rings_are_pinned_until_the_device_has_stopped() {
    let (mut record, claim, rings) = running();
    let queue = record.create_direct_queue(&claim, rings).unwrap();
    // Before the device says that it knows the queue, and after.
    for opened in [false, true] {
        if opened {
            record.queue_opened(&claim, queue).unwrap();
        }
        for ring in rings {
            assert_eq!(record.begin_free(&claim, ring), Err(Refusal::Busy));
        }
    }
    let info = record.queue_info(&claim, queue).unwrap();
    assert!(info.direct);
    assert_eq!((info.in_flight, info.pinned), (1, 2));
    // No command has room beside them, and nothing that a device says releases them, but that it stopped.
    assert_eq!(record.admit(&claim, queue, 7, &[]), Err(Refusal::QueueFull));
    record.stop_queue(&claim, queue).unwrap();
    assert_eq!(record.close_queue(&claim, queue), Err(Refusal::Busy));
    assert_eq!(record.begin_free(&claim, rings[0]), Err(Refusal::Busy));
    assert_eq!(record.audit(), Ok(()));
    let receipt = reset(&mut record, &claim);
    drop(receipt);
    assert_eq!(record.next_revoked(&claim, queue), Ok(Some(RINGS_COOKIE)));
    assert_eq!(record.next_revoked(&claim, queue), Ok(None));
    for ring in rings {
        record.begin_free(&claim, ring).unwrap();
    }
    record.close_queue(&claim, queue).unwrap();
}

#[test]
fn what_the_device_was_never_told_of_leaves_no_trace() {
    let (mut record, claim, rings) = running();
    for _ in 0..3 {
        let queue = record.create_direct_queue(&claim, rings).unwrap();
        record.withdraw_direct_queue(&claim, queue);
        assert_eq!(record.queue_info(&claim, queue).err(), Some(Refusal::Stale));
    }
    assert_eq!(record.in_flight(), 0);
    assert_eq!(record.audit(), Ok(()));
    for ring in rings {
        assert_eq!(record.buffer_info(&claim, ring).unwrap().in_flight, 0);
    }
    record.begin_free(&claim, rings[0]).unwrap();
    assert_eq!(
        record.create_direct_queue(&claim, rings),
        Err(Refusal::WrongState)
    );
}

#[test]
fn refused_before_any_effect() {
    let (mut record, claim, rings) = running();
    assert_eq!(
        record.create_direct_queue(&claim, [rings[0]; 2]),
        Err(Refusal::BadArgument)
    );
    let mut all: Ledger<Option<Record>> = Ledger::new();
    all.register(shape(8), LIMITS).unwrap();
    let id = all.register(shape(9), LIMITS).unwrap();
    let (_, _, [foreign, _]) = started(all.get_mut(id).unwrap().take().unwrap());
    let reservation = record.reserve_broker_pages(&claim, PAGE_BYTES).unwrap();
    let broker = record.commit_buffer(reservation, vec![9]).unwrap();
    let before = digest(&record);
    for wrong in [foreign, broker] {
        assert_eq!(
            record.create_direct_queue(&claim, [rings[0], wrong]),
            Err(Refusal::ForeignBuffer)
        );
    }
    assert_eq!(digest(&record), before);
    let _receipt = reset(&mut record, &claim);
    assert_eq!(
        record.create_direct_queue(&claim, rings),
        Err(Refusal::WrongState)
    );
}
