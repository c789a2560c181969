//! The machine below the device manager: frames, mappings, vectors, timers; and the one manager.

mod interrupts;
mod platform;
mod reach;
mod run;
mod vectors;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

use cpu::Lock;
use device_manager::DeviceManager;

use crate::acpi::Machine;
use crate::log::state;

pub use interrupts::{admit, pin};
pub use platform::Kernel;
pub use reach::Reached;
pub use run::Window;
pub use vectors::{drain_vectors, retire_vector, take_vector};

/// The one manager of the machine.
pub type Manager = DeviceManager<Kernel>;

static MANAGER: AtomicPtr<Manager> = AtomicPtr::new(core::ptr::null_mut());

/// The manager, once [`initialise`] ran.
pub fn manager() -> &'static Manager {
    // SAFETY: `initialise` stored a leaked box, before any process could ask.
    match unsafe { MANAGER.load(Ordering::Acquire).as_ref() } {
        Some(manager) => manager,
        None => unreachable!("the device manager is made before the first process"),
    }
}

/// Maps registers for good.
pub fn map(physical: u64, bytes: u64) -> Option<*mut u8> {
    paging::map_device(physical, bytes).ok()
}

/// Looks at what is plugged in and takes away what firmware left running. Before reclaimable memory is handed out.
#[expect(clippy::disallowed_methods, reason = "boot: functions are found once")]
pub fn quiesce(machine: &Machine) -> (pci::Config, pci::Scanned) {
    let windows: Vec<_> = machine
        .ecam
        .iter()
        .map(|w| pci::Window {
            segment: w.segment,
            start_bus: w.start_bus,
            end_bus: w.end_bus,
            start: w.start().as_u64(),
        })
        .collect();
    let mut config = pci::Config::new(windows, map);
    let scanned = config.quiesce_all(&mut |write| state(write));
    (config, scanned)
}

static TOPOLOGY: Lock<Option<pci::Topology>> = Lock::new(None);

/// Runs `f` on what the boot scan learnt of buses and bridges.
#[allow(dead_code, reason = "the console's commands are its readers")]
pub fn with_topology<R>(f: impl FnOnce(&pci::Topology) -> R) -> Option<R> {
    TOPOLOGY.lock().as_ref().map(f)
}

/// Makes the manager.
#[expect(clippy::disallowed_methods, reason = "boot: the manager is made once")]
pub fn initialise(config: pci::Config, scanned: pci::Scanned) {
    let table = crate::drivers::table();
    let manager = DeviceManager::new(
        Kernel,
        Box::new(config),
        &scanned.functions,
        &table,
        device_manager::LIMITS,
    );
    if crate::handover::option("show").as_deref() == Some("pci") {
        show(&manager, &scanned.topology);
    }
    *TOPOLOGY.lock() = Some(scanned.topology);
    MANAGER.store(Box::leak(Box::new(manager)), Ordering::Release);
}

/// States every bridge and every function, one fact each: `show=pci` on the command line asks for it.
fn show(manager: &Manager, topology: &pci::Topology) {
    for bridge in &topology.bridges {
        state(&|sink| pci::write_bridge(sink, bridge));
    }
    manager.list(0, &mut |function| {
        state(&|sink| {
            pci::write_function(
                sink,
                function.info,
                function.bars,
                function.msix,
                function.reset,
            )
        });
        true
    });
}
