//! The facts of the boot scan.

use core::fmt;

use evidence::fact;
use pci_format::{
    BarKind, BarSet, BridgeFault, BusNumbers, FunctionInfo, FunctionReset, HeaderKind, Msix,
    QuiesceReport, Quieted, Scan,
};
use units::Bdf;

use crate::{BridgeSeen, Topology};

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

/// States one bridge with its bus numbers.
///
/// # Errors
/// Those of `sink`.
pub fn write_bridge(sink: &mut dyn fmt::Write, bridge: &BridgeSeen) -> fmt::Result {
    evidence::write_fact(sink, "pci.bridge")
        .stable("at", format_args!("{}", bridge.numbers.bdf))
        .stable("secondary", u32::from(bridge.numbers.secondary))
        .stable("subordinate", u32::from(bridge.numbers.subordinate))
        .stable("fault", bridge.fault.map_or("none", |fault| fault.name()))
        .end()
}

/// States what one function says of itself: identity, BARs with kind and size, MSI-X table.
///
/// # Errors
/// Those of `sink`.
pub fn write_function(
    sink: &mut dyn fmt::Write,
    info: &FunctionInfo,
    bars: &BarSet,
    msix: Option<&Msix>,
    reset: Option<FunctionReset>,
) -> fmt::Result {
    let header = match info.header {
        HeaderKind::Endpoint => "endpoint",
        HeaderKind::Bridge => "bridge",
        HeaderKind::CardBus => "cardbus",
        HeaderKind::Unknown(_) => "unknown",
    };
    let reset = match reset {
        None => "none",
        Some(FunctionReset::Express(_)) => "flr",
        Some(FunctionReset::Advanced(_)) => "af-flr",
    };
    evidence::write_fact(sink, "pci.function")
        .stable("at", format_args!("{}", info.bdf))
        .stable("id", format_args!("{}", info.id))
        .stable("class", format_args!("{}", info.class))
        .stable("header", header)
        .stable("bars", format_args!("{}", Bars(bars)))
        .stable("msix", msix.map_or(0, |msix| u32::from(msix.vectors)))
        .stable("table", format_args!("{}", Table(msix)))
        .stable("reset", reset)
        .end()
}

/// BARs as `0:mem64p:16384,4:io:32`.
struct Bars<'a>(&'a BarSet);

impl fmt::Display for Bars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, bar) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            let kind = match bar.kind {
                BarKind::Io => "io",
                BarKind::Memory32 => "mem32",
                BarKind::Memory64 => "mem64",
            };
            let prefetchable = if bar.prefetchable { "p" } else { "" };
            let (index, bytes) = (bar.index, bar.size_bytes);
            write!(f, "{comma}{index}:{kind}{prefetchable}:{bytes}")?;
        }
        Ok(())
    }
}

/// Where the MSI-X table is, as `0+8192`.
struct Table<'a>(Option<&'a Msix>);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(msix) => write!(f, "{}+{}", msix.table.bar, msix.table.offset),
            None => Ok(()),
        }
    }
}
