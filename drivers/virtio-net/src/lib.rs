//! The broker of virtio network cards.
//!
//! Owns the header before each frame. Queue 0 receives, queue 1 transmits; everything else is `virtio-transport`'s.
//!
//! Invariant: the header lies in a page of the broker's own and is always zero on its way out, so no offload is ever asked
//! for; a provider never sees one.
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
use sabotage::sabotage;
use virtio_format::{feature, id, net};
use virtio_transport::{
    Class, Config, Device, Finished, HEADER_BYTES, Header, Plan, total, without_blocks,
};

/// The modern and the transitional device.
pub const MATCHES: &[PciMatch] = &[
    PciMatch::id(VENDOR, id::NET),
    PciMatch::id(VENDOR, id::NET_TRANSITIONAL),
];

const VENDOR: u16 = 0x1af4;

/// The entry in the kernel's driver table.
#[linkme::distributed_slice(driver_core::DRIVERS)]
pub static ENTRY: DriverEntry = DriverEntry {
    name: "virtio-net",
    matches: MATCHES,
    probe,
};

/// Makes a broker for a function that matched.
fn probe(probed: &Probed) -> Result<Box<dyn Broker>, Refusal> {
    let card = Card {
        header_bytes: net::LEGACY_HEADER_BYTES,
    };
    Ok(driver_core::boxed(Device::new(card, probed)?)?)
}

struct Card {
    header_bytes: u32,
}

impl Class for Card {
    const QUEUES: u16 = 2;
    const FEATURES: u64 = net::F_MTU | net::F_MAC | net::F_STATUS;
    const ALWAYS: u64 = 0;
    const CONFIG_BYTES: u64 = net::config::BYTES;

    fn learn(&mut self, _: &mut Config<'_>, features: u64) -> Result<(), Refusal> {
        self.header_bytes = match features & feature::VERSION_1 {
            0 => net::LEGACY_HEADER_BYTES,
            _ => net::HEADER_BYTES,
        };
        Ok(())
    }

    fn plan(&self, queue: u16, template: &[u8], segments: &[Segment<'_>]) -> Result<Plan, Refusal> {
        if !template.is_empty() {
            return Err(Refusal::TemplateRefused);
        }
        let (direction, least, most) = match queue {
            net::RECEIVE => (Direction::FromDevice, net::MAX_FRAME, u32::MAX),
            _ => (Direction::ToDevice, net::MIN_FRAME, net::MAX_FRAME),
        };
        let bytes = total(segments, direction)?;
        if !(least..=most).contains(&bytes) && !sabotage!(VIRTIO_SKIP_LENGTH_CHECK) {
            return Err(Refusal::LengthMismatch);
        }
        let header = Header {
            bytes: [0; HEADER_BYTES],
            length: self.header_bytes as u8,
            device_writes: direction == Direction::FromDevice,
        };
        Ok(Plan {
            header: Some(header),
            ..Plan::BARE
        })
    }

    fn form(&self, queue: u16, transfer: &Transfer<'_>) -> Result<Plan, Refusal> {
        self.plan(queue, &[], without_blocks(transfer)?)
    }

    fn frames(&self, queue: u16) -> Option<Direction> {
        Some(match queue {
            net::RECEIVE => Direction::FromDevice,
            _ => Direction::ToDevice,
        })
    }

    fn finish(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: u16,
        finished: Finished,
    ) -> Result<(u16, u32), Refusal> {
        if queue != net::RECEIVE {
            return Ok((0, 0));
        }
        // A frame comes with its header, or it is none.
        let bytes = finished.written.checked_sub(self.header_bytes);
        Ok((0, bytes.ok_or(Refusal::Corrupt)?))
    }
}
