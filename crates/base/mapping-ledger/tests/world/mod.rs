//! A machine of frames, tables and one CPU's translations for each space, on which the ledger runs.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};

#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(not(loom))]
use std::sync::Mutex;

use mapping_ledger::{
    Bounds, Cached, Guarded, Machine, MapRequest, Mapped, ObjectLedger, PAGE_BYTES, SpaceLedger,
    Tables,
};
use ring_abi::Refusal;

/// Where rooms begin.
pub const FIRST: u64 = 0x10_0000;
/// End of every space.
pub const END: u64 = FIRST + 4096 * PAGE_BYTES;
/// Frames from here on are spare pages; each space has its own.
pub const SPARE: u64 = 1 << 40;

#[derive(Debug)]
pub struct World;

pub struct TestLock<T>(Mutex<T>);

impl<T> Guarded<T> for TestLock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// Made by a shootdown alone.
pub struct Shot(());

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
}

impl Machine for World {
    type Lock<T> = TestLock<T>;
    type Space = Space;
    type Object = Object;
    type Access = Access;
    type Receipt = Shot;
    fn between_steps() {}
    fn wait() {
        #[cfg(loom)]
        loom::thread::yield_now();
    }
}

/// An object of frames in a row.
#[derive(Debug)]
pub struct Object {
    pub ledger: ObjectLedger<World>,
    pub first: u64,
    pub pages: u64,
}

impl Object {
    pub fn new(first: u64, pages: u64) -> Arc<Self> {
        let ledger = ObjectLedger::new();
        Arc::new(Self {
            ledger,
            first,
            pages,
        })
    }
    pub fn has(&self, frame: u64) -> bool {
        (self.first..self.first + self.pages).contains(&frame)
    }
}

impl Mapped<World> for Object {
    fn ledger(&self) -> &ObjectLedger<World> {
        &self.ledger
    }
    fn pages(&self) -> u64 {
        self.pages
    }
}

/// What one space's tables say, and what its CPU remembers of them.
#[derive(Default)]
pub struct Cpu {
    pub tables: BTreeMap<u64, (u64, Access)>,
    pub cached: BTreeMap<u64, (u64, Access)>,
    pub evicted: bool,
}

pub struct Space {
    ledger: SpaceLedger<World>,
    /// A CPU takes this for each access; so does whoever makes it forget. That is what an acknowledged interrupt between
    /// two instructions comes to.
    pub cpu: Mutex<Cpu>,
    /// Pages that may still be entered.
    pub room: AtomicI64,
    /// Pages of records that are paid for.
    pub paid: AtomicU64,
    pub budget: AtomicI64,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "space {}", self.ledger.number())
    }
}

impl Space {
    pub fn new(number: u64) -> Arc<Self> {
        let bounds = Bounds {
            first: FIRST,
            end: END,
        };
        Arc::new(Self {
            ledger: SpaceLedger::new(number, bounds),
            cpu: Mutex::new(Cpu::default()),
            room: AtomicI64::new(i64::MAX),
            paid: AtomicU64::new(0),
            budget: AtomicI64::new(i64::MAX),
        })
    }

    /// What an access to `address` reaches now.
    pub fn touch(&self, address: u64) -> Option<(u64, Access)> {
        self.touch_and(address, |_| {})
    }

    /// As [`Self::touch`]; `f` runs before anybody can make the CPU forget what it has reached.
    fn touch_and(&self, address: u64, f: impl Fn(u64)) -> Option<(u64, Access)> {
        let mut cpu = self.cpu.lock().unwrap();
        if cpu.evicted {
            return None;
        }
        if let Some(cached) = cpu.cached.get(&address) {
            f(cached.0);
            return Some(*cached);
        }
        let entry = *cpu.tables.get(&address)?;
        cpu.cached.insert(address, entry);
        f(entry.0);
        Some(entry)
    }

    /// Calls `f` with every frame that the CPU can reach: by its tables, or by what it remembers.
    fn each_reached(&self, f: impl Fn(u64)) {
        let cpu = self.cpu.lock().unwrap();
        if cpu.evicted {
            return;
        }
        let both = cpu.tables.values().chain(cpu.cached.values());
        both.for_each(|(frame, _)| f(*frame));
    }

    fn each(&self, address: u64, pages: u64, f: impl Fn(&mut (u64, Access)) -> bool) -> Cached {
        assert!(pages <= mapping_ledger::STEP_PAGES);
        let mut cpu = self.cpu.lock().unwrap();
        let mut cached = Cached::No;
        for page in 0..pages {
            let at = address + page * PAGE_BYTES;
            if let Some(entry) = cpu.tables.get_mut(&at) {
                cached = Cached::Perhaps;
                if !f(entry) {
                    cpu.tables.remove(&at);
                }
            }
        }
        cached
    }

    pub fn request(offset: u64, pages: u64) -> MapRequest<Access> {
        MapRequest {
            offset,
            pages,
            access: Access::Write,
            most: Some(Access::Write),
            wanted: None,
        }
    }
}

impl Tables<World> for Space {
    fn ledger(&self) -> &SpaceLedger<World> {
        &self.ledger
    }

    fn enter(
        &self,
        address: u64,
        pages: u64,
        access: Access,
        object: &Arc<Object>,
        first: u64,
    ) -> Result<(), Refusal> {
        assert!(pages <= mapping_ledger::STEP_PAGES);
        assert!(first + pages <= object.pages);
        let mut cpu = self.cpu.lock().unwrap();
        for page in 0..pages {
            if self.room.fetch_sub(1, Ordering::Relaxed) <= 0 {
                return Err(Refusal::NoMemory);
            }
            let entry = (object.first + first + page, access);
            let old = cpu.tables.insert(address + page * PAGE_BYTES, entry);
            assert_eq!(old, None, "nothing may be there");
        }
        Ok(())
    }

    fn clear(&self, address: u64, pages: u64) -> Cached {
        self.each(address, pages, |_| false)
    }

    fn replace(&self, address: u64, pages: u64) -> Cached {
        let spare = SPARE + self.ledger.number();
        self.each(address, pages, |entry| {
            entry.0 = spare;
            true
        })
    }

    fn restrict(&self, address: u64, pages: u64, access: Access, _: &Arc<Object>) -> Cached {
        self.each(address, pages, |entry| {
            entry.1 = access;
            true
        })
    }

    fn shoot_down(&self, address: u64, pages: u64, cached: Cached) -> Shot {
        if cached == Cached::Perhaps {
            let end = address + pages * PAGE_BYTES;
            let mut cpu = self.cpu.lock().unwrap();
            cpu.cached.retain(|at, _| !(address..end).contains(at));
        }
        Shot(())
    }

    fn evict(&self) -> Shot {
        let mut cpu = self.cpu.lock().unwrap();
        cpu.evicted = true;
        cpu.cached.clear();
        Shot(())
    }

    fn pay(&self) -> Result<(), Refusal> {
        if self.budget.fetch_sub(1, Ordering::Relaxed) <= 0 {
            self.budget.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::OverBudget);
        }
        self.paid.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn refund(&self) {
        assert!(self.paid.fetch_sub(1, Ordering::Relaxed) > 0);
        self.budget.fetch_add(1, Ordering::Relaxed);
    }
}

/// Frames that were freed: nobody may reach one. Its lock is innermost, and loom knows nothing of it.
#[derive(Default, Debug)]
pub struct Freed(StdMutex<BTreeSet<u64>>);

impl Freed {
    pub fn free(&self, object: &Object, _proof: mapping_ledger::Unmapped) {
        let frames = object.first..object.first + object.pages;
        self.0.lock().unwrap().extend(frames);
    }

    fn live(&self, space: &Space, frame: u64) {
        let freed = self.0.lock().unwrap().contains(&frame);
        assert!(!freed, "{space:?} reaches the freed frame {frame}");
    }

    pub fn check(&self, spaces: &[&Space]) {
        for space in spaces {
            space.each_reached(|frame| self.live(space, frame));
        }
    }

    /// An access by a program: what it reaches is not free.
    pub fn touch(&self, space: &Space, address: u64) {
        let _ = space.touch_and(address, |frame| self.live(space, frame));
    }
}
