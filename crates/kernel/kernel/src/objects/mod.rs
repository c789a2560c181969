//! The objects that the kernel itself serves.

mod attention;
mod audit;
mod bell;
mod console;
mod device;
mod given;
mod graph;
mod inspect;
mod inspect_firmware;
mod medium;
mod memory;
mod process;
mod queue;
mod reboot;
mod served;
mod system;
mod time;
mod trace;
mod waiters;
mod wall;
mod window;

pub use given::{for_init, own};

use crate::acpi::Machine;

/// Prepares what needs the machine.
pub fn initialise(machine: &Machine) {
    console::initialise(machine);
}

/// Handles a device interrupt. `false`: nobody owns the vector.
pub fn on_interrupt(cpu: u16, vector: u8) -> bool {
    #[cfg(sabotage)]
    frames::assert_kernel_pays();
    console::on_interrupt(cpu, vector)
        || crate::iommu::on_interrupt(cpu, vector)
        || crate::devices::manager().on_interrupt(cpu, vector)
}

/// Lets go of what waits for a process that has ended.
pub fn forget_ended() {
    time::forget_ended();
}
