//! What processes are given: each its own, and the first one everything that the kernel has to give.

use alloc::sync::Arc;

use arrayvec::{ArrayString, ArrayVec};
use ipc::{Object, Process, Slot};
use plain_text::FilterMode;
use schema::sources::KernelSource;
use stub::Refusal;

use super::memory::Memory;
use super::served::object;
use super::{
    audit, console, device, graph, inspect, medium, process, reboot, system, time, trace, wall,
};
use crate::spawn::{Grant, MAX_GRANTS};

/// What every process has of its own. Who pays on this CPU pays for it.
///
/// # Errors
/// `OverBudget`, `NoMemory`.
pub fn own(process: &Arc<Process>) -> Result<[Grant; 2], Refusal> {
    Ok([
        named("vm", object(Memory::of(process))?),
        named("threads", object(process::Threads::of(process))?),
    ])
}

fn named(name: &str, slot: Slot) -> Grant {
    Grant {
        name: ArrayString::from(name).unwrap_or_default(),
        interface: slot.interface(),
        slot,
    }
}

/// Everything the kernel has to give, by the names of the manifest's kernel sources.
#[expect(
    clippy::disallowed_methods,
    reason = "boot: what the first process gets"
)]
pub fn for_init() -> ArrayVec<Grant, MAX_GRANTS> {
    let all = KernelSource::ALL.iter();
    all.map(|source| named(source.name(), serve(*source)))
        .take(MAX_GRANTS)
        .collect()
}

/// What nobody was to be given: the sabotage point "graph-for-everybody".
#[cfg(sabotage)]
pub fn graph() -> Grant {
    let source = KernelSource::SystemGraph;
    named(source.name(), serve(source))
}

/// The object behind a source.
fn serve(source: KernelSource) -> Slot {
    match source {
        KernelSource::Console => Object::kernel(console::Console::new(FilterMode::Text)),
        KernelSource::RawConsole => Object::kernel(console::Console::new(FilterMode::Raw)),
        KernelSource::LogSink => Object::kernel(system::LogSink::new()),
        KernelSource::LogReader => Object::kernel(system::LogReader::new()),
        KernelSource::Timer => Object::kernel(time::Timer::new()),
        KernelSource::EntropySource => Object::kernel(time::Entropy::new()),
        KernelSource::EndpointFactory => Object::kernel(process::Endpoints::new()),
        KernelSource::ProcessSpawner => Object::kernel(process::Spawner::new(own)),
        KernelSource::SystemInfo => Object::kernel(system::Info::new()),
        KernelSource::ProcessControl => Object::kernel(system::Control::new()),
        KernelSource::ProcessTracer => Object::kernel(trace::Tracer::new()),
        KernelSource::SystemControl => Object::kernel(reboot::Power::new()),
        KernelSource::DeviceRegistry => Object::kernel(device::Registry::new()),
        KernelSource::BootPackage => Object::kernel(system::Package::new()),
        KernelSource::MachineInspector => Object::kernel(inspect::Inspector::new()),
        KernelSource::SystemGraph => Object::kernel(graph::Graph::new()),
        KernelSource::BootMedium => Object::kernel(medium::Medium::new()),
        KernelSource::HardwareAuditLog => Object::kernel(audit::Log::new()),
        KernelSource::AuditGate => Object::kernel(audit::Gate::new()),
        KernelSource::AuditBroker => Object::kernel(audit::Broker::new()),
        KernelSource::WallClock => Object::kernel(wall::WallClock::new()),
        KernelSource::WallClockControl => Object::kernel(wall::WallClockControl::new()),
    }
}
