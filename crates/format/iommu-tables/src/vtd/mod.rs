//! VT-d, in legacy mode (VT-d Specification 4.1; scalable mode is not used where a unit offers it).

mod capability;
mod entries;
mod fault;
mod interrupt;
mod invalidation;
pub mod register;

pub use capability::{Capability, ExtendedCapability, RemappingFeatures, Unusable};
pub use entries::{ContextEntry, RootEntry, SecondStage};
pub use fault::{Fault, FaultReason, FaultRecord, FaultStatus, Request};
pub use interrupt::{
    Destination, Handle, InterruptEntry, Message, Polarity, Source, Trigger, io_apic_entry, message,
};
pub use invalidation::{Invalidation, Reach};
