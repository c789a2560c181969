//! A VT-d unit that is on: its root, its contexts, its queue.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cpu::Lock;
use domain_ledger::{FlushClock, IotlbReceipt, Numbers, Scope};
use frames::Frames;
use iommu_tables::vtd::{
    Capability, ContextEntry, ExtendedCapability, FaultRecord, FaultStatus, Invalidation,
    RemappingFeatures, RootEntry, Unusable, register,
};
use iommu_tables::{Levels, Table};
use mmio::{Registers, SharedBytes};
use ring_abi::Refusal;
#[cfg(sabotage)]
use sabotage::sabotage;

use crate::memory::{Caches, page};
use crate::queue::{Done, NoAnswer, Queue};

/// Buses of a segment, and functions of a bus.
const BUSES: usize = 256;
/// How long a unit may take to follow a command register.
const COMMAND_NS: u64 = 100_000_000;

/// Why a unit is not on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotOn {
    /// It cannot do what it would need to.
    Unusable(Unusable),
    /// There is no memory for its tables.
    NoMemory,
    /// It does not follow a command.
    NoAnswer,
    /// A register does not read back as it was written.
    ReadsBack,
    /// It is of a vendor whose units are not programmed.
    Vendor,
}

impl NotOn {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unusable(why) => why.name(),
            Self::NoMemory => "no-memory",
            Self::NoAnswer => "no-answer",
            Self::ReadsBack => "reads-back",
            Self::Vendor => "vendor",
        }
    }
}

impl From<NoAnswer> for NotOn {
    fn from(_: NoAnswer) -> Self {
        Self::NoAnswer
    }
}

/// Root table and context tables. Kept for good: the unit reads them as long as it is on.
#[derive(Debug)]
struct Roots {
    root: Frames,
    contexts: Box<[Option<Frames>]>,
}

/// What a unit has refused.
#[derive(Debug, Default)]
pub struct FaultCounts {
    /// Requests of which it told.
    pub told: AtomicU64,
    /// Times at which it had to leave some out.
    pub overflows: AtomicU64,
}

/// A unit that is on.
#[derive(Debug)]
pub struct Unit {
    registers: Registers,
    pub(crate) features: RemappingFeatures,
    now_ns: fn() -> u64,
    pub(crate) clock: FlushClock,
    pub(crate) numbers: Lock<Numbers>,
    roots: Lock<Roots>,
    queue: Lock<Queue>,
    lost: AtomicBool,
    faults: FaultCounts,
}

impl Unit {
    /// Takes a unit over and turns it on: every function below it is blocked until it gets a domain.
    ///
    /// # Errors
    /// Those of [`NotOn`]; the unit may be on then, and its functions are blocked.
    #[expect(clippy::disallowed_methods, reason = "boot: one list for each unit")]
    pub(crate) fn turn_on(
        number: u8,
        registers: Registers,
        now_ns: fn() -> u64,
    ) -> Result<Self, NotOn> {
        let read = |at| registers.read64(at).map_err(|_| NotOn::NoAnswer);
        let capability = Capability(read(CAPABILITY)?);
        let extended = ExtendedCapability(read(EXTENDED)?);
        let features = RemappingFeatures::read(capability, extended).map_err(NotOn::Unusable)?;
        let caches = match features.coherent {
            true => Caches::Seen,
            false => Caches::Unseen,
        };
        let root = page().ok_or(NotOn::NoMemory)?;
        caches.publish(&root.shared(), 0, root.bytes());
        let queue = Queue::new(caches, now_ns).ok_or(NotOn::NoMemory)?;
        let unit = Self {
            registers,
            features,
            now_ns,
            clock: FlushClock::new(number),
            numbers: Lock::new(Numbers::new(features.domains)),
            roots: Lock::new(Roots {
                root,
                contexts: (0..BUSES).map(|_| None).collect(),
            }),
            queue: Lock::new(queue),
            lost: AtomicBool::new(false),
            faults: FaultCounts::default(),
        };
        unit.program()?;
        Ok(unit)
    }

    /// In the order of VT-d 10.4 to 10.6: what firmware left goes off, and translation comes on last, with nothing that
    /// the unit could remember from before.
    fn program(&self) -> Result<(), NotOn> {
        let registers = &self.registers;
        registers
            .write32(register::FECTL, register::FAULT_MASKED)
            .map_err(NoAnswer::from)?;
        self.clear(register::TRANSLATION)?;
        self.clear(register::INTERRUPTS)?;
        self.clear(register::COMPATIBILITY)?;
        self.clear(register::QUEUE)?;
        let root = self.roots.lock().root.address();
        self.write64(register::RTADDR, root)?;
        self.set(register::ROOT_POINTER)?;
        self.check64(register::RTADDR, root)?;
        self.write64(register::IQT, 0)?;
        let queue = self.queue.lock().register();
        self.write64(register::IQA, queue)?;
        self.set(register::QUEUE)?;
        self.check64(register::IQA, queue)?;
        self.carry_out(&[Invalidation::AllContexts, Invalidation::AllPages])?;
        self.set(register::TRANSLATION)?;
        let status = registers.read32(register::FSTS).map_err(NoAnswer::from)?;
        registers
            .write32(register::FSTS, status)
            .map_err(NoAnswer::from)?;
        Ok(())
    }

    fn write64(&self, at: usize, value: u64) -> Result<(), NoAnswer> {
        Ok(self.registers.write64(at, value)?)
    }

    /// Whether a register holds what was written, now that the unit has taken it over: before, some read as something else.
    fn check64(&self, at: usize, value: u64) -> Result<(), NotOn> {
        match self.registers.read64(at) {
            Ok(back) if back == value => Ok(()),
            _ => Err(NotOn::ReadsBack),
        }
    }

    /// Gives a command that stays on, or happens once, and waits until the unit has followed.
    fn set(&self, bit: u32) -> Result<(), NoAnswer> {
        let status = self.registers.read32(register::GSTS)?;
        let standing = status & register::STANDING;
        self.registers.write32(register::GCMD, standing | bit)?;
        self.await_status(|status| status & bit != 0)
    }

    /// Turns something off that stays on.
    fn clear(&self, bit: u32) -> Result<(), NoAnswer> {
        let status = self.registers.read32(register::GSTS)?;
        if status & bit == 0 {
            return Ok(());
        }
        let standing = status & register::STANDING;
        self.registers.write32(register::GCMD, standing & !bit)?;
        self.await_status(|status| status & bit == 0)
    }

    fn await_status(&self, holds: impl Fn(u32) -> bool) -> Result<(), NoAnswer> {
        let end = (self.now_ns)().saturating_add(COMMAND_NS);
        loop {
            let status = self.registers.read32(register::GSTS)?;
            if status == u32::MAX {
                return Err(NoAnswer);
            }
            if holds(status) {
                return Ok(());
            }
            if (self.now_ns)() >= end {
                return Err(NoAnswer);
            }
            cpu::relax();
        }
    }

    /// What its registers say now.
    pub(crate) fn status(&self) -> Option<crate::Status> {
        let status = self.registers.read32(register::GSTS).ok()?;
        let faults = self.registers.read32(register::FSTS).ok()?;
        Some(crate::Status {
            translating: status & register::TRANSLATION != 0,
            faults: u64::from(faults),
        })
    }

    /// Number of the unit in the record.
    pub const fn number(&self) -> u8 {
        self.clock.unit()
    }

    /// Whether it answers, as far as is known.
    pub fn answers(&self) -> bool {
        !self.lost.load(Ordering::Acquire)
    }

    /// What it has refused so far.
    pub const fn faults(&self) -> &FaultCounts {
        &self.faults
    }

    /// Depth of its domains' tables.
    pub const fn levels(&self) -> Levels {
        self.features.geometry.levels
    }

    /// Whether it looks through the processor's caches.
    pub(crate) const fn caches(&self) -> Caches {
        match self.features.coherent {
            true => Caches::Seen,
            false => Caches::Unseen,
        }
    }

    fn carry_out(&self, commands: &[Invalidation]) -> Result<Done, NoAnswer> {
        self.ask(|queue| queue.carry_out(&self.registers, commands))
    }

    /// Asks the unit for something that it answers, unless it once did not.
    fn ask<R>(&self, ask: impl FnOnce(&mut Queue) -> Result<R, NoAnswer>) -> Result<R, NoAnswer> {
        let mut queue = self.queue.lock();
        // Under the lock: whoever had it before may have lost the unit.
        if !self.answers() {
            return Err(NoAnswer);
        }
        let told = self.flush_writes();
        let done = told.and_then(|()| ask(&mut queue));
        if done.is_err() {
            // It is not asked again: what it was told last may happen at any time, or never.
            self.lost.store(true, Ordering::Release);
            self.clock.give_up();
        }
        done
    }

    /// Empties the buffer through which some units write what the processor stored (`RWBF`).
    fn flush_writes(&self) -> Result<(), NoAnswer> {
        if !self.features.needs_write_flush {
            return Ok(());
        }
        let standing = self.registers.read32(register::GSTS)? & register::STANDING;
        self.registers
            .write32(register::GCMD, standing | register::WRITE_BUFFER)?;
        self.await_status(|status| status & register::WRITE_BUFFER == 0)
    }

    /// Makes the unit forget, and returns once it has.
    pub(crate) fn flush(
        &self,
        scope: Scope,
        commands: &[Invalidation],
    ) -> Result<IotlbReceipt, Refusal> {
        let pending = self.clock.begin(scope).map_err(|_| Refusal::DeviceError)?;
        let done = self.carry_out(commands).map_err(|_| Refusal::DeviceError)?;
        let receipt = self.clock.finish(pending, done);
        receipt.map_err(|_| Refusal::DeviceError)
    }

    /// Makes new entries visible to a unit that may remember that there were none.
    pub(crate) fn announce(&self, commands: &[Invalidation]) -> Result<(), Refusal> {
        let features = &self.features;
        let done = match (features.caches_absent, features.needs_write_flush) {
            (true, _) => self.carry_out(commands).map(|_| ()),
            (false, true) => self.ask(|_| Ok(())),
            (false, false) => Ok(()),
        };
        done.map_err(|_| Refusal::DeviceError)
    }

    /// Leads a function to its domain, or blocks it. The unit may remember what was there before.
    pub(crate) fn set_context(
        &self,
        source: u16,
        entry: Option<ContextEntry>,
    ) -> Result<(), Refusal> {
        let caches = self.caches();
        let mut roots = self.roots.lock();
        let (bus, function) = (usize::from(source >> 8), usize::from(source & 0xff));
        let root = roots.root.shared();
        let place = roots.contexts.get_mut(bus).ok_or(Refusal::OutOfRange)?;
        if place.is_none() {
            if entry.is_none() {
                return Ok(());
            }
            // It stays for good, so nobody else pays for it.
            let _kernel = frames::paid_by_kernel();
            let page = page().ok_or(Refusal::NoMemory)?;
            caches.publish(&page.shared(), 0, page.bytes());
            let table = Table::new(page.address()).ok_or(Refusal::NoMemory)?;
            caches.write_pair(&root, bus * 16, RootEntry(table).words());
            *place = Some(page);
        }
        let Some(page) = place else {
            return Err(Refusal::NoMemory);
        };
        let memory = page.shared();
        let words = entry.map_or(ContextEntry::BLOCKED, ContextEntry::words);
        #[cfg(sabotage)]
        let words = match sabotage!(SHARE_DOMAIN) {
            true => first_of_all(words),
            false => words,
        };
        caches.write_pair(&memory, function * 16, words);
        // As the unit reads it: the table that the root leads to, and what stands there.
        let led = RootEntry::read(pair(&root, bus * 16)).map(|RootEntry(table)| table.address());
        let there = ContextEntry::read(pair(&memory, function * 16));
        match led == Some(page.address()) && there == entry {
            true => Ok(()),
            false => Err(Refusal::DeviceError),
        }
    }

    /// Takes the fault records that are filled, at most `most`, and lets the unit tell of more.
    pub fn take_faults(&self, most: usize, mut tell: impl FnMut(FaultRecord)) {
        let (first, count) = self.features.fault_records;
        let registers = &self.registers;
        let Ok(status) = registers.read32(register::FSTS) else {
            return;
        };
        let status = FaultStatus(status);
        let mut left = most;
        for step in 0..count {
            if left == 0 {
                break;
            }
            // They are filled in a ring, from the one that the status names.
            let at = first + (status.first() + step) % count * 16;
            // The half that says that it is filled comes first.
            let (Ok(high), Ok(low)) = (registers.read64(at + 8), registers.read64(at)) else {
                break;
            };
            let Some(record) = FaultRecord::read([low, high]) else {
                // Taken before: the status names the first one until all are.
                continue;
            };
            left -= 1;
            let _ = registers.write64(at + 8, FaultRecord::GIVE_BACK);
            self.faults.told.fetch_add(1, Ordering::Relaxed);
            tell(record);
        }
        if status.overflow() {
            self.faults.overflows.fetch_add(1, Ordering::Relaxed);
        }
        let _ = registers.write32(register::FSTS, FaultStatus::CLEAR & 1);
    }

    /// Has faults told by a message, to a local APIC of eight bits of identifier.
    pub fn tell_faults(&self, address: u64, data: u32) {
        let registers = &self.registers;
        let written = registers
            .write32(register::FEDATA, data)
            .and_then(|()| registers.write32(register::FEADDR, address as u32))
            .and_then(|()| registers.write32(register::FEUADDR, (address >> 32) as u32));
        if written.is_ok() {
            let _ = registers.write32(register::FECTL, 0);
        }
    }

    /// Stops telling of faults by message, or goes on with it.
    pub fn hush_faults(&self, hush: Hush) {
        let value = match hush {
            Hush::Silent => register::FAULT_MASKED,
            Hush::Telling => 0,
        };
        let _ = self.registers.write32(register::FECTL, value);
    }
}

/// Both words of an entry.
fn pair(memory: &SharedBytes, offset: usize) -> [u64; 2] {
    memory.load_words(offset).unwrap_or_default()
}

/// A sabotage: the first entry that leads to a domain, for every function after it.
#[cfg(sabotage)]
fn first_of_all(words: [u64; 2]) -> [u64; 2] {
    static FIRST: Lock<Option<[u64; 2]>> = Lock::new(None);
    match words[0] & 1 {
        0 => words,
        _ => *FIRST.lock().get_or_insert(words),
    }
}

/// Whether a unit tells of faults by message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hush {
    /// It does not.
    Silent,
    /// It does.
    Telling,
}

/// Capability and extended capability, as [`iommu_format::intel`] names them.
const CAPABILITY: usize = iommu_format::intel::Register::Capability.offset();
const EXTENDED: usize = iommu_format::intel::Register::ExtendedCapability.offset();
