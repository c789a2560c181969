//! Pools, buffers, queues, submission and completion, by example.

#![cfg(not(loom))]

mod common;
use common::*;
use dma_ledger::*;

const TARGET: MapTarget = MapTarget {
    space: 7,
    address: 0x40_0000,
};

fn running() -> (Record, Claim, QueueId, PoolId, BufferId) {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let queue = open_queue(&mut record, &claim);
    let pool = record
        .create_pool(&claim, 16 * PAGE_BYTES, OomPolicy::Refuse)
        .unwrap();
    let buf = buffer(&mut record, &claim, pool, 2);
    (record, claim, queue, pool, buf)
}

#[test]
fn budgets_bind() {
    let (mut record, claim, _, pool, _) = running();
    let before = digest(&record);
    let ask = |record: &mut Record, bytes, contiguous| {
        record
            .reserve_buffer(&claim, pool, BufferRequest { bytes, contiguous })
            .unwrap_err()
    };
    assert_eq!(ask(&mut record, 0, false), Refusal::ZeroLength);
    assert_eq!(
        ask(&mut record, 14 * PAGE_BYTES + 1, false),
        Refusal::OverBudget
    );
    assert_eq!(ask(&mut record, 5 * PAGE_BYTES, true), Refusal::OutOfRange);
    assert_eq!(ask(&mut record, u64::MAX, false), Refusal::OutOfRange);
    assert_eq!(
        record.create_pool(&claim, 49 * PAGE_BYTES, OomPolicy::Refuse),
        Err(Refusal::OverBudget)
    );
    assert_eq!(
        record.create_pool(&claim, u64::MAX, OomPolicy::Refuse),
        Err(Refusal::OverBudget)
    );
    assert_eq!(
        record.create_pool(&claim, 0, OomPolicy::Refuse),
        Err(Refusal::ZeroLength)
    );
    assert_eq!(
        record
            .reserve_broker_pages(&claim, 9 * PAGE_BYTES)
            .unwrap_err(),
        Refusal::OverBudget
    );
    assert_eq!(record.close_pool(&claim, pool), Err(Refusal::Busy));
    assert_eq!(digest(&record), before);
    let all = BufferRequest {
        bytes: 14 * PAGE_BYTES,
        contiguous: false,
    };
    let reservation = record.reserve_buffer(&claim, pool, all).unwrap();
    assert_eq!(
        record.pool_info(&claim, pool).unwrap().used,
        16 * PAGE_BYTES
    );
    record.cancel_buffer(reservation);
    assert_eq!(record.pool_info(&claim, pool).unwrap().used, 2 * PAGE_BYTES);
    record.audit().unwrap();
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn a_bad_segment_anywhere_changes_nothing() {
    let (mut record, claim, queue, pool, buf) = running();
    let (mut all, ids) = ledger(2);
    let second = all.get_mut(ids[1]).unwrap();
    let foreign_claim = bring_up(second, 1);
    let foreign_pool = second
        .create_pool(&foreign_claim, PAGE_BYTES, OomPolicy::Refuse)
        .unwrap();
    let foreign = buffer(second, &foreign_claim, foreign_pool, 1);
    let foreign_queue = open_queue(second, &foreign_claim);
    let reservation = record.reserve_broker_pages(&claim, PAGE_BYTES).unwrap();
    let broker = record.commit_buffer(reservation, vec![1]).unwrap();
    let freed = buffer(&mut record, &claim, pool, 1);
    record.begin_free(&claim, freed).unwrap();
    let pages = record.take_for_scrub(freed, Shot).unwrap();
    let gone = freed;
    record
        .free(pages.withdraw(Forgotten).scrub(|_| ()))
        .unwrap();
    let freeing = buffer(&mut record, &claim, pool, 1);
    assert_eq!(freeing.index(), gone.index());
    record.begin_free(&claim, freeing).unwrap();

    let good = segment(buf, 0, 4096);
    let before = digest(&record);
    for (bad, refusal) in [
        (segment(foreign, 0, 1), Refusal::ForeignBuffer),
        (segment(broker, 0, 1), Refusal::ForeignBuffer),
        (segment(gone, 0, 1), Refusal::Stale),
        (segment(freeing, 0, 1), Refusal::WrongState),
        (segment(buf, 0, 0), Refusal::ZeroLength),
        (segment(buf, 0, 8193), Refusal::OutOfRange),
        (segment(buf, 8192, 1), Refusal::OutOfRange),
        (segment(buf, u32::MAX, u32::MAX), Refusal::OutOfRange),
    ] {
        for segments in [vec![bad], vec![good, bad], vec![good, bad, good]] {
            assert_eq!(
                record.admit(&claim, queue, 1, &segments),
                Err(refusal),
                "{segments:?}"
            );
        }
    }
    assert_eq!(
        record.admit(&claim, queue, 1, &[good; 9]),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(
        record.admit(&claim, queue, 1, &vec![good; 5000]),
        Err(Refusal::OutOfRange)
    );
    let long = segment(buf, 0, 8192);
    assert_eq!(record.admit(&claim, queue, 1, &[long; 8]).map(drop), Ok(())); // exactly the byte limit
    let full = digest(&record);
    assert_eq!(
        record.admit(&claim, queue, 1, &[good]),
        Err(Refusal::QueueFull)
    ); // segments
    assert_eq!(
        record.admit(&claim, foreign_queue, 1, &[]),
        Err(Refusal::WrongOwner)
    );
    assert_eq!(digest(&record), full);
    assert_ne!(full, before);
    record.audit().unwrap();
}

#[test]
fn depth_and_bytes_bind() {
    let (mut record, claim, queue, _, buf) = running();
    for cookie in 0..4 {
        submit(&mut record, &claim, queue, cookie, &[]);
    }
    assert_eq!(record.admit(&claim, queue, 9, &[]), Err(Refusal::QueueFull));
    let small = QueueShape {
        bytes: 4096,
        ..QUEUE
    };
    let second = record.create_queue(&claim, small).unwrap();
    assert_eq!(
        record.admit(&claim, second, 9, &[]),
        Err(Refusal::WrongState)
    ); // not open yet
    record.queue_opened(&claim, second).unwrap();
    assert_eq!(
        record.admit(&claim, second, 9, &[segment(buf, 0, 4097)]),
        Err(Refusal::OverBudget)
    );
    submit(&mut record, &claim, second, 9, &[segment(buf, 0, 4096)]);
    assert_eq!(
        record.admit(&claim, second, 9, &[segment(buf, 0, 1)]),
        Err(Refusal::OverBudget)
    );
    record.audit().unwrap();
}

#[test]
fn a_withdrawn_command_leaves_nothing() {
    let (mut record, claim, queue, _, buf) = running();
    let admitted = record
        .admit(&claim, queue, 1, &[segment(buf, 0, 1), segment(buf, 0, 1)])
        .unwrap();
    assert_eq!(record.buffer_info(&claim, buf).unwrap().in_flight, 2);
    let slot = admitted.command().slot;
    assert_eq!(
        record.complete(&claim, queue, slot),
        Err(Refusal::WrongState)
    );
    record.withdraw(admitted);
    assert_eq!(record.buffer_info(&claim, buf).unwrap().in_flight, 0);
    assert_eq!(
        record.complete(&claim, queue, slot),
        Err(Refusal::Duplicate)
    );
    assert_eq!((record.in_flight(), record.accounting().pinned), (0, 0));
    record.audit().unwrap();
}

#[test]
fn a_completion_counts_once_and_only_for_its_own_command() {
    let (mut record, claim, queue, _, buf) = running();
    let command = submit(&mut record, &claim, queue, 77, &[segment(buf, 0, 512)]);
    let before = digest(&record);
    assert_eq!(record.complete(&claim, queue, 4), Err(Refusal::OutOfRange));
    assert_eq!(record.complete(&claim, queue, 1), Err(Refusal::NotFound));
    assert_eq!(digest(&record), before);
    assert_eq!(record.complete(&claim, queue, command.slot), Ok(77));
    let after = digest(&record);
    assert_eq!(
        record.complete(&claim, queue, command.slot),
        Err(Refusal::Duplicate)
    );
    assert_eq!(digest(&record), after);
    // The slot comes round again under the next generation.
    let mut again = Vec::new();
    for cookie in 0..4 {
        again.push(submit(&mut record, &claim, queue, cookie, &[]));
    }
    let reused = again.iter().find(|next| next.slot == command.slot).unwrap();
    assert_eq!(reused.issue, command.issue + 1);
    record.audit().unwrap();
}

#[test]
fn queue_shapes_are_checked() {
    let (mut record, claim, ..) = running();
    for (shape, refusal) in [
        (QueueShape { depth: 0, ..QUEUE }, Refusal::ZeroLength),
        (
            QueueShape {
                segments: 0,
                ..QUEUE
            },
            Refusal::ZeroLength,
        ),
        (
            QueueShape {
                depth: 40_000,
                ..QUEUE
            },
            Refusal::OutOfRange,
        ),
        (
            QueueShape {
                segments: u32::MAX,
                ..QUEUE
            },
            Refusal::OutOfRange,
        ),
    ] {
        assert_eq!(record.create_queue(&claim, shape), Err(refusal));
    }
    assert!(
        record
            .create_queue(
                &claim,
                QueueShape {
                    depth: 32_768,
                    ..QUEUE
                }
            )
            .is_ok()
    );
}

#[test]
fn a_reset_returns_everything_in_flight_as_revoked_and_old_completions_are_dead() {
    let (mut record, claim, queue, _, buf) = running();
    let commands: Vec<_> = (10..13)
        .map(|cookie| submit(&mut record, &claim, queue, cookie, &[segment(buf, 0, 8)]))
        .collect();
    record.complete(&claim, queue, commands[1].slot).unwrap();
    record.begin_reset(&claim).unwrap();
    // In flight until the device has proven that it stopped.
    assert_eq!(record.buffer_info(&claim, buf).unwrap().in_flight, 2);
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Busy));
    let before = digest(&record);
    assert_eq!(
        record.complete(&claim, queue, commands[0].slot),
        Err(Refusal::WrongState)
    );
    assert_eq!(record.next_revoked(&claim, queue), Err(Refusal::WrongState));
    assert_eq!(record.close_queue(&claim, queue), Err(Refusal::Busy));
    assert_eq!(digest(&record), before);
    let receipt = record.prove_reset(ResetProof::CstsRdyZero).unwrap();
    assert_eq!(record.finish_reset(&receipt), Ok(2));
    assert_eq!(record.buffer_info(&claim, buf).unwrap().in_flight, 0);
    record.configured(&claim).unwrap();
    record.set_bus_master(&claim, receipt).unwrap();
    record.enabled(&claim).unwrap();
    let running = digest(&record);
    assert_eq!(
        record.complete(&claim, queue, commands[0].slot),
        Err(Refusal::Stale)
    );
    assert_eq!(record.admit(&claim, queue, 1, &[]), Err(Refusal::Stale));
    assert_eq!(record.close_queue(&claim, queue), Err(Refusal::Busy));
    assert_eq!(digest(&record), running);
    let mut cookies = Vec::new();
    while let Some(cookie) = record.next_revoked(&claim, queue).unwrap() {
        cookies.push(cookie);
    }
    cookies.sort_unstable();
    assert_eq!(cookies, [10, 12]);
    record.close_queue(&claim, queue).unwrap();
    let second = open_queue(&mut record, &claim);
    assert_eq!(second.index(), queue.index());
    assert_eq!(
        record.complete(&claim, queue, commands[0].slot),
        Err(Refusal::Stale)
    );
    record.audit().unwrap();
}

#[test]
fn a_buffer_is_freed_only_quiet_unmapped_and_scrubbed() {
    let (mut record, claim, queue, pool, buf) = running();
    let map = record
        .map_buffer(&claim, buf, (0, 8192), Protection::READ_WRITE, TARGET)
        .unwrap();
    let command = submit(&mut record, &claim, queue, 1, &[segment(buf, 0, 8)]);
    assert_eq!(
        record.take_for_scrub(buf, Shot).unwrap_err(),
        Refusal::WrongState
    );
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Busy));
    record.complete(&claim, queue, command.slot).unwrap();
    record.begin_free(&claim, buf).unwrap();
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Duplicate));
    assert_eq!(
        record.admit(&claim, queue, 1, &[segment(buf, 0, 8)]),
        Err(Refusal::WrongState)
    );
    assert_eq!(
        record.map_buffer(&claim, buf, (0, 4096), Protection::READ, TARGET),
        Err(Refusal::WrongState)
    );
    assert_eq!(record.take_for_scrub(buf, Shot).unwrap_err(), Refusal::Busy);
    record.unmap(&claim, map).unwrap();
    let pages = record.take_for_scrub(buf, Shot).unwrap();
    assert_eq!(
        record.take_for_scrub(buf, Shot).unwrap_err(),
        Refusal::Duplicate
    );
    assert_eq!(record.frames(buf), Err(Refusal::WrongState));
    assert_eq!(record.pool_info(&claim, pool).unwrap().used, 2 * PAGE_BYTES);
    let frames = record
        .free(pages.withdraw(Forgotten).scrub(|frames| frames.push(99)))
        .unwrap();
    assert_eq!(frames, [0, 1, 99]);
    assert_eq!(record.pool_info(&claim, pool).unwrap().used, 0);
    let new = buffer(&mut record, &claim, pool, 1);
    assert_eq!(
        (new.index(), new.generation()),
        (buf.index(), buf.generation() + 1)
    );
    assert_eq!(record.frames(buf), Err(Refusal::Stale));
    assert_eq!(record.begin_free(&claim, buf), Err(Refusal::Stale));
    assert_eq!(
        record.take_for_scrub(buf, Shot).unwrap_err(),
        Refusal::Stale
    );
    record.audit().unwrap();
}

#[test]
fn buffer_maps_are_whole_pages_inside_the_buffer() {
    let (mut record, claim, _, _, buf) = running();
    let before = digest(&record);
    for (range, protection, refusal) in [
        ((0, 4096), Protection(4), Refusal::BadArgument),
        ((0, 4096), Protection(2), Refusal::BadArgument),
        ((0, 4096), Protection(7), Refusal::BadArgument),
        ((0, 4096), Protection(0), Refusal::BadArgument),
        ((0, 0), Protection::READ, Refusal::ZeroLength),
        ((0, 100), Protection::READ, Refusal::Misaligned),
        ((100, 4096), Protection::READ, Refusal::Misaligned),
        ((4096, 8192), Protection::READ, Refusal::OutOfRange),
        (
            (u64::MAX - 4095, 4096),
            Protection::READ,
            Refusal::OutOfRange,
        ),
    ] {
        assert_eq!(
            record.map_buffer(&claim, buf, range, protection, TARGET),
            Err(refusal),
            "{range:?}"
        );
    }
    let crooked = MapTarget {
        address: 5,
        ..TARGET
    };
    assert_eq!(
        record.map_buffer(&claim, buf, (0, 4096), Protection::READ, crooked),
        Err(Refusal::Misaligned)
    );
    assert_eq!(digest(&record), before);
}

#[test]
fn broker_runs_stay_visible_until_the_device_stops() {
    let (mut record, claim, ..) = running();
    let reservation = record.reserve_broker_pages(&claim, 2 * PAGE_BYTES).unwrap();
    let run = record.commit_buffer(reservation, vec![5, 6]).unwrap();
    let reservation = record.reserve_broker_pages(&claim, 2 * PAGE_BYTES).unwrap();
    let other = record.commit_buffer(reservation, vec![7, 8]).unwrap();
    assert_eq!(record.frames(run).unwrap(), &[5, 6]);
    assert_eq!(record.begin_free(&claim, run), Err(Refusal::ForeignBuffer));
    assert_eq!(
        record.take_for_scrub(run, Shot).unwrap_err(),
        Refusal::ForeignBuffer
    );
    assert_eq!(
        record.map_buffer(&claim, run, (0, 4096), Protection::READ, TARGET),
        Err(Refusal::ForeignBuffer)
    );
    let receipt = reset(&mut record, &claim);
    record.audit().unwrap();
    // Kept over the reset: visible again as soon as the device may run.
    record.configured(&claim).unwrap();
    record.set_bus_master(&claim, receipt).unwrap();
    for run in [run, other] {
        assert_eq!(record.buffer_info(&claim, run).unwrap().in_flight, 1);
    }
    record.audit().unwrap();
}

#[test]
fn a_thousand_buffers_and_hundreds_of_claims_leave_nothing_behind() {
    let mut ledger: Ledger<Record> = Ledger::new();
    let limits = Limits {
        buffers: 1000,
        pool_bytes: 1000 * PAGE_BYTES,
        ..LIMITS
    };
    let id = ledger.register(shape(1), limits).unwrap();
    let record = ledger.get_mut(id).unwrap();
    for round in 1..=200u64 {
        let claim = bring_up(record, round);
        assert_eq!(claim.generation(), round);
        let queue = open_queue(record, &claim);
        let pool = record
            .create_pool(&claim, 1000 * PAGE_BYTES, OomPolicy::Refuse)
            .unwrap();
        let count = if round == 1 { 1000 } else { 20 };
        let buffers: Vec<_> = (0..count)
            .map(|_| buffer(record, &claim, pool, 1))
            .collect();
        submit(
            record,
            &claim,
            queue,
            round,
            &[segment(buffers[count / 2], 0, 1)],
        );
        let token = quiesced(record, &claim);
        assert_eq!(end(record, token).len(), count);
        assert_eq!(record.accounting(), Accounting::default());
    }
    record.audit().unwrap();
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn one_queue_resets_alone() {
    let (mut record, claim, queue, pool, buf) = running();
    let other = open_queue(&mut record, &claim);
    let theirs = buffer(&mut record, &claim, pool, 1);
    let old = submit(&mut record, &claim, queue, 1, &[segment(buf, 0, 512)]);
    submit(&mut record, &claim, queue, 2, &[segment(buf, 512, 512)]);
    let kept = submit(&mut record, &claim, other, 3, &[segment(theirs, 0, 512)]);
    let unwritten = record
        .admit(&claim, queue, 4, &[segment(buf, 0, 8)])
        .unwrap();
    record.begin_queue_reset(&claim, queue).unwrap();

    // Meanwhile nothing of it is taken, completes, is freed or is reset once more.
    let before = digest(&record);
    assert_eq!(
        record.admit(&claim, queue, 5, &[]),
        Err(Refusal::WrongState)
    );
    assert_eq!(
        record.complete(&claim, queue, old.slot),
        Err(Refusal::WrongState)
    );
    assert_eq!(record.begin_free(&claim, buf).map(drop), Err(Refusal::Busy));
    assert_eq!(
        record.begin_queue_reset(&claim, queue),
        Err(Refusal::WrongState)
    );
    assert_eq!(record.stop_queue(&claim, queue), Err(Refusal::WrongState));
    assert_eq!(record.close_queue(&claim, queue), Err(Refusal::WrongState));
    assert_eq!(
        record.queue_reopened(&claim, queue),
        Err(Refusal::WrongState)
    );
    assert_eq!(digest(&record), before);

    let proof = QueueProof::SubmissionQueueDeleted;
    let receipt = record.prove_queue_stopped(&claim, queue, proof).unwrap();
    assert_eq!(
        record.prove_queue_stopped(&claim, queue, proof),
        Err(Refusal::Duplicate)
    );
    assert_eq!(record.finish_queue_reset(receipt), Ok(3));
    record.audit().unwrap();
    assert_eq!(record.in_flight(), 1);
    record.withdraw(unwritten);
    record.queue_reopened(&claim, queue).unwrap();
    assert_eq!(record.admit_ring(&claim, queue), Err(Refusal::WrongState));
    let mut cookies = Vec::new();
    while let Ok(Some(cookie)) = record.next_revoked(&claim, queue) {
        cookies.push(cookie);
    }
    assert_eq!(cookies, [1, 2]);

    // Open again, as empty as at first, and an answer of before finds nothing.
    record.admit_ring(&claim, queue).unwrap();
    assert_eq!(
        record.complete(&claim, queue, old.slot),
        Err(Refusal::Duplicate)
    );
    for cookie in 10..14 {
        submit(
            &mut record,
            &claim,
            queue,
            cookie,
            &[segment(buf, 0, 8), segment(buf, 8, 8)],
        );
    }
    assert_eq!(record.complete(&claim, other, kept.slot), Ok(3));
    record.audit().unwrap();
}

#[test]
fn a_reset_of_the_device_voids_the_receipt_of_a_queue() {
    let (mut record, claim, queue, _, buf) = running();
    submit(&mut record, &claim, queue, 1, &[segment(buf, 0, 512)]);
    record.begin_queue_reset(&claim, queue).unwrap();
    let receipt = record
        .prove_queue_stopped(&claim, queue, QueueProof::VirtqueueReset)
        .unwrap();
    record.begin_reset(&claim).unwrap();
    let before = digest(&record);
    assert_eq!(record.finish_queue_reset(receipt), Err(Refusal::Stale));
    assert_eq!(
        digest(&record),
        before,
        "the pins stay until the device's receipt"
    );
    let receipt = record.prove_reset(ResetProof::CstsRdyZero).unwrap();
    assert_eq!(record.finish_reset(&receipt), Ok(1));
    assert_eq!(record.next_revoked(&claim, queue), Ok(Some(1)));
    record.audit().unwrap();
}
