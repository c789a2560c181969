//! What `MachineInspector` says of firmware's tables and of remapping units: copies of the kernel's own records.

use alloc::vec::Vec;

use acpi_tables::Signature;
use frames::Grow;
use iommu_format::{Coverage, Prerequisite, UnitStatus};
use ring_abi::Refusal;
use schema::diagnostics::machine_inspector as wire;

use crate::acpi::{Fate, with_record};
use crate::iommu;

fn packed(signature: Signature) -> u32 {
    u32::from_le_bytes(signature.as_bytes())
}

/// The tables that firmware lists, then any other that was refused.
///
/// # Errors
/// `OverBudget`.
pub fn tables() -> Result<Vec<wire::Table<'static>>, Refusal> {
    let all = with_record(|record| {
        let mut all: Vec<wire::Table<'static>> = Vec::new();
        for table in &record.tables {
            let (fate, rule) = match table.fate {
                Fate::Unused => (wire::Fate::Unused, ""),
                Fate::Read => (wire::Fate::Read, ""),
                Fate::Refused(rule) => (wire::Fate::Refused, rule.name()),
            };
            all.add(wire::Table {
                signature: packed(table.signature),
                length_bytes: table.length_bytes,
                fate,
                rule,
            })?;
        }
        for error in &record.refused {
            if !record.tables.iter().any(|t| t.signature == error.table) {
                all.add(wire::Table {
                    signature: packed(error.table),
                    length_bytes: 0,
                    fate: wire::Fate::Refused,
                    rule: error.rule.name(),
                })?;
            }
        }
        Ok(all)
    });
    all.unwrap_or(Ok(Vec::new()))
}

/// How devices reach memory, and why not otherwise.
pub fn translation() -> Option<wire::Translation<'static>> {
    let decision = iommu::decision()?;
    let (discovery, coverage): (&str, Coverage) =
        iommu::with_record(|record, coverage| (record.discovery.label(), coverage))?;
    Some(wire::Translation {
        backend: decision.backend.name(),
        reason: decision.reason(),
        policy: decision.policy.name(),
        discovery,
        missing: decision.missing.map_or("", Prerequisite::name),
        functions: coverage.functions,
        covered: coverage.covered,
        uncovered: coverage.uncovered,
        uncertain: coverage.uncertain,
    })
}

/// The remapping units, in table order.
///
/// # Errors
/// `OverBudget`.
pub fn units() -> Result<Vec<wire::Unit<'static>>, Refusal> {
    let records = iommu::with_record(|record, _| frames::list(record.units.iter().cloned()));
    let records = records.unwrap_or(Ok(Vec::new()))?;
    let said = records.iter().enumerate().map(|(number, unit)| {
        let now = iommu::status(number);
        let work = iommu::work_of(number);
        let done = work.unwrap_or_default();
        let (state, fault, can) = match unit.status {
            UnitStatus::Unread => (wire::UnitState::Unread, "", None),
            UnitStatus::Refused(fault) => (wire::UnitState::Refused, fault.name(), None),
            UnitStatus::Verified(can) => (wire::UnitState::Verified, "", Some(can)),
        };
        let can = can.unwrap_or_default();
        wire::Unit {
            vendor: unit.vendor.name(),
            segment: unit.segment,
            include_all: unit.include_all,
            state,
            fault,
            major: can.version.0,
            minor: can.version.1,
            address_bits: can.address_bits,
            domains: can.domains,
            interrupt_remapping: can.interrupt_remapping,
            queued_invalidation: can.queued_invalidation,
            translating: now.as_ref().is_some_and(|now| now.translating),
            faults: now.map_or(0, |now| now.faults),
            on: work.is_some(),
            in_use: done.domains,
            mapped_pages: done.pages,
            entries: done.entries,
            refused: done.refused,
        }
    });
    frames::list(said)
}
