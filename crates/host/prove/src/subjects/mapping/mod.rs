//! Mappings: a page that is given up is reached through no table and no TLB; each region is paid for once; a change is one
//! change, whoever carries it on and whatever comes in between.

mod world;

use std::collections::BTreeSet;

use mapping_ledger::{
    Area, MapRequest, Mapping, PAGE_BYTES, Progress, Protecting, Retirement, Revocation, Unmapped,
    Unmapping,
};
use ring_abi::Refusal;

use self::world::Cpu;
pub use self::world::{Access, Things, World};
use crate::explore::{Outcome, Subject, say};

enum Change<'a, const STEP: u64> {
    Map(Mapping<'a, World<STEP>>, Plan),
    Unmap(Unmapping<'a, World<STEP>>, u64, u64),
    Protect(Protecting<'a, World<STEP>>, u64, u64, Access),
    Revoke(Revocation<'a, World<STEP>>, usize),
    Retire(Retirement<'a, World<STEP>>),
}

/// What a mapping is to come to.
#[derive(Clone, Copy, Debug)]
struct Plan {
    object: usize,
    offset: u64,
    pages: u64,
}

/// Spaces, objects, and changes that are under way.
pub struct Maps<'a, const STEP: u64> {
    things: &'a Things<STEP>,
    /// Changes under way: in which space, how, and how many steps were taken.
    changes: Vec<(usize, Change<'a, STEP>, u32)>,
    /// Changes that may still begin.
    left: u32,
    freed: BTreeSet<u64>,
    revoked: BTreeSet<usize>,
    retired: BTreeSet<usize>,
}

/// What is begun, and who goes on.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Pages of an object into a space: space, object, first page, count.
    Map(usize, usize, u64, u64),
    /// Pages out of a space: space, address, count.
    Unmap(usize, u64, u64),
    /// A whole region out of a space.
    UnmapRegion(usize, u64),
    /// Other rights: space, address, count.
    Protect(usize, u64, u64, Access),
    /// An object is taken away.
    Revoke(usize),
    /// A space ends.
    Retire(usize),
    /// The next step of a change.
    Step(usize),
    /// The CPU of a space uses everything that it can.
    Touch(usize),
    /// Memory is short once.
    Short(usize),
}

impl<'a, const STEP: u64> Maps<'a, STEP> {
    /// Nothing is mapped; so many changes may begin.
    #[must_use]
    pub const fn new(things: &'a Things<STEP>, left: u32) -> Self {
        Self {
            things,
            changes: Vec::new(),
            left,
            freed: BTreeSet::new(),
            revoked: BTreeSet::new(),
            retired: BTreeSet::new(),
        }
    }

    /// Addresses of a space at which something is mapped.
    fn places(&self, space: usize) -> Vec<u64> {
        self.things.spaces[space]
            .cpu
            .borrow()
            .tables
            .keys()
            .copied()
            .collect()
    }

    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn begin(&mut self, op: Op) -> Result<(), Refusal> {
        let things = self.things;
        let space = match op {
            Op::Map(at, ..)
            | Op::Unmap(at, ..)
            | Op::UnmapRegion(at, _)
            | Op::Protect(at, ..)
            | Op::Retire(at) => at,
            _ => 0,
        };
        let it = &things.spaces[space];
        let change = match op {
            Op::Map(_, object, offset, pages) => {
                let request = MapRequest {
                    offset,
                    pages,
                    access: Access::Write,
                    most: Some(Access::Write),
                    wanted: None,
                };
                let mapping = Mapping::begin(it, &things.objects[object], request);
                let gone =
                    self.retired.contains(&space) || things.objects[object].ledger.is_revoked();
                assert!(
                    mapping.is_err() || !gone,
                    "something is mapped that is gone, or where nothing is"
                );
                let plan = Plan {
                    object,
                    offset,
                    pages,
                };
                Change::Map(mapping?, plan)
            }
            Op::Unmap(_, address, pages) => Change::Unmap(
                Unmapping::new(it, Area::Range { address, pages }),
                address,
                pages,
            ),
            Op::UnmapRegion(_, address) => {
                Change::Unmap(Unmapping::new(it, Area::Region(address)), address, 1)
            }
            Op::Protect(_, address, pages, access) => {
                let allowed = |most| {
                    if most == Some(Access::Write) {
                        Ok(())
                    } else {
                        Err(Refusal::BadArgument)
                    }
                };
                Change::Protect(
                    Protecting::begin(it, address, pages, access, allowed)?,
                    address,
                    pages,
                    access,
                )
            }
            Op::Revoke(object) => {
                Change::Revoke(Revocation::begin(&*things.objects[object]), object)
            }
            _ => {
                self.retired.insert(space);
                Change::Retire(Retirement::begin(&**it))
            }
        };
        self.changes.push((space, change, 0));
        Ok(())
    }

    /// Takes a step. `true`: the change is over.
    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn step(&mut self, at: usize) -> bool {
        let things = self.things;
        let (space, change, steps) = &mut self.changes[at];
        *steps += 1;
        assert!(*steps < 200, "a change that does not end");
        let it = &things.spaces[*space];
        match change {
            Change::Map(mapping, plan) => match mapping.step() {
                Ok(Progress::More) => return false,
                Ok(Progress::Done(address)) => {
                    let cpu = it.cpu.borrow();
                    let beside = [address - PAGE_BYTES, address + plan.pages * PAGE_BYTES];
                    let is_alone = beside.iter().all(|at| !cpu.tables.contains_key(at));
                    assert!(is_alone, "no unmapped page on either side");
                    for page in 0..plan.pages {
                        let found = cpu.tables.get(&(address + page * PAGE_BYTES));
                        let frame = things.objects[plan.object].first + plan.offset + page;
                        assert!(
                            found.is_some_and(|(f, _)| *f == frame),
                            "mapped, and another page is there"
                        );
                    }
                }
                Err(_) => {}
            },
            Change::Unmap(unmapping, address, pages) => match unmapping.step() {
                Ok(Progress::More) => return false,
                Ok(Progress::Done(())) => {
                    let cpu = it.cpu.borrow();
                    let range = *address..*address + *pages * PAGE_BYTES;
                    let there = cpu.tables.range(range.clone()).next().is_some();
                    let cached = cpu.cached.range(range).next().is_some();
                    // In between another mapping may have come; the explorer lets none come to this place so soon.
                    assert!(
                        cpu.is_evicted || !(there || cached),
                        "unmapped, and it is reached"
                    );
                }
                Err(_) => {}
            },
            Change::Protect(protecting, address, pages, access) => match protecting.step() {
                Ok(Progress::More) => return false,
                Ok(Progress::Done(())) => {
                    let cpu = it.cpu.borrow();
                    let range = *address..*address + *pages * PAGE_BYTES;
                    let mut both = cpu
                        .tables
                        .range(range.clone())
                        .chain(cpu.cached.range(range));
                    assert!(
                        cpu.is_evicted || both.all(|(_, (_, found))| found == access),
                        "old rights are used"
                    );
                }
                Err(_) => {}
            },
            Change::Revoke(revocation, object) => {
                let object = *object;
                match revocation.step() {
                    Progress::More => return false,
                    Progress::Done(proof) => self.free(object, &proof),
                }
            }
            Change::Retire(retirement) => {
                if retirement.step() == Progress::More {
                    return false;
                }
                assert!(
                    it.reached().is_empty() && it.ledger.regions() == 0,
                    "a space is over, and holds something"
                );
            }
        }
        self.changes.remove(at);
        true
    }

    fn free(&mut self, object: usize, _proof: &Unmapped) {
        let it = &self.things.objects[object];
        assert_eq!(it.ledger.mappings(), 0, "free, and mapped");
        self.freed.extend(it.first..it.first + it.pages);
        self.revoked.insert(object);
    }
}

impl<const STEP: u64> Subject for Maps<'_, STEP> {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let mut ops: Vec<Op> = (0..self.changes.len()).map(Op::Step).collect();
        ops.extend((0..self.things.spaces.len()).map(Op::Touch));
        if self.left == 0 {
            return ops;
        }
        for space in 0..self.things.spaces.len() {
            for (object, it) in self.things.objects.iter().enumerate() {
                ops.push(Op::Map(space, object, 0, it.pages));
                ops.push(Op::Map(space, object, it.pages - 1, 1));
            }
            for address in self.places(space) {
                ops.extend([
                    Op::Unmap(space, address, 1),
                    Op::Unmap(space, address, 2),
                    Op::UnmapRegion(space, address),
                ]);
                ops.extend([
                    Op::Protect(space, address, 1, Access::Read),
                    Op::Protect(space, address, 2, Access::Read),
                ]);
            }
            if !self.retired.contains(&space) {
                ops.push(Op::Retire(space));
            }
            if !self.things.spaces[space].cpu.borrow().is_short {
                ops.push(Op::Short(space));
            }
        }
        ops.extend((0..self.things.objects.len()).map(Op::Revoke));
        ops
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Step(at) => {
                self.step(at);
            }
            Op::Touch(space) => {
                let mut cpu = self.things.spaces[space].cpu.borrow_mut();
                let Cpu { tables, cached, .. } = &mut *cpu;
                for (at, entry) in tables {
                    cached.entry(*at).or_insert(*entry);
                }
            }
            Op::Short(space) => self.things.spaces[space].cpu.borrow_mut().is_short = true,
            _ => {
                // A refusal counts: it may use up an identity.
                self.left -= 1;
                return Outcome::from(&self.begin(op));
            }
        }
        Outcome::Done
    }

    fn check(&self) {
        for space in &self.things.spaces {
            for (frame, _) in space.reached() {
                assert!(
                    !self.freed.contains(&frame),
                    "space {} reaches a freed frame",
                    space.ledger.number()
                );
            }
            let regions = space.ledger.regions() as u64;
            assert_eq!(
                space.cpu.borrow().records,
                regions,
                "each region is paid for once"
            );
        }
        if self.changes.is_empty() && self.revoked.is_empty() {
            let regions = self
                .things
                .spaces
                .iter()
                .map(|space| space.ledger.regions());
            let known = self
                .things
                .objects
                .iter()
                .map(|object| object.ledger.mappings());
            assert_eq!(
                known.sum::<usize>(),
                regions.sum(),
                "objects know what maps them"
            );
        }
        for (at, object) in self.things.objects.iter().enumerate() {
            assert!(
                !self.revoked.contains(&at) || object.ledger.mappings() == 0,
                "mapped after its end"
            );
            // Every page in a table belongs to a mapping that the object knows.
            let own = object.first..object.first + object.pages;
            let reached = self.things.spaces.iter().flat_map(|space| space.reached());
            let is_reached = reached.into_iter().any(|(frame, _)| own.contains(&frame));
            assert!(
                !is_reached || object.ledger.mappings() > 0,
                "reached, and its object knows no mapping"
            );
        }
    }

    fn key(&self, to: &mut String) {
        for space in &self.things.spaces {
            assert!(space.ledger.write_state(to).is_ok());
            say(to, &space.cpu);
            let cpu = space.cpu.borrow();
            let behind = |at: &u64| {
                space
                    .ledger
                    .look(*at, |object| object.map(|object| object.first))
            };
            say(to, &cpu.tables.keys().map(behind).collect::<Vec<_>>());
        }
        for object in &self.things.objects {
            assert!(object.ledger.write_state(to).is_ok());
        }
        for (space, change, _) in &self.changes {
            match change {
                Change::Map(_, plan) => say(to, &(space, "map", plan)),
                Change::Unmap(unmapping, address, pages) => {
                    say(to, &(space, unmapping.has_begun(), address, pages))
                }
                Change::Protect(_, address, pages, access) => {
                    say(to, &(space, address, pages, access))
                }
                Change::Revoke(_, object) => say(to, &("revoke", object)),
                Change::Retire(_) => say(to, &(space, "retire")),
            }
        }
        say(to, &(self.left, &self.freed, &self.revoked, &self.retired));
    }
}
