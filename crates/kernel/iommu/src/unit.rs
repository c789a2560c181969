//! A unit that is on, of either vendor: one at a time it is told, and what it is told it has done when the call returns.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use cpu::Lock;
use domain_ledger::{FlushClock, IotlbReceipt, Numbers, Scope};
use iommu_tables::vtd::register::ApicIds;
use iommu_tables::{Geometry, Levels};
use mmio::Registers;
use ring_abi::Refusal;

use crate::amd::Amd;
use crate::facts::Fault;
use crate::interrupts::Interrupts;
use crate::memory::Caches;
use crate::queue::{Done, NoAnswer, Queue};
use crate::tables::Reader;
use crate::terms::{Absent, FaultCounts, Forget, Hush, Led, NotOn, Tells};
use crate::vtd::Vtd;

/// What a vendor's units do in their own way.
#[derive(Debug)]
pub(crate) enum Kind {
    Vtd(Vtd),
    Amd(Amd),
}

impl Kind {
    pub(crate) const fn amd(&self) -> Option<&Amd> {
        match self {
            Self::Vtd(_) => None,
            Self::Amd(unit) => Some(unit),
        }
    }
}

/// A unit that is on.
#[derive(Debug)]
pub struct Unit {
    pub(crate) kind: Kind,
    pub(crate) clock: FlushClock,
    pub(crate) numbers: Lock<Numbers>,
    pub(crate) interrupts: Lock<Interrupts>,
    queue: Lock<Queue>,
    lost: AtomicBool,
    faults: FaultCounts,
}

impl Unit {
    /// Takes a VT-d unit over and turns it on: every function below it is blocked until it gets a domain.
    ///
    /// # Errors
    /// Those of [`NotOn`]; the unit may be on then, and its functions are blocked.
    pub(crate) fn vtd(
        number: u8,
        registers: Registers,
        ids: ApicIds,
        now_ns: fn() -> u64,
    ) -> Result<Self, NotOn> {
        let (unit, queue, table) = Vtd::turn_on(registers, ids, now_ns)?;
        let domains = unit.domains();
        let interrupts = Interrupts::vtd(number, table);
        Ok(Self::over(
            number,
            Kind::Vtd(unit),
            queue,
            domains,
            interrupts,
        ))
    }

    /// As [`Self::vtd`], for an AMD-Vi unit. `absent` says whether it may remember that there was nothing.
    ///
    /// # Errors
    /// As for [`Self::vtd`].
    pub(crate) fn amd(
        number: u8,
        registers: Registers,
        absent: Absent,
        now_ns: fn() -> u64,
    ) -> Result<Self, NotOn> {
        let (unit, queue) = Amd::turn_on(registers, absent, now_ns)?;
        let interrupts = Interrupts::Amd(Vec::new());
        let kind = Kind::Amd(unit);
        Ok(Self::over(number, kind, queue, Amd::DOMAINS, interrupts))
    }

    fn over(number: u8, kind: Kind, queue: Queue, domains: u32, interrupts: Interrupts) -> Self {
        Self {
            kind,
            clock: FlushClock::new(number),
            numbers: Lock::new(Numbers::new(domains)),
            interrupts: Lock::new(interrupts),
            queue: Lock::new(queue),
            lost: AtomicBool::new(false),
            faults: FaultCounts::default(),
        }
    }

    /// What its registers say now.
    pub(crate) fn status(&self) -> Option<crate::Status> {
        match &self.kind {
            Kind::Vtd(unit) => unit.status(),
            Kind::Amd(unit) => unit.status(),
        }
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

    /// Shape of its domains' tables.
    pub(crate) const fn geometry(&self) -> Geometry {
        match &self.kind {
            Kind::Vtd(unit) => unit.geometry(),
            Kind::Amd(_) => Amd::GEOMETRY,
        }
    }

    /// Depth of its domains' tables.
    pub const fn levels(&self) -> Levels {
        self.geometry().levels
    }

    /// How its domains' tables are written down.
    pub(crate) const fn reader(&self) -> Reader {
        match &self.kind {
            Kind::Vtd(_) => Reader::Vtd,
            Kind::Amd(_) => Reader::Amd,
        }
    }

    /// Whether it looks through the processor's caches.
    pub(crate) const fn caches(&self) -> Caches {
        match &self.kind {
            Kind::Vtd(unit) => unit.caches(),
            Kind::Amd(_) => Amd::CACHES,
        }
    }

    /// Asks the unit for something that it answers, unless it once did not.
    fn ask<R>(&self, ask: impl FnOnce(&mut Queue) -> Result<R, NoAnswer>) -> Result<R, NoAnswer> {
        let mut queue = self.queue.lock();
        // Under the lock: whoever had it before may have lost the unit.
        if !self.answers() {
            return Err(NoAnswer);
        }
        let told = match &self.kind {
            Kind::Vtd(unit) => unit.flush_writes(),
            Kind::Amd(_) => Ok(()),
        };
        let done = told.and_then(|()| ask(&mut queue));
        if done.is_err() {
            // It is not asked again: what it was told last may happen at any time, or never.
            self.lost.store(true, Ordering::Release);
            self.clock.give_up();
        }
        done
    }

    fn carry_out(&self, all: &[Forget]) -> Result<Done, NoAnswer> {
        self.ask(|queue| match &self.kind {
            Kind::Vtd(unit) => {
                queue.carry_out(unit.registers(), all.iter().map(|one| unit.command(*one)))
            }
            Kind::Amd(unit) => {
                queue.carry_out(unit.registers(), all.iter().map(|one| Amd::command(*one)))
            }
        })
    }

    /// Makes the unit forget, and returns once it has.
    pub(crate) fn flush(&self, scope: Scope, all: &[Forget]) -> Result<IotlbReceipt, Refusal> {
        let pending = self.clock.begin(scope).map_err(|_| Refusal::DeviceError)?;
        let done = self.carry_out(all).map_err(|_| Refusal::DeviceError)?;
        let receipt = self.clock.finish(pending, done);
        receipt.map_err(|_| Refusal::DeviceError)
    }

    /// Makes new entries visible to a unit that may remember what was there before.
    pub(crate) fn announce(&self, all: &[Forget]) -> Result<(), Refusal> {
        let of_function = |one: &Forget| matches!(one, Forget::Blocked(_) | Forget::Source(_));
        let (remembers, buffers) = match &self.kind {
            Kind::Vtd(unit) => (
                unit.absent() == Absent::Remembered,
                unit.needs_write_flush(),
            ),
            // What blocks a function is an entry like any other, and remembered as one.
            Kind::Amd(unit) => {
                let absent = unit.absent() == Absent::Remembered;
                (absent || all.iter().any(of_function), false)
            }
        };
        let done = match (remembers, buffers) {
            (true, _) => self.carry_out(all).map(|_| ()),
            (false, true) => self.ask(|_| Ok(())),
            (false, false) => Ok(()),
        };
        done.map_err(|_| Refusal::DeviceError)
    }

    /// Leads a function to its domain, or blocks it. The unit may remember what was there before.
    pub(crate) fn lead(&self, source: u16, to: Option<Led>) -> Result<(), Refusal> {
        match &self.kind {
            Kind::Vtd(unit) => unit.lead(source, to),
            Kind::Amd(unit) => unit.lead(source, to),
        }
    }

    /// Whether its tables, read back, lead a function to a domain.
    pub(crate) fn leads(&self, source: u16, to: Led) -> bool {
        match &self.kind {
            Kind::Vtd(unit) => unit.led(source) == Some(to),
            Kind::Amd(unit) => unit.leads(source, to),
        }
    }

    /// Takes what the unit has told of, at most `most`, and lets it tell of more.
    pub fn take_faults(&self, most: usize, mut tell: impl FnMut(Fault)) {
        let mut count = |fault| {
            self.faults.told.fetch_add(1, Ordering::Relaxed);
            tell(fault);
        };
        let overflow = match &self.kind {
            Kind::Vtd(unit) => unit.take_faults(most, &mut count),
            Kind::Amd(unit) => unit.take_faults(most, &mut count),
        };
        if overflow {
            self.faults.overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How it is learned that it has refused something.
    pub const fn tells(&self) -> Tells {
        match &self.kind {
            Kind::Vtd(_) => Tells::ByMessage,
            Kind::Amd(_) => Tells::WhenAsked,
        }
    }

    /// Has faults told by a message, to a local APIC of eight bits of identifier, where the unit tells so.
    pub fn tell_faults(&self, address: u64, data: u32) {
        if let Kind::Vtd(unit) = &self.kind {
            unit.tell_faults(address, data);
        }
    }

    /// Stops telling of faults by message, or goes on with it.
    pub fn hush_faults(&self, hush: Hush) {
        if let Kind::Vtd(unit) = &self.kind {
            unit.hush_faults(hush);
        }
    }
}
