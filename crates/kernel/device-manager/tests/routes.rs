//! Vectors that move, messages that cannot be masked, and lines that are shared.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use device_manager::{Claim, Refusal, RouteId, RouteView};
use machine::{BAR0, FakeConfig, Machine, Ticket};

const GSI: u32 = 11;
const PIN: u16 = 4;

fn armed(it: &Machine, claim: &Claim, source: u16) -> RouteId {
    let route = it.manager.interrupt_open(claim, source).unwrap();
    it.manager.interrupt_unmask(claim, &route).unwrap();
    route
}

fn settle_vectors(it: &Machine) -> usize {
    let dying = it.fake.take_dying();
    for (cpu, vector) in &dying {
        it.manager.vector_settled(*cpu, *vector);
    }
    dying.len()
}

fn heard(it: &Machine, claim: &Claim, route: &RouteId) -> Option<u64> {
    it.manager.interrupt_try_wait(claim, route).unwrap()
}

#[test]
fn a_route_moves_and_what_was_sent_before_still_counts() {
    let it = Machine::new();
    let claim = it.claim(0);
    let m = &it.manager;
    let route = armed(&it, &claim, 2);
    let [(cpu, vector)] = it.fake.vectors()[..] else {
        panic!()
    };
    assert_eq!(
        m.interrupt_move(&claim, &route, 3),
        Err(Refusal::OutOfRange)
    );
    m.interrupt_move(&claim, &route, 1).unwrap();
    let [(new_cpu, new_vector)] = it.fake.vectors()[..] else {
        panic!()
    };
    assert_eq!((cpu, new_cpu), (0, 1));
    // The device was told, and may go on.
    let entry = BAR0 + 0x40_2020;
    assert_eq!(it.fake.register(entry), 0xfee0_1000);
    assert_eq!(it.fake.register(entry + 8), u32::from(new_vector));
    assert_eq!(it.fake.register(entry + 12), 0);
    // Not twice before the first move has settled.
    assert_eq!(m.interrupt_move(&claim, &route, 2), Err(Refusal::Busy));
    m.interrupt_move(&claim, &route, 1).unwrap();

    // It was on its way to the old vector.
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(heard(&it, &claim, &route), Some(1));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert!(m.on_interrupt(new_cpu, new_vector));
    // And this one while the new one was not acknowledged.
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(heard(&it, &claim, &route), Some(2));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert_eq!(heard(&it, &claim, &route), Some(3));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    let counts = m.interrupt_counts(&claim, &route).unwrap();
    assert_eq!(
        (counts.dispatched, counts.late, counts.forwarded),
        (2, 1, 2)
    );

    // Once the old vector is quiet it is nobody's.
    assert_eq!(settle_vectors(&it), 1);
    assert!(!m.on_interrupt(cpu, vector));
    m.interrupt_move(&claim, &route, 2).unwrap();
    m.interrupt_close(&claim, &route).unwrap();
    // Neither the vector it had nor the one before leads anywhere.
    for (cpu, vector) in it.fake.take_dying() {
        assert!(!m.on_interrupt(cpu, vector));
        m.vector_settled(cpu, vector);
    }
    assert!(it.fake.vectors().is_empty());
}

#[test]
fn a_route_with_an_entry_moves_without_a_word_to_its_device() {
    let it = Machine::new();
    it.fake.remap_interrupts();
    let claim = it.claim(0);
    let m = &it.manager;
    let route = armed(&it, &claim, 2);
    let [(cpu, vector)] = it.fake.vectors()[..] else {
        panic!()
    };
    assert_eq!(it.fake.entries(), [(0, (cpu, vector))]);
    let message = BAR0 + 0x40_2020;
    assert_eq!(it.fake.register(message), 0xfee0_0010);
    m.interrupt_move(&claim, &route, 1).unwrap();
    let [(1, new)] = it.fake.vectors()[..] else {
        panic!()
    };
    assert_eq!(it.fake.entries(), [(0, (1, new))]);
    assert_eq!(it.fake.register(message), 0xfee0_0010);
    assert_eq!(it.fake.register(message + 12), 0);
    // What was on its way to the old vector counts, and then nothing there does.
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(heard(&it, &claim, &route), Some(1));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert!(m.on_interrupt(1, new));
    assert_eq!(settle_vectors(&it), 1);
    assert!(!m.on_interrupt(cpu, vector));
    m.interrupt_close(&claim, &route).unwrap();
    assert_eq!((it.fake.entries(), it.fake.vectors()), (vec![], vec![]));
}

#[test]
fn a_vector_whose_entry_may_still_lead_to_it_is_nobodys() {
    let it = Machine::new();
    it.fake.remap_interrupts();
    let claim = it.claim(0);
    let m = &it.manager;
    let route = armed(&it, &claim, 2);
    let before = it.fake.vectors();
    it.fake.silence_unit();
    let moved = m.interrupt_move(&claim, &route, 1);
    assert_eq!(moved, Err(Refusal::DeviceError));
    let opened = m.interrupt_open(&claim, 3);
    assert_eq!(opened.err(), Some(Refusal::DeviceError));
    // It goes on where it was.
    assert!(m.on_interrupt(before[0].0, before[0].1));
    assert_eq!(heard(&it, &claim, &route), Some(1));
    m.interrupt_close(&claim, &route).unwrap();
    assert!(it.fake.take_dying().is_empty());
    assert_eq!(it.fake.vectors().len(), 3);
}

#[test]
fn a_move_without_a_vector_changes_nothing() {
    let it = Machine::new();
    let (a, b) = (it.claim(0), it.claim(1));
    let m = &it.manager;
    let route = armed(&it, &a, 0);
    // The fake gives 16 vectors per CPU; CPU 1 is filled with moves that never settle.
    let other = armed(&it, &b, 0);
    for _ in 0..8 {
        m.interrupt_move(&b, &other, 1).unwrap();
        it.fake
            .take_dying()
            .into_iter()
            .filter(|(cpu, _)| *cpu == 0)
            .for_each(|(cpu, vector)| {
                m.vector_settled(cpu, vector);
            });
        m.interrupt_move(&b, &other, 0).unwrap();
        settle_vectors(&it);
    }
    let before = it.fake.vectors();
    let mut taken = Vec::new();
    while let Ok(message) = device_manager::Platform::allocate_vector(&it.fake, Some(1)) {
        taken.push(message);
    }
    assert_eq!(m.interrupt_move(&a, &route, 1), Err(Refusal::Exhausted));
    for message in taken {
        device_manager::Platform::retire_vector(&it.fake, &message);
    }
    assert_eq!(it.fake.vectors(), before);
    let view = table(&it)[0];
    assert!(m.on_interrupt(view.cpu, view.vector));
    assert_eq!(heard(&it, &a, &route), Some(1));
}

fn table(it: &Machine) -> Vec<RouteView> {
    let mut views = Vec::new();
    it.manager.interrupt_table(&mut |view| views.push(*view));
    views
}

#[test]
fn a_message_that_cannot_be_masked_is_kept_and_a_flood_is_turned_off() {
    let it = Machine::with(FakeConfig::new().with_plain_msi());
    let bdf = it.config.functions()[0];
    let claim = it.claim(0);
    let m = &it.manager;
    assert_eq!(m.interrupt_open(&claim, 1), Err(Refusal::OutOfRange));
    let route = m.interrupt_open(&claim, 0).unwrap();
    let (cpu, vector) = it.fake.vectors()[0];
    assert_eq!(
        it.config.message(bdf),
        (0xfee0_0000, u32::from(vector), false)
    );
    m.interrupt_unmask(&claim, &route).unwrap();
    assert!(it.config.message(bdf).2);

    let ticket = Ticket::new();
    m.interrupt_wait(&claim, &route, ticket.waiter());
    m.on_interrupt(cpu, vector);
    assert_eq!(ticket.answer(), Some(Ok(1)));
    // The device goes on; what comes is one more dispatch, for whoever waits when it is acknowledged.
    let next = Ticket::new();
    m.interrupt_wait(&claim, &route, next.waiter());
    for _ in 0..5 {
        m.on_interrupt(cpu, vector);
    }
    assert_eq!((next.answer(), it.config.message(bdf).2), (None, true));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert_eq!(next.answer(), Some(Ok(2)));
    for _ in 0..100 {
        m.on_interrupt(cpu, vector);
    }
    assert!(!it.config.message(bdf).2);
    let counts = m.interrupt_counts(&claim, &route).unwrap();
    assert_eq!((counts.storms, counts.late), (1, 105));
    assert_eq!(it.fake.facts().matches("@interrupt.storm").count(), 1);
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert!(it.config.message(bdf).2);
    assert_eq!(heard(&it, &claim, &route), Some(3));
    m.interrupt_acknowledge(&claim, &route).unwrap();
    assert_eq!(heard(&it, &claim, &route), None);

    // Off for the move, it could not say what it had to say: asked, it says so, if it can.
    m.interrupt_move(&claim, &route, 1).unwrap();
    assert!(it.config.message(bdf).2 && it.config.message(bdf).0 == 0xfee0_1000);
    assert_eq!(heard(&it, &claim, &route), Some(4));
}

#[test]
fn a_flood_is_stated_while_others_use_the_function() {
    const LONG: Duration = Duration::from_secs(20);
    let it = Machine::with(FakeConfig::new().with_plain_msi());
    let claim = it.claim(0);
    let route = armed(&it, &claim, 0);
    let (cpu, vector) = it.fake.vectors()[0];
    let m = &it.manager;
    let (ask, asked) = channel();
    let (answer, answered) = channel();
    let stated = thread::scope(|scope| {
        let other = scope.spawn(move || {
            let stated = asked.recv_timeout(LONG).is_ok();
            let counts = m.interrupt_counts(&claim, &route);
            // Nobody listens any more where it had to wait for the lock.
            stated && answer.send(counts.unwrap().storms).is_ok()
        });
        it.fake.2.at(1, move || {
            ask.send(()).unwrap();
            assert_eq!(answered.recv_timeout(LONG / 2), Ok(1), "the lock is held");
        });
        for _ in 0..100 {
            m.on_interrupt(cpu, vector);
        }
        other.join().unwrap()
    });
    assert!(stated);
}

#[test]
fn a_pin_that_can_tell_is_not_woken_for_nothing_by_a_move() {
    let it = Machine::with(FakeConfig::new().with_plain_msi().with_pin());
    let bdf = it.config.functions()[0];
    let claim = it.claim(0);
    let m = &it.manager;
    let route = armed(&it, &claim, 0);
    m.interrupt_move(&claim, &route, 1).unwrap();
    assert_eq!(heard(&it, &claim, &route), None);
    settle_vectors(&it);
    it.config.set_cause(bdf);
    m.interrupt_move(&claim, &route, 2).unwrap();
    assert_eq!(heard(&it, &claim, &route), Some(1));
}

#[test]
fn a_pin_without_a_line_is_refused_and_said() {
    let it = Machine::with(FakeConfig::new().with_pin());
    let claim = it.claim(0);
    assert_eq!(
        it.manager.interrupt_open(&claim, PIN),
        Err(Refusal::NotSupported)
    );
    assert!(
        it.fake
            .facts()
            .contains("@interrupt.polled function=\"0000:00:04.0\" pin=a")
    );
    assert_eq!(
        it.manager.interrupt_open(&claim, PIN + 1),
        Err(Refusal::OutOfRange)
    );
    assert!(it.manager.interrupt_open(&claim, 0).is_ok());
}

#[test]
fn a_shared_line_tells_those_that_assert_it_and_is_open_again() {
    let it = Machine::with(FakeConfig::new().with_pin());
    it.fake.wire_pins(GSI);
    let [first, second] = it.config.functions()[..] else {
        panic!()
    };
    let (a, b) = (it.claim(0), it.claim(1));
    let m = &it.manager;
    let message = m.interrupt_open(&a, 0).unwrap();
    assert_eq!(m.interrupt_open(&a, PIN), Err(Refusal::WrongState));
    m.interrupt_close(&a, &message).unwrap();
    settle_vectors(&it);
    let (of_a, of_b) = (armed(&it, &a, PIN), armed(&it, &b, PIN));
    assert_eq!(m.interrupt_open(&a, 0), Err(Refusal::WrongState));
    let [(cpu, vector)] = it.fake.vectors()[..] else {
        panic!()
    };
    assert!(it.fake.is_open(GSI));
    assert!(it.config.pin_enabled(first) && it.config.pin_enabled(second));

    it.config.set_cause(first);
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(
        (heard(&it, &a, &of_a), heard(&it, &b, &of_b)),
        (Some(1), None)
    );
    // The one that asserted it is silent until it acknowledges; the line is open for the other.
    assert!(!it.config.pin_enabled(first) && it.config.pin_enabled(second) && it.fake.is_open(GSI));
    it.config.set_cause(second);
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(
        (heard(&it, &a, &of_a), heard(&it, &b, &of_b)),
        (None, Some(1))
    );
    m.interrupt_acknowledge(&a, &of_a).unwrap();
    assert!(it.config.pin_enabled(first));

    // Everybody moves with the line.
    m.interrupt_move(&b, &of_b, 1).unwrap();
    assert_eq!(m.interrupt_info(&a, &of_a).unwrap().cpu, 1);
    assert_eq!(m.interrupt_move(&a, &of_a, 2), Err(Refusal::Busy));
    assert!(m.on_interrupt(cpu, vector));
    assert_eq!(heard(&it, &a, &of_a), Some(2));
    settle_vectors(&it);
    assert!(!m.on_interrupt(cpu, vector));

    // Whoever leaves takes nothing along; the last one closes the line.
    m.release(&a).unwrap();
    it.settle();
    assert!(it.fake.is_open(GSI));
    assert_eq!(m.interrupt_close(&b, &of_b), Ok(()));
    assert!(!it.fake.is_open(GSI) && it.fake.vectors().is_empty());
    assert!(!it.config.pin_enabled(second));
    // Messages work again.
    assert!(m.interrupt_open(&b, 0).is_ok());
}

#[test]
fn a_line_that_nobody_claims_is_masked_for_a_time() {
    let it = Machine::with(FakeConfig::new().with_pin());
    it.fake.wire_pins(GSI);
    let bdf = it.config.functions()[0];
    let claim = it.claim(0);
    let m = &it.manager;
    let route = armed(&it, &claim, PIN);
    let (cpu, vector) = it.fake.vectors()[0];
    let mut fired = 0;
    while it.fake.is_open(GSI) {
        assert!(m.on_interrupt(cpu, vector));
        fired += 1;
    }
    assert_eq!(fired, 64);
    assert!(it.fake.take_line_timer(0).is_some());
    m.poll_line(0);
    assert!(it.fake.is_open(GSI));
    // Still so: each further one masks it again, and nothing is said twice.
    m.on_interrupt(cpu, vector);
    assert!(!it.fake.is_open(GSI) && it.fake.take_line_timer(0).is_some());
    assert_eq!(it.fake.facts().matches("@interrupt.storm").count(), 1);
    m.poll_line(0);
    it.config.set_cause(bdf);
    m.on_interrupt(cpu, vector);
    assert_eq!(
        (heard(&it, &claim, &route), it.fake.is_open(GSI)),
        (Some(1), true)
    );
    let mut lines = Vec::new();
    m.line_table(&mut |line| lines.push(*line));
    assert_eq!(
        (lines[0].fired, lines[0].nobody, lines[0].storms),
        (66, 65, 1)
    );
}

#[test]
fn the_end_of_an_owner_leaves_no_line_and_no_vector() {
    let it = Machine::with(FakeConfig::new().with_pin());
    it.fake.wire_pins(GSI);
    let claim = it.claim(0);
    armed(&it, &claim, PIN);
    it.manager.release(&claim).unwrap();
    it.settle();
    assert!(!it.fake.is_open(GSI) && it.fake.vectors().is_empty());
    assert!(table(&it).is_empty());
}
