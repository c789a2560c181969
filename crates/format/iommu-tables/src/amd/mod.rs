//! AMD-Vi (AMD IOMMU Specification 3.08), host tables alone.

mod command;
mod device;
mod event;
mod interrupt;
pub mod register;

pub use command::Command;
pub use device::{DeviceEntry, HostPages, InterruptTable, Interrupts, Translation};
pub use event::{Event, EventKind};
pub use interrupt::{
    ENTRY_BYTES, InterruptEntry, TABLE_ORDER, Trigger, io_apic_entry, message_data,
};
