//! The broker of QEMU's teaching device `edu`: the only code that writes an address its DMA engine will use.
//!
//! Owns the reset of the device and the four registers of its one DMA engine. Everything else of it is memory-neutral
//! (a factorial, a liveness check, interrupts on demand) and open to the provider through register windows. It is the
//! smallest whole broker there is: `docs/guide/writing-a-broker.md` walks through it.
//!
//! Invariant: never starts the engine with an address that did not come out of an admitted segment, or with more bytes
//! than that; never says that the device stopped while the engine reads as running.
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

mod broker;
pub mod regs;
pub mod template;

use alloc::boxed::Box;

use driver_core::{Broker, DriverEntry, PciMatch, Probed, Refusal};

/// The device's own number under QEMU's first vendor number.
pub const MATCHES: &[PciMatch] = &[PciMatch::id(0x1234, 0x11e8)];

/// The entry in the kernel's driver table.
#[linkme::distributed_slice(driver_core::DRIVERS)]
pub static ENTRY: DriverEntry = DriverEntry {
    name: "edu",
    matches: MATCHES,
    probe,
};

/// Makes a broker for a function that matched.
fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    if probed
        .bar_bytes
        .first()
        .is_none_or(|bytes| *bytes < regs::BAR_BYTES)
    {
        return Err(Refusal::NotSupported);
    }
    Ok(driver_core::boxed(broker::Edu::new())?)
}
