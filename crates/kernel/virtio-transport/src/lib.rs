//! The half that all virtio brokers share: reaching a device the modern or the legacy way, its split virtqueues, and its
//! life from reset to running.
//!
//! Owns every descriptor, ring, header page and notification of a claimed virtio function. A device class adds what its
//! requests are ([`Class`]); [`Device`] makes a broker of it.
//!
//! Invariant: a descriptor never holds an address or a length that did not come from a segment admitted by the ledger or
//! from a page of the broker's own.
//! Invariant: nothing that the device wrote is used before it was compared with a record that the device cannot write;
//! the first contradiction ends the queue.
//! Invariant: of a queue whose rings its holder writes ([direct mode](driver_core::Operation::OpenDirect)) nothing is read or written but its
//! notification.
//! Invariant: the proof of a reset is never given before the status was read as 0 from a device that is still there.
//! Invariant: submitting and completing never allocate, format or scan.
//!
//! What `configure` takes and which registers a provider may read: `docs/devices/virtio.md`.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod class;
mod device;
mod direct;
mod legacy;
mod modern;
mod plan;
mod queue;
mod runs;
mod transport;

pub use class::{Class, Config};
pub use device::{Device, QUEUE_KIND};
pub use plan::{Finished, HEADER_BYTES, Header, Plan, total, without_blocks};
