//! Spaces, objects and changes whose steps interleave at random, against the simplest model of what must come of it.
#![cfg(not(loom))]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mapping_ledger::{
    Area, Mapped as _, Mapping, PAGE_BYTES, Progress, Protecting, Retirement, Revocation,
    Tables as _, Unmapping,
};
use proptest::prelude::*;
use ring_abi::Refusal;
use world::{Access, FIRST, Freed, Object, SPARE, Space, World};

const SPACES: usize = 3;
const OBJECTS: usize = 4;
/// Lengths of the objects: below, at and above a step.
const LENGTHS: [u64; OBJECTS] = [1, 3, 64, 150];

/// A page that must be mapped: the mapping it came from, the frame, the rights.
type Page = (u64, u64, Access);

enum Change {
    Map {
        op: Mapping<'static, World>,
        object: usize,
        offset: u64,
        pages: u64,
        number: u64,
    },
    Unmap {
        op: Unmapping<'static, World>,
        range: (u64, u64),
        /// The pages and their mappings when it began.
        taken: Option<Vec<(u64, u64)>>,
    },
    Protect {
        op: Protecting<'static, World>,
        taken: Vec<(u64, u64)>,
        access: Access,
    },
    Revoke(Revocation<'static, World>, usize),
    Retire(Retirement<'static, World>),
}

struct Run {
    spaces: [&'static Arc<Space>; SPACES],
    objects: [&'static Arc<Object>; OBJECTS],
    changes: Vec<(usize, Change)>,
    model: [BTreeMap<u64, Page>; SPACES],
    retired: [bool; SPACES],
    freed: Freed,
    numbers: u64,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl Run {
    fn new() -> Self {
        let mut first = 1000;
        let objects = LENGTHS.map(|pages| {
            first += 1000;
            leak(Object::new(first, pages))
        });
        Self {
            spaces: [1, 2, 3].map(|number| leak(Space::new(number))),
            objects,
            changes: Vec::new(),
            model: Default::default(),
            retired: [false; SPACES],
            freed: Freed::default(),
            numbers: 0,
        }
    }

    /// Some page that the model has in a space, with how many follow it.
    fn some_page(&self, space: usize, pick: u16) -> Option<(u64, u64)> {
        let pages: Vec<u64> = self.model[space].keys().copied().collect();
        let at = *pages.get(pick as usize % pages.len().max(1))?;
        let follow = (0..).take_while(|n| self.model[space].contains_key(&(at + n * PAGE_BYTES)));
        Some((at, follow.count() as u64))
    }

    fn taken(&self, space: usize, (address, pages): (u64, u64)) -> Vec<(u64, u64)> {
        let range = address..address + pages * PAGE_BYTES;
        let pages = self.model[space].range(range);
        pages.map(|(at, (number, ..))| (*at, *number)).collect()
    }

    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn begin(&mut self, kind: u8, space: usize, pick: u16, length: u16) {
        let it = self.spaces[space];
        let change = match kind {
            0..=5 => {
                let object = pick as usize % OBJECTS;
                let have = LENGTHS[object];
                let offset = u64::from(length) % have;
                let pages = 1 + u64::from(pick / 7) % (have - offset);
                self.numbers += 1;
                if kind == 0 {
                    // Memory is short half-way.
                    it.room.store(i64::from(length % 100), Ordering::Relaxed);
                }
                let begun = Mapping::begin(it, self.objects[object], Space::request(offset, pages));
                match begun {
                    Ok(op) => Change::Map {
                        op,
                        object,
                        offset,
                        pages,
                        number: self.numbers,
                    },
                    Err(refusal) => {
                        let revoked = self.objects[object].ledger().is_revoked();
                        assert!(match refusal {
                            Refusal::WrongState => self.retired[space],
                            Refusal::Revoked => revoked,
                            Refusal::OverBudget => it.budget.load(Ordering::Relaxed) <= 0,
                            _ => false,
                        });
                        return;
                    }
                }
            }
            6..=8 => {
                let Some((address, most)) = self.some_page(space, pick) else {
                    return;
                };
                let range = (address, 1 + u64::from(length) % most);
                let area = Area::Range {
                    address,
                    pages: range.1,
                };
                Change::Unmap {
                    op: Unmapping::new(it, area),
                    range,
                    taken: None,
                }
            }
            9 | 10 => {
                let Some((address, most)) = self.some_page(space, pick) else {
                    return;
                };
                let range = (address, 1 + u64::from(length) % most);
                let access = [Access::Read, Access::Write][usize::from(kind == 9)];
                let begun = Protecting::begin(it, address, range.1, access, |most| {
                    assert_eq!(most, Some(Access::Write));
                    Ok(())
                });
                let Ok(op) = begun else { return };
                Change::Protect {
                    op,
                    taken: self.taken(space, range),
                    access,
                }
            }
            11 => {
                let object = pick as usize % OBJECTS;
                Change::Revoke(Revocation::begin(&**self.objects[object]), object)
            }
            _ => {
                if !length.is_multiple_of(8) {
                    return;
                }
                self.retired[space] = true;
                Change::Retire(Retirement::begin(&**it))
            }
        };
        self.changes.push((space, change));
    }

    fn step(&mut self, pick: u16) {
        if self.changes.is_empty() {
            return;
        }
        let at = pick as usize % self.changes.len();
        let (space, mut change) = self.changes.swap_remove(at);
        if !self.step_one(space, &mut change) {
            self.changes.push((space, change));
        }
    }

    /// One step. `true`: it is over.
    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn step_one(&mut self, space: usize, change: &mut Change) -> bool {
        match change {
            Change::Map {
                op,
                object,
                offset,
                pages,
                number,
            } => match op.step() {
                Ok(Progress::More) => false,
                Ok(Progress::Done(address)) => {
                    assert!(address > FIRST);
                    for page in 0..*pages {
                        let frame = self.objects[*object].first + *offset + page;
                        let page = address + page * PAGE_BYTES;
                        let entry = (*number, frame, Access::Write);
                        let old = self.model[space].insert(page, entry);
                        assert!(old.is_none(), "two mappings at {page:#x}");
                    }
                    true
                }
                Err(refusal) => {
                    assert!(match refusal {
                        Refusal::Revoked => self.objects[*object].ledger().is_revoked(),
                        Refusal::NoMemory => true,
                        Refusal::WrongState => self.retired[space],
                        _ => false,
                    });
                    self.spaces[space].room.store(i64::MAX, Ordering::Relaxed);
                    true
                }
            },
            Change::Unmap { op, range, taken } => {
                let covered = self.taken(space, *range);
                match op.step() {
                    Err(Refusal::NotFound | Refusal::Busy | Refusal::OverBudget) => {
                        assert!(taken.is_none(), "it was refused in the middle");
                        true
                    }
                    Err(other) => panic!("{other:?}"),
                    // A revocation was in the way.
                    Ok(_) if !op.has_begun() => false,
                    Ok(progress) => {
                        let taken = taken.get_or_insert(covered);
                        if progress == Progress::More {
                            return false;
                        }
                        for (at, number) in taken.iter() {
                            let model = &mut self.model[space];
                            if model.get(at).is_some_and(|page| page.0 == *number) {
                                model.remove(at);
                            }
                        }
                        true
                    }
                }
            }
            Change::Protect { op, taken, access } => match op.step() {
                Ok(Progress::More) => false,
                Ok(Progress::Done(())) => {
                    for (at, number) in taken.iter() {
                        match self.model[space].get_mut(at) {
                            Some(page) if page.0 == *number => page.2 = *access,
                            _ => {}
                        }
                    }
                    true
                }
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Revoked);
                    // How far it had come shows in nothing but the rights.
                    for (at, number) in taken.iter() {
                        if self.model[space].get(at).is_some_and(|p| p.0 == *number) {
                            let now = self.spaces[space].cpu.lock().unwrap();
                            let rights = now.tables.get(at).map(|entry| entry.1);
                            drop(now);
                            if let (Some(rights), Some(p)) = (rights, self.model[space].get_mut(at))
                            {
                                p.2 = rights;
                            }
                        }
                    }
                    true
                }
            },
            Change::Revoke(op, object) => match op.step() {
                Progress::More => false,
                Progress::Done(proof) => {
                    let it = self.objects[*object];
                    assert_eq!(it.ledger().mappings(), 0);
                    self.freed.free(it, proof);
                    for (space, model) in self.model.iter_mut().enumerate() {
                        for page in model.values_mut().filter(|page| it.has(page.1)) {
                            page.1 = SPARE + self.spaces[space].ledger().number();
                        }
                    }
                    true
                }
            },
            Change::Retire(op) => {
                if op.step() == Progress::More {
                    return false;
                }
                self.model[space].clear();
                assert_eq!(self.spaces[space].ledger().regions(), 0);
                true
            }
        }
    }

    /// What holds at every instant.
    fn check(&self) {
        self.freed.check(&self.spaces.map(|space| &**space));
        for space in self.spaces {
            let records = space.ledger().regions();
            let paid = space.paid.load(Ordering::Relaxed);
            assert_eq!(paid, records as u64);
        }
    }

    /// What holds when nothing is under way.
    fn check_at_rest(&self) {
        for (at, space) in self.spaces.iter().enumerate() {
            let cpu = space.cpu.lock().unwrap();
            if cpu.evicted {
                continue;
            }
            let model: BTreeMap<u64, (u64, Access)> = self.model[at]
                .iter()
                .map(|(address, (_, frame, access))| (*address, (*frame, *access)))
                .collect();
            assert_eq!(cpu.tables, model);
            for (address, entry) in &cpu.cached {
                assert_eq!(model.get(address), Some(entry), "a stale translation");
            }
        }
        let mapped: usize = self.objects.iter().map(|o| o.ledger().mappings()).sum();
        let live: usize = self.spaces.iter().map(|s| s.ledger().regions()).sum();
        assert!(mapped <= live);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn interleaved_changes_come_to_what_the_model_says(
        actions in prop::collection::vec((0u8..40, 0usize..SPACES, any::<u16>(), any::<u16>()), 1..160),
        budget in 0i64..6,
    ) {
        let mut run = Run::new();
        run.spaces[0].budget.store(budget, Ordering::Relaxed);
        for (kind, space, pick, length) in actions {
            match kind {
                0..=12 => run.begin(kind, space, pick, length),
                13..=16 => {
                    if let Some((address, _)) = run.some_page(space, pick) {
                        run.freed.touch(run.spaces[space], address);
                    }
                }
                _ => run.step(length),
            }
            run.check();
        }
        while !run.changes.is_empty() {
            run.step(0);
            run.check();
        }
        run.check_at_rest();
        // Everything goes in the end, and everything comes back.
        for space in run.spaces {
            mapping_ledger::retire::<World>(&**space);
            prop_assert_eq!(space.paid.load(Ordering::Relaxed), 0);
        }
        for object in run.objects {
            prop_assert_eq!(object.ledger().mappings(), 0);
            let proof = mapping_ledger::revoke::<World>(&**object);
            run.freed.free(object, proof);
        }
        run.check();
    }
}
