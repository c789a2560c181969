//! What DMAR, IVRS and VIOT say, kept for as long as the system runs.

use acpi_tables::{
    DeviceEntryKind, DeviceScope, Dmar, DmarStructure, Ivrs, IvrsBlock, Rule, ScopeKind, Scopes,
    SpecialDevice, TableError, Viot,
};
use alloc::vec::Vec;
use pci_format::{BusNumbers, follow};
use units::Bdf;

use crate::{UnitRecord, UnitStatus, Vendor};

/// Most units that are kept.
pub const MAX_UNITS: usize = 16;
/// Most device scopes that are kept, of all units and ranges together.
pub const MAX_SCOPES: usize = 512;
/// Most reserved memory ranges that are kept.
pub const MAX_RANGES: usize = 64;

/// Bytes of an AMD unit's registers that are looked at: up to the status register (3.4).
const AMD_REGISTER_BYTES: u64 = 0x4000;

/// Why tables that are well formed are of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsupported {
    /// There are two of DMAR, IVRS and VIOT: which one is true of a function is not certain.
    BothVendors,
    /// The table lists no unit.
    NoUnit,
    /// A unit's list of devices has an entry of a type that is not known: what it covers is not certain.
    UnknownScope,
    /// A unit serves functions of several segments: it is known by one.
    Segments,
}

impl Unsupported {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BothVendors => "both-vendors",
            Self::NoUnit => "no-unit",
            Self::UnknownScope => "unknown-scope",
            Self::Segments => "segments",
        }
    }
}

/// How the search for remapping units ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discovery {
    /// Neither table is there.
    Absent,
    /// A table broke a rule, and nothing of it counts.
    Malformed(TableError),
    /// The tables are well formed and of no use.
    Unsupported(Unsupported),
    /// There is more than is kept; what is kept is incomplete, so it is not used.
    Capped,
    /// Everything is kept.
    Listed,
}

impl Discovery {
    /// Returns the name used in evidence lines.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent-blocked",
            Self::Malformed(_) => "malformed-fail-closed",
            Self::Unsupported(_) => "unsupported-fail-closed",
            Self::Capped => "retained-capped-fail-closed",
            Self::Listed => "listed",
        }
    }
}

/// Which devices a scope means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScopeTarget {
    /// One function.
    Function(Bdf),
    /// A bridge and everything below it.
    Below(Bdf),
    /// The functions with these requester ids, first and last.
    Requesters(u16, u16),
    /// The functions with these requester ids, first and last, whose requests carry the third id instead.
    Aliased(u16, u16, u16),
    /// The functions with these requester ids, first and last, and what a virtio-iommu calls the first of them.
    Endpoints(u16, u16, u32),
    /// The I/O APIC of this id, whose messages carry this requester id.
    IoApic(u8, u16),
    /// Something else that is no PCI function: an HPET, a device with an ACPI name, an I/O APIC on a path that leads nowhere.
    Other,
    /// A path that leads nowhere: there is no such device, or a bridge on the way is not to be believed.
    Unresolved,
}

/// One scope as the record keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScopeRecord {
    /// The unit, by its place in [`Record::units`]; `None` for the scope of a reserved range.
    pub unit: Option<u8>,
    /// What it means.
    pub target: ScopeTarget,
}

/// A range of memory with rules of its own for some devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeRecord {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub last: u64,
}

/// The tables that firmware may have, each as its reader found it; `None` is one that is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirmwareTables<'a> {
    /// Intel's.
    pub dmar: Option<Result<Dmar<'a>, TableError>>,
    /// AMD's.
    pub ivrs: Option<Result<Ivrs<'a>, TableError>>,
    /// A hypervisor's.
    pub viot: Option<Result<Viot<'a>, TableError>>,
}

/// Everything that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// How the search ended.
    pub discovery: Discovery,
    /// The units, in table order.
    pub units: Vec<UnitRecord>,
    /// Which devices they serve.
    pub scopes: Vec<ScopeRecord>,
    /// Reserved ranges.
    pub ranges: Vec<RangeRecord>,
    /// Structures or entries of a type that is not decoded, and was skipped.
    pub unknown: usize,
    /// Firmware says that interrupts can be remapped. AMD's table has no word on it: every unit can. A virtio-iommu cannot.
    pub interrupts: bool,
}

impl Record {
    /// The record of a machine without tables.
    pub const ABSENT: Self = Self {
        discovery: Discovery::Absent,
        units: Vec::new(),
        scopes: Vec::new(),
        ranges: Vec::new(),
        unknown: 0,
        interrupts: false,
    };

    /// Keeps what the tables say; `Err` is a table that is there and broke a rule. Paths are followed through
    /// `bridges`.
    pub fn new(tables: FirmwareTables<'_>, bridges: &[BusNumbers]) -> Self {
        let mut record = Self::ABSENT;
        let FirmwareTables { dmar, ivrs, viot } = tables;
        record.discovery = match (dmar, ivrs, viot) {
            (None, None, None) => Discovery::Absent,
            (Some(Err(error)), ..) | (_, Some(Err(error)), _) | (.., Some(Err(error))) => {
                match error.rule {
                    Rule::TooMany => Discovery::Capped,
                    _ => Discovery::Malformed(error),
                }
            }
            (Some(Ok(dmar)), None, None) => record.keep_dmar(&dmar, bridges),
            (None, Some(Ok(ivrs)), None) => record.keep_ivrs(&ivrs),
            (None, None, Some(Ok(viot))) => record.keep_viot(&viot),
            _ => Discovery::Unsupported(Unsupported::BothVendors),
        };
        record
    }

    fn keep_dmar(&mut self, dmar: &Dmar<'_>, bridges: &[BusNumbers]) -> Discovery {
        let mut all = true;
        let mut known = true;
        self.interrupts = dmar.interrupt_remapping();
        for structure in dmar.structures() {
            match structure {
                DmarStructure::Unit(unit) => {
                    let number = self.add_unit(UnitRecord {
                        vendor: Vendor::Intel,
                        segment: unit.segment,
                        base: unit.base,
                        register_bytes: u64::from(unit.register_pages) * 4096,
                        include_all: unit.include_all,
                        status: UnitStatus::Unread,
                    });
                    all &= number.is_some();
                    known &= self.known(unit.scopes);
                    all &= self.add_scopes(number, unit.segment, unit.scopes, bridges);
                }
                DmarStructure::Reserved(range) => {
                    all &= self.add_range(range.base, range.limit);
                    all &= self.add_scopes(None, range.segment, range.scopes, bridges);
                }
                DmarStructure::Unknown(_) => self.unknown += 1,
                _ => {}
            }
        }
        self.outcome(all, known)
    }

    fn keep_ivrs(&mut self, ivrs: &Ivrs<'_>) -> Discovery {
        let mut all = true;
        let mut known = true;
        self.interrupts = true;
        for unit in ivrs.units() {
            let include_all = { unit.devices }.any(|entry| entry.kind == DeviceEntryKind::All);
            let number = self.add_unit(UnitRecord {
                vendor: Vendor::Amd {
                    device_id: unit.device_id,
                    capability_offset: unit.capability_offset,
                },
                segment: unit.segment,
                base: unit.base,
                register_bytes: AMD_REGISTER_BYTES,
                include_all,
                status: UnitStatus::Unread,
            });
            all &= number.is_some();
            for entry in unit.devices {
                let target = match entry.kind {
                    DeviceEntryKind::All => continue,
                    DeviceEntryKind::Range => ScopeTarget::Requesters(entry.first, entry.last),
                    DeviceEntryKind::Alias(id) => ScopeTarget::Aliased(entry.first, entry.last, id),
                    DeviceEntryKind::Special(SpecialDevice::IoApic(id)) => {
                        ScopeTarget::IoApic(id, entry.first)
                    }
                    DeviceEntryKind::Special(SpecialDevice::Hpet(_)) | DeviceEntryKind::Named => {
                        ScopeTarget::Other
                    }
                    DeviceEntryKind::Unknown(_) => {
                        known = false;
                        self.unknown += 1;
                        ScopeTarget::Unresolved
                    }
                };
                all &= self.add_scope(ScopeRecord {
                    unit: number,
                    target,
                });
            }
        }
        for block in ivrs.blocks() {
            match block {
                IvrsBlock::Memory(range) => {
                    let last = range.start + (range.length_bytes - 1);
                    all &= self.add_range(range.start, last);
                    let (first, last) = range.devices;
                    all &= self.add_scope(ScopeRecord {
                        unit: None,
                        target: ScopeTarget::Requesters(first, last),
                    });
                }
                IvrsBlock::Unknown(_) => self.unknown += 1,
                IvrsBlock::Unit(_) => {}
            }
        }
        self.outcome(all, known)
    }

    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "what was seen, not what to do"
    )]
    fn outcome(&self, all: bool, known: bool) -> Discovery {
        if !all {
            Discovery::Capped
        } else if !known {
            Discovery::Unsupported(Unsupported::UnknownScope)
        } else if self.units.is_empty() {
            Discovery::Unsupported(Unsupported::NoUnit)
        } else {
            Discovery::Listed
        }
    }

    /// Returns the unit's place; `None` where there is none left.
    fn add_unit(&mut self, unit: UnitRecord) -> Option<u8> {
        let number = u8::try_from(self.units.len()).ok()?;
        (self.units.len() < MAX_UNITS).then(|| {
            self.units.push(unit);
            number
        })
    }

    fn add_range(&mut self, start: u64, last: u64) -> bool {
        let fits = self.ranges.len() < MAX_RANGES;
        if fits {
            self.ranges.push(RangeRecord { start, last });
        }
        fits
    }

    fn add_scope(&mut self, scope: ScopeRecord) -> bool {
        let fits = self.scopes.len() < MAX_SCOPES;
        if fits {
            self.scopes.push(scope);
        }
        fits
    }

    fn add_scopes(
        &mut self,
        unit: Option<u8>,
        segment: u16,
        scopes: Scopes<'_>,
        bridges: &[BusNumbers],
    ) -> bool {
        let mut all = true;
        for scope in scopes {
            let target = resolve(segment, &scope, bridges);
            all &= self.add_scope(ScopeRecord { unit, target });
        }
        all
    }

    /// Whether every scope's type is known; counts those that are not.
    fn known(&mut self, scopes: Scopes<'_>) -> bool {
        let unknown = scopes
            .filter(|scope| matches!(scope.kind, ScopeKind::Unknown(_)))
            .count();
        self.unknown += unknown;
        unknown == 0
    }
}

fn resolve(segment: u16, scope: &DeviceScope<'_>, bridges: &[BusNumbers]) -> ScopeTarget {
    let path = scope.path().map(|step| (step.device, step.function));
    let follow = || follow(segment, scope.start_bus, path, bridges);
    match scope.kind {
        ScopeKind::Endpoint => follow().map_or(ScopeTarget::Unresolved, ScopeTarget::Function),
        ScopeKind::Hierarchy => follow().map_or(ScopeTarget::Unresolved, ScopeTarget::Below),
        ScopeKind::IoApic => follow().map_or(ScopeTarget::Other, |at| {
            ScopeTarget::IoApic(scope.enumeration_id, at.requester_id())
        }),
        ScopeKind::Hpet | ScopeKind::Named => ScopeTarget::Other,
        ScopeKind::Unknown(_) => ScopeTarget::Unresolved,
    }
}

mod viot;

#[cfg(test)]
mod tests;
