//! A shootdown against a CPU that loads the space, uses it, leaves it and comes back, in every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p paging --test races --release`
#![cfg(loom)]
#![allow(unsafe_code)]

mod atomics;
#[path = "../src/round.rs"]
mod round;

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Arc;

use atomics::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence};
use loom::thread;
use round::{Fate, Processor, Round, count_in};

const KERNEL: u64 = 1;
const SPACE: u64 = 2;

/// A space of one page, and what all CPUs share.
struct Machine {
    round: Round,
    active: AtomicU64,
    retired: AtomicBool,
    entry: AtomicU64,
    /// The page, or the table, is somebody else's.
    freed: AtomicBool,
    over: AtomicBool,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            round: Round {
                pending: AtomicU64::new(0),
                start: AtomicU64::new(0),
                pages: AtomicU64::new(0),
                root: AtomicU64::new(0),
                active: AtomicPtr::new(null_mut()),
                evict: AtomicBool::new(false),
            },
            active: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            entry: AtomicU64::new(1),
            freed: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Takes the page out, has everybody forget it, and frees it.
    fn unmap(&self) {
        self.entry.store(0, Ordering::Relaxed);
        self.shoot_down(Fate::Stays);
        self.freed.store(true, Ordering::Release);
        self.over.store(true, Ordering::Release);
    }

    /// Ends the space, whose table is freed.
    fn evict(&self) {
        fence(Ordering::SeqCst);
        self.retired.store(true, Ordering::SeqCst);
        self.shoot_down(Fate::Goes);
        self.freed.store(true, Ordering::Release);
        self.over.store(true, Ordering::Release);
    }

    fn shoot_down(&self, fate: Fate) {
        let here = Cpu::new(self, 1);
        here.activate();
        let space = (SPACE, &self.active);
        self.round.begin(&here, space, (0, 1), fate, |_| ());
        while !self.round.is_over() {
            thread::yield_now();
        }
    }
}

/// A CPU with room for one translation.
struct Cpu<'a> {
    machine: &'a Machine,
    bit: u64,
    root: Cell<u64>,
    translation: Cell<u64>,
}

impl<'a> Cpu<'a> {
    fn new(machine: &'a Machine, bit: u64) -> Self {
        Self {
            machine,
            bit,
            root: Cell::new(KERNEL),
            translation: Cell::new(0),
        }
    }

    fn load(&self, root: u64) {
        // It waits for all that came before, and forgets.
        fence(Ordering::SeqCst);
        self.root.set(root);
        self.translation.set(0);
    }

    /// As `paging::activate` does.
    fn activate(&self) {
        count_in(&self.machine.active, self.bit);
        fence(Ordering::SeqCst);
        if self.machine.retired.load(Ordering::SeqCst) {
            self.load(KERNEL);
        } else {
            self.load(SPACE);
        }
    }

    /// A program uses the page.
    fn touch(&self) {
        if self.root.get() == SPACE && self.translation.get() == 0 {
            let entry = self.machine.entry.load(Ordering::Relaxed);
            self.translation.set(entry);
        }
        if self.translation.get() != 0 {
            let freed = self.machine.freed.load(Ordering::Acquire);
            assert!(!freed, "a page was used that is somebody else's");
        }
    }

    fn answer(&self) {
        self.machine.round.answer(self);
    }

    /// What its program does, with interrupts in between.
    fn run(&self) {
        self.activate();
        self.touch();
        self.answer();
        self.touch();
        self.load(KERNEL);
        self.answer();
        self.activate();
        self.touch();
        while !self.machine.over.load(Ordering::Acquire) {
            self.answer();
            thread::yield_now();
        }
    }
}

impl Processor for Cpu<'_> {
    fn bit(&self) -> u64 {
        self.bit
    }
    fn root(&self) -> u64 {
        self.root.get()
    }
    fn leave(&self) {
        // Until then it may walk them by itself.
        self.touch();
        self.load(KERNEL);
    }
    fn forget(&self, _: u64, _: u64) {
        self.touch();
        self.translation.set(0);
    }
}

fn against(end: fn(&Machine)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let machine = Machine::new();
        let other = machine.clone();
        let program = thread::spawn(move || Cpu::new(&other, 2).run());
        end(&machine);
        program.join().unwrap();
    });
}

#[test]
fn nobody_uses_a_page_after_its_shootdown() {
    against(Machine::unmap);
}

#[test]
fn nobody_walks_tables_of_a_space_that_was_evicted() {
    against(Machine::evict);
}

#[test]
#[should_panic(expected = "somebody else's")]
fn a_page_that_goes_after_the_shootdown_is_found() {
    against(|machine| {
        machine.shoot_down(Fate::Stays);
        machine.entry.store(0, Ordering::Relaxed);
        machine.freed.store(true, Ordering::Release);
        machine.over.store(true, Ordering::Release);
    });
}

#[test]
#[should_panic(expected = "somebody else's")]
fn a_space_that_is_retired_too_late_is_found() {
    against(|machine| {
        machine.shoot_down(Fate::Goes);
        machine.retired.store(true, Ordering::SeqCst);
        machine.freed.store(true, Ordering::Release);
        machine.over.store(true, Ordering::Release);
    });
}
