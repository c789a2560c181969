//! The facts of the boot scan.

use core::fmt;

use evidence::fact;
use pci_format::{BridgeFault, BusNumbers, QuiesceReport, Quieted, Scan};
use units::Bdf;

use crate::Topology;

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

pub(crate) fn write_access(sink: &mut dyn fmt::Write, topology: &Topology) -> fmt::Result {
    evidence::write_fact(sink, "pci.access")
        .stable("windows", topology.through_windows.len())
        .stable("ports", topology.through_ports.len())
        .stable("disagreeing", topology.disagreeing.len())
        .stable("skipped", topology.skipped)
        .end()
}

pub(crate) fn write_bridge_refused(
    sink: &mut dyn fmt::Write,
    bridge: &BusNumbers,
    fault: BridgeFault,
) -> fmt::Result {
    evidence::write_fact(sink, "pci.bridge-refused")
        .stable("bridge", format_args!("{}", bridge.bdf))
        .stable("rule", fault.name())
        .stable("secondary", u32::from(bridge.secondary))
        .stable("subordinate", u32::from(bridge.subordinate))
        .end()
}

pub(crate) fn write_ambiguous(sink: &mut dyn fmt::Write, bdf: Bdf, bridge: Bdf) -> fmt::Result {
    evidence::write_fact(sink, "pci.ambiguous")
        .stable("function", format_args!("{bdf}"))
        .stable("bridge", format_args!("{bridge}"))
        .end()
}
