//! Interrupts below a unit that is on: one entry of its tables for each thing that raises one, and nothing else passes.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use domain_ledger::{Entries, FlushClock, Scope};
use frames::{Frames, Grow, Use};
use iommu_tables::Table;
use iommu_tables::amd::{self, InterruptTable};
use iommu_tables::vtd::{self, Handle, Polarity};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::amd::Amd;
use crate::memory::{Caches, page};
use crate::terms::Forget;
use crate::unit::{Kind, Unit};

/// Entries of a VT-d unit's one table, as a power of two: 16 KiB.
pub(crate) const ORDER: u8 = 10;
const WORDS: usize = 1 << (ORDER - 6);
/// Two pages, as a power of two.
const FRAMES_ORDER: u8 = 2;
const VTD_ENTRY_BYTES: usize = 16;
const AMD_WORDS: usize = 1 << (amd::TABLE_ORDER - 6);

/// How it raises its interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// By messages of its own, or by the edges of a pin.
    Edge,
    /// By the level of a pin.
    Level,
}

/// Where an interrupt goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Destination {
    /// Local APIC identifier.
    pub apic_id: u32,
    /// The vector there.
    pub vector: u8,
}

/// An entry that is in use: what raises its interrupt, and its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Requester id of what raises it, which the unit verifies.
    pub source: u16,
    /// Its number in the unit's table, or in the source's own.
    pub index: u16,
    /// How it is raised.
    pub trigger: Trigger,
}

/// Shows that a unit has forgotten an entry, and that what it had let through before has arrived.
#[derive(Debug)]
pub struct EntryForgotten(());

/// The table of one requester id of an AMD-Vi unit.
#[derive(Debug)]
pub(crate) struct OwnTable {
    source: u16,
    table: Frames,
    entries: Entries<AMD_WORDS>,
}

/// The tables of one unit.
#[derive(Debug)]
pub(crate) enum Interrupts {
    /// VT-d: one for all.
    Vtd {
        table: Frames,
        entries: Entries<WORDS>,
    },
    /// AMD-Vi: one for each requester id that has an interrupt.
    Amd(Vec<OwnTable>),
    /// None: the unit judges no interrupts, and nobody asks it for an entry.
    None,
}

/// The frames of a VT-d unit's table, which stay for good.
pub(crate) fn vtd_table(caches: Caches) -> Option<Frames> {
    let table = frames::allocate(FRAMES_ORDER, Use::Kernel)?;
    caches.publish(&table.shared(), 0, table.bytes());
    Some(table)
}

impl Interrupts {
    pub(crate) const fn vtd(unit: u8, table: Frames) -> Self {
        Self::Vtd {
            table,
            entries: Entries::new(unit, 0, 0),
        }
    }

    /// Entries in use, or not forgotten.
    fn count(&self) -> u32 {
        match self {
            Self::Vtd { entries, .. } => entries.count(),
            Self::Amd(all) => all.iter().map(|one| one.entries.count()).sum(),
            Self::None => 0,
        }
    }

    /// Takes an entry, which refuses everything until it is written.
    fn take(&mut self, unit: u8, amd: Option<&Amd>, source: u16) -> Result<u16, Refusal> {
        let index = match (self, amd) {
            (Self::Vtd { entries, .. }, _) => entries.take(),
            (Self::Amd(all), Some(amd)) => own_table(all, unit, amd, source)?.entries.take(),
            (Self::Amd(_), None) => return Err(Refusal::DeviceError),
            (Self::None, _) => return Err(Refusal::NotSupported),
        };
        index.map_err(|_| Refusal::Exhausted)
    }

    /// Writes an entry, or what refuses every message.
    fn write(&self, caches: Caches, words: &Words, entry: Entry) -> Result<(), Refusal> {
        match (self, words) {
            (Self::Vtd { table, .. }, Words::Vtd(words)) => {
                let at = usize::from(entry.index) * VTD_ENTRY_BYTES;
                let memory = table.shared();
                caches.write_pair(&memory, at, *words);
                let there = memory.load_words(at).unwrap_or_default();
                (there == *words).then_some(()).ok_or(Refusal::DeviceError)
            }
            (Self::Amd(all), Words::Amd(word)) => {
                let own = all.iter().find(|own| own.source == entry.source);
                let memory = own.ok_or(Refusal::Stale)?.table.shared();
                let at = usize::from(entry.index) * amd::ENTRY_BYTES;
                let written = memory.store32(at, *word, Ordering::Release);
                written.map_err(|_| Refusal::DeviceError)
            }
            _ => Err(Refusal::DeviceError),
        }
    }

    /// Takes a forgotten entry back, once `forget` has made the unit forget it.
    fn free(
        &mut self,
        entry: Entry,
        clock: &FlushClock,
        forget: impl FnOnce(Scope) -> Result<domain_ledger::IotlbReceipt, Refusal>,
    ) -> Result<(), Refusal> {
        let Entry { source, index, .. } = entry;
        match self {
            Self::Vtd { entries, .. } => {
                let cleared = entries.clear(clock, index).map_err(|_| Refusal::Stale)?;
                let receipt = forget(Scope::Entry { table: 0, index })?;
                let freed = entries.forget(cleared, &receipt);
                freed.map_err(|_| Refusal::DeviceError)
            }
            Self::Amd(all) => {
                let own = all.iter_mut().find(|own| own.source == source);
                let entries = &mut own.ok_or(Refusal::Stale)?.entries;
                let cleared = entries.clear(clock, index).map_err(|_| Refusal::Stale)?;
                let receipt = forget(Scope::Entry {
                    table: source,
                    index,
                })?;
                let freed = entries.forget(cleared, &receipt);
                freed.map_err(|_| Refusal::DeviceError)
            }
            Self::None => Err(Refusal::NotSupported),
        }
    }

    /// Takes out the table of a requester id that has no entry left.
    fn idle(&mut self, source: u16) -> Option<Frames> {
        let Self::Amd(all) = self else { return None };
        let idle = |own: &OwnTable| own.source == source && own.entries.count() == 0;
        let at = all.iter().position(idle)?;
        Some(all.swap_remove(at).table)
    }
}

/// The table of a requester id, which is made for its first interrupt.
fn own_table<'a>(
    all: &'a mut Vec<OwnTable>,
    unit: u8,
    amd: &Amd,
    source: u16,
) -> Result<&'a mut OwnTable, Refusal> {
    if let Some(at) = all.iter().position(|own| own.source == source) {
        return all.get_mut(at).ok_or(Refusal::NoMemory);
    }
    {
        // The list is the kernel's, and no longer than there are functions.
        let _kernel = frames::paid_by_kernel();
        all.grow(1)?;
    }
    let table = page().ok_or(Refusal::NoMemory)?;
    let place = Table::new(table.address()).ok_or(Refusal::NoMemory)?;
    let led = amd.lead_interrupts(
        source,
        Some(InterruptTable {
            table: place,
            order: amd::TABLE_ORDER,
        }),
    );
    if let Err(refusal) = led {
        table.free_unmapped();
        return Err(refusal);
    }
    let own = OwnTable {
        source,
        table,
        // Two functions' numbers are others as far as they go.
        entries: Entries::new(unit, source, source.into()),
    };
    // There is room for it. A table that the unit may know is never freed.
    all.put(own).map_err(|_| Refusal::NoMemory)?;
    all.last_mut().ok_or(Refusal::NoMemory)
}

/// An entry as a unit reads it.
enum Words {
    Vtd([u64; 2]),
    Amd(u32),
}

impl Unit {
    /// Takes an entry, through which `source` alone can raise an interrupt at `to`.
    ///
    /// # Errors
    /// `Exhausted`: no entry is free; `NoMemory`, `OverBudget`; `NotSupported` for a processor that no entry can name;
    /// `DeviceError`: the unit does not answer, and may let it through: the vector must not be used again.
    pub fn take_entry(
        &self,
        source: u16,
        trigger: Trigger,
        to: Destination,
    ) -> Result<Entry, Refusal> {
        if !self.answers() {
            return Err(Refusal::DeviceError);
        }
        let words = self.words(source, trigger, to)?;
        let entry = {
            let mut all = self.interrupts.lock();
            let index = all.take(self.number(), self.kind.amd(), source)?;
            let entry = Entry {
                source,
                index,
                trigger,
            };
            all.write(self.caches(), &words, entry)?;
            entry
        };
        // After an error it stays taken: whether the unit has seen it is not known.
        self.announce_entry(entry).map(|()| entry)
    }

    /// Leads an entry elsewhere. When this returns, what was let through to where it led before has arrived there.
    ///
    /// # Errors
    /// `NotSupported`, and nothing has changed; `DeviceError`: the unit does not answer, and the entry may lead to either.
    pub fn move_entry(&self, entry: Entry, to: Destination) -> Result<(), Refusal> {
        sabotage!(KEEP_MOVED_ENTRY => return Ok(()));
        let words = self.words(entry.source, entry.trigger, to)?;
        self.interrupts.lock().write(self.caches(), &words, entry)?;
        self.flush(of(entry), &[forget(entry)]).map(drop)
    }

    /// Ends an entry. When this returns, nothing raises an interrupt by it any more, and what did before has arrived.
    ///
    /// # Errors
    /// `DeviceError`: the unit does not answer, and may still let it through: its vector must not be used again.
    pub fn clear_entry(&self, entry: Entry) -> Result<EntryForgotten, Refusal> {
        let absent = match self.kind {
            Kind::Vtd(_) => Words::Vtd(vtd::InterruptEntry::ABSENT),
            Kind::Amd(_) => Words::Amd(amd::InterruptEntry::ABSENT),
            Kind::Virtio(_) => return Err(Refusal::NotSupported),
        };
        let mut all = self.interrupts.lock();
        if !sabotage!(LEAVE_ENTRY) {
            all.write(self.caches(), &absent, entry)?;
        }
        all.free(entry, &self.clock, |scope| {
            self.flush(scope, &[forget(entry)])
        })?;
        // The table of a requester id goes with its last entry.
        sabotage!(LEAVE_ENTRY => return Ok(EntryForgotten(())));
        if let (Some(amd), Some(table)) = (self.kind.amd(), all.idle(entry.source)) {
            amd.lead_interrupts(entry.source, None)?;
            let receipt = self.flush(of(entry), &[function(entry), forget(entry)])?;
            drop(receipt);
            table.free_unmapped();
        }
        Ok(EntryForgotten(()))
    }

    /// Address and data by which a function names an entry.
    pub const fn message(&self, entry: Entry) -> (u64, u32) {
        match &self.kind {
            Kind::Vtd(_) => {
                let vtd::Message { address, data } = vtd::message(Handle(entry.index));
                (address, data)
            }
            // Of a virtio-iommu nobody has an entry.
            Kind::Amd(_) | Kind::Virtio(_) => (0xfee0_0000, amd::message_data(entry.index)),
        }
    }

    /// What an input of an I/O APIC holds that names an entry, unmasked.
    pub const fn pin(&self, entry: Entry, vector: u8, polarity: Polarity) -> u64 {
        match (&self.kind, entry.trigger) {
            (Kind::Vtd(_), Trigger::Edge) => {
                vtd::io_apic_entry(Handle(entry.index), vector, vtd::Trigger::Edge, polarity)
            }
            (Kind::Vtd(_), Trigger::Level) => {
                vtd::io_apic_entry(Handle(entry.index), vector, vtd::Trigger::Level, polarity)
            }
            (Kind::Amd(_) | Kind::Virtio(_), Trigger::Edge) => {
                amd::io_apic_entry(entry.index, amd::Trigger::Edge, polarity)
            }
            (Kind::Amd(_) | Kind::Virtio(_), Trigger::Level) => {
                amd::io_apic_entry(entry.index, amd::Trigger::Level, polarity)
            }
        }
    }

    /// Whether an I/O APIC that names an entry is told the end of a level by that number: the entry's vector is in no place where it
    /// would look for it.
    pub const fn ends_by_number(&self) -> bool {
        matches!(self.kind, Kind::Amd(_))
    }

    /// Entries in use, or not forgotten.
    pub fn entries(&self) -> u32 {
        self.interrupts.lock().count()
    }

    fn words(&self, source: u16, trigger: Trigger, to: Destination) -> Result<Words, Refusal> {
        let short = || u8::try_from(to.apic_id).map_err(|_| Refusal::NotSupported);
        Ok(match &self.kind {
            Kind::Vtd(unit) => {
                let destination = match unit.ids() {
                    vtd::register::ApicIds::Bits32 => vtd::Destination::Extended(to.apic_id),
                    vtd::register::ApicIds::Bits8 => vtd::Destination::Short(short()?),
                };
                let words = vtd::InterruptEntry {
                    destination,
                    vector: to.vector,
                    trigger: match trigger {
                        Trigger::Edge => vtd::Trigger::Edge,
                        Trigger::Level => vtd::Trigger::Level,
                    },
                    source: vtd::Source(source),
                };
                #[cfg(sabotage)]
                if sabotage!(BELIEVE_ANY_SOURCE) {
                    let [low, _] = words.words();
                    return Ok(Words::Vtd([low, 0]));
                }
                Words::Vtd(words.words())
            }
            Kind::Virtio(_) => return Err(Refusal::NotSupported),
            Kind::Amd(_) => Words::Amd(
                amd::InterruptEntry {
                    destination: short()?,
                    vector: to.vector,
                    trigger: match trigger {
                        Trigger::Edge => amd::Trigger::Edge,
                        Trigger::Level => amd::Trigger::Level,
                    },
                }
                .word(),
            ),
        })
    }

    /// Makes a new entry visible to a unit that may remember that nothing was there.
    fn announce_entry(&self, entry: Entry) -> Result<(), Refusal> {
        match &self.kind {
            Kind::Vtd(_) | Kind::Virtio(_) => self.announce(&[forget(entry)]),
            // Whether it remembers what refuses is not said, and the table may be new.
            Kind::Amd(_) => self.announce(&[function(entry), forget(entry)]),
        }
    }
}

const fn of(entry: Entry) -> Scope {
    Scope::Entry {
        table: entry.source,
        index: entry.index,
    }
}

const fn forget(entry: Entry) -> Forget {
    Forget::Entry {
        source: entry.source,
        index: entry.index,
    }
}

const fn function(entry: Entry) -> Forget {
    Forget::Source(entry.source)
}
