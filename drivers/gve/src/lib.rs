//! The broker of Google's virtual NIC (gVNIC): the only code that writes an address such a device will use.
//!
//! Owns the device's reset, its admin queue, the page lists, the creation of its queues, every descriptor and every doorbell of
//! one claimed function, for GQI queues with page lists and DQO queues with and without.
//!
//! Invariant: a page list is formed from pages that the ledger admitted, and a command that registers one stays in flight for as
//! long as the device has the list: the pages are pinned meanwhile.
//! Invariant: where there are lists, no descriptor names anything outside of its queue's, and each page that it names is compared
//! with the list; no descriptor asks for an offload.
//! Invariant: what the device writes (event counts, status, sequence and generation, lengths, tags, indices of doorbells) is
//! compared with the broker's own record before it is used; a contradiction ends the queue until a reset.
//! Invariant: a reset receipt is given only after the admin queue's page number was read as 0 from a device that is still there.
//! Invariant: submitting and completing never allocate, format or scan.
//!
//! Which queues there are and what they take: `docs/devices/gvnic.md`.
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
mod dqo;
mod enable;
mod gqi;
mod lane;
mod lists;
mod open;
mod queue;
mod registers;
mod reset;
mod tags;

use alloc::boxed::Box;

use driver_core::{Broker, DriverEntry, PciMatch, Probed, Refusal};
use gve_format::{BARS, ID};

/// The one device.
pub const MATCHES: &[PciMatch] = &[PciMatch::id(ID.0, ID.1)];

/// The entry in the kernel's driver table.
#[linkme::distributed_slice(driver_core::DRIVERS)]
pub static ENTRY: DriverEntry = DriverEntry {
    name: "gve",
    matches: MATCHES,
    probe,
};

/// Makes a broker for a function that matched.
fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    let bytes = |bar: u8| probed.bar_bytes.get(usize::from(bar)).copied().unwrap_or(0);
    let has_registers = bytes(BARS.0) >= registers::BYTES;
    // A vector for each queue, and one for management.
    if !has_registers || bytes(BARS.2) == 0 || probed.msix_vectors < open::BLOCKS as u16 + 1 {
        return Err(Refusal::NotSupported);
    }
    Ok(driver_core::boxed(broker::Gve::new(bytes(BARS.2)))?)
}
