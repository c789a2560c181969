//! The facts about remapping units.

use core::fmt;

use evidence::Hex;
use iommu_format::{Coverage, Discovery, Record, UnitRecord, UnitStatus};

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
