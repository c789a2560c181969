//! A unit that is on, of either vendor: one at a time it is told, and what it is told it has done when the call returns.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use cpu::Lock;
use domain_ledger::{FlushClock, IotlbReceipt, Numbers, Scope};
use iommu_tables::vtd::register::ApicIds;
use iommu_tables::{Access, DomainId, Geometry, Levels, Table};
use mmio::Registers;
use ring_abi::Refusal;
use sabotage::sabotage;
use virtio_format::iommu::Status as Answer;

use crate::amd::Amd;
use crate::facts::Fault;
use crate::interrupts::Interrupts;
use crate::memory::Caches;
use crate::queue::{Done, NoAnswer, Queue, Requests};
use crate::tables::Reader;
use crate::terms::{Absent, FaultCounts, Forget, Hush, Led, NotOn, Tells};
use crate::virtio::Virtio;
use crate::vtd::Vtd;

/// What a vendor's units do in their own way.
#[derive(Debug)]
pub(crate) enum Kind {
    Vtd(Vtd),
    Amd(Amd),
    Virtio(Virtio),
}

/// How it is told.
#[derive(Debug)]
enum Told {
    /// By commands, and one behind them that is answered.
    Ring(Queue),
    /// By requests that are answered one by one.
    Requests(Requests),
}

impl Kind {
    pub(crate) const fn amd(&self) -> Option<&Amd> {
        match self {
            Self::Vtd(_) | Self::Virtio(_) => None,
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
    told: Lock<Told>,
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
            Told::Ring(queue),
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
        let told = Told::Ring(queue);
        Ok(Self::over(number, kind, told, Amd::DOMAINS, interrupts))
    }

    /// A virtio-iommu that is on, with what it is asked through.
    pub(crate) fn virtio(number: u8, unit: Virtio, requests: Requests) -> Self {
        let domains = unit.domains();
        let told = Told::Requests(requests);
        Self::over(number, Kind::Virtio(unit), told, domains, Interrupts::None)
    }

    fn over(number: u8, kind: Kind, told: Told, domains: u32, interrupts: Interrupts) -> Self {
        Self {
            kind,
            clock: FlushClock::new(number),
            numbers: Lock::new(Numbers::new(domains)),
            interrupts: Lock::new(interrupts),
            told: Lock::new(told),
            lost: AtomicBool::new(false),
            faults: FaultCounts::default(),
        }
    }

    /// What its registers say now.
    pub(crate) fn status(&self) -> Option<crate::Status> {
        match &self.kind {
            Kind::Vtd(unit) => unit.status(),
            Kind::Amd(unit) => unit.status(),
            Kind::Virtio(unit) => unit.status(),
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
            Kind::Virtio(_) => Virtio::GEOMETRY,
        }
    }

    /// Depth of its domains' tables, where it reads any.
    pub const fn levels(&self) -> Option<Levels> {
        match self.reads_tables() {
            true => Some(self.geometry().levels),
            false => None,
        }
    }

    /// Whether it reads tables of its domains; where not, it is told of each run.
    pub(crate) const fn reads_tables(&self) -> bool {
        !matches!(self.kind, Kind::Virtio(_))
    }

    /// Whether it judges interrupts too.
    pub const fn judges_interrupts(&self) -> bool {
        !matches!(self.kind, Kind::Virtio(_))
    }

    /// How its domains' tables are written down.
    pub(crate) const fn reader(&self) -> Reader {
        match &self.kind {
            Kind::Vtd(_) => Reader::Vtd,
            Kind::Amd(_) => Reader::Amd,
            Kind::Virtio(_) => Reader::Nobody,
        }
    }

    /// Whether it looks through the processor's caches.
    pub(crate) const fn caches(&self) -> Caches {
        match &self.kind {
            Kind::Vtd(unit) => unit.caches(),
            Kind::Amd(_) => Amd::CACHES,
            Kind::Virtio(_) => Caches::Seen,
        }
    }

    /// Asks the unit for something that it answers, unless it once did not.
    fn ask<R>(&self, ask: impl FnOnce(&mut Told) -> Result<R, NoAnswer>) -> Result<R, NoAnswer> {
        let mut told = self.told.lock();
        // Under the lock: whoever had it before may have lost the unit.
        if !self.answers() {
            return Err(NoAnswer);
        }
        let stored = match &self.kind {
            Kind::Vtd(unit) => unit.flush_writes(),
            Kind::Amd(_) | Kind::Virtio(_) => Ok(()),
        };
        let done = stored.and_then(|()| ask(&mut told));
        if done.is_err() {
            // It is not asked again: what it was told last may happen at any time, or never.
            self.lost.store(true, Ordering::Release);
            self.clock.give_up();
        }
        done
    }

    fn carry_out(&self, all: &[Forget]) -> Result<Done, NoAnswer> {
        self.ask(|told| match (&self.kind, told) {
            (Kind::Vtd(unit), Told::Ring(queue)) => {
                queue.carry_out(unit.registers(), all.iter().map(|one| unit.command(*one)))
            }
            (Kind::Amd(unit), Told::Ring(queue)) => {
                queue.carry_out(unit.registers(), all.iter().map(|one| Amd::command(*one)))
            }
            (Kind::Virtio(unit), Told::Requests(requests)) => requests.forget(unit, all),
            _ => Err(NoAnswer),
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
            // It is told of each by a request, and has it when it answers.
            Kind::Virtio(_) => (false, false),
        };
        let done = match (remembers, buffers) {
            (true, _) => self.carry_out(all).map(|_| ()),
            (false, true) => self.ask(|_| Ok(())),
            (false, false) => Ok(()),
        };
        done.map_err(|_| Refusal::DeviceError)
    }

    /// Leads a function to its domain, whose first table this is. The unit may remember what was there before.
    pub(crate) fn lead(
        &self,
        source: u16,
        domain: DomainId,
        root: Option<Table>,
    ) -> Result<(), Refusal> {
        let led = root.map(|root| Led { root, domain });
        match (&self.kind, led) {
            (Kind::Vtd(unit), Some(_)) => unit.lead(source, led),
            (Kind::Amd(unit), Some(_)) => unit.lead(source, led),
            (Kind::Virtio(unit), None) => {
                sabotage!(LEAVE_DEVICE_OPEN => return Ok(()));
                let endpoint = unit.endpoint(source).ok_or(Refusal::NotSupported)?;
                self.request(|unit, requests| requests.attach(unit, endpoint, domain))
            }
            _ => Err(Refusal::DeviceError),
        }
    }

    /// Blocks a function. The unit may remember where it led before.
    pub(crate) fn block(&self, source: u16) -> Result<(), Refusal> {
        match &self.kind {
            Kind::Vtd(unit) => unit.lead(source, None),
            Kind::Amd(unit) => unit.lead(source, None),
            // What makes it forget blocks the function too.
            Kind::Virtio(_) => Ok(()),
        }
    }

    /// Maps a run, where the unit keeps no tables.
    pub(crate) fn map_run(
        &self,
        domain: DomainId,
        at: (u64, u64),
        pages: (u64, Access),
    ) -> Result<(), Refusal> {
        self.request(|unit, requests| requests.map(unit, domain, at, pages))
    }

    /// Pages that a unit without tables was answered to have mapped.
    pub(crate) fn pages_of(&self, domain: DomainId) -> u64 {
        match &*self.told.lock() {
            Told::Requests(requests) => requests.pages_of(domain),
            Told::Ring(_) => 0,
        }
    }

    /// Whether a unit without tables reserves device addresses of a function that a domain might use. Others reserve none.
    ///
    /// # Errors
    /// `DeviceError`: the unit does not answer.
    pub fn reserves(&self, source: u16) -> Result<bool, Refusal> {
        let Kind::Virtio(unit) = &self.kind else {
            return Ok(false);
        };
        let asked = self.ask(|told| match told {
            Told::Requests(requests) => unit.reserves(requests, source),
            Told::Ring(_) => Err(NoAnswer),
        });
        asked.map_err(|_| Refusal::DeviceError)
    }

    /// Makes a request of a virtio-iommu; what it refuses, it has not done.
    fn request(
        &self,
        make: impl FnOnce(&Virtio, &mut Requests) -> Result<Answer, NoAnswer>,
    ) -> Result<(), Refusal> {
        let answer = self.ask(|told| match (&self.kind, told) {
            (Kind::Virtio(unit), Told::Requests(requests)) => make(unit, requests),
            _ => Err(NoAnswer),
        });
        match answer {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::NoMemory) => Err(Refusal::NoMemory),
            Ok(Answer::Failed(_)) | Err(NoAnswer) => Err(Refusal::DeviceError),
        }
    }

    /// Whether its tables, read back, lead a function to a domain.
    pub(crate) fn leads(&self, source: u16, to: Led) -> bool {
        match &self.kind {
            Kind::Vtd(unit) => unit.led(source) == Some(to),
            Kind::Amd(unit) => unit.leads(source, to),
            Kind::Virtio(_) => false,
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
            Kind::Virtio(unit) => unit.take_faults(most, &mut count),
        };
        if overflow {
            self.faults.overflows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How it is learned that it has refused something.
    pub const fn tells(&self) -> Tells {
        match &self.kind {
            Kind::Vtd(_) => Tells::ByMessage,
            Kind::Amd(_) | Kind::Virtio(_) => Tells::WhenAsked,
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
