//! A queue's ring: a provider's end and the kernel's over one page, and a device that does what the test says.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod machine;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use device_manager::{BufferId, Claim, Kick, Kicked, QueueId, Refusal, Ring};
use device_ring::{Binding, Command, Completion, ENTRIES, Memory, Opcode, ProviderEnd, WORDS};
use machine::{Machine, done, script};

#[derive(Clone)]
struct Page(Rc<Vec<Cell<u64>>>);

impl Memory for Page {
    fn words(&self) -> usize {
        self.0.len()
    }

    fn load(&self, word: usize, _: Ordering) -> u64 {
        self.0[word].get()
    }

    fn store(&self, word: usize, value: u64, _: Ordering) {
        self.0[word].set(value);
    }

    fn fence(&self) {}
}

/// Everything that a provider with a ring has.
struct Provider {
    machine: Machine,
    claim: Claim,
    queue: QueueId,
    buffer: BufferId,
    binding: Binding,
    page: Page,
    kernel: Ring<Page>,
    end: ProviderEnd<Page>,
}

impl Provider {
    fn new() -> Self {
        let machine = Machine::new();
        let (claim, queue) = machine.running(0);
        let (_, buffer) = machine.buffer(&claim, 4 * 4096);
        let page = Page(Rc::new(vec![Cell::new(0); WORDS]));
        let manager = &machine.manager;
        let kernel = manager.ring_open(&claim, queue, page.clone()).unwrap();
        let binding = manager
            .ring_bind(&claim, queue, kernel.id(), buffer)
            .unwrap();
        let end = ProviderEnd::new(page.clone()).unwrap();
        Self {
            machine,
            claim,
            queue,
            buffer,
            binding,
            page,
            kernel,
            end,
        }
    }

    fn read(&self, cookie: u64) -> Command {
        Command::bare(cookie, Opcode::Read, 1).with(self.binding, 0, 512)
    }

    fn push(&mut self, cookies: std::ops::Range<u64>) {
        for cookie in cookies {
            let command = self.read(cookie);
            self.end.push(&command).unwrap();
        }
        self.end.show();
    }

    fn kick(&mut self, submit: u16, complete: u16) -> Result<Kicked, Refusal> {
        let most = Kick { submit, complete };
        let manager = &self.machine.manager;
        manager.ring_kick(&self.claim, self.queue, &mut self.kernel, most)
    }

    fn taken(&mut self) -> Vec<Completion> {
        let all = std::iter::from_fn(|| self.end.take().unwrap()).collect();
        self.end.give_back();
        all
    }

    fn in_flight(&self) -> u16 {
        let info = self.machine.manager.queue_info(&self.claim, self.queue);
        info.unwrap().in_flight
    }
}

fn refused(cookie: u64, refusal: Refusal) -> Completion {
    Completion {
        cookie,
        outcome: Err(refusal),
    }
}

#[test]
fn a_batch_costs_one_doorbell_and_completes_in_the_devices_order() {
    let mut p = Provider::new();
    p.push(0..8);
    let rings = script().lock().unwrap().rings;
    let kicked = p.kick(64, 64).unwrap();
    assert_eq!(
        (kicked.accepted, kicked.completed, kicked.stopped),
        (8, 0, None)
    );
    assert_eq!(script().lock().unwrap().rings, rings + 1);
    let slots = std::mem::take(&mut script().lock().unwrap().rung);
    assert_eq!(slots.len(), 8);
    for slot in slots.iter().rev() {
        script().lock().unwrap().completions.push_back(done(*slot));
    }
    // A second completion of one slot, and one of a slot that there is not, change nothing.
    script()
        .lock()
        .unwrap()
        .completions
        .push_back(done(slots[0]));
    script().lock().unwrap().completions.push_back(done(99));
    let kicked = p.kick(64, 64).unwrap();
    assert_eq!((kicked.accepted, kicked.completed), (0, 8));
    let cookies: Vec<_> = p.taken().iter().map(|one| one.cookie).collect();
    assert_eq!(cookies, [7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(p.in_flight(), 0);
}

#[test]
fn what_there_is_no_place_for_waits_and_is_read_once() {
    let mut p = Provider::new();
    p.push(0..20);
    let kicked = p.kick(64, 64).unwrap();
    assert_eq!(
        (kicked.accepted, kicked.stopped),
        (8, Some(Refusal::QueueFull))
    );
    // The one that waits was read: what its place holds now is not looked at again.
    for word in 16..16 + 4 * ENTRIES as usize {
        p.page.0[word].set(u64::MAX);
    }
    let slot = script().lock().unwrap().rung[0];
    script().lock().unwrap().completions.push_back(done(slot));
    let kicked = p.kick(1, 64).unwrap();
    assert_eq!((kicked.accepted, kicked.completed), (1, 1));
    // The rest was overwritten before it was read, which harms nobody but its writer.
    let kicked = p.kick(64, 0).unwrap();
    assert_eq!((kicked.accepted, kicked.refused), (0, 11));
    assert_eq!(kicked.first, Some(Refusal::TemplateRefused));
    assert_eq!(p.in_flight(), 8);
}

#[test]
fn a_refusal_has_a_completion_and_leaves_no_trace() {
    let mut p = Provider::new();
    let other_unit = Command {
        unit: 9,
        ..p.read(1)
    };
    let unbound = Command {
        generation: 77,
        ..p.read(2)
    };
    let long = Command {
        length: 1 << 20,
        ..p.read(3)
    };
    let bare = Command {
        length: 1,
        ..Command::bare(4, Opcode::Flush, 1)
    };
    for command in [other_unit, unbound, long, bare] {
        p.end.push(&command).unwrap();
    }
    p.push(5..6);
    let kicked = p.kick(64, 64).unwrap();
    assert_eq!((kicked.accepted, kicked.refused), (1, 4));
    assert_eq!(
        p.taken(),
        [
            refused(1, Refusal::OutOfRange),
            refused(2, Refusal::Stale),
            refused(3, Refusal::OutOfRange),
            refused(4, Refusal::TemplateRefused),
        ]
    );
    assert_eq!(p.in_flight(), 1);
    let info = p.machine.manager.buffer_info(&p.claim, p.buffer).unwrap();
    assert_eq!(info.in_flight, 1);
}

#[test]
fn completions_that_nobody_takes_stop_the_ring_and_lose_nothing() {
    let mut p = Provider::new();
    let mut given = 0;
    for round in 0..20 {
        p.push(round * 8..round * 8 + 8);
        let kicked = p.kick(64, 64).unwrap();
        given += kicked.completed + kicked.refused;
        let state = script();
        let mut state = state.lock().unwrap();
        let slots = std::mem::take(&mut state.rung);
        state.completions.extend(slots.into_iter().map(done));
        drop(state);
        if p.end.look_for_room().unwrap() < 8 {
            break;
        }
    }
    assert_eq!(u32::from(given), ENTRIES);
    assert_eq!(p.kick(64, 64).unwrap(), Kicked::default());
    let first = p.taken();
    assert_eq!(first.len(), ENTRIES as usize);
    assert_eq!(p.kick(64, 64).unwrap().accepted, 8);
}

#[test]
fn a_freed_buffer_is_bound_no_more_though_it_is_in_flight() {
    let mut p = Provider::new();
    p.push(0..1);
    p.kick(64, 0).unwrap();
    let freed = p.machine.manager.buffer_free(&p.claim, p.buffer);
    assert_eq!(freed, Err(Refusal::Busy));
    p.push(1..2);
    assert_eq!(p.kick(64, 0).unwrap().refused, 1);
    assert_eq!(p.taken(), [refused(1, Refusal::Stale)]);
    let slot = script().lock().unwrap().rung[0];
    script().lock().unwrap().completions.push_back(done(slot));
    assert_eq!(p.kick(0, 64).unwrap().completed, 1);
    assert_eq!(p.machine.manager.buffer_free(&p.claim, p.buffer), Ok(()));
}

#[test]
fn a_reset_gives_each_cookie_once_and_ends_the_ring() {
    let mut p = Provider::new();
    p.push(0..3);
    p.kick(64, 0).unwrap();
    p.push(3..5);
    assert_eq!(p.machine.reset(&p.claim), Ok(()));
    let kicked = p.kick(64, 2).unwrap();
    assert_eq!((kicked.accepted, kicked.completed), (0, 2));
    assert_eq!(p.kick(64, 64).unwrap().completed, 1);
    assert_eq!(p.kick(64, 64), Err(Refusal::Stale));
    let revoked: Vec<_> = (0..3).map(|n| refused(n, Refusal::Revoked)).collect();
    assert_eq!(p.taken(), revoked);
    let (manager, id) = (&p.machine.manager, p.kernel.id());
    assert!(manager.ring_bind(&p.claim, p.queue, id, p.buffer).is_err());
}

#[test]
fn a_claim_that_ends_takes_the_ring_with_it() {
    let mut p = Provider::new();
    p.push(0..3);
    p.machine.manager.release(&p.claim).unwrap();
    assert_eq!(p.kick(64, 64), Err(Refusal::Revoked));
    p.machine.settle();
    assert_eq!(p.kick(64, 64), Err(Refusal::Stale));
    assert!(script().lock().unwrap().written.is_empty());
}

#[test]
fn a_device_that_contradicts_itself_is_told_after_what_was_good() {
    let mut p = Provider::new();
    p.push(0..2);
    p.kick(64, 0).unwrap();
    let slot = script().lock().unwrap().rung[0];
    let state = script();
    state.lock().unwrap().completions.push_back(done(slot));
    state
        .lock()
        .unwrap()
        .completions
        .push_back(Err(Refusal::Corrupt));
    state
        .lock()
        .unwrap()
        .completions
        .push_back(Err(Refusal::Corrupt));
    assert_eq!(p.kick(0, 64).unwrap().completed, 1);
    assert_eq!(p.kick(0, 64), Err(Refusal::Corrupt));
}

#[test]
fn counts_that_cannot_be_are_refused() {
    let mut p = Provider::new();
    for (word, count) in [(8, 65), (8, u64::MAX), (272, 1), (272, u64::MAX)] {
        let before = p.page.0[word].replace(count);
        assert_eq!(p.kick(64, 64), Err(Refusal::BadMessage), "{word} {count}");
        p.page.0[word].set(before);
    }
    p.push(0..1);
    assert_eq!(p.kick(64, 64).unwrap().accepted, 1);
}
