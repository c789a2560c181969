//! A look at the registers of remapping units.
//!
//! Owns: the mappings of the units' registers, and the few reads that tell whether a unit is what firmware's table says
//! it is. Invariant: this crate never writes a register, never reads one that `iommu_format` does not name, and never
//! decides what a unit is used for.
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

mod facts;

use alloc::vec::Vec;

use iommu_format::{
    Capabilities, Discovery, Record, UnitFault, UnitRecord, UnitStatus, Vendor, amd, intel,
};
use mmio::Registers;
use pci_format::ConfigAccess;
use sabotage::sabotage;
use units::Bdf;

pub use facts::{write_coverage, write_table, write_unit};

/// Maps registers for the kernel, uncached, for good; `None` when it cannot.
pub type MapFn = fn(physical: u64, bytes: u64) -> Option<*mut u8>;

/// The mapped registers of the units of a record, by their place in it.
#[derive(Debug, Default)]
pub struct Units(Vec<Option<Unit>>);

/// One unit's registers.
#[derive(Debug)]
struct Unit {
    registers: Registers,
    vendor: Vendor,
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
        config: &dyn ConfigAccess,
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
                Ok((found, registers)) => (UnitStatus::Verified(found), Some(registers)),
                Err(fault) => (UnitStatus::Refused(fault), None),
            };
            unit.status = status;
            all.push(registers);
        }
        Self(all)
    }

    /// Reads what a verified unit says now; `None` for any other.
    pub fn status(&self, unit: usize) -> Option<Status> {
        let unit = self.0.get(unit)?.as_ref()?;
        match unit.vendor {
            Vendor::Intel => {
                let status = unit.intel(intel::Register::GlobalStatus)?;
                Some(Status {
                    translating: status & 1 << 31 != 0,
                    faults: unit.intel(intel::Register::FaultStatus)?,
                })
            }
            Vendor::Amd { .. } => Some(Status {
                translating: unit.amd(amd::Register::Control)? & 1 != 0,
                faults: unit.amd(amd::Register::Status)?,
            }),
        }
    }
}

impl Unit {
    fn intel(&self, register: intel::Register) -> Option<u64> {
        let at = register.offset();
        match register.width() {
            8 => self.registers.read64(at).ok(),
            _ => self.registers.read32(at).ok().map(u64::from),
        }
    }

    fn amd(&self, register: amd::Register) -> Option<u64> {
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
            Vendor::Amd { .. } => amd::judge(&amd::Values {
                control: self.amd(amd::Register::Control).ok_or(outside)?,
                features: self.amd(amd::Register::ExtendedFeatures).ok_or(outside)?,
            }),
        }
    }
}

fn look_at(
    unit: &UnitRecord,
    config: &dyn ConfigAccess,
    map: MapFn,
    in_memory: &dyn Fn(u64, u64) -> bool,
) -> Result<(Capabilities, Unit), UnitFault> {
    if in_memory(unit.base, unit.register_bytes) {
        return Err(UnitFault::InMemory);
    }
    if let Vendor::Amd {
        device_id,
        capability_offset,
    } = unit.vendor
    {
        amd::judge_header(
            &header(unit.segment, device_id, capability_offset, config)?,
            unit.base,
        )?;
    }
    let base = map(unit.base, unit.register_bytes).ok_or(UnitFault::Unmappable)?;
    let bytes = usize::try_from(unit.register_bytes).map_err(|_| UnitFault::Unmappable)?;
    let unit = Unit {
        // SAFETY: `map` gave a page-aligned, uncached mapping of this many bytes, which it never takes back.
        registers: unsafe { Registers::new(base, bytes) },
        vendor: unit.vendor,
    };
    let judged = unit.judge();
    if judged.is_err() && sabotage!(BELIEVE_UNIT) {
        return Ok((Capabilities::default(), unit));
    }
    Ok((judged?, unit))
}

/// Reads the capability that the table names.
fn header(
    segment: u16,
    device_id: u16,
    offset: u16,
    config: &dyn ConfigAccess,
) -> Result<amd::Header, UnitFault> {
    let inside = (0x40..=0x100 - 12).contains(&offset) && offset.is_multiple_of(4);
    if !inside {
        return Err(UnitFault::Capability);
    }
    let bdf = Bdf::from_u32(u32::from(segment) << 16 | u32::from(device_id));
    Ok(amd::Header {
        header: config.read32(bdf, offset),
        base_low: config.read32(bdf, offset + 4),
        base_high: config.read32(bdf, offset + 8),
    })
}

#[cfg(test)]
mod tests;
