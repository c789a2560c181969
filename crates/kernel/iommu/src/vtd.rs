//! A VT-d unit: its root, its contexts, what it tells of.

use alloc::boxed::Box;

use cpu::Lock;
use frames::Frames;
use iommu_tables::vtd::{
    Capability, ContextEntry, ExtendedCapability, FaultRecord, FaultStatus, Invalidation, Reach,
    RemappingFeatures, RootEntry,
    register::{self, ApicIds},
};
use iommu_tables::{Geometry, Table};
use mmio::{Registers, SharedBytes};
use ring_abi::Refusal;
#[cfg(sabotage)]
use sabotage::sabotage;

use crate::facts::Fault;
use crate::interrupts::{ORDER as INTERRUPTS_ORDER, vtd_table};
use crate::memory::{Caches, page};
use crate::queue::{Dialect, NoAnswer, Queue};
use crate::terms::{Absent, Forget, Hush, Led, NotOn};

/// Buses of a segment, and functions of a bus.
const BUSES: usize = 256;
/// How long a unit may take to follow a command register.
const COMMAND_NS: u64 = 100_000_000;

/// Root table and context tables. Kept for good: the unit reads them as long as it is on.
#[derive(Debug)]
struct Roots {
    root: Frames,
    contexts: Box<[Option<Frames>]>,
}

/// A VT-d unit that is on.
#[derive(Debug)]
pub(crate) struct Vtd {
    registers: Registers,
    features: RemappingFeatures,
    ids: ApicIds,
    now_ns: fn() -> u64,
    roots: Lock<Roots>,
}

impl Vtd {
    /// Takes a unit over and turns it on: every function below it is blocked.
    ///
    /// # Errors
    /// Those of [`NotOn`].
    #[expect(clippy::disallowed_methods, reason = "boot: one list for each unit")]
    pub(crate) fn turn_on(
        registers: Registers,
        ids: ApicIds,
        now_ns: fn() -> u64,
    ) -> Result<(Self, Queue, Frames), NotOn> {
        let read = |at| registers.read64(at).map_err(|_| NotOn::NoAnswer);
        let capability = Capability(read(CAPABILITY)?);
        let extended = ExtendedCapability(read(EXTENDED)?);
        let features = RemappingFeatures::read(capability, extended).map_err(NotOn::Unusable)?;
        let caches = Caches::of(&features);
        let root = page().ok_or(NotOn::NoMemory)?;
        caches.publish(&root.shared(), 0, root.bytes());
        let mut queue = Queue::new(Dialect::Vtd, caches, now_ns).ok_or(NotOn::NoMemory)?;
        let interrupts = vtd_table(caches).ok_or(NotOn::NoMemory)?;
        let unit = Self {
            registers,
            features,
            ids: match (ids, features.extended_destinations) {
                (ApicIds::Bits32, true) => ApicIds::Bits32,
                _ => ApicIds::Bits8,
            },
            now_ns,
            roots: Lock::new(Roots {
                root,
                contexts: (0..BUSES).map(|_| None).collect(),
            }),
        };
        unit.program(&mut queue, &interrupts)?;
        Ok((unit, queue, interrupts))
    }

    /// In the order of VT-d 10.4 to 10.6: what firmware left goes off, and translation comes on last, with nothing that
    /// the unit could remember from before. Interrupts are remapped before that, and none has an entry yet.
    fn program(&self, queue: &mut Queue, interrupts: &Frames) -> Result<(), NotOn> {
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
        let address = queue.address();
        self.write64(register::IQA, address)?;
        self.set(register::QUEUE)?;
        self.check64(register::IQA, address)?;
        self.flush_writes()?;
        let all = [Invalidation::AllContexts, Invalidation::AllPages];
        queue.carry_out(registers, all.into_iter().map(Invalidation::words))?;
        self.remap_interrupts(queue, interrupts)?;
        self.set(register::TRANSLATION)?;
        let status = registers.read32(register::FSTS).map_err(NoAnswer::from)?;
        registers
            .write32(register::FSTS, status)
            .map_err(NoAnswer::from)?;
        Ok(())
    }

    /// From here on only messages in the remappable format pass (`CFI` is off, and stays so), and only by entries.
    fn remap_interrupts(&self, queue: &mut Queue, table: &Frames) -> Result<(), NotOn> {
        let table = register::interrupt_table(table.address(), INTERRUPTS_ORDER, self.ids);
        let table = table.ok_or(NotOn::NoMemory)?;
        self.write64(register::IRTA, table)?;
        self.set(register::INTERRUPT_POINTER)?;
        self.check64(register::IRTA, table)?;
        self.flush_writes()?;
        let all = [Invalidation::AllInterrupts.words()];
        queue.carry_out(&self.registers, all.into_iter())?;
        self.set(register::INTERRUPTS)?;
        let status = self.registers.read32(register::GSTS);
        match status.map_err(NoAnswer::from)? & register::COMPATIBILITY {
            0 => Ok(()),
            _ => Err(NotOn::ReadsBack),
        }
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

    pub(crate) const fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Shape of its domains' tables.
    pub(crate) const fn geometry(&self) -> Geometry {
        self.features.geometry
    }

    /// How wide the ids are by which entries name processors.
    pub(crate) const fn ids(&self) -> ApicIds {
        self.ids
    }

    /// Domain ids there are.
    pub(crate) const fn domains(&self) -> u32 {
        self.features.domains
    }

    /// Whether it may remember that nothing was there.
    pub(crate) const fn absent(&self) -> Absent {
        match self.features.caches_absent {
            true => Absent::Remembered,
            false => Absent::LookedUp,
        }
    }

    /// Whether a buffer lies between the processor's stores and what the unit reads.
    pub(crate) const fn needs_write_flush(&self) -> bool {
        self.features.needs_write_flush
    }

    /// Whether it looks through the processor's caches.
    pub(crate) const fn caches(&self) -> Caches {
        Caches::of(&self.features)
    }

    /// What makes it forget.
    pub(crate) const fn command(&self, what: Forget) -> [u64; 2] {
        let command = match what {
            Forget::Function { source, domain } => Invalidation::Context { domain, source },
            Forget::Blocked(source) => Invalidation::AbsentContext(source),
            Forget::Domain(domain) => Invalidation::Domain(domain),
            Forget::Run {
                domain,
                iova,
                pages,
            } => Reach::of(iova, pages, self.features.page_mask).in_domain(domain),
            // All interrupts' entries are in one table, which is not any source's own.
            Forget::Source(_) => Invalidation::AllInterrupts,
            Forget::Entry { index, .. } => Invalidation::Interrupt(index),
        };
        command.words()
    }

    /// Empties the buffer through which some units write what the processor stored (`RWBF`).
    pub(crate) fn flush_writes(&self) -> Result<(), NoAnswer> {
        if !self.features.needs_write_flush {
            return Ok(());
        }
        let standing = self.registers.read32(register::GSTS)? & register::STANDING;
        self.registers
            .write32(register::GCMD, standing | register::WRITE_BUFFER)?;
        self.await_status(|status| status & register::WRITE_BUFFER == 0)
    }

    /// Where a function is led, by what the unit reads; `None` where it is blocked.
    pub(crate) fn led(&self, source: u16) -> Option<Led> {
        let roots = self.roots.lock();
        let (bus, function) = (usize::from(source >> 8), usize::from(source & 0xff));
        let RootEntry(table) = RootEntry::read(pair(&roots.root.shared(), bus * 16))?;
        let page = roots.contexts.get(bus)?.as_ref()?;
        if page.address() != table.address() {
            return None;
        }
        let entry = ContextEntry::read(pair(&page.shared(), function * 16))?;
        let levels = self.features.geometry.levels;
        (entry.levels == levels).then_some(Led {
            root: entry.root,
            domain: entry.domain,
        })
    }

    /// Leads a function to its domain, or blocks it. The unit may remember what was there before.
    pub(crate) fn lead(&self, source: u16, to: Option<Led>) -> Result<(), Refusal> {
        let entry = to.map(|to| ContextEntry {
            root: to.root,
            levels: self.features.geometry.levels,
            domain: to.domain,
        });
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
    /// Returns whether it had to leave some out.
    pub(crate) fn take_faults(&self, most: usize, tell: &mut impl FnMut(Fault)) -> bool {
        let (first, count) = self.features.fault_records;
        let registers = &self.registers;
        let Ok(status) = registers.read32(register::FSTS) else {
            return false;
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
            tell(record.into());
        }
        let _ = registers.write32(register::FSTS, FaultStatus::CLEAR & 1);
        status.overflow()
    }

    /// Has faults told by a message, to a local APIC of eight bits of identifier.
    pub(crate) fn tell_faults(&self, address: u64, data: u32) {
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
    pub(crate) fn hush_faults(&self, hush: Hush) {
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
pub(crate) fn first_of_all(words: [u64; 2]) -> [u64; 2] {
    static FIRST: Lock<Option<[u64; 2]>> = Lock::new(None);
    match words[0] & 1 {
        0 => words,
        _ => *FIRST.lock().get_or_insert(words),
    }
}

/// Capability and extended capability, as [`iommu_format::intel`] names them.
const CAPABILITY: usize = iommu_format::intel::Register::Capability.offset();
const EXTENDED: usize = iommu_format::intel::Register::ExtendedCapability.offset();
