//! Sequences of what callers do, against what a unit could remember.

use std::collections::BTreeMap;

use dma_ledger::ShootdownProof;
use domain_ledger::{
    Domain, FlushClock, IotlbReceipt, Numbers, Owner, PAGE_BYTES, Refusal, Scope, State, Unmapped,
    WaitProof, Window,
};
use proptest::prelude::*;

struct Seen;
impl WaitProof for Seen {}
struct Shot;
impl ShootdownProof for Shot {}

const OWNER: Owner = Owner {
    source: 0x20,
    generation: 3,
};

/// Two domains of one unit; for each, what its tables hold and what the unit may remember of them, page by page.
struct World {
    clock: FlushClock,
    numbers: Numbers,
    domains: Vec<Domain<u64>>,
    tables: Vec<BTreeMap<u64, u64>>,
    remembered: Vec<BTreeMap<u64, u64>>,
    unmapped: Vec<(usize, Unmapped<u64>)>,
    receipts: Vec<IotlbReceipt>,
    frame: u64,
}

impl World {
    fn new(window: Window) -> Self {
        let clock = FlushClock::new(2);
        let mut numbers = Numbers::new(16);
        let domains = (0..2)
            .map(|_| Domain::new(&clock, &mut numbers, OWNER, window).unwrap())
            .collect();
        Self {
            clock,
            numbers,
            domains,
            tables: vec![BTreeMap::new(); 2],
            remembered: vec![BTreeMap::new(); 2],
            unmapped: Vec::new(),
            receipts: Vec::new(),
            frame: 0x1_0000,
        }
    }

    fn map(&mut self, at: usize, pages: u64) {
        let first = self.frame;
        let physical = first * PAGE_BYTES;
        let reserved = match self.domains[at].reserve(OWNER, first, physical, pages) {
            Ok(reserved) => reserved,
            Err((refusal, frames)) => {
                assert_eq!((refusal, frames), (Refusal::NoAddress, first));
                return;
            }
        };
        self.frame += pages;
        let iova = reserved.iova();
        assert_ne!(iova, physical);
        let end = iova + pages * PAGE_BYTES;
        assert!(
            iova != 0 && (end <= 0xfee0_0000 || iova >= 0xfef0_0000),
            "{iova:#x}"
        );
        for page in 0..pages {
            let iova = iova + page * PAGE_BYTES;
            // Nothing that the unit remembers lies at an address that is given out.
            assert_eq!(self.remembered[at].get(&iova), None);
            assert_eq!(self.tables[at].insert(iova, first + page), None);
        }
        self.domains[at].confirm(reserved).unwrap();
    }

    /// The device uses every page it can: the unit remembers them all.
    fn touch(&mut self, at: usize) {
        let tables = self.tables[at].clone();
        self.remembered[at].extend(tables);
    }

    fn unmap(&mut self, at: usize, which: usize) {
        let mapped: Vec<u64> = self.domains[at].mapped().collect();
        let Some(iova) = mapped.get(which % mapped.len().max(1)).copied() else {
            return;
        };
        let tables = &mut self.tables[at];
        let unmapped = self.domains[at].unmap(OWNER, &self.clock, iova, |mapping| {
            for page in 0..mapping.pages {
                tables.remove(&(mapping.iova + page * PAGE_BYTES)).unwrap();
            }
        });
        let twice = self.domains[at].unmap(OWNER, &self.clock, iova, |_| unreachable!());
        assert_eq!(twice.err(), Some(Refusal::State));
        assert_eq!(self.domains[at].find(iova).unwrap().state, State::Unmapped);
        self.unmapped.push((at, unmapped.unwrap()));
    }

    /// Flushes a run that was unmapped, or one beside it.
    fn flush_run(&mut self, at: usize, iova: u64) {
        let domain = self.domains[at].number();
        let pages = self.domains[at].find(iova).map_or(1, |run| run.pages);
        self.flush(Scope::Run {
            domain,
            iova,
            pages,
        });
    }

    fn flush(&mut self, scope: Scope) {
        let pending = self.clock.begin(scope).unwrap();
        for (at, domain) in self.domains.iter().enumerate() {
            match scope {
                Scope::Run {
                    domain: number,
                    iova,
                    pages,
                } if number == domain.number() => {
                    let end = iova + pages * PAGE_BYTES;
                    self.remembered[at].retain(|page, _| *page < iova || *page >= end);
                }
                Scope::Domain(number) if number == domain.number() => self.remembered[at].clear(),
                Scope::Unit => self.remembered[at].clear(),
                _ => {}
            }
        }
        self.receipts
            .push(self.clock.finish(pending, Seen).unwrap());
    }

    /// Tries every receipt there ever was on everything that was unmapped.
    fn forget(&mut self) {
        for (at, unmapped) in std::mem::take(&mut self.unmapped) {
            let mut left = Some(unmapped);
            for receipt in &self.receipts {
                let Some(unmapped) = left.take() else { break };
                match self.domains[at].forget(unmapped, receipt) {
                    Ok(withdrawn) => {
                        let first = withdrawn.release(Shot);
                        // A frame that comes back is not remembered, and no table leads to it.
                        let all = self.remembered.iter().chain(&self.tables);
                        assert!(all.flat_map(BTreeMap::values).all(|frame| *frame != first));
                    }
                    Err((refusal, unmapped)) => {
                        assert_eq!(refusal, Refusal::Receipt);
                        left = Some(unmapped);
                    }
                }
            }
            self.unmapped.extend(left.map(|unmapped| (at, unmapped)));
        }
    }

    /// Ends everything: after one more flush nothing is left.
    fn end(mut self) {
        for at in 0..2 {
            while self.domains[at].mapped().next().is_some() {
                self.unmap(at, 0);
            }
        }
        self.flush(Scope::Unit);
        self.forget();
        assert!(self.unmapped.is_empty());
        let receipt = self.receipts.pop().unwrap();
        for domain in self.domains.drain(..) {
            domain.close(&mut self.numbers, &receipt).unwrap();
        }
        let free: Vec<_> = std::iter::from_fn(|| self.numbers.take()).collect();
        assert_eq!(free.len(), 15);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Map(usize, u64),
    Touch(usize),
    Unmap(usize, usize),
    Flush(usize),
    FlushRun(usize, u64),
    FlushAll,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..2, 1u64..4).prop_map(|(at, pages)| Step::Map(at, pages)),
        1 => (0usize..2, 500u64..1100).prop_map(|(at, pages)| Step::Map(at, pages)),
        2 => (0usize..2).prop_map(Step::Touch),
        4 => (0usize..2, 0usize..8).prop_map(|(at, which)| Step::Unmap(at, which)),
        2 => (0usize..2).prop_map(Step::Flush),
        3 => (0usize..2, 0u64..8).prop_map(|(at, page)| Step::FlushRun(at, 0x8000 - page * PAGE_BYTES)),
        1 => Just(Step::FlushAll),
        3 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_remembered_is_used_again(
        steps in prop::collection::vec(step(), 1..60),
        // Small ones, so that addresses run out; one around where messages go.
        window in prop_oneof![Just((0x1000, 0x9000)), Just((0xfedf_c000, 0xfef0_4000)), Just((0x1000, 1 << 32))],
    ) {
        let mut world = World::new(Window { start: window.0, end: window.1 });
        for step in steps {
            match step {
                Step::Map(at, pages) => world.map(at, pages),
                Step::Touch(at) => world.touch(at),
                Step::Unmap(at, which) => world.unmap(at, which),
                Step::Flush(at) => world.flush(Scope::Domain(world.domains[at].number())),
                Step::FlushRun(at, iova) => world.flush_run(at, iova),
                Step::FlushAll => world.flush(Scope::Unit),
                Step::Forget => world.forget(),
            }
        }
        world.end();
    }
}

#[test]
fn a_unit_that_was_given_up_frees_nothing() {
    let mut world = World::new(Window::LOW);
    world.map(0, 1);
    world.unmap(0, 0);
    let pending = world.clock.begin(Scope::Unit).unwrap();
    world.clock.give_up();
    assert!(world.clock.finish(pending, Seen).is_err());
    assert!(world.clock.begin(Scope::Unit).is_err());
    // What is unmapped later is not freed by a turn that wrapped or carries the mark.
    world.map(0, 1);
    world.unmap(0, 0);
    world.forget();
    assert_eq!(world.unmapped.len(), 2);
}

#[test]
fn others_and_strange_receipts_are_refused() {
    let mut world = World::new(Window::LOW);
    let stranger = Owner {
        generation: 4,
        ..OWNER
    };
    let refused = world.domains[0].reserve(stranger, 7, 0x5000, 1);
    assert!(matches!(refused, Err((Refusal::WrongOwner, 7))));
    for (physical, pages) in [(0x5000, 0), (0x5008, 1), (0x5000, u64::MAX)] {
        let refused = world.domains[0].reserve(OWNER, 7, physical, pages);
        assert!(matches!(refused, Err((Refusal::Range, 7))));
    }
    world.map(0, 1);
    let iova = world.domains[0].mapped().next().unwrap();
    let refused = world.domains[0].unmap(stranger, &world.clock, iova, |_| unreachable!());
    assert_eq!(refused.err(), Some(Refusal::WrongOwner));
    let other_unit = FlushClock::new(3);
    let refused = world.domains[0].unmap(OWNER, &other_unit, iova, |_| unreachable!());
    assert_eq!(refused.err(), Some(Refusal::WrongOwner));
    // An older receipt, one of the other domain, one of the other unit.
    world.flush(Scope::Unit);
    world.unmap(0, 0);
    world.flush(Scope::Domain(world.domains[1].number()));
    let pending = other_unit.begin(Scope::Unit).unwrap();
    world
        .receipts
        .push(other_unit.finish(pending, Seen).unwrap());
    world.forget();
    assert_eq!(world.unmapped.len(), 1);
    // A domain with something left is not closed, and what is another domain's is not taken.
    let (_, unmapped) = world.unmapped.pop().unwrap();
    // The other domain has one of the same key at the same address.
    world.map(1, 1);
    world.unmap(1, 0);
    world.flush(Scope::Unit);
    let receipt = world.receipts.pop().unwrap();
    let Err((refusal, unmapped)) = world.domains[1].forget(unmapped, &receipt) else {
        panic!()
    };
    assert_eq!(refusal, Refusal::State);
    let domain = world.domains.remove(0);
    let Err((refusal, mut domain)) = domain.close(&mut world.numbers, &receipt) else {
        panic!()
    };
    assert_eq!(refusal, Refusal::InUse);
    assert!(domain.forget(unmapped, &receipt).is_ok());
    assert!(domain.close(&mut world.numbers, &receipt).is_ok());
}

#[test]
fn the_end_of_a_domain_ends_all_of_it_and_only_by_a_flush_of_all_of_it() {
    let mut world = World::new(Window::LOW);
    world.map(0, 3);
    world.map(0, 1);
    assert_eq!(world.domains[0].mapped_pages(), 4);
    let mut domain = world.domains.remove(0);
    world.remembered.remove(0);
    world.tables.remove(0);
    let number = domain.number();
    let receipt_of = |clock: &FlushClock, scope| {
        let pending = clock.begin(scope).unwrap();
        clock.finish(pending, Seen).unwrap()
    };
    let early = receipt_of(&world.clock, Scope::Unit);
    let Err((refusal, back)) = domain.retire(&mut world.numbers, &early) else {
        panic!()
    };
    assert_eq!(refusal, Refusal::State);
    domain = back;
    domain.end(&world.clock);
    let refused = domain.reserve(OWNER, 9, 0x5000, 1);
    assert!(matches!(refused, Err((Refusal::Ending, 9))));
    let run = Scope::Run {
        domain: number,
        iova: 0xffff_f000,
        pages: 1 << 20,
    };
    let part = receipt_of(&world.clock, run);
    for receipt in [&early, &part] {
        let Err((refusal, back)) = domain.retire(&mut world.numbers, receipt) else {
            panic!()
        };
        assert_eq!(refusal, Refusal::Receipt);
        domain = back;
    }
    let whole = receipt_of(&world.clock, Scope::Domain(number));
    assert!(domain.retire(&mut world.numbers, &whole).is_ok());
    assert_eq!(world.numbers.take(), Some(number));
}

#[test]
fn windows_end_where_a_device_ends() {
    assert_eq!(Window::of_bits(12), None);
    assert_eq!(Window::of_bits(28).unwrap().end, 1 << 28);
    assert_eq!(Window::of_bits(64), Some(Window::LOW));
}
