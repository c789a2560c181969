//! Claims, resets, teardown, mappings and interrupts, by example.

#![cfg(not(loom))]

mod common;
use common::*;
use dma_ledger::*;

const TARGET: MapTarget = MapTarget {
    space: 7,
    address: 0x40_0000,
};
const ALL: BarRange = BarRange {
    bar: 0,
    offset: 0,
    bytes: 4 * PAGE_BYTES,
};

#[test]
fn one_owner_at_a_time_and_a_higher_generation_each_time() {
    let mut record = one();
    let first = record.claim(OwnerId(1)).unwrap();
    assert_eq!(record.claim(OwnerId(2)), Err(Refusal::Busy));
    let token = quiesced(&mut record, &first);
    assert_eq!(record.claim(OwnerId(2)), Err(Refusal::Busy));
    end(&mut record, token);
    let second = record.claim(OwnerId(2)).unwrap();
    assert!(second.generation() > first.generation() && first.generation() > 0);
    assert_eq!(record.check(&first), Err(Refusal::Stale));
    assert_eq!(
        record.check(&Claim::allege(record.id(), OwnerId(1), second.generation())),
        Err(Refusal::WrongOwner)
    );
    assert_eq!(
        record.check(&Claim::allege(record.id(), OwnerId(2), 0)),
        Err(Refusal::Stale)
    );
    assert_eq!(record.begin_teardown(&first).unwrap_err(), Refusal::Stale);
}

#[test]
fn a_function_is_registered_once() {
    let (mut ledger, ids) = ledger(2);
    assert_eq!(ledger.register(shape(1), LIMITS), Err(Refusal::Duplicate));
    assert_eq!(ledger.find(1), Some(ids[1]));
    assert_eq!(ledger.find(9), None);
    let claim = ledger.get_mut(ids[0]).unwrap().claim(OwnerId(1)).unwrap();
    assert_eq!(
        ledger.get(ids[1]).unwrap().check(&claim),
        Err(Refusal::WrongOwner)
    );
}

#[test]
fn the_last_generation_is_the_last() {
    let mut ledger: Ledger<Record> = Ledger::new();
    let id = ledger
        .register_after(shape(1), LIMITS, u64::MAX - 1)
        .unwrap();
    let record = ledger.get_mut(id).unwrap();
    let claim = record.claim(OwnerId(1)).unwrap();
    assert_eq!(claim.generation(), u64::MAX);
    let token = quiesced(record, &claim);
    end(record, token);
    assert_eq!(record.state(), FunctionState::Dead);
    assert_eq!(record.claim(OwnerId(1)), Err(Refusal::Exhausted));
    assert_eq!(record.check(&claim), Err(Refusal::Stale));
    let dead = ledger.register_after(shape(2), LIMITS, u64::MAX).unwrap();
    assert_eq!(
        ledger.get_mut(dead).unwrap().claim(OwnerId(1)),
        Err(Refusal::Exhausted)
    );
}

#[test]
fn bus_mastering_needs_the_receipt_of_the_latest_reset() {
    let mut record = one();
    let claim = record.claim(OwnerId(1)).unwrap();
    assert_eq!(
        record.prove_reset(ResetProof::CstsRdyZero),
        Err(Refusal::WrongState)
    );
    assert_eq!(record.configured(&claim), Err(Refusal::WrongState));
    let old = reset(&mut record, &claim);
    record.configured(&claim).unwrap();
    let new = reset(&mut record, &claim);
    let (refusal, old) = record.set_bus_master(&claim, old).unwrap_err();
    assert_eq!(
        (refusal, old.generation()),
        (Refusal::Stale, claim.generation())
    );
    // Not before the broker has configured the device again.
    let (refusal, new) = record.set_bus_master(&claim, new).unwrap_err();
    assert_eq!((refusal, record.bus_master()), (Refusal::WrongState, false));
    record.configured(&claim).unwrap();
    record.set_bus_master(&claim, new).unwrap();
    assert!(record.bus_master());
    // The device runs: no receipt can be had without a new reset.
    assert_eq!(
        record.prove_reset(ResetProof::CstsRdyZero),
        Err(Refusal::WrongState)
    );
    record.begin_reset(&claim).unwrap();
    assert_eq!(record.begin_reset(&claim), Err(Refusal::Busy));
    let receipt = record.prove_reset(ResetProof::VirtioStatusZero).unwrap();
    assert_eq!(
        record.prove_reset(ResetProof::VirtioStatusZero),
        Err(Refusal::Duplicate)
    );
    assert_eq!(receipt.proof(), ResetProof::VirtioStatusZero);
}

#[test]
fn a_receipt_of_another_function_or_claim_is_worth_nothing() {
    let (mut all, ids) = ledger(2);
    let claims: Vec<_> = ids
        .iter()
        .map(|id| all.get_mut(*id).unwrap().claim(OwnerId(1)).unwrap())
        .collect();
    let receipt = reset(all.get_mut(ids[0]).unwrap(), &claims[0]);
    let other = all.get_mut(ids[1]).unwrap();
    other.begin_reset(&claims[1]).unwrap();
    assert_eq!(other.finish_reset(&receipt), Err(Refusal::WrongOwner));
    let first = all.get_mut(ids[0]).unwrap();
    let token = quiesced(first, &claims[0]);
    // A receipt from before the teardown proves nothing about what the device did since.
    let (refusal, token, _) = first.device_reset(token, receipt).unwrap_err();
    assert_eq!(refusal, Refusal::Stale);
    end(first, token);
}

#[test]
fn every_operation_is_refused_once_the_teardown_has_begun() {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let queue = open_queue(&mut record, &claim);
    let pool = record
        .create_pool(&claim, 8 * PAGE_BYTES, OomPolicy::Refuse)
        .unwrap();
    let buf = buffer(&mut record, &claim, pool, 2);
    let (route, sink) = record.attach_route(&claim, 0).unwrap();
    record.unmask_route(&claim, &route).unwrap();
    let reservation = record
        .reserve_buffer(
            &claim,
            pool,
            BufferRequest {
                bytes: 1,
                contiguous: false,
            },
        )
        .unwrap();
    let admitted = record
        .admit(&claim, queue, 1, &[segment(buf, 0, 1)])
        .unwrap();
    let token = record.begin_teardown(&claim).unwrap();
    let revoked = Refusal::Revoked;
    assert_eq!(
        record.admit(&claim, queue, 1, &[segment(buf, 0, 1)]),
        Err(revoked)
    );
    assert_eq!(record.admit_ring(&claim, queue), Err(revoked));
    assert_eq!(record.complete(&claim, queue, 0), Err(revoked));
    assert_eq!(
        record.create_pool(&claim, 1, OomPolicy::Refuse),
        Err(revoked)
    );
    assert_eq!(
        record.map_buffer(&claim, buf, (0, PAGE_BYTES), Protection::READ, TARGET),
        Err(revoked)
    );
    assert_eq!(
        record.map_registers(&claim, ALL, Protection::READ, TARGET, [ALL]),
        Err(revoked)
    );
    assert_eq!(record.begin_free(&claim, buf), Err(revoked));
    assert_eq!(record.poll_wait(&claim, &route), Err(revoked));
    assert_eq!(record.acknowledge(&claim, &route), Err(revoked));
    assert_eq!(record.begin_reset(&claim), Err(revoked));
    assert_eq!(record.begin_teardown(&claim).unwrap_err(), revoked);
    assert_eq!(record.issue(admitted), Err(Refusal::Stale));
    let (refusal, frames) = record.commit_buffer(reservation, vec![9]).unwrap_err();
    assert_eq!((refusal, frames), (revoked, vec![9]));
    // The handler may still fire until the sources are masked; afterwards nobody is woken.
    let token = record.handles_revoked(token).unwrap();
    let token = record.stop_submissions(token).unwrap();
    let token = record.mappings_removed(token, Shot).unwrap();
    let token = record.interrupts_masked(token).unwrap();
    assert_eq!(sink.dispatch(), Err(Refusal::Stale));
    assert_eq!(record.dispatches(0), 0);
    let token = record.queues_quiesced(token).unwrap();
    assert_eq!(end(&mut record, token), [vec![0, 1]]);
    record.audit().unwrap();
}

#[test]
fn pages_of_a_dead_driver_wait_for_the_receipt() {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let queue = open_queue(&mut record, &claim);
    let pool = record
        .create_pool(&claim, 8 * PAGE_BYTES, OomPolicy::Refuse)
        .unwrap();
    let buf = buffer(&mut record, &claim, pool, 2);
    submit(&mut record, &claim, queue, 1, &[segment(buf, 0, 8192)]);
    let token = quiesced(&mut record, &claim);
    // The driver is gone and its work is still in flight: nothing is released.
    assert_eq!((record.in_flight(), record.accounting().pinned), (1, 1));
    record.audit().unwrap();
    let receipt = record.prove_reset(ResetProof::CstsRdyZero).unwrap();
    let (token, revoked) = record.device_reset(token, receipt).unwrap();
    assert_eq!((revoked, record.in_flight()), (1, 0));
    let token = record
        .bus_master_cleared(token, DrainProof::NoExpressCapability)
        .unwrap();
    let token = record.translations_removed(token, Forgotten).unwrap();
    let pages = record.next_to_scrub(&token).unwrap().unwrap();
    let (refusal, token) = record.scrub_done(token).unwrap_err();
    assert_eq!(refusal, Refusal::Busy);
    let (refusal, pages) = record.free(pages.scrub(|_| ())).unwrap_err();
    assert_eq!(refusal, Refusal::WrongState);
    record.put_scrubbed(pages).unwrap();
    assert!(record.next_to_scrub(&token).unwrap().is_none());
    let token = record.scrub_done(token).unwrap();
    let (refusal, token) = record.finish(token).unwrap_err();
    assert_eq!(refusal, Refusal::Busy);
    assert_eq!(record.frames_to_free(&token), Ok(Some(vec![0, 1])));
    record.finish(token).unwrap();
    record.audit().unwrap();
    assert_eq!(record.accounting(), Accounting::default());
}

#[test]
fn a_device_that_never_stops_is_quarantined_for_good() {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let pool = record
        .create_pool(&claim, 8 * PAGE_BYTES, OomPolicy::Revoke)
        .unwrap();
    buffer(&mut record, &claim, pool, 2);
    let token = quiesced(&mut record, &claim);
    assert_eq!(record.quarantine(token).unwrap(), 2 * PAGE_BYTES);
    assert_eq!(record.state(), FunctionState::Quarantined);
    assert!(!record.bus_master());
    assert_eq!(record.claim(OwnerId(2)), Err(Refusal::Quarantined));
    assert_eq!(record.check(&claim), Err(Refusal::Quarantined));
    assert_eq!(
        record.prove_reset(ResetProof::FlrCompleted),
        Err(Refusal::Quarantined)
    );
    record.audit().unwrap();
}

#[test]
fn teardown_waits_for_every_user_mapping() {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let map = record
        .map_registers(&claim, ALL, Protection::READ, TARGET, [ALL])
        .unwrap();
    let token = record.begin_teardown(&claim).unwrap();
    let token = record.handles_revoked(token).unwrap();
    let token = record.stop_submissions(token).unwrap();
    let (refusal, token) = record.mappings_removed(token, Shot).unwrap_err();
    assert_eq!(refusal, Refusal::Busy);
    record.release_mapping(map).unwrap();
    assert_eq!(record.release_mapping(map), Err(Refusal::Stale));
    assert!(record.mappings_removed(token, Shot).is_ok());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn register_maps_are_read_only_whole_and_listed() {
    let mut record = one();
    let claim = record.claim(OwnerId(1)).unwrap();
    let before = digest(&record);
    let window = |bar, offset, bytes| BarRange { bar, offset, bytes };
    let page = PAGE_BYTES;
    for (range, protection, refusal) in [
        (
            window(0, 0, page),
            Protection::READ_WRITE,
            Refusal::ReadOnly,
        ),
        (window(0, 0, page), Protection(5), Refusal::BadArgument),
        (window(0, 0, page), Protection(0), Refusal::BadArgument),
        (window(0, 0, 0), Protection::READ, Refusal::ZeroLength),
        (
            window(0, 0, 4 * page + 1),
            Protection::READ,
            Refusal::OutOfRange,
        ),
        (
            window(0, 4 * page, 1),
            Protection::READ,
            Refusal::OutOfRange,
        ),
        (
            window(0, u64::MAX - 5, page),
            Protection::READ,
            Refusal::OutOfRange,
        ),
        (
            window(0, page, u64::MAX),
            Protection::READ,
            Refusal::OutOfRange,
        ),
        (window(0, 8, page), Protection::READ, Refusal::Misaligned),
        (window(1, 0, page), Protection::READ, Refusal::OutOfRange),
        (window(6, 0, page), Protection::READ, Refusal::OutOfRange),
        // A BAR smaller than a page shares its page with something else.
        (window(4, 0, 16), Protection::READ, Refusal::OutOfRange),
        (
            window(0, 2 * page, page),
            Protection::READ,
            Refusal::WindowRefused,
        ),
    ] {
        let listed = [window(0, 0, 2 * page), window(4, 0, page)];
        assert_eq!(
            record.map_registers(&claim, range, protection, TARGET, listed),
            Err(refusal),
            "{range:?}"
        );
    }
    assert_eq!(digest(&record), before);
    let map = record
        .map_registers(&claim, window(0, page, 5), Protection::READ, TARGET, [ALL])
        .unwrap();
    assert_eq!(record.mapping(&claim, map).unwrap().bytes, page);
    record.unmap(&claim, map).unwrap();
    let again = record
        .map_registers(&claim, window(0, page, 5), Protection::READ, TARGET, [ALL])
        .unwrap();
    assert_eq!(again.index(), map.index());
    assert_eq!(record.unmap(&claim, map), Err(Refusal::Stale));
    assert_eq!(record.mapping(&claim, map), Err(Refusal::Stale));
}

#[test]
fn register_accesses_stay_inside_their_windows() {
    let mut record = one();
    let claim = record.claim(OwnerId(1)).unwrap();
    let access = |offset, width| Access {
        bar: 0,
        offset,
        width,
    };
    let readable = [BarRange {
        bar: 0,
        offset: 0,
        bytes: 0x40,
    }];
    assert_eq!(record.admit_read(&claim, access(0x38, 8), readable), Ok(()));
    assert_eq!(
        record.admit_read(&claim, access(0x40, 4), readable),
        Err(Refusal::WindowRefused)
    );
    assert_eq!(
        record.admit_read(&claim, access(2, 4), readable),
        Err(Refusal::Misaligned)
    );
    assert_eq!(
        record.admit_read(&claim, access(0, 3), readable),
        Err(Refusal::BadArgument)
    );
    assert_eq!(
        record.admit_read(&claim, access(4 * PAGE_BYTES, 4), readable),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(
        record.admit_read(&claim, access(u64::MAX - 3, 4), readable),
        Err(Refusal::OutOfRange)
    );
    let window = RegisterWindow {
        register: access(0x20, 4),
        mask: 0xff,
        allowed: |value| value < 0x10,
    };
    let found = record
        .admit_write(&claim, access(0x20, 4), [window])
        .unwrap();
    assert_eq!(found.admit(0xabcd_00ff, 0xabcd_0003), Ok(()));
    assert_eq!(
        found.admit(0xabcd_00ff, 0xabcd_0010),
        Err(Refusal::WindowRefused)
    );
    assert_eq!(
        found.admit(0xabcd_00ff, 0xabcc_0003),
        Err(Refusal::WindowRefused)
    );
    for wrong in [access(0x20, 8), access(0x24, 4), access(0x20, 2)] {
        assert!(matches!(
            record.admit_write(&claim, wrong, [window]),
            Err(Refusal::WindowRefused)
        ));
    }
}

#[test]
fn one_acknowledgement_for_each_dispatch() {
    let mut record = one();
    let claim = record.claim(OwnerId(1)).unwrap();
    let (route, sink) = record.attach_route(&claim, 1).unwrap();
    assert_eq!(
        record.attach_route(&claim, 1).unwrap_err(),
        Refusal::AlreadyExists
    );
    assert_eq!(
        record.attach_route(&claim, 3).unwrap_err(),
        Refusal::OutOfRange
    );
    assert_eq!(sink.dispatch(), Err(Refusal::WrongState)); // masked
    assert_eq!(record.acknowledge(&claim, &route), Err(Refusal::WrongState));
    assert_eq!(record.unmask_route(&claim, &route), Ok(true));
    assert_eq!(record.poll_wait(&claim, &route), Ok(false));
    sink.dispatch().unwrap();
    assert_eq!(sink.dispatch(), Err(Refusal::WrongState));
    assert_eq!(record.poll_wait(&claim, &route), Ok(true));
    assert_eq!(record.poll_wait(&claim, &route), Ok(false));
    assert_eq!(record.acknowledge(&claim, &route), Ok(true));
    assert_eq!(record.acknowledge(&claim, &route), Err(Refusal::Duplicate));
    sink.dispatch().unwrap();
    assert_eq!(record.mask_route(&claim, &route), Ok(false));
    assert_eq!(record.acknowledge(&claim, &route), Ok(false)); // stays masked
    assert_eq!(
        record.route_state(&claim, &route),
        Ok(RouteState::ClaimedMasked)
    );
    assert_eq!(record.dispatches(1), 2);
}

#[test]
fn an_interrupt_of_before_wakes_nobody() {
    let mut record = one();
    let claim = bring_up(&mut record, 1);
    let (route, sink) = record.attach_route(&claim, 0).unwrap();
    record.unmask_route(&claim, &route).unwrap();
    sink.dispatch().unwrap();
    record.begin_reset(&claim).unwrap();
    let before = digest(&record);
    assert_eq!(sink.dispatch(), Err(Refusal::Stale));
    assert_eq!(record.poll_wait(&claim, &route), Err(Refusal::Stale));
    assert_eq!(record.acknowledge(&claim, &route), Err(Refusal::Stale));
    assert_eq!(digest(&record), before);
    assert_eq!(
        record.attach_route(&claim, 0).unwrap_err(),
        Refusal::WrongState
    );
    let receipt = record.prove_reset(ResetProof::CstsRdyZero).unwrap();
    record.finish_reset(&receipt).unwrap();
    let (new, new_sink) = record.attach_route(&claim, 0).unwrap();
    record.unmask_route(&claim, &new).unwrap();
    assert!(new.source_generation() > route.source_generation());
    assert!(new.route_generation() > route.route_generation());
    assert_eq!(sink.dispatch(), Err(Refusal::Stale));
    assert_eq!(record.poll_wait(&claim, &route), Err(Refusal::Stale));
    assert_eq!(record.poll_wait(&claim, &new), Ok(false));
    new_sink.dispatch().unwrap();
    // A new registration alone makes the old route stale too.
    record.detach_route(&claim, &new).unwrap();
    assert_eq!(record.detach_route(&claim, &new), Err(Refusal::Stale));
    let (newest, _) = record.attach_route(&claim, 0).unwrap();
    assert_eq!(newest.source_generation(), new.source_generation());
    assert_eq!(record.mask_route(&claim, &new), Err(Refusal::Stale));
    assert_eq!(new_sink.dispatch(), Err(Refusal::Stale));
}

#[test]
fn a_route_retires_at_its_last_generation() {
    let word = RouteWord::after(LAST_ROUTE_GENERATION - 1);
    assert_eq!(word.register(), Ok(LAST_ROUTE_GENERATION));
    word.detach();
    assert_eq!(word.load(), (LAST_ROUTE_GENERATION, RouteState::Retired));
    assert_eq!(word.register(), Err(Refusal::Exhausted));
    assert_eq!(word.dispatch(LAST_ROUTE_GENERATION), Err(Refusal::Stale));
    assert_eq!(
        RouteWord::after(u64::MAX).register(),
        Err(Refusal::Exhausted)
    );
}

#[test]
fn routes_are_made_a_part_at_a_time_or_with_the_claim() {
    let of = |sources| {
        let mut all: Ledger<Option<Record>> = Ledger::new();
        let shape = FunctionShape {
            sources,
            ..shape(8)
        };
        let id = all.register(shape, LIMITS).unwrap();
        all.get_mut(id).unwrap().take().unwrap()
    };
    let mut parts = of(2048);
    assert_eq!((1..).find(|_| parts.make_some_routes().unwrap()), Some(32));
    assert_eq!(parts.make_some_routes(), Ok(true));
    for (mut record, sources) in [(parts, 2048), (of(200), 200)] {
        let claim = record.claim(OwnerId(1)).unwrap();
        assert!(record.attach_route(&claim, sources - 1).is_ok());
        assert!(record.attach_route(&claim, sources).is_err());
    }
}
