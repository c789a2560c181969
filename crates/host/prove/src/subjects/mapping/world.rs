//! A machine below the ledger: spaces with tables and what their CPUs remember, objects of frames.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use mapping_ledger::{
    Bounds, Cached, Guarded, Machine, Mapped, ObjectLedger, PAGE_BYTES, SpaceLedger, Tables,
};
use ring_abi::Refusal;

/// A machine of one CPU for each space, whose changes go on by `STEP` pages at a time.
#[derive(Debug)]
pub enum World<const STEP: u64> {}

/// A lock that nobody else waits for.
pub struct Alone<T>(RefCell<T>);

impl<T> Guarded<T> for Alone<T> {
    fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

/// What a mapping allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// Made by a shootdown alone.
pub struct Shot(());

impl<const STEP: u64> Machine for World<STEP> {
    type Lock<T> = Alone<T>;
    type Space = Space<STEP>;
    type Object = Object<STEP>;
    type Access = Access;
    type Receipt = Shot;
    const STEP_PAGES: u64 = STEP;
    fn between_steps() {}
    fn wait() {}
}

/// An object of frames in a row.
pub struct Object<const STEP: u64> {
    pub(super) ledger: ObjectLedger<World<STEP>>,
    pub(super) first: u64,
    pub(super) pages: u64,
}

impl<const STEP: u64> Mapped<World<STEP>> for Object<STEP> {
    fn ledger(&self) -> &ObjectLedger<World<STEP>> {
        &self.ledger
    }
    fn pages(&self) -> u64 {
        self.pages
    }
}

type Entries = BTreeMap<u64, (u64, Access)>;

#[derive(Default, Debug)]
pub(super) struct Cpu {
    pub(super) tables: Entries,
    pub(super) cached: Entries,
    pub(super) is_evicted: bool,
    pub(super) records: u64,
    pub(super) budget: u64,
    /// The next page that is entered finds no memory.
    pub(super) is_short: bool,
}

/// An address space, what its tables say, and what its CPU remembers of them.
pub struct Space<const STEP: u64> {
    pub(super) ledger: SpaceLedger<World<STEP>>,
    pub(super) cpu: RefCell<Cpu>,
}

const FIRST: u64 = 0x10_0000;
const SPARE: u64 = 1 << 40;

impl<const STEP: u64> Space<STEP> {
    fn edit(
        &self,
        address: u64,
        pages: u64,
        mut f: impl FnMut(&mut (u64, Access)) -> bool,
    ) -> Cached {
        assert!(pages <= STEP, "a step of {pages} pages");
        let mut cpu = self.cpu.borrow_mut();
        let mut cached = Cached::No;
        for at in (0..pages).map(|page| address + page * PAGE_BYTES) {
            if let Some(entry) = cpu.tables.get_mut(&at) {
                cached = Cached::Perhaps;
                if !f(entry) {
                    cpu.tables.remove(&at);
                }
            }
        }
        cached
    }

    pub(super) fn reached(&self) -> Vec<(u64, Access)> {
        let cpu = self.cpu.borrow();
        if cpu.is_evicted {
            return Vec::new();
        }
        cpu.tables
            .values()
            .chain(cpu.cached.values())
            .copied()
            .collect()
    }
}

impl<const STEP: u64> Tables<World<STEP>> for Space<STEP> {
    fn ledger(&self) -> &SpaceLedger<World<STEP>> {
        &self.ledger
    }

    fn enter(
        &self,
        address: u64,
        pages: u64,
        access: Access,
        object: &Arc<Object<STEP>>,
        first: u64,
    ) -> Result<(), Refusal> {
        assert!(
            pages <= STEP && first + pages <= object.pages,
            "pages that the object does not have"
        );
        let mut cpu = self.cpu.borrow_mut();
        for page in 0..pages {
            if std::mem::take(&mut cpu.is_short) {
                return Err(Refusal::NoMemory);
            }
            let entry = (object.first + first + page, access);
            let old = cpu.tables.insert(address + page * PAGE_BYTES, entry);
            assert_eq!(old, None, "something is mapped there");
        }
        Ok(())
    }

    fn clear(&self, address: u64, pages: u64) -> Cached {
        self.edit(address, pages, |_| false)
    }

    fn replace(&self, address: u64, pages: u64) -> Cached {
        self.edit(address, pages, |entry| {
            entry.0 = SPARE;
            true
        })
    }

    fn restrict(&self, address: u64, pages: u64, access: Access, _: &Arc<Object<STEP>>) -> Cached {
        self.edit(address, pages, |entry| {
            entry.1 = access;
            true
        })
    }

    fn shoot_down(&self, address: u64, pages: u64, cached: Cached) -> Shot {
        if cached == Cached::Perhaps {
            let range = address..address + pages * PAGE_BYTES;
            self.cpu
                .borrow_mut()
                .cached
                .retain(|at, _| !range.contains(at));
        }
        Shot(())
    }

    fn evict(&self) -> Shot {
        let mut cpu = self.cpu.borrow_mut();
        cpu.is_evicted = true;
        cpu.cached.clear();
        Shot(())
    }

    fn pay(&self) -> Result<(), Refusal> {
        let mut cpu = self.cpu.borrow_mut();
        if cpu.records >= cpu.budget {
            return Err(Refusal::OverBudget);
        }
        cpu.records += 1;
        Ok(())
    }

    fn refund(&self) {
        let mut cpu = self.cpu.borrow_mut();
        assert!(cpu.records > 0, "given back what nobody paid");
        cpu.records -= 1;
    }
}

/// The spaces and objects of one machine.
pub struct Things<const STEP: u64> {
    pub(super) spaces: Vec<Arc<Space<STEP>>>,
    pub(super) objects: Vec<Arc<Object<STEP>>>,
}

impl<const STEP: u64> Things<STEP> {
    /// Spaces of `room` pages that may pay for so many records each, and objects of some lengths.
    #[must_use]
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "the ledger counts by Arc, and one thread is all there is"
    )]
    pub fn new(spaces: u64, room: u64, budget: u64, objects: &[u64]) -> Self {
        let bounds = Bounds {
            first: FIRST,
            end: FIRST + room * PAGE_BYTES,
        };
        let space = |number| {
            let cpu = Cpu {
                budget,
                ..Cpu::default()
            };
            Arc::new(Space {
                ledger: SpaceLedger::new(number, bounds),
                cpu: RefCell::new(cpu),
            })
        };
        let object = |(at, pages): (usize, &u64)| {
            Arc::new(Object {
                ledger: ObjectLedger::new(),
                first: 1000 * (at as u64 + 1),
                pages: *pages,
            })
        };
        Self {
            spaces: (1..=spaces).map(space).collect(),
            objects: objects.iter().enumerate().map(object).collect(),
        }
    }
}
