//! AMD-Vi (AMD IOMMU Specification 3.08), host tables alone.

mod command;
mod device;
mod event;
mod interrupt;
pub mod register;

pub use command::Command;
pub use device::{DeviceEntry, HostPages, InterruptTable, Interrupts, Translation};
pub use event::{Event, EventKind};
pub use interrupt::{InterruptEntry, Trigger};
