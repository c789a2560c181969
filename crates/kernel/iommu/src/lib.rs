//! Remapping units: what they say of themselves, and what they are told.
//!
//! Owns: the mappings of the units' registers; the few reads that tell whether a unit is what firmware's table says it is
//! ([`Units`]); each unit that is on, with its tables, its queue and its faults ([`Unit`]); and the domains below it
//! ([`Domain`]).
//!
//! Invariant: a unit that is on leads no function anywhere but to that function's own domain, and a domain maps exactly what
//! its ledger has. It lets no interrupt through but by an entry, and by that from one source. Nothing counts as forgotten before the unit has answered that it was; one that did not answer once is
//! not believed again. This crate never decides which function gets a domain, and no address of memory leaves it.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)] // device mappings

extern crate alloc;
#[cfg(test)]
extern crate std;

mod amd;
mod domain;
mod facts;
mod interrupts;
mod memory;
mod queue;
mod runs;
mod tables;
mod terms;
mod unit;
mod virtio;
mod vtd;

use alloc::boxed::Box;
use alloc::vec::Vec;

use iommu_format::{
    Capabilities, Discovery, Record, UnitFault, UnitRecord, UnitStatus, Vendor, amd as amd_vi,
    intel,
};
use mmio::Registers;
use pci_format::ConfigAccess;
use sabotage::sabotage;
use units::Bdf;

use crate::virtio::{Transport, Virtio};

pub use domain::{Books, Domain, Forgotten, NotMapped};
pub use facts::{Fault, Wanted, write_coverage, write_fault, write_on, write_table, write_unit};
pub use interrupts::{Destination, Entry, EntryForgotten, Trigger};
pub use iommu_tables::Access;
pub use iommu_tables::vtd::{Polarity, register::ApicIds};
use terms::Absent;
pub use terms::{FaultCounts, Hush, NotOn, Tells};
pub use unit::Unit;

/// Maps registers for the kernel, uncached, for good; `None` when it cannot.
pub type MapFn = fn(physical: u64, bytes: u64) -> Option<*mut u8>;

/// The mapped registers of the units of a record, by their place in it.
#[derive(Debug, Default)]
pub struct Units(Vec<Place>);

/// What became of one unit.
#[derive(Debug)]
enum Place {
    /// It is not to be believed, or was not to be turned on and could not.
    Unusable,
    /// It was looked at.
    Seen(Seen),
    /// A virtio-iommu was looked at.
    SeenVirtio(Transport),
    /// It is on.
    On(&'static Unit),
}

/// One unit's registers.
#[derive(Debug)]
struct Seen {
    registers: Registers,
    vendor: Vendor,
    absent: Absent,
}

/// What a unit says now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// It translates.
    pub translating: bool,
    /// Its fault or event status, as the register holds it.
    pub faults: u64,
}

impl Units {
    /// Looks at every unit of a record whose tables are complete, and writes down what it found.
    ///
    /// `in_memory` tells whether any byte of a range is memory that the system uses.
    #[expect(clippy::disallowed_methods, reason = "boot: units are read once")]
    pub fn look(
        record: &mut Record,
        config: &mut dyn ConfigAccess,
        map: MapFn,
        in_memory: &dyn Fn(u64, u64) -> bool,
    ) -> Self {
        let mut all = Vec::new();
        if record.discovery != Discovery::Listed {
            return Self(all);
        }
        for unit in &mut record.units {
            let looked = look_at(unit, config, map, in_memory);
            let (status, registers) = match looked {
                Ok((found, place)) => (UnitStatus::Verified(found), place),
                Err(fault) => (UnitStatus::Refused(fault), Place::Unusable),
            };
            unit.status = status;
            all.push(registers);
        }
        Self(all)
    }

    /// Turns a verified unit on. From then on every function below it is blocked that has no domain, and every interrupt that
    /// has no entry, where the unit judges interrupts. `ids`: how wide the identifiers of local APICs are. A unit that is a function
    /// itself is made bus master.
    ///
    /// # Errors
    /// Those of [`NotOn`]: the unit may be on, and is never used.
    #[expect(clippy::disallowed_methods, reason = "boot: units stay for good")]
    pub fn turn_on(
        &mut self,
        record: &Record,
        config: &mut dyn ConfigAccess,
        unit: u8,
        ids: ApicIds,
        now_ns: fn() -> u64,
    ) -> Result<&'static Unit, NotOn> {
        let vendor = record.units.get(usize::from(unit)).map(|one| one.vendor);
        let place = self.0.get_mut(usize::from(unit)).ok_or(NotOn::Unseen)?;
        let on = match (core::mem::replace(place, Place::Unusable), vendor) {
            (Place::Seen(seen), Some(Vendor::Intel)) => {
                Unit::vtd(unit, seen.registers, ids, now_ns)
            }
            (Place::Seen(seen), Some(Vendor::Amd { .. })) => {
                Unit::amd(unit, seen.registers, seen.absent, now_ns)
            }
            (Place::SeenVirtio(seen), Some(Vendor::Virtio { function: Some(at) })) => {
                let endpoints = record.endpoints(unit).collect();
                let on = Virtio::turn_on(seen, at, endpoints, config, now_ns);
                on.map(|(virtio, requests)| Unit::virtio(unit, virtio, requests))
            }
            (other, _) => {
                *place = other;
                return Err(NotOn::Unseen);
            }
        };
        let on: &'static Unit = Box::leak(Box::new(on?));
        *place = Place::On(on);
        Ok(on)
    }

    /// A unit that is on.
    pub fn on(&self, unit: u8) -> Option<&'static Unit> {
        match self.0.get(usize::from(unit))? {
            Place::On(unit) => Some(unit),
            Place::Seen(_) | Place::SeenVirtio(_) | Place::Unusable => None,
        }
    }

    /// Reads what a verified unit says now; `None` for any other.
    pub fn status(&self, unit: usize) -> Option<Status> {
        let unit = match self.0.get(unit)? {
            Place::Seen(unit) => unit,
            Place::On(unit) => return unit.status(),
            Place::SeenVirtio(_) | Place::Unusable => return None,
        };
        match unit.vendor {
            Vendor::Intel => {
                let status = unit.intel(intel::Register::GlobalStatus)?;
                Some(Status {
                    translating: status & 1 << 31 != 0,
                    faults: unit.intel(intel::Register::FaultStatus)?,
                })
            }
            Vendor::Virtio { .. } => None,
            Vendor::Amd { .. } => Some(Status {
                translating: unit.amd(amd_vi::Register::Control)? & 1 != 0,
                faults: unit.amd(amd_vi::Register::Status)?,
            }),
        }
    }
}

impl Seen {
    fn intel(&self, register: intel::Register) -> Option<u64> {
        let at = register.offset();
        match register.width() {
            8 => self.registers.read64(at).ok(),
            _ => self.registers.read32(at).ok().map(u64::from),
        }
    }

    fn amd(&self, register: amd_vi::Register) -> Option<u64> {
        self.registers.read64(register.offset()).ok()
    }

    /// Reads what tells what the unit is, and judges it.
    fn judge(&self) -> Result<Capabilities, UnitFault> {
        let outside = UnitFault::RegisterRange;
        match self.vendor {
            Vendor::Intel => {
                let low = |register| self.intel(register).map(|value| value as u32);
                let values = intel::Values {
                    version: low(intel::Register::Version).ok_or(outside)?,
                    capability: self.intel(intel::Register::Capability).ok_or(outside)?,
                    extended: self
                        .intel(intel::Register::ExtendedCapability)
                        .ok_or(outside)?,
                    status: low(intel::Register::GlobalStatus).ok_or(outside)?,
                };
                intel::judge(&values, self.registers.len() as u64)
            }
            // These have registers of their own.
            Vendor::Virtio { .. } => Err(UnitFault::Capability),
            Vendor::Amd { .. } => amd_vi::judge(&amd_vi::Values {
                control: self.amd(amd_vi::Register::Control).ok_or(outside)?,
                features: self
                    .amd(amd_vi::Register::ExtendedFeatures)
                    .ok_or(outside)?,
            }),
        }
    }
}

fn look_at(
    unit: &UnitRecord,
    config: &mut dyn ConfigAccess,
    map: MapFn,
    in_memory: &dyn Fn(u64, u64) -> bool,
) -> Result<(Capabilities, Place), UnitFault> {
    if let Vendor::Virtio { function } = unit.vendor {
        let (found, transport) = virtio::look(function, config, map, in_memory)?;
        return Ok((found, Place::SeenVirtio(transport)));
    }
    if in_memory(unit.base, unit.register_bytes) {
        return Err(UnitFault::InMemory);
    }
    let mut absent = Absent::LookedUp;
    if let Vendor::Amd {
        device_id,
        capability_offset,
    } = unit.vendor
    {
        let header = header(unit.segment, device_id, capability_offset, config)?;
        amd_vi::judge_header(&header, unit.base)?;
        if header.caches_absent() {
            absent = Absent::Remembered;
        }
    }
    let base = map(unit.base, unit.register_bytes).ok_or(UnitFault::Unmappable)?;
    let bytes = usize::try_from(unit.register_bytes).map_err(|_| UnitFault::Unmappable)?;
    let unit = Seen {
        // SAFETY: `map` gave a page-aligned, uncached mapping of this many bytes, which it never takes back.
        registers: unsafe { Registers::new(base, bytes) },
        vendor: unit.vendor,
        absent,
    };
    let judged = unit.judge();
    if judged.is_err() && sabotage!(BELIEVE_UNIT) {
        return Ok((Capabilities::default(), Place::Seen(unit)));
    }
    Ok((judged?, Place::Seen(unit)))
}

/// Reads the capability that the table names.
fn header(
    segment: u16,
    device_id: u16,
    offset: u16,
    config: &dyn ConfigAccess,
) -> Result<amd_vi::Header, UnitFault> {
    let inside = (0x40..=0x100 - 12).contains(&offset) && offset.is_multiple_of(4);
    if !inside {
        return Err(UnitFault::Capability);
    }
    let bdf = Bdf::from_u32(u32::from(segment) << 16 | u32::from(device_id));
    Ok(amd_vi::Header {
        header: config.read32(bdf, offset),
        base_low: config.read32(bdf, offset + 4),
        base_high: config.read32(bdf, offset + 8),
    })
}

#[cfg(test)]
mod amd_tests;
#[cfg(test)]
mod forgetting_tests;
#[cfg(test)]
mod recall;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unit_tests;
#[cfg(test)]
mod virtio_model;
#[cfg(test)]
mod virtio_tests;
