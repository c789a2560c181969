//! The facts of the boot scan.

use core::fmt;

use evidence::fact;
use pci_format::{QuiesceReport, Quieted, Scan};

const fn fate(one: Quieted) -> &'static str {
    match one {
        Quieted::Absent => "absent",
        Quieted::WasOff => "was-off",
        Quieted::Cleared => "cleared",
        Quieted::Stuck => "stuck",
        Quieted::Left => "left",
    }
}

pub(crate) fn write_scan(sink: &mut dyn fmt::Write, scan: Scan) -> fmt::Result {
    fact!(
        sink,
        "pci.scan",
        buses = u32::from(scan.buses),
        functions = scan.functions
    )
}

/// States what was found and done at one function.
///
/// # Errors
/// Those of `sink`.
pub fn write_quiesced(sink: &mut dyn fmt::Write, report: &QuiesceReport) -> fmt::Result {
    let line = evidence::write_fact(sink, "pci.quiesced")
        .stable("function", format_args!("{}", report.bdf))
        .stable("bus-master", fate(report.bus_master))
        .stable("intx", fate(report.intx))
        .stable("msi", fate(report.msi))
        .stable("msix", fate(report.msix))
        .stable("option-rom", fate(report.option_rom));
    match report.capabilities {
        Ok(()) => line.end(),
        Err(error) => line.stable("capabilities", error.rule.name()).end(),
    }
}
