//! The broker of virtio entropy sources.
//!
//! Owns what their one request is: a buffer that the device fills. Everything else is `virtio-transport`'s.
//!
//! Invariant: a request never carries anything but segments that the device writes; what it says about its length is
//! never believed past their sum.
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

use alloc::boxed::Box;

use driver_core::{
    Broker, BrokerIo, Direction, DriverEntry, PciMatch, Probed, Refusal, Segment, Transfer,
};
use virtio_format::id;
use virtio_transport::{Class, Config, Device, Finished, Plan, total, without_blocks};

/// The modern and the transitional device.
pub const MATCHES: &[PciMatch] = &[
    PciMatch::id(VENDOR, id::RNG),
    PciMatch::id(VENDOR, id::RNG_TRANSITIONAL),
];

const VENDOR: u16 = 0x1af4;

/// The entry in the kernel's driver table.
#[linkme::distributed_slice(driver_core::DRIVERS)]
pub static ENTRY: DriverEntry = DriverEntry {
    name: "virtio-rng",
    matches: MATCHES,
    probe,
};

/// Makes a broker for a function that matched.
fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    Ok(driver_core::boxed(Device::new(Entropy, probed)?)?)
}

/// One queue of buffers to fill (Virtio 1.2, 5.4).
struct Entropy;

impl Class for Entropy {
    const QUEUES: u16 = 1;
    const FEATURES: u64 = 0;
    const ALWAYS: u64 = 0;
    const CONFIG_BYTES: u64 = 0;

    fn learn(&mut self, _: &mut Config<'_>, _: u64) -> Result<(), Refusal> {
        Ok(())
    }

    fn plan(&self, _: u16, template: &[u8], segments: &[Segment<'_>]) -> Result<Plan, Refusal> {
        if !template.is_empty() {
            return Err(Refusal::TemplateRefused);
        }
        match total(segments, Direction::FromDevice)? {
            0 => Err(Refusal::LengthMismatch),
            _ => Ok(Plan::BARE),
        }
    }

    fn form(&self, queue: u16, transfer: &Transfer<'_>) -> Result<Plan, Refusal> {
        self.plan(queue, &[], without_blocks(transfer)?)
    }

    fn finish(
        &mut self,
        _: &mut dyn BrokerIo,
        _: u16,
        finished: Finished,
    ) -> Result<(u16, u32), Refusal> {
        Ok((0, finished.written))
    }
}
