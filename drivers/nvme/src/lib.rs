//! The NVMe broker: the only code that writes an address an NVMe controller will use, but for a pair that its holder writes
//! where a domain confines the controller (`direct`).
//!
//! Owns the controller's reset, configuration and enabling, the administration queue, the creation of I/O queues, every
//! submission and completion entry, every PRP list and every doorbell of one claimed function; of a direct pair the
//! doorbells alone.
//!
//! Invariant: a length is never taken from a provider. It is recomputed from the opcode and from identify data that the
//! controller wrote into pages of the broker's own, and must equal the sum of the segments.
//! Invariant: a refused submission leaves queue and shadow as they were.
//! Invariant: a reset receipt is given only after CSTS.RDY was read as 0 from a controller that is still there.
//! Invariant: submitting and completing never allocate, format or scan.
//!
//! What `configure` takes, which queues there are and which registers a provider may touch: `docs/devices/nvme.md`.
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

mod admin;
mod broker;
mod clear;
mod direct;
mod enable;
mod lane;
mod let_through;
mod lists;
mod open;
mod pieces;
mod queue;
mod requeue;
mod reset;
mod windows;

use alloc::boxed::Box;

use driver_core::{Broker, DriverEntry, PciMatch, Probed, Refusal};
use nvme_format::regs;

pub use lane::{ADMIN_KIND, IO_KIND};

/// Any vendor's NVMe controller: class 01, subclass 08, interface 02.
pub const MATCHES: &[PciMatch] = &[PciMatch::class_interface(0x01, 0x08, 0x02)];

/// The entry in the kernel's driver table.
#[linkme::distributed_slice(driver_core::DRIVERS)]
pub static ENTRY: DriverEntry = DriverEntry {
    name: "nvme",
    matches: MATCHES,
    probe,
};

/// Makes a broker for a function that matched.
fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    // The doorbells of the administration queue and of one I/O queue at the least stride.
    let least = regs::cq_head_doorbell(1, 0) as u64 + 4;
    if probed.bar_bytes.first().is_none_or(|bytes| *bytes < least) {
        return Err(Refusal::NotSupported);
    }
    Ok(driver_core::boxed(broker::Nvme::new(probed))?)
}
