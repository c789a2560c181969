//! What is known of the units that translate devices' addresses, and the choice of the DMA backend.
//!
//! Owns: the record that the kernel keeps of DMAR, IVRS and VIOT ([`Record`]), which function is covered by which unit, what
//! the registers of a unit say and when they are not to be believed ([`intel`], [`amd`], [`virtio`]), the manifest's word
//! ([`Policy`]), the decision which way devices reach memory ([`decide`]), and how each function does ([`Posture`]). Sources: VT-d Specification 4.1, AMD
//! IOMMU Specification 3.08, Virtio 1.2.
//!
//! Invariant: this crate never touches a register and never chooses direct DMA unless every single thing that it needs
//! has been stated; whatever is absent, malformed, unsupported, implausible or too much counts as missing. It allocates
//! only the record, which is bounded ([`MAX_SCOPES`], [`MAX_RANGES`]).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod amd;
mod coverage;
mod decision;
pub mod intel;
mod peers;
mod posture;
mod record;
mod unit;
pub mod virtio;

pub use coverage::{Cover, Coverage};
pub use decision::{
    Activation, Backend, Decision, Plan, Policy, Prerequisite, Probe, decide, plan,
};
pub use peers::{Around, Device, Group, Port, PortKind, around};
pub use posture::{
    BounceReason, Neighbours, Path, Posture, RefusedReason, Requester, Reserved, Situation, Trust,
    UnitState,
};
pub use record::{
    Discovery, FirmwareTables, MAX_RANGES, MAX_SCOPES, MAX_UNITS, RangeRecord, Record, ScopeRecord,
    ScopeTarget, Unsupported,
};
pub use unit::{Capabilities, UnitFault, UnitRecord, UnitStatus, Vendor};
