//! The facts about remapping units.

use core::fmt;

use evidence::Hex;
use iommu_format::{Coverage, Discovery, Record, UnitRecord, UnitStatus};
use iommu_tables::vtd;
use units::Bdf;

use crate::{NotOn, Unit};

/// States how the search for units ended.
///
/// # Errors
/// Those of `sink`.
pub fn write_table(sink: &mut dyn fmt::Write, record: &Record) -> fmt::Result {
    let line = evidence::write_fact(sink, "iommu.table").stable("state", record.discovery.label());
    let line = match record.discovery {
        Discovery::Malformed(error) => {
            let table = error.table.as_bytes();
            let table = core::str::from_utf8(&table).unwrap_or("");
            line.stable("table", table)
                .stable("rule", error.rule.name())
        }
        Discovery::Unsupported(why) => line.stable("rule", why.name()),
        Discovery::Absent | Discovery::Capped | Discovery::Listed => line,
    };
    line.stable("units", record.units.len())
        .stable("scopes", record.scopes.len())
        .stable("ranges", record.ranges.len())
        .stable("unknown", record.unknown)
        .end()
}

/// States what is known of one unit.
///
/// # Errors
/// Those of `sink`.
pub fn write_unit(sink: &mut dyn fmt::Write, number: usize, unit: &UnitRecord) -> fmt::Result {
    let line = evidence::write_fact(sink, "iommu.unit")
        .stable("number", number)
        .stable("kind", unit.vendor.name())
        .stable("segment", u32::from(unit.segment))
        .stable("serves_rest", unit.include_all)
        .volatile("base", Hex(unit.base));
    match unit.status {
        UnitStatus::Unread => line.stable("status", "unread").end(),
        UnitStatus::Refused(fault) => line
            .stable("status", "refused")
            .stable("rule", fault.name())
            .end(),
        UnitStatus::Verified(found) => line
            .stable("status", "verified")
            .stable(
                "version",
                format_args!("{}.{}", found.version.0, found.version.1),
            )
            .stable("address_bits", u32::from(found.address_bits))
            .stable("domains", found.domains)
            .stable("translating", found.translating)
            .end(),
    }
}

/// States how many functions the units serve.
///
/// # Errors
/// Those of `sink`.
pub fn write_coverage(sink: &mut dyn fmt::Write, coverage: Coverage) -> fmt::Result {
    evidence::write_fact(sink, "iommu.coverage")
        .stable("functions", coverage.functions)
        .stable("covered", coverage.covered)
        .stable("uncovered", coverage.uncovered)
        .stable("uncertain", coverage.uncertain)
        .end()
}

/// States whether a unit is on.
///
/// # Errors
/// Those of `sink`.
pub fn write_on(
    sink: &mut dyn fmt::Write,
    number: u8,
    outcome: Result<&Unit, NotOn>,
) -> fmt::Result {
    let line = evidence::write_fact(sink, "iommu.on").stable("number", u32::from(number));
    match outcome {
        Ok(unit) => {
            let line = line.stable("state", "translating");
            match unit.levels() {
                Some(levels) => line.stable("levels", u32::from(levels.count())).end(),
                None => line.end(),
            }
        }
        Err(why) => line
            .stable("state", "failed")
            .stable("reason", why.name())
            .end(),
    }
}

/// A request that a unit refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Requester id.
    pub source: u16,
    /// Why, by the name that evidence lines use.
    pub reason: &'static str,
    /// What was asked for.
    pub wanted: Wanted,
}

/// What a refused request asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Memory.
    Memory {
        /// Page that was asked for; an address of the domain, never one of memory.
        iova: u64,
        /// To do what, as far as the unit says it.
        request: &'static str,
    },
    /// An interrupt, by the number of an entry.
    Interrupt(u16),
}

impl From<vtd::FaultRecord> for Fault {
    fn from(record: vtd::FaultRecord) -> Self {
        Self {
            source: record.source,
            reason: record.reason.name(),
            wanted: match record.fault {
                vtd::Fault::Memory { iova, request } => Wanted::Memory {
                    iova,
                    request: request.name(),
                },
                vtd::Fault::Interrupt { index } => Wanted::Interrupt(index),
            },
        }
    }
}

/// States a request that a unit refused. Its address is one of the device's, never of memory.
///
/// # Errors
/// Those of `sink`.
pub fn write_fault(sink: &mut dyn fmt::Write, segment: u16, fault: &Fault) -> fmt::Result {
    let source = Bdf::from_u32(u32::from(segment) << 16 | u32::from(fault.source));
    let line = evidence::write_fact(sink, "iommu.fault")
        .stable("source", format_args!("{source}"))
        .stable("reason", fault.reason);
    match fault.wanted {
        Wanted::Memory { iova, request } => line
            .stable("request", request)
            .volatile("iova", Hex(iova))
            .end(),
        Wanted::Interrupt(index) => line
            .stable("request", "interrupt")
            .volatile("index", u32::from(index))
            .end(),
    }
}
