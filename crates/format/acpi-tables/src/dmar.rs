//! Intel's DMA remapping table (VT-d Specification 4.1, chapter 8).

use crate::{Rule, Signature, Table, TableError};
use decode::next_structure;
use le::checked;

mod decode;
mod scope;

pub use scope::{DeviceScope, PathStep, ScopeKind, Scopes};

/// Bytes before the first structure.
const FIXED_BYTES: usize = 48;
/// Type and length, both 16 bits.
const STRUCTURE_HEADER_BYTES: usize = 4;
/// Most remapping units that a table may list.
pub const MAX_REMAPPING_UNITS: usize = 64;
/// Most structures of all kinds, and most device scopes in all of them together.
const MAX_STRUCTURES: usize = 4096;
const MAX_SCOPES: usize = 8192;

const FLAG_INTERRUPT_REMAPPING: u8 = 1;
const FLAG_X2APIC_OPT_OUT: u8 = 1 << 1;
const FLAG_DMA_OPT_IN: u8 = 1 << 2;

/// A remapping unit (DRHD).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemappingUnit<'a> {
    /// The segment group it serves.
    pub segment: u16,
    /// Physical address of its registers, never 0, a multiple of 4 KiB.
    pub base: u64,
    /// Pages of registers, a power of two.
    pub register_pages: u32,
    /// It serves every function of its segment that no other unit lists.
    pub include_all: bool,
    /// The devices it serves; with `include_all`, only those that are no PCI functions.
    pub scopes: Scopes<'a>,
}

/// A range of memory that firmware lets devices use (RMRR).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReservedMemory<'a> {
    /// The segment group of the devices.
    pub segment: u16,
    /// First byte, a multiple of 4 KiB.
    pub base: u64,
    /// Last byte, the last of a page and above `base`.
    pub limit: u64,
    /// The devices, one at least.
    pub scopes: Scopes<'a>,
}

/// What a structure that is only a list of devices says about them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceListKind {
    /// Root ports with address translation services (ATSR).
    RootPorts,
    /// Devices in the root complex with a translation cache (SATC).
    TranslationCaches,
    /// Properties of devices in the root complex (SIDP).
    IntegratedProperties,
}

/// A structure that is a list of devices of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceList<'a> {
    /// What is said about them.
    pub kind: DeviceListKind,
    /// The segment group.
    pub segment: u16,
    /// For root ports: every one of the segment is meant. For translation caches: they are required to work.
    pub flag: bool,
    /// The devices.
    pub scopes: Scopes<'a>,
}

/// One structure of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmarStructure<'a> {
    /// Type 0.
    Unit(RemappingUnit<'a>),
    /// Type 1.
    Reserved(ReservedMemory<'a>),
    /// Types 2, 5 and 6.
    Devices(DeviceList<'a>),
    /// Type 3: the unit at `base` is near a memory node.
    Affinity {
        /// Physical address of the unit's registers.
        base: u64,
        /// The proximity domain.
        domain: u32,
    },
    /// Type 4: a device that only AML knows by name.
    NamedDevice {
        /// Its number, by which scopes refer to it.
        number: u8,
        /// Its name, without the terminating zero.
        name: &'a [u8],
    },
    /// A type that this crate does not decode.
    Unknown(u16),
}

/// How many structures of each kind a table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DmarCounts {
    /// Remapping units (DRHD).
    pub remapping_units: usize,
    /// Memory ranges that firmware keeps using (RMRR).
    pub reserved_ranges: usize,
    /// Root ports with address translation services (ATSR).
    pub root_port_services: usize,
    /// Affinities of units to memory nodes (RHSA).
    pub affinities: usize,
    /// Devices known only by an ACPI name (ANDD).
    pub named_devices: usize,
    /// Lists of translation caches (SATC).
    pub translation_caches: usize,
    /// Lists of device properties (SIDP).
    pub integrated_properties: usize,
    /// Structures of a type that is not decoded.
    pub unknown: usize,
    /// Device scopes in all structures.
    pub scopes: usize,
}

/// A checked DMAR table: every structure and every scope decodes.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    structures: &'a [u8],
    host_address_bits: u16,
    flags: u8,
    counts: DmarCounts,
}

impl<'a> Dmar<'a> {
    /// Checks the table, its structures and their device scopes.
    ///
    /// # Errors
    /// As [`Table::parse`], and
    /// - `EntryLength`: a structure or scope shorter than its fixed fields, or a path of half a step;
    /// - `EntryOverrun`: a structure reaches past the table, a scope past its structure;
    /// - `Address`: registers at 0, misaligned or above 52 bits; a reserved range that is misaligned or ends before it
    ///   starts;
    /// - `Field`: a device above 31 or a function above 7 in a path; a reserved range for no device; a name without
    ///   end; a host address width above 64 bits;
    /// - `Overlap`: two units share registers, or serve all of one segment;
    /// - `Order`: a unit of a segment after the one that serves all the rest of it;
    /// - `TooMany`: over 64 units, 4096 structures or 8192 scopes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::DMAR)?.at_least(FIXED_BYTES)?;
        let bytes = table.bytes();
        let truncated = table.error(Rule::Truncated);
        let host_address_bits = u16::from(checked::u8(bytes, 36).ok_or(truncated)?) + 1;
        let flags = checked::u8(bytes, 37).ok_or(truncated)?;
        if host_address_bits > 64 {
            return Err(table.error(Rule::Field));
        }
        let structures = bytes.get(FIXED_BYTES..).unwrap_or_default();
        let mut dmar = Self {
            structures,
            host_address_bits,
            flags,
            counts: DmarCounts::default(),
        };
        let mut rest = structures;
        let mut visited = 0;
        let mut claims = [None; MAX_REMAPPING_UNITS];
        while !rest.is_empty() {
            let (structure, after) = next_structure(rest).map_err(|rule| table.error(rule))?;
            rest = after;
            visited += 1;
            dmar.counts.add(&structure);
            if visited > MAX_STRUCTURES || dmar.counts.scopes > MAX_SCOPES {
                return Err(table.error(Rule::TooMany));
            }
            if let DmarStructure::Unit(unit) = structure {
                claims_add(&mut claims, unit).map_err(|rule| table.error(rule))?;
            }
        }
        Ok(dmar)
    }

    /// Returns the widest address that a device may use, in bits: 1 to 64.
    pub fn host_address_bits(&self) -> u16 {
        self.host_address_bits
    }

    /// Whether the platform supports interrupt remapping.
    pub fn interrupt_remapping(&self) -> bool {
        self.flags & FLAG_INTERRUPT_REMAPPING != 0
    }

    /// Whether firmware asks not to turn x2APIC mode on.
    pub fn x2apic_opt_out(&self) -> bool {
        self.flags & FLAG_X2APIC_OPT_OUT != 0
    }

    /// Whether firmware asks to restrict DMA until the system says otherwise.
    pub fn dma_opt_in(&self) -> bool {
        self.flags & FLAG_DMA_OPT_IN != 0
    }

    /// Returns how many structures of each kind there are.
    pub fn counts(&self) -> DmarCounts {
        self.counts
    }

    /// Visits the structures in table order.
    pub fn structures(&self) -> DmarStructures<'a> {
        DmarStructures(self.structures)
    }

    /// Visits the remapping units in table order.
    pub fn units(&self) -> impl Iterator<Item = RemappingUnit<'a>> + 'a {
        self.structures().filter_map(|structure| match structure {
            DmarStructure::Unit(unit) => Some(unit),
            _ => None,
        })
    }

    /// Visits the reserved memory ranges in table order.
    pub fn reserved(&self) -> impl Iterator<Item = ReservedMemory<'a>> + 'a {
        self.structures().filter_map(|structure| match structure {
            DmarStructure::Reserved(range) => Some(range),
            _ => None,
        })
    }
}

impl RemappingUnit<'_> {
    fn end(&self) -> u64 {
        self.base + u64::from(self.register_pages) * 4096
    }

    /// Checks this unit against one that the table lists before it.
    fn compatible_with(&self, earlier: &Self) -> Result<(), Rule> {
        if self.base < earlier.end() && earlier.base < self.end() {
            return Err(Rule::Overlap);
        }
        match (
            self.segment == earlier.segment,
            earlier.include_all,
            self.include_all,
        ) {
            (true, true, true) => Err(Rule::Overlap),
            (true, true, false) => Err(Rule::Order),
            _ => Ok(()),
        }
    }
}

/// Notes a unit behind those that the table lists before it.
fn claims_add<'a>(
    claims: &mut [Option<RemappingUnit<'a>>],
    unit: RemappingUnit<'a>,
) -> Result<(), Rule> {
    for claim in claims {
        match claim {
            Some(earlier) => unit.compatible_with(earlier)?,
            None => {
                *claim = Some(unit);
                return Ok(());
            }
        }
    }
    Err(Rule::TooMany)
}

impl DmarCounts {
    fn add(&mut self, structure: &DmarStructure<'_>) {
        let (count, scopes) = match structure {
            DmarStructure::Unit(unit) => (&mut self.remapping_units, Some(unit.scopes)),
            DmarStructure::Reserved(range) => (&mut self.reserved_ranges, Some(range.scopes)),
            DmarStructure::Devices(list) => {
                let count = match list.kind {
                    DeviceListKind::RootPorts => &mut self.root_port_services,
                    DeviceListKind::TranslationCaches => &mut self.translation_caches,
                    DeviceListKind::IntegratedProperties => &mut self.integrated_properties,
                };
                (count, Some(list.scopes))
            }
            DmarStructure::Affinity { .. } => (&mut self.affinities, None),
            DmarStructure::NamedDevice { .. } => (&mut self.named_devices, None),
            DmarStructure::Unknown(_) => (&mut self.unknown, None),
        };
        *count += 1;
        self.scopes += scopes.map_or(0, Iterator::count);
    }
}

/// The walk over the structures of a [`Dmar`].
#[derive(Clone, Debug)]
pub struct DmarStructures<'a>(&'a [u8]);

impl<'a> Iterator for DmarStructures<'a> {
    type Item = DmarStructure<'a>;

    fn next(&mut self) -> Option<DmarStructure<'a>> {
        // `parse` saw every structure decode, so an error here only ends the walk.
        let (structure, rest) = next_structure(self.0).ok()?;
        self.0 = rest;
        Some(structure)
    }
}

/// Reads type and length of the structure at the start of `bytes` and splits it off.
fn split(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), Rule> {
    let (Some(kind), Some(length)) = (checked::u16(bytes, 0), checked::u16(bytes, 2)) else {
        return Err(Rule::EntryOverrun);
    };
    let length = usize::from(length);
    if length < STRUCTURE_HEADER_BYTES {
        return Err(Rule::EntryLength);
    }
    let (structure, rest) = bytes.split_at_checked(length).ok_or(Rule::EntryOverrun)?;
    Ok((kind, structure, rest))
}

#[cfg(test)]
mod tests;
