//! From the bytes of one structure to its value.

use super::scope::{Scopes, check_scopes};
use super::{DeviceList, DeviceListKind, DmarStructure, RemappingUnit, ReservedMemory, split};
use crate::Rule;
use le::checked;

const UNIT_BYTES: usize = 16;
const RESERVED_BYTES: usize = 24;
const LIST_BYTES: usize = 8;
const AFFINITY_BYTES: usize = 20;
const NAMED_BYTES: usize = 8;

/// INCLUDE_PCI_ALL of a unit, ALL_PORTS of a list of root ports, ATC_REQUIRED of one of translation caches.
const FLAG_ALL: u8 = 1;
const PAGE_MASK: u64 = 0xfff;

/// Splits the first structure off and decodes it.
pub(super) fn next_structure(bytes: &[u8]) -> Result<(DmarStructure<'_>, &[u8]), Rule> {
    let (kind, structure, rest) = split(bytes)?;
    let decoded = match kind {
        0 => unit(structure)?,
        1 => reserved(structure)?,
        2 => list(DeviceListKind::RootPorts, structure)?,
        3 => affinity(structure)?,
        4 => named(structure)?,
        5 => list(DeviceListKind::TranslationCaches, structure)?,
        6 => list(DeviceListKind::IntegratedProperties, structure)?,
        other => DmarStructure::Unknown(other),
    };
    Ok((decoded, rest))
}

fn scopes(structure: &[u8], from: usize) -> Result<Scopes<'_>, Rule> {
    let bytes = structure.get(from..).ok_or(Rule::EntryLength)?;
    check_scopes(bytes)
}

/// DRHD (8.3).
fn unit(structure: &[u8]) -> Result<DmarStructure<'_>, Rule> {
    let short = Rule::EntryLength;
    let base = checked::u64(structure, 8).ok_or(short)?;
    // 2 to the power of this is the number of pages; zero before revision 4 of the specification.
    let register_pages = 1 << (checked::u8(structure, 5).ok_or(short)? & 0xf);
    let end = base.checked_add(u64::from(register_pages) * 4096);
    let fits = end.is_some_and(|end| end <= 1 << units::PHYS_ADDR_BITS);
    if base == 0 || base & PAGE_MASK != 0 || !fits {
        return Err(Rule::Address);
    }
    Ok(DmarStructure::Unit(RemappingUnit {
        segment: checked::u16(structure, 6).ok_or(short)?,
        base,
        register_pages,
        include_all: checked::u8(structure, 4).ok_or(short)? & FLAG_ALL != 0,
        scopes: scopes(structure, UNIT_BYTES)?,
    }))
}

/// RMRR (8.4).
fn reserved(structure: &[u8]) -> Result<DmarStructure<'_>, Rule> {
    let short = Rule::EntryLength;
    let (base, limit) = (
        checked::u64(structure, 8).ok_or(short)?,
        checked::u64(structure, 16).ok_or(short)?,
    );
    let scopes = scopes(structure, RESERVED_BYTES)?;
    if base & PAGE_MASK != 0
        || limit & PAGE_MASK != PAGE_MASK
        || limit < base
        || limit >> units::PHYS_ADDR_BITS != 0
    {
        return Err(Rule::Address);
    }
    if { scopes }.next().is_none() {
        return Err(Rule::Field);
    }
    Ok(DmarStructure::Reserved(ReservedMemory {
        segment: checked::u16(structure, 6).ok_or(short)?,
        base,
        limit,
        scopes,
    }))
}

/// ATSR (8.5), SATC (8.8), SIDP (8.9).
fn list(kind: DeviceListKind, structure: &[u8]) -> Result<DmarStructure<'_>, Rule> {
    let short = Rule::EntryLength;
    Ok(DmarStructure::Devices(DeviceList {
        kind,
        segment: checked::u16(structure, 6).ok_or(short)?,
        flag: checked::u8(structure, 4).ok_or(short)? & FLAG_ALL != 0,
        scopes: scopes(structure, LIST_BYTES)?,
    }))
}

/// RHSA (8.6).
fn affinity(structure: &[u8]) -> Result<DmarStructure<'_>, Rule> {
    let short = Rule::EntryLength;
    if structure.len() != AFFINITY_BYTES {
        return Err(short);
    }
    Ok(DmarStructure::Affinity {
        base: checked::u64(structure, 8).ok_or(short)?,
        domain: checked::u32(structure, 16).ok_or(short)?,
    })
}

/// ANDD (8.7).
fn named(structure: &[u8]) -> Result<DmarStructure<'_>, Rule> {
    let name = structure.get(NAMED_BYTES..).ok_or(Rule::EntryLength)?;
    let end = name.iter().position(|byte| *byte == 0).ok_or(Rule::Field)?;
    Ok(DmarStructure::NamedDevice {
        number: checked::u8(structure, 7).ok_or(Rule::EntryLength)?,
        name: name.get(..end).unwrap_or_default(),
    })
}
