//! What processes are given: each its own, and the first one everything that the kernel has to give.

use alloc::sync::Arc;

use arrayvec::{ArrayString, ArrayVec};
use ipc::{Object, Process, Slot};
use plain_text::FilterMode;
use stub::Refusal;

use super::memory::Memory;
use super::served::object;
use super::{audit, console, device, inspect, medium, process, reboot, system, time, trace};
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
    let sources = [
        (
            "console",
            Object::kernel(console::Console::new(FilterMode::Text)),
        ),
        (
            "rawConsole",
            Object::kernel(console::Console::new(FilterMode::Raw)),
        ),
        ("logSink", Object::kernel(system::LogSink::new())),
        ("logReader", Object::kernel(system::LogReader::new())),
        ("timer", Object::kernel(time::Timer::new())),
        ("entropySource", Object::kernel(time::Entropy::new())),
        ("endpointFactory", Object::kernel(process::Endpoints::new())),
        ("processSpawner", Object::kernel(process::Spawner::new(own))),
        ("systemInfo", Object::kernel(system::Info::new())),
        ("processControl", Object::kernel(system::Control::new())),
        ("processTracer", Object::kernel(trace::Tracer::new())),
        ("systemControl", Object::kernel(reboot::Power::new())),
        ("deviceRegistry", Object::kernel(device::Registry::new())),
        ("bootPackage", Object::kernel(system::Package::new())),
        (
            "machineInspector",
            Object::kernel(inspect::Inspector::new()),
        ),
        ("bootMedium", Object::kernel(medium::Medium::new())),
        ("hardwareAuditLog", Object::kernel(audit::Log::new())),
        ("auditGate", Object::kernel(audit::Gate::new())),
        ("auditBroker", Object::kernel(audit::Broker::new())),
    ];
    sources
        .into_iter()
        .map(|(name, slot)| named(name, slot))
        .take(MAX_GRANTS)
        .collect()
}
