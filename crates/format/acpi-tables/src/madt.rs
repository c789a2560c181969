//! The interrupt controllers: local APICs, I/O APICs and how legacy lines reach them (5.2.12).

use crate::{Rule, Signature, Table, TableError};
use decode::next_entry;
use le::checked;

mod decode;

/// Bytes before the first entry.
const FIXED_BYTES: usize = 44;
/// Most entries, processors and I/O APICs that a table may list; the checks for duplicates are quadratic.
const MAX_ENTRIES: usize = 8192;
const MAX_PROCESSORS: usize = 2048;
const MAX_IO_APICS: usize = 256;

const FLAG_PCAT_COMPAT: u32 = 1;

/// How a line signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polarity {
    /// As the bus defines it; ISA lines are active high.
    BusDefault,
    /// Asserted when high.
    ActiveHigh,
    /// Asserted when low.
    ActiveLow,
}

/// When a line signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// As the bus defines it; ISA lines are edge triggered.
    BusDefault,
    /// On the change to asserted.
    Edge,
    /// As long as it is asserted.
    Level,
}

/// A processor that the table lists, by local APIC or local x2APIC entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processor {
    /// The local APIC id that an INIT-SIPI is sent to.
    pub apic_id: u32,
    /// The id by which AML knows the processor.
    pub uid: u32,
    /// Ready to be started.
    pub enabled: bool,
    /// Not ready, but could be added while the system runs.
    pub online_capable: bool,
    /// Listed by an x2APIC entry.
    pub x2apic: bool,
}

/// An I/O APIC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// Physical address of its registers, never 0.
    pub address: u32,
    /// The global system interrupt of its input 0.
    pub gsi_base: u32,
}

/// An ISA line that does not arrive at the input of its own number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceOverride {
    /// The ISA line.
    pub source: u8,
    /// The global system interrupt where it arrives.
    pub gsi: u32,
    /// How it signals.
    pub polarity: Polarity,
    /// When it signals.
    pub trigger: Trigger,
}

/// A global system interrupt that firmware wants delivered as NMI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NmiSource {
    /// The global system interrupt.
    pub gsi: u32,
    /// How it signals.
    pub polarity: Polarity,
    /// When it signals.
    pub trigger: Trigger,
}

/// A local interrupt input that carries NMI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalApicNmi {
    /// The processor's uid; `None` means every processor.
    pub uid: Option<u32>,
    /// The input, 0 or 1.
    pub lint: u8,
    /// How it signals.
    pub polarity: Polarity,
    /// When it signals.
    pub trigger: Trigger,
}

/// One entry of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MadtEntry {
    /// Local APIC (type 0) or local x2APIC (type 9).
    Processor(Processor),
    /// I/O APIC (type 1).
    IoApic(IoApic),
    /// Interrupt source override (type 2).
    SourceOverride(SourceOverride),
    /// NMI source (type 3).
    NmiSource(NmiSource),
    /// Local APIC NMI (type 4) or local x2APIC NMI (type 10).
    LocalApicNmi(LocalApicNmi),
    /// Local APIC address override (type 5).
    LocalApicAddress(u64),
    /// A type that this crate does not decode.
    Unknown(u8),
}

/// How many entries of each kind a table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MadtCounts {
    /// Local APIC entries, unusable ones included.
    pub local_apics: usize,
    /// Local x2APIC entries, unusable ones included.
    pub local_x2apics: usize,
    /// I/O APICs.
    pub io_apics: usize,
    /// Interrupt source overrides.
    pub source_overrides: usize,
    /// NMI sources.
    pub nmi_sources: usize,
    /// Local APIC and x2APIC NMI inputs.
    pub local_nmis: usize,
    /// Local APIC address overrides, 0 or 1.
    pub address_overrides: usize,
    /// Entries that were skipped because their type is not decoded here.
    pub unknown: usize,
}

/// Where an ISA line arrives, after overrides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterruptSource {
    /// The global system interrupt.
    pub gsi: u32,
    /// Active low, else active high.
    pub active_low: bool,
    /// Level triggered, else edge triggered.
    pub level: bool,
}

/// A checked MADT: every entry decodes.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    entries: &'a [u8],
    local_apic_address: u64,
    pcat_compat: bool,
    counts: MadtCounts,
}

impl<'a> Madt<'a> {
    /// Checks the table and all of its entries.
    ///
    /// # Errors
    /// As [`Table::parse`], and
    /// - `EntryLength`: a length of zero, or not the one its type has;
    /// - `EntryOverrun`: an entry reaches past the table;
    /// - `Field`: a reserved polarity or trigger, a source override of another bus than ISA or
    ///   of a line above 15, a local input above 1;
    /// - `Address`: a local APIC or I/O APIC address that is zero, misaligned or too wide;
    /// - `Overlap`: two address overrides; two I/O APICs with one address, one id or one first interrupt; two enabled
    ///   processors with one APIC id under one entry type; two overrides of one ISA line;
    /// - `TooMany`: over 8192 entries, 2048 processors or 256 I/O APICs.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::MADT)?.at_least(FIXED_BYTES)?;
        let truncated = table.error(Rule::Truncated);
        let mut local_apic_address = u64::from(checked::u32(table.bytes(), 36).ok_or(truncated)?);
        let flags = checked::u32(table.bytes(), 40).ok_or(truncated)?;
        let entries = table.bytes().get(FIXED_BYTES..).ok_or(truncated)?;
        let mut counts = MadtCounts::default();
        let mut isa_seen = 0u16;
        let mut rest = entries;
        let mut visited = 0;
        while !rest.is_empty() {
            let (entry, after) = next_entry(rest).map_err(|rule| table.error(rule))?;
            rest = after;
            visited += 1;
            if visited > MAX_ENTRIES {
                return Err(table.error(Rule::TooMany));
            }
            if let MadtEntry::LocalApicAddress(address) = entry {
                local_apic_address = address;
            }
            counts
                .add(&entry, &mut isa_seen)
                .map_err(|rule| table.error(rule))?;
        }
        if local_apic_address == 0
            || local_apic_address & 0xfff != 0
            || local_apic_address >> units::PHYS_ADDR_BITS != 0
        {
            return Err(table.error(Rule::Address));
        }
        let madt = Self {
            entries,
            local_apic_address,
            pcat_compat: flags & FLAG_PCAT_COMPAT != 0,
            counts,
        };
        if madt.has_duplicate_io_apic() || madt.has_duplicate_processor() {
            return Err(table.error(Rule::Overlap));
        }
        Ok(madt)
    }

    /// Returns the physical address of the local APIC registers, after the address override; page aligned.
    pub fn local_apic_address(&self) -> u64 {
        self.local_apic_address
    }

    /// Whether there is also a pair of 8259 interrupt controllers, to be masked.
    pub fn has_8259(&self) -> bool {
        self.pcat_compat
    }

    /// Returns how many entries of each kind there are.
    pub fn counts(&self) -> MadtCounts {
        self.counts
    }

    /// Visits the entries in table order.
    pub fn entries(&self) -> Entries<'a> {
        Entries(self.entries)
    }

    /// Visits the I/O APICs in table order.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + 'a {
        self.entries().filter_map(|entry| match entry {
            MadtEntry::IoApic(io_apic) => Some(io_apic),
            _ => None,
        })
    }

    /// Visits the enabled processors in table order, each APIC id once: firmware may list a processor both as local
    /// APIC and as local x2APIC.
    pub fn processors(&self) -> Processors<'a> {
        Processors {
            all: *self,
            rest: self.entries(),
            position: 0,
        }
    }

    /// Returns where ISA line `line` (0 to 15) arrives: its override, else the interrupt of the same number.
    pub fn isa_source(&self, line: u8) -> InterruptSource {
        let found = self.entries().find_map(|entry| match entry {
            MadtEntry::SourceOverride(found) if found.source == line => Some(found),
            _ => None,
        });
        InterruptSource {
            gsi: found.map_or(u32::from(line), |found| found.gsi),
            active_low: found.is_some_and(|found| found.polarity == Polarity::ActiveLow),
            level: found.is_some_and(|found| found.trigger == Trigger::Level),
        }
    }

    fn enabled(&self) -> impl Iterator<Item = Processor> + 'a {
        self.entries().filter_map(|entry| match entry {
            MadtEntry::Processor(processor) if processor.enabled => Some(processor),
            _ => None,
        })
    }

    fn has_duplicate_io_apic(&self) -> bool {
        self.io_apics().enumerate().any(|(index, one)| {
            self.io_apics().take(index).any(|other| {
                other.id == one.id || other.address == one.address || other.gsi_base == one.gsi_base
            })
        })
    }

    fn has_duplicate_processor(&self) -> bool {
        self.enabled().enumerate().any(|(index, one)| {
            self.enabled()
                .take(index)
                .any(|other| other.apic_id == one.apic_id && other.x2apic == one.x2apic)
        })
    }
}

impl MadtCounts {
    /// Counts one entry; `isa_seen` holds one bit for each ISA line that was overridden before.
    fn add(&mut self, entry: &MadtEntry, isa_seen: &mut u16) -> Result<(), Rule> {
        match entry {
            MadtEntry::Processor(processor) => {
                if processor.x2apic {
                    self.local_x2apics += 1;
                } else {
                    self.local_apics += 1;
                }
                if self.local_apics + self.local_x2apics > MAX_PROCESSORS {
                    return Err(Rule::TooMany);
                }
            }
            MadtEntry::IoApic(_) => {
                self.io_apics += 1;
                if self.io_apics > MAX_IO_APICS {
                    return Err(Rule::TooMany);
                }
            }
            MadtEntry::SourceOverride(found) => {
                // ISA has 16 lines, so a higher one has no bit.
                let bit = 1u16
                    .checked_shl(u32::from(found.source))
                    .ok_or(Rule::Field)?;
                if *isa_seen & bit != 0 {
                    return Err(Rule::Overlap);
                }
                *isa_seen |= bit;
                self.source_overrides += 1;
            }
            MadtEntry::NmiSource(_) => self.nmi_sources += 1,
            MadtEntry::LocalApicNmi(_) => self.local_nmis += 1,
            MadtEntry::LocalApicAddress(_) => {
                if self.address_overrides != 0 {
                    return Err(Rule::Overlap);
                }
                self.address_overrides += 1;
            }
            MadtEntry::Unknown(_) => self.unknown += 1,
        }
        Ok(())
    }
}

/// The walk over the entries of a [`Madt`].
#[derive(Clone, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl Iterator for Entries<'_> {
    type Item = MadtEntry;

    fn next(&mut self) -> Option<MadtEntry> {
        // `parse` saw every entry decode, so an error here only ends the walk.
        let (entry, rest) = next_entry(self.0).ok()?;
        self.0 = rest;
        Some(entry)
    }
}

/// The walk over the enabled processors of a [`Madt`].
#[derive(Clone, Debug)]
pub struct Processors<'a> {
    all: Madt<'a>,
    rest: Entries<'a>,
    position: usize,
}

impl Iterator for Processors<'_> {
    type Item = Processor;

    fn next(&mut self) -> Option<Processor> {
        loop {
            let MadtEntry::Processor(processor) = self.rest.next()? else {
                continue;
            };
            if !processor.enabled {
                continue;
            }
            let before = self.position;
            self.position += 1;
            let mut earlier = self.all.enabled().take(before);
            if !earlier.any(|other| other.apic_id == processor.apic_id) {
                return Some(processor);
            }
        }
    }
}

#[cfg(test)]
mod tests;
