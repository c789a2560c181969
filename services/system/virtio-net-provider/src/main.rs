//! The userspace half of the virtio network driver: serves an interface as `Nic`.
//!
//! Owns what the device's configuration means: address, longest payload, link (Virtual I/O Device 1.2, section 5.1.4);
//! `provider::nic` serves the interface. Invariant: it never sees an address in memory, a ring, a header or a frame.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

use provider::QueueRing;
use provider::nic::{self, Adapter, Card, Facts, Layout, Queues};
use sdk::{Device, DmaPool, Env, Error, Hex, Interface, Refusal, fact};
use virtio_client::{Host, Virtio, Wake, host};
use virtio_format::net::{self, RECEIVE, TRANSMIT, config};

sdk::entry!(main);

/// Bit 0 of the status: there is a link.
const LINK_UP: u32 = 1;

/// Frames in flight each way that the service asks for.
const DEPTH: u16 = 256;

/// The longest frame, and its payload: the broker's buffers end where Ethernet's frames do.
const FRAME_BYTES: u16 = net::MAX_FRAME as u16;
const PAYLOAD_BYTES: u16 = FRAME_BYTES - net::MIN_FRAME as u16;

/// The interface; `virtio` is there once it is up.
struct Wire {
    device: Device,
    wake: Wake,
    depth: u16,
    virtio: Option<Virtio>,
}

fn main(env: &Env) -> Result<(), Error> {
    host(env, start, |host, (pool, wire, card)| {
        nic::serve(&host.endpoint, &host.timer, pool, wire, card)
    })
}

fn start(host: &Host) -> Result<(DmaPool, Wire, Card), Refusal> {
    let pool = host.device.pool(nic::POOL_BYTES)?.pool;
    let mut wire = Wire {
        device: Device::from_object(host.device.object().share()),
        wake: host.wake,
        depth: host.depth,
        virtio: None,
    };
    let card = wire.bring_up()?;
    let (transport, link_up) = (
        wire.virtio.as_ref().map_or("", Virtio::transport),
        wire.is_link_up()?,
    );
    let depths = card.queues.as_ref();
    let depths = depths.map_or((0, 0), |queues| {
        (queues.receive_depth, queues.transmit_depth)
    });
    fact!(
        "nic.ready",
        transport = transport,
        notice = card.notice.name(),
        mac = Hex(card.facts.mac),
        mtu = card.facts.mtu,
        receive_depth = depths.0,
        transmit_depth ~ depths.1,
        link_up = link_up,
    );
    Ok((pool, wire, card))
}

impl Adapter for Wire {
    fn bring_up(&mut self) -> Result<Card, Refusal> {
        let virtio = Virtio::bring_up(&self.device, 2, self.depth, self.wake)?;
        let depth = if self.depth == 0 { DEPTH } else { self.depth };
        let (receive, receive_depth) = virtio.queue(&self.device, RECEIVE, depth)?;
        let (transmit, transmit_depth) = virtio.queue(&self.device, TRANSMIT, depth)?;
        let card = Card {
            queues: Some(Queues {
                receive: QueueRing::open(receive)?,
                transmit: QueueRing::open(transmit)?,
                receive_depth,
                transmit_depth,
            }),
            notice: virtio.notice.share(),
            facts: facts(&virtio)?,
        };
        self.virtio = Some(virtio);
        Ok(card)
    }

    fn is_link_up(&self) -> Result<bool, Refusal> {
        match &self.virtio {
            Some(virtio) if virtio.has(net::F_STATUS) => {
                Ok(virtio.config.read(config::STATUS, 2)? & LINK_UP != 0)
            }
            // A device that does not tell has its link for good.
            _ => Ok(true),
        }
    }
}

fn facts(virtio: &Virtio) -> Result<Facts, Refusal> {
    if !virtio.has(net::F_MAC) {
        // The driver would have to make one up, which is for whoever configures the network.
        return Err(Refusal::NotSupported);
    }
    let mac = (0..6).try_fold(0, |mac, at| {
        let byte = virtio.config.read(config::MAC + at, 1)?;
        Ok::<u64, Refusal>(mac << 8 | u64::from(byte & 0xff))
    })?;
    let mtu = if virtio.has(net::F_MTU) {
        let offered = virtio.config.read(config::MTU, 2)? as u16;
        offered.min(PAYLOAD_BYTES)
    } else {
        PAYLOAD_BYTES
    };
    Ok(Facts {
        mac,
        mtu,
        frame_bytes: FRAME_BYTES,
        layout: Layout::default(),
    })
}
