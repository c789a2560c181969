//! Domains of a remapping unit: no address is given out that the unit remembers for something else, and no frame comes back
//! that it may still reach.

use std::collections::BTreeMap;

use dma_ledger::ShootdownProof;
use domain_ledger::{
    Domain, FlushClock, IotlbReceipt, Numbers, Owner, PAGE_BYTES, Pending, Refusal, Reserved,
    Scope, State, Unmapped, WaitProof, Window,
};

use super::kept::Kept;
use crate::explore::{Outcome, Subject, say};

struct Seen;
impl WaitProof for Seen {}
struct Shot;
impl ShootdownProof for Shot {}

type Frame = u64;

const UNIT: u8 = 2;

const fn owner(at: usize) -> Owner {
    Owner {
        source: 0x20 + at as u16,
        generation: 3,
    }
}

/// How much is done at most, so that there are finitely many states.
#[derive(Clone, Copy, Debug)]
pub struct Often {
    /// Mappings.
    pub maps: u32,
    /// Flushes.
    pub flushes: u32,
    /// Pages of a window.
    pub pages: u64,
    /// Whether the unit may be given up.
    pub is_faulty: bool,
}

/// A unit with some domains: what its tables hold, and what it may remember of them, page by page.
pub struct Unit {
    clock: FlushClock,
    numbers: Numbers,
    domains: Vec<Option<Domain<Frame>>>,
    /// The numbers that the domains have, or had.
    named: Vec<u16>,
    window: Window,
    tables: Vec<BTreeMap<u64, Frame>>,
    /// By number of domain, because that is what a unit tags by.
    remembered: BTreeMap<u16, BTreeMap<u64, Frame>>,
    reserved: Vec<Kept<Reserved<Frame>>>,
    mapped: Vec<Kept<()>>,
    unmapped: Vec<Kept<Unmapped<Frame>>>,
    pending: Vec<(Pending, Scope)>,
    receipts: Vec<IotlbReceipt>,
    next: Frame,
    flushes: u32,
    often: Often,
    is_stuck: bool,
}

/// Where frames lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lies {
    /// Where the highest device address is, too.
    Highest,
    /// Where none is.
    Elsewhere,
}

/// What callers and the unit do.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Device addresses for some pages of a domain.
    Reserve(usize, u64, Lies),
    /// The tables hold what was reserved.
    Confirm(usize),
    /// It is given back.
    Abandon(usize),
    /// The device uses everything it can.
    Touch(usize),
    /// The first mapping of a domain is taken out.
    Unmap(usize),
    /// Somebody else tries.
    Stranger(usize),
    /// The unit is told to forget one domain, everything, or one run.
    FlushDomain(usize),
    /// Everything.
    FlushUnit,
    /// One run that was unmapped.
    FlushRun(usize),
    /// The unit was seen to have done the oldest.
    Finish,
    /// What was unmapped is given back by a receipt.
    Forget(usize, usize),
    /// A domain's function is blocked.
    End(usize),
    /// A domain ends with all that it maps, by a receipt.
    Retire(usize, usize),
    /// An empty domain ends, by a receipt.
    Close(usize, usize),
    /// A domain is made anew.
    Renew(usize),
    /// The unit does not answer.
    GiveUp,
}

impl Unit {
    /// A unit with so many domains.
    ///
    /// # Panics
    /// If a fresh unit has no number for one.
    #[must_use]
    pub fn new(domains: usize, often: Often) -> Self {
        let clock = FlushClock::new(UNIT);
        let mut numbers = Numbers::new(domains as u32 + 1);
        let start = 2 * PAGE_BYTES;
        let window = Window {
            start,
            end: start + often.pages * PAGE_BYTES,
        };
        let make = |at| match Domain::new(&clock, &mut numbers, owner(at), window) {
            Some(domain) => domain,
            None => panic!("a fresh unit has a number"),
        };
        let domains: Vec<Domain<Frame>> = (0..domains).map(make).collect();
        Self {
            named: domains.iter().map(Domain::number).collect(),
            tables: vec![BTreeMap::new(); domains.len()],
            domains: domains.into_iter().map(Some).collect(),
            clock,
            numbers,
            window,
            remembered: BTreeMap::new(),
            reserved: Vec::new(),
            mapped: Vec::new(),
            unmapped: Vec::new(),
            pending: Vec::new(),
            receipts: Vec::new(),
            next: 100,
            flushes: 0,
            often,
            is_stuck: false,
        }
    }

    /// Nobody reaches the frames of a mapping that come back.
    fn released<T>(&self, kept: &Kept<T>, first: Frame) {
        assert_eq!(first, kept.frame, "other frames come back");
        for (_, frame) in kept.addresses() {
            let tables = self.tables.iter().flat_map(BTreeMap::values);
            let remembered = self.remembered.values().flat_map(BTreeMap::values);
            let is_reached = tables.chain(remembered).any(|found| *found == frame);
            assert!(
                !is_reached,
                "frame {frame} comes back, and a device reaches it"
            );
        }
    }

    fn reserve(&mut self, at: usize, pages: u64, lies: Lies) -> Outcome {
        let frame = self.next;
        // The highest address that there is.
        let physical = if lies == Lies::Highest {
            self.window.end - pages * PAGE_BYTES
        } else {
            frame * PAGE_BYTES
        };
        let Some(domain) = &mut self.domains[at] else {
            return Outcome::Refused;
        };
        let reserved = match domain.reserve(owner(at), frame, physical, pages) {
            Ok(reserved) => reserved,
            Err((refusal, back)) => {
                assert_eq!(back, frame);
                assert!(
                    matches!(refusal, Refusal::NoAddress | Refusal::Ending),
                    "{refusal:?}"
                );
                return Outcome::Refused;
            }
        };
        self.next += pages;
        let iova = reserved.iova();
        assert_ne!(
            iova, physical,
            "where a unit does not translate, nothing may work by chance"
        );
        assert!(
            iova >= self.window.start && iova + pages * PAGE_BYTES <= self.window.end,
            "outside of the window"
        );
        let known = self.remembered.get(&self.named[at]);
        for page in (0..pages).map(|page| iova + page * PAGE_BYTES) {
            assert!(
                !self.tables[at].contains_key(&page),
                "an address is given out twice"
            );
            let is_known = known.is_some_and(|known| known.contains_key(&page));
            assert!(!is_known, "the unit remembers something else at {page:#x}");
        }
        let overlaps = |other: &Kept<Reserved<Frame>>| {
            let end = other.iova + other.pages * PAGE_BYTES;
            other.at == at && iova < end && other.iova < iova + pages * PAGE_BYTES
        };
        assert!(
            !self.reserved.iter().any(overlaps),
            "an address is reserved twice"
        );
        self.reserved.push(Kept {
            at,
            iova,
            frame,
            pages,
            value: reserved,
        });
        Outcome::Done
    }

    fn confirm(&mut self, which: usize) -> Outcome {
        let kept = self.reserved.remove(which);
        let Some(domain) = &mut self.domains[kept.at] else {
            return Outcome::Refused;
        };
        let mut refused = None;
        let kept = kept
            .with(|reserved| refused = domain.confirm(reserved).err().map(|(refusal, _)| refusal));
        if let Some(refusal) = refused {
            panic!("{refusal:?} for what was reserved");
        }
        self.tables[kept.at].extend(kept.addresses());
        self.mapped.push(kept);
        Outcome::Done
    }

    fn unmap(&mut self, at: usize) -> Outcome {
        let Some(domain) = &mut self.domains[at] else {
            return Outcome::Refused;
        };
        let Some(iova) = domain.mapped().next() else {
            return Outcome::Refused;
        };
        let tables = &mut self.tables[at];
        let unmapped = domain.unmap(owner(at), &self.clock, iova, |mapped| {
            for page in 0..mapped.pages {
                let entry = tables.remove(&(mapped.iova + page * PAGE_BYTES));
                assert!(entry.is_some(), "what is unmapped was mapped");
            }
        });
        let twice = domain.unmap(owner(at), &self.clock, iova, |_| panic!("unmapped twice"));
        assert_eq!(twice.err(), Some(Refusal::State));
        let kept = self
            .mapped
            .iter()
            .position(|kept| kept.at == at && kept.iova == iova);
        match (unmapped, kept) {
            (Ok(unmapped), Some(kept)) => {
                let kept = self.mapped.remove(kept);
                self.unmapped.push(kept.with(|()| unmapped));
            }
            (unmapped, kept) => panic!("{unmapped:?} of {kept:?}"),
        }
        Outcome::Done
    }

    fn stranger(&mut self, at: usize) -> Outcome {
        let Some(domain) = &mut self.domains[at] else {
            return Outcome::Refused;
        };
        let strange = Owner {
            generation: 4,
            ..owner(at)
        };
        assert!(matches!(
            domain.reserve(strange, 7, 0x5000, 1),
            Err((Refusal::WrongOwner, 7))
        ));
        let other = FlushClock::new(UNIT + 1);
        let mapped: Vec<u64> = domain.mapped().collect();
        for iova in mapped {
            assert!(
                domain
                    .unmap(strange, &self.clock, iova, |_| panic!("a stranger unmaps"))
                    .is_err()
            );
            assert!(
                domain
                    .unmap(owner(at), &other, iova, |_| panic!("by another clock"))
                    .is_err()
            );
        }
        Outcome::Done
    }

    /// The unit is told, and forgets at once; later it may remember again.
    fn flush(&mut self, scope: Scope) -> Outcome {
        let Ok(pending) = self.clock.begin(scope) else {
            assert!(self.is_stuck);
            return Outcome::Refused;
        };
        self.flushes += 1;
        for (number, remembered) in &mut self.remembered {
            remembered.retain(|iova, _| match scope {
                Scope::Unit => false,
                Scope::Domain(of) => of != *number,
                Scope::Run {
                    domain,
                    iova: start,
                    pages,
                } => domain != *number || *iova < start || *iova >= start + pages * PAGE_BYTES,
                Scope::Entry { .. } => true,
            });
        }
        self.pending.push((pending, scope));
        Outcome::Done
    }

    fn finish(&mut self) -> Outcome {
        if self.pending.is_empty() {
            return Outcome::Refused;
        }
        let receipt = self.clock.finish(self.pending.remove(0).0, Seen);
        assert_eq!(
            receipt.is_err(),
            self.is_stuck,
            "a unit that does not answer is not believed"
        );
        let outcome = Outcome::from(&receipt);
        self.receipts.extend(receipt);
        outcome
    }

    fn forget(&mut self, which: usize, receipt: usize) -> Outcome {
        let kept = self.unmapped.remove(which);
        let place = kept.place();
        let Some(domain) = &mut self.domains[place.at] else {
            return Outcome::Refused;
        };
        let mut first = None;
        let back = kept.with(
            |unmapped| match domain.forget(unmapped, &self.receipts[receipt]) {
                Ok(withdrawn) => {
                    first = Some(withdrawn.release(Shot));
                    None
                }
                Err((_, unmapped)) => Some(unmapped),
            },
        );
        match first {
            Some(first) => {
                self.released(&place, first);
                Outcome::Done
            }
            None => {
                self.unmapped
                    .extend(back.value.map(|unmapped| place.with(|()| unmapped)));
                Outcome::Refused
            }
        }
    }

    fn retire(&mut self, at: usize, receipt: usize) -> Outcome {
        let Some(domain) = self.domains[at].take() else {
            return Outcome::Refused;
        };
        match domain.retire(&mut self.numbers, &self.receipts[receipt]) {
            Ok(_) => {
                // Its function is blocked; what the unit remembers of its number matters.
                self.tables[at].clear();
                let known = self.remembered.get(&self.named[at]);
                assert!(
                    known.is_none_or(BTreeMap::is_empty),
                    "a domain is gone, and the unit remembers it"
                );
                self.unmapped.retain(|kept| kept.at != at);
                self.reserved.retain(|kept| kept.at != at);
                self.mapped.retain(|kept| kept.at != at);
                Outcome::Done
            }
            Err((_, domain)) => {
                self.domains[at] = Some(domain);
                Outcome::Refused
            }
        }
    }

    fn close(&mut self, at: usize, receipt: usize) -> Outcome {
        let Some(domain) = self.domains[at].take() else {
            return Outcome::Refused;
        };
        let left = domain.mappings();
        match domain.close(&mut self.numbers, &self.receipts[receipt]) {
            Ok(()) => {
                assert_eq!(left, 0, "a domain is closed, and maps something");
                let known = self.remembered.get(&self.named[at]);
                assert!(
                    known.is_none_or(BTreeMap::is_empty),
                    "a domain is gone, and the unit remembers it"
                );
                Outcome::Done
            }
            Err((_, domain)) => {
                self.domains[at] = Some(domain);
                Outcome::Refused
            }
        }
    }

    fn is_ending(&self, at: usize) -> bool {
        self.domains[at]
            .as_ref()
            .is_none_or(|domain| format!("{domain:?}").contains("ending: true"))
    }

    fn renew(&mut self, at: usize) -> Outcome {
        let made = Domain::new(&self.clock, &mut self.numbers, owner(at), self.window);
        let Some(domain) = made else {
            panic!("a number that came back is there")
        };
        assert!(
            !self
                .domains
                .iter()
                .flatten()
                .any(|other| other.number() == domain.number()),
            "a number twice"
        );
        let known = self.remembered.get(&domain.number());
        assert!(
            known.is_none_or(BTreeMap::is_empty),
            "a number is used again that the unit remembers"
        );
        self.named[at] = domain.number();
        self.domains[at] = Some(domain);
        Outcome::Done
    }
}

impl Subject for Unit {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        for (at, domain) in self.domains.iter().enumerate() {
            if domain.is_none() {
                ops.push(Op::Renew(at));
                continue;
            }
            if self.next < 100 + u64::from(self.often.maps) {
                ops.extend([
                    Op::Reserve(at, 1, Lies::Elsewhere),
                    Op::Reserve(at, 1, Lies::Highest),
                    Op::Reserve(at, 2, Lies::Elsewhere),
                ]);
            }
            if !self.is_ending(at) {
                ops.extend([Op::Touch(at), Op::End(at)]);
            }
            ops.extend([Op::Unmap(at), Op::Stranger(at)]);
            if self.flushes < self.often.flushes {
                ops.push(Op::FlushDomain(at));
            }
            for receipt in 0..self.receipts.len() {
                ops.extend([Op::Retire(at, receipt), Op::Close(at, receipt)]);
            }
        }
        if self.flushes < self.often.flushes {
            ops.push(Op::FlushUnit);
            ops.extend((0..self.unmapped.len()).map(Op::FlushRun));
        }
        for which in 0..self.reserved.len() {
            ops.extend([Op::Confirm(which), Op::Abandon(which)]);
        }
        for which in 0..self.unmapped.len() {
            ops.extend((0..self.receipts.len()).map(|receipt| Op::Forget(which, receipt)));
        }
        ops.push(Op::Finish);
        if self.often.is_faulty {
            ops.push(Op::GiveUp);
        }
        ops
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Reserve(at, pages, lies) => return self.reserve(at, pages, lies),
            Op::Confirm(which) => return self.confirm(which),
            Op::Abandon(which) => {
                let kept = self.reserved.remove(which);
                let place = kept.place();
                let Some(domain) = &mut self.domains[place.at] else {
                    return Outcome::Refused;
                };
                match kept.with(|reserved| domain.abandon(reserved)).value {
                    Ok(first) => self.released(&place, first),
                    Err((refusal, _)) => panic!("{refusal:?} for what was reserved"),
                }
            }
            Op::Touch(at) => {
                let known = self.remembered.entry(self.named[at]).or_default();
                known.extend(self.tables[at].iter().map(|(iova, frame)| (*iova, *frame)));
            }
            Op::Unmap(at) => return self.unmap(at),
            Op::Stranger(at) => return self.stranger(at),
            Op::FlushDomain(at) => return self.flush(Scope::Domain(self.named[at])),
            Op::FlushUnit => return self.flush(Scope::Unit),
            Op::FlushRun(which) => {
                let Kept { at, iova, .. } = self.unmapped[which];
                let domain = self.named[at];
                return self.flush(Scope::Run {
                    domain,
                    iova,
                    pages: 1,
                });
            }
            Op::Finish => return self.finish(),
            Op::Forget(which, receipt) => return self.forget(which, receipt),
            Op::End(at) => {
                // The function is blocked before.
                if let Some(domain) = &mut self.domains[at] {
                    domain.end(&self.clock);
                }
            }
            Op::Retire(at, receipt) => return self.retire(at, receipt),
            Op::Close(at, receipt) => return self.close(at, receipt),
            Op::Renew(at) => return self.renew(at),
            Op::GiveUp => {
                self.clock.give_up();
                self.is_stuck = true;
            }
        }
        Outcome::Done
    }

    fn check(&self) {
        for (at, domain) in self.domains.iter().enumerate() {
            let Some(domain) = domain else { continue };
            assert_eq!(
                domain.mapped_pages(),
                self.tables[at].len() as u64,
                "what is counted is what is mapped"
            );
            for iova in self.tables[at].keys() {
                let found = domain.find(*iova);
                assert!(
                    found.is_some_and(|found| found.state == State::Mapped),
                    "the tables hold what the ledger does not"
                );
            }
            let reserved = self.reserved.iter().filter(|kept| kept.at == at).count();
            let unmapped = self.unmapped.iter().filter(|kept| kept.at == at).count();
            let mapped = self.mapped.iter().filter(|kept| kept.at == at).count();
            assert_eq!(domain.mapped().count(), mapped);
            assert_eq!(
                domain.mappings(),
                reserved + unmapped + mapped,
                "every mapping is somebody's"
            );
        }
    }

    fn key(&self, to: &mut String) {
        say(to, &(&self.clock, &self.numbers, &self.domains));
        say(to, &(&self.named, &self.tables, &self.remembered));
        say(to, &(&self.reserved, &self.mapped, &self.unmapped));
        say(to, &(&self.pending, &self.receipts));
        say(to, &(self.next, self.flushes, self.is_stuck));
    }
}
