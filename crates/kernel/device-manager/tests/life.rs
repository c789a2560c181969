//! Claims from beginning to end: the whole way, death at every step, devices that do not stop.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use device_manager::{Access, DeviceState, Refusal};
use driver_core::{NvmeSettings, Settings};
use machine::{
    Machine, OWNER, PAIRS, PCIE, STRANGER, TAKEN, Ticket, bdf, done, from_device, refused, script,
};
use pci_format::ConfigAccess;

const STEPS: [&str; 9] = [
    "begun",
    "handles-revoked",
    "submissions-stopped",
    "mappings-removed",
    "interrupts-masked",
    "queues-quiesced",
    "device-reset",
    "bus-master-cleared",
    "scrubbed",
];

fn steps(facts: &str) -> Vec<&str> {
    let of = |line: &'static str| move |fact: &&str| fact.starts_with(line);
    facts
        .lines()
        .filter(of("@device.teardown"))
        .filter_map(|fact| fact.split(" step=").nth(1)?.split(' ').next())
        .collect()
}

#[test]
fn a_whole_life() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    assert!(it.bus_master(0) && !it.bus_master(1));
    let info = it.manager.info(&claim).unwrap();
    assert_eq!((info.address, info.state), (4 << 3, DeviceState::Enabled));

    let route = it.manager.interrupt_open(&claim, 1).unwrap();
    it.manager.interrupt_unmask(&claim, &route).unwrap();
    let (pool, buffer) = it.buffer(&claim, 5000);
    assert_eq!(
        it.submit(&claim, queue, 42, &[from_device(buffer, 0, 8192)]),
        TAKEN
    );
    assert_eq!(script().lock().unwrap().rung, [0]);
    let ticket = Ticket::new();
    it.manager.interrupt_wait(&claim, &route, ticket.waiter());
    assert_eq!(ticket.answer(), None);
    script().lock().unwrap().completions.push_back(done(0));
    let (cpu, vector) = it.fake.vectors()[0];
    assert!(it.manager.on_interrupt(cpu, vector));
    assert_eq!(ticket.answer(), Some(Ok(1)));
    let got = it.complete(&claim, queue).unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].cookie, got[0].status, got[0].result), (42, 0, 100));
    assert_eq!(script().lock().unwrap().taken, 1);
    it.manager.interrupt_acknowledge(&claim, &route).unwrap();

    let window = it
        .manager
        .buffer_window(&claim, buffer, Access::ReadWrite)
        .unwrap();
    window.write(4096, b"data");
    assert_eq!(it.manager.buffer_info(&claim, buffer).unwrap().maps, 1);
    it.manager.buffer_free(&claim, buffer).unwrap();
    assert!(window.is_revoked());
    it.manager.pool_close(&claim, pool).unwrap();

    it.fake.clear_facts();
    it.manager.release(&claim).unwrap();
    it.settle();
    assert_eq!(steps(&it.fake.facts()), STEPS);
    assert!(
        it.fake
            .facts()
            .ends_with("@device.released function=\"0000:00:04.0\" pages~2\n")
    );
    assert_eq!((it.fake.pages(), it.fake.vectors().len()), (0, 0));
    // The broker was gone before its pages were.
    assert_eq!(it.fake.brokers_at_last_free(), 0);
    assert!(!it.bus_master(0));
    assert_eq!(it.manager.info(&claim).unwrap().state, DeviceState::Dead);
}

#[test]
fn listing_tells_who_drives_what_and_no_address() {
    let it = Machine::new();
    let _claim = it.claim(1);
    let mut seen = Vec::new();
    let next = it.manager.list(0, &mut |view| {
        seen.push((
            view.address,
            view.driver.to_owned(),
            view.claimed,
            view.msix_vectors,
        ));
        assert_eq!((view.vendor, view.class), (0x1234, 0x01_0802));
        true
    });
    assert_eq!(next, 0);
    let expected = [
        (4 << 3, "fake".into(), false, 4),
        (5 << 3, "fake".into(), true, 4),
    ];
    assert_eq!(seen, expected);
    assert_eq!(it.manager.list(0, &mut |_| false), 0);
    let mut count = 0;
    let next = it.manager.list(0, &mut |_| {
        count += 1;
        count < 2
    });
    assert_eq!((next, count), (1, 2));
}

#[test]
fn claims_are_refused_by_name_number_and_state() {
    let it = Machine::new();
    let claim = it.claim(0);
    assert_eq!(it.try_claim(0, STRANGER), Err(Refusal::Busy));
    assert_eq!(it.try_claim(2, STRANGER), Err(Refusal::NoDevice));
    let ticket = Ticket::new();
    it.manager.claim("nobody", 0, OWNER, ticket.waiter());
    assert_eq!(ticket.answer(), Some(Err(Refusal::NotFound)));
    // The less specific driver gets nothing.
    let ticket = Ticket::new();
    it.manager.claim("class", 0, OWNER, ticket.waiter());
    assert_eq!(ticket.answer(), Some(Err(Refusal::NoDevice)));
    it.manager.release(&claim).unwrap();
    assert_eq!(it.manager.release(&claim), Err(Refusal::Revoked));
    it.settle();
    assert_eq!(it.manager.release(&claim), Err(Refusal::Stale));
}

#[test]
fn a_claim_waits_for_the_teardown_and_gets_a_clean_function() {
    let it = Machine::new();
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 4096);
    assert_eq!(
        it.submit(&claim, queue, 1, &[from_device(buffer, 0, 512)]),
        TAKEN
    );
    it.manager.release(&claim).unwrap();
    let [gone, first, second] = [Ticket::new(), Ticket::new(), Ticket::new()];
    for ticket in [&gone, &first, &second] {
        it.manager.claim("fake", 0, STRANGER, ticket.waiter());
        assert_eq!(ticket.answer(), None);
    }
    gone.go();
    it.settle();
    let Some(Ok(next)) = first.answer() else {
        panic!("{:?}", first.answer());
    };
    assert_eq!(
        (gone.answer(), second.answer()),
        (None, Some(Err(Refusal::Busy)))
    );
    assert_eq!(next.generation(), claim.generation() + 1);
    // What came from the claim of before is good for nothing, with either claim.
    assert_eq!(it.submit(&claim, queue, 1, &[]), refused(Refusal::Stale));
    it.up(&next);
    let queue = it.open(&next).unwrap();
    let outcome = it.submit(&next, queue, 1, &[from_device(buffer, 0, 512)]);
    assert!(matches!(
        outcome.refusal,
        Some(Refusal::Stale | Refusal::BadHandle)
    ));
    it.manager.release(&next).unwrap();
    it.settle();
    assert_eq!(it.fake.pages(), 0);
}

#[test]
fn death_at_every_step_leaves_nothing_behind() {
    for step in 0..9 {
        let it = Machine::new();
        let claim = it.claim(0);
        let waiting = Ticket::new();
        let m = &it.manager;
        for now in 0..=step {
            let last = now == step;
            match now {
                0 => drop(m.pool_create(&claim, 1 << 16).unwrap()),
                1 if last => m.reset(&claim, waiting.waiter()),
                1 => it.reset(&claim).unwrap(),
                2 => m.configure(&claim, Settings::Plain).unwrap(),
                3 if last => m.enable(&claim, waiting.waiter()),
                3 => it.enable(&claim).unwrap(),
                4 => drop(m.interrupt_open(&claim, 3).unwrap()),
                5 => drop(it.buffer(&claim, 8192)),
                6 => {
                    let (_, buffer) = it.buffer(&claim, 4096);
                    let window = m.buffer_window(&claim, buffer, Access::ReadWrite).unwrap();
                    window.write(0, b"secret");
                    drop(m.buffer_window(&claim, buffer, Access::Read).unwrap());
                    drop(m.mmio_map(&claim, 0, 0, 4096).unwrap());
                }
                7 => {
                    let queue = it.open(&claim).unwrap();
                    let (_, buffer) = it.buffer(&claim, 4096);
                    assert_eq!(
                        it.submit(&claim, queue, 9, &[from_device(buffer, 0, 9)]),
                        TAKEN
                    );
                }
                _ => {
                    // A second operation while one runs.
                    m.reset(&claim, waiting.waiter());
                    let other = Ticket::new();
                    m.enable(&claim, other.waiter());
                    assert_eq!(other.answer(), Some(Err(Refusal::Busy)));
                }
            }
        }
        it.fake.clear_facts();
        it.manager.release(&claim).unwrap();
        // Already now no process reaches a page of the device.
        assert!(it.fake.all_revoked(), "step {step}");
        it.settle();
        assert_eq!(steps(&it.fake.facts()), STEPS, "step {step}");
        assert_eq!(
            (it.fake.pages(), it.fake.vectors().len()),
            (0, 0),
            "step {step}"
        );
        assert!(!it.bus_master(0));
        let answered = matches!(step, 1 | 3 | 8).then_some(Err(Refusal::Revoked));
        assert_eq!(waiting.answer(), answered, "step {step}");
        it.running(0);
    }
}

#[test]
fn a_device_that_never_stops_is_quarantined_and_keeps_its_pages() {
    let it = Machine::with(machine::FakeConfig::new().without_flr());
    let (claim, queue) = it.running(0);
    let (_, buffer) = it.buffer(&claim, 3 * 4096);
    let window = it
        .manager
        .buffer_window(&claim, buffer, Access::ReadWrite)
        .unwrap();
    assert_eq!(
        it.submit(&claim, queue, 1, &[from_device(buffer, 0, 512)]),
        TAKEN
    );
    let held = it.fake.pages();
    script().lock().unwrap().reset_looks = None;
    it.manager.release(&claim).unwrap();
    let waiting = Ticket::new();
    it.manager.claim("fake", 0, STRANGER, waiting.waiter());
    it.settle();
    assert!(window.is_revoked());
    assert_eq!(it.fake.pages(), held);
    assert!(!it.bus_master(0));
    let facts = it.fake.facts();
    let line = "@device.quarantined function=\"0000:00:04.0\" reason=no-proof-of-reset";
    assert_eq!(facts.matches(line).count(), 1);
    assert!(!facts.contains("@device.released"));
    assert_eq!(waiting.answer(), Some(Err(Refusal::Quarantined)));
    assert_eq!(it.try_claim(0, OWNER), Err(Refusal::Quarantined));
    assert_eq!(it.manager.release(&claim), Err(Refusal::Quarantined));
    assert_eq!(
        it.manager.info(&claim).unwrap().state,
        DeviceState::Quarantined
    );
    // The other one does not notice.
    script().lock().unwrap().reset_looks = Some(1);
    it.running(1);
}

#[test]
fn a_reset_without_proof_ends_the_claim() {
    let it = Machine::with(machine::FakeConfig::new().without_flr());
    let (claim, _) = it.running(0);
    script().lock().unwrap().reset_looks = None;
    assert_eq!(it.reset(&claim), Err(Refusal::Quarantined));
    it.settle();
    assert_eq!(
        it.manager.info(&claim).unwrap().state,
        DeviceState::Quarantined
    );
    assert!(it.fake.pages() > 0);
}

#[test]
fn a_function_without_pci_express_is_reset_by_its_advanced_features() {
    let it = Machine::with(machine::FakeConfig::new().with_advanced_features());
    let (claim, _) = it.running(0);
    it.buffer(&claim, 4096);
    script().lock().unwrap().reset_looks = None;
    // A transaction is pending, so the reset has to wait for its end.
    it.config.edit(bdf(4), PCIE + 4, 1 << 8);
    it.manager.release(&claim).unwrap();
    while it.config.resets(bdf(4)) == 0 {
        let (function, at) = it.fake.next_timer().unwrap();
        it.fake.advance_to(at);
        it.manager.poll(function);
        if it.fake.now() > 5_000_000 {
            it.config.edit(bdf(4), PCIE + 4, 0);
        }
    }
    it.settle();
    assert_eq!(it.fake.pages(), 0);
    assert!(
        it.fake
            .facts()
            .contains("step=device-reset proof=flr-completed")
    );
    script().lock().unwrap().reset_looks = Some(0);
    it.running(0);
}

#[test]
fn the_function_is_reset_where_the_broker_cannot() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    it.buffer(&claim, 4096);
    script().lock().unwrap().reset_looks = None;
    let bar = it.config.read32(bdf(4), 0x10);
    it.manager.release(&claim).unwrap();
    while it.config.resets(bdf(4)) == 0 {
        let (function, at) = it.fake.next_timer().unwrap();
        it.fake.advance_to(at);
        it.manager.poll(function);
    }
    // Looks that come too early prove nothing.
    let started = it.fake.now();
    for _ in 0..3 {
        it.manager.poll(0);
    }
    assert!(!it.fake.facts().contains("step=device-reset"));
    it.settle();
    assert!(it.fake.now() >= started + 100_000_000);
    assert_eq!(it.config.resets(bdf(4)), 1);
    assert!(bar != 0 && it.config.read32(bdf(4), 0x10) == bar);
    assert_eq!(it.config.read32(bdf(4), 4) & 0x407, 0x402);
    assert_eq!(it.config.read32(bdf(4), PCIE + 8) & 0xffff, 0x2810);
    assert_eq!(it.fake.pages(), 0);
    assert!(
        it.fake
            .facts()
            .contains("step=device-reset proof=flr-completed")
    );
    // What the reset took away was given back: the next claim works.
    script().lock().unwrap().reset_looks = Some(0);
    it.running(0);
}

#[test]
fn a_function_that_does_not_come_back_is_quarantined() {
    let it = Machine::new();
    it.config.die_on_reset();
    let (claim, _) = it.running(0);
    script().lock().unwrap().reset_looks = None;
    it.manager.release(&claim).unwrap();
    it.settle();
    assert!(it.fake.facts().contains("reason=no-answer"));
    assert!(it.fake.pages() > 0);
}

#[test]
fn pending_transactions_keep_the_pages() {
    let it = Machine::new();
    let (claim, _) = it.running(0);
    it.config.edit(bdf(4), PCIE + 8, 0x0020_2810);
    it.manager.release(&claim).unwrap();
    it.settle();
    assert!(it.fake.facts().contains("reason=transactions-pending"));
    assert!(it.fake.pages() > 0);
    assert!(!it.bus_master(0));
}

#[test]
fn enabling_that_fails_takes_the_bus_away_and_a_reset_goes_on() {
    let it = Machine::new();
    let claim = it.claim(0);
    assert_eq!(it.enable(&claim), Err(Refusal::WrongState));
    assert_eq!(
        it.manager.configure(&claim, Settings::Plain),
        Err(Refusal::WrongState)
    );
    it.reset(&claim).unwrap();
    assert_eq!(it.enable(&claim), Err(Refusal::WrongState));
    assert_eq!(
        it.manager
            .configure(&claim, Settings::Nvme(&mut NvmeSettings::default())),
        Err(Refusal::BadArgument)
    );
    let mut chosen = NvmeSettings {
        admin_depth: 1,
        pairs: 9,
        page_shift: 12,
    };
    it.manager
        .configure(&claim, Settings::Nvme(&mut chosen))
        .unwrap();
    assert_eq!(chosen.pairs, PAIRS, "what was agreed on");
    it.manager.configure(&claim, Settings::Plain).unwrap();
    script().lock().unwrap().enable = Err(Refusal::DeviceError);
    assert_eq!(it.enable(&claim), Err(Refusal::DeviceError));
    assert!(!it.bus_master(0));
    assert_eq!(it.open(&claim), Err(Refusal::WrongState));
    script().lock().unwrap().enable = Ok(u32::MAX);
    it.reset(&claim).unwrap();
    it.manager.configure(&claim, Settings::Plain).unwrap();
    assert_eq!(it.enable(&claim), Err(Refusal::TimedOut));
    script().lock().unwrap().enable = Ok(0);
    it.up(&claim);
    it.open(&claim).unwrap();
}

#[test]
fn two_functions_are_independent() {
    let it = Machine::new();
    let (first, first_queue) = it.running(0);
    let (second, second_queue) = it.running(1);
    let (_, mine) = it.buffer(&first, 4096);
    let (_, theirs) = it.buffer(&second, 4096);
    let foreign = [from_device(theirs, 0, 1)];
    assert_eq!(
        it.submit(&first, first_queue, 0, &foreign),
        refused(Refusal::ForeignBuffer)
    );
    assert_eq!(
        it.submit(&first, second_queue, 0, &[]),
        refused(Refusal::WrongOwner)
    );
    assert_eq!(
        it.manager.buffer_free(&first, theirs),
        Err(Refusal::ForeignBuffer)
    );
    it.manager.release(&first).unwrap();
    it.settle();
    assert_eq!(it.submit(&second, second_queue, 0, &foreign), TAKEN);
    assert_eq!(it.manager.buffer_info(&first, mine), Err(Refusal::Stale));
}

#[test]
fn the_end_of_a_claim_ends_nothing_of_another_owners() {
    let it = Machine::new();
    let mine = it.claim(0);
    let theirs = it.try_claim(1, STRANGER).unwrap();
    it.manager.release(&mine).unwrap();
    it.settle();
    assert_eq!(it.manager.info(&mine).unwrap().state, DeviceState::Dead);
    assert_eq!(
        it.manager.info(&theirs).unwrap().state,
        DeviceState::Claimed
    );
    // One that waits for a function and dies gets nothing, and keeps nobody from it.
    it.manager.release(&theirs).unwrap();
    let waiting = Ticket::new();
    it.manager.claim("fake", 1, OWNER, waiting.waiter());
    waiting.go();
    it.settle();
    assert_eq!(waiting.answer(), None);
    it.claim(1);
}

#[test]
fn three_hundred_claims_leave_the_frame_count_as_it_was() {
    let it = Machine::new();
    for round in 0..300u64 {
        let (claim, queue) = it.running(0);
        assert_eq!(claim.generation(), round + 1);
        let route = it.manager.interrupt_open(&claim, 0).unwrap();
        it.manager.interrupt_unmask(&claim, &route).unwrap();
        let (_, buffer) = it.buffer(&claim, 4096 * (1 + round % 3));
        let window = it
            .manager
            .buffer_window(&claim, buffer, Access::ReadWrite)
            .unwrap();
        window.write(0, &round.to_le_bytes());
        assert_eq!(
            it.submit(&claim, queue, round, &[from_device(buffer, 0, 64)]),
            TAKEN
        );
        it.manager.release(&claim).unwrap();
        it.settle();
        assert_eq!((it.fake.pages(), it.fake.vectors().len()), (0, 0));
    }
    assert!(it.fake.all_revoked());
}

#[test]
fn a_function_that_is_not_sound_is_never_claimed() {
    let config = machine::FakeConfig::new();
    // The capability list bites its tail.
    config.edit(bdf(4), PCIE, 0x0002_4010);
    let it = Machine::with(config);
    assert_eq!(it.try_claim(0, OWNER), Err(Refusal::Quarantined));
    it.claim(1);
}
