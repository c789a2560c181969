//! The userspace half of the virtio entropy driver: serves a device's random bytes as `HardwareRandom`.
//!
//! Owns the calls that wait for bytes; each gets bytes that the device wrote for it alone, and no copy of them is kept.
//! Invariant: it never serves `EntropySource`, and never makes bytes up: what the device does not give is refused.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod service;

use provider::{QueueRing, Runner};
use sdk::{Access, Env, Error, Refusal, Window, fact};
use virtio_client::{Host, Virtio, host};

use service::{MAX_BYTES, Random};

sdk::entry!(main);

/// The queue through which the device takes buffers (Virtual I/O Device 1.2, section 5.4.2).
const REQUESTS: u16 = 0;

/// Commands in flight: one caller at a time is served.
const DEPTH: u16 = 1;

/// Bytes of a slot of the ring: every call to this service is plain.
const SLOT_BYTES: u32 = 128;

fn main(env: &Env) -> Result<(), Error> {
    host(env, bring_up, |host, mut random| {
        let notice = random.notice.share();
        Runner::new(&host.endpoint, &host.timer, SLOT_BYTES)?.run(&mut random, &notice)
    })
}

fn bring_up(host: &Host) -> Result<Random, Refusal> {
    let virtio = Virtio::bring_up(&host.device, 1, host.depth, host.wake)?;
    let (queue, _) = virtio.queue(&host.device, REQUESTS, DEPTH)?;
    let pool = host.device.pool(MAX_BYTES.into())?.pool;
    let buffer = pool
        .allocate(MAX_BYTES.into(), sdk::Layout::Contiguous)?
        .buffer;
    let window = Window::map(
        buffer.window(sdk::WindowAccess::ReadWrite)?.memory,
        MAX_BYTES.into(),
        Access::ReadWrite,
    )?;
    fact!(
        "rng.ready",
        transport = virtio.transport(),
        notice = virtio.notice.name()
    );
    Random::new(QueueRing::open(queue)?, buffer, window, virtio.notice)
}
