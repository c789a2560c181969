//! What keeps the kernel busy in one go at the end of a real device: every interrupt of it waited for, queues full of commands,
//! as many buffers as a teardown takes in one turn, and a line of those who want it next.

use nvme_format::{Command, io};
use sdk::alloc::vec::Vec;
use sdk::device::{device_registry, interrupt};
use sdk::{Device, DeviceQueue, DeviceRegistry, Error, Interrupt, Layout, NEVER, Refusal, Ring};
use smoke_rig::{POLLED, into, nvme, virtio};

const PAGE: u64 = 4096;
/// Buffers up to which each stage of a teardown follows the one before at once.
const FEW: usize = 16;
/// Interrupts of the controller, and calls that wait for the device.
const SOURCES: u16 = 60;
const CLAIMS: u64 = 30;

/// Everything that is open of a device at its end.
struct Full {
    device: Device,
    queues: Vec<DeviceQueue>,
    interrupts: Vec<Interrupt>,
}

/// Opens what there is, with a wait for each interrupt in the ring.
fn open(device: Device, ring: &mut Ring, sources: u16) -> Result<Full, Refusal> {
    let mut interrupts = Vec::new();
    for source in 0..sources {
        let Ok(opened) = device.interrupt(source) else {
            break;
        };
        ring.call::<interrupt::call::Wait>(
            sdk::Interface::object(&opened.interrupt),
            (),
            source.into(),
            NEVER,
        )?;
        interrupts.push(opened.interrupt);
    }
    ring.submit();
    Ok(Full {
        device,
        queues: Vec::new(),
        interrupts,
    })
}

fn empty(ring: &mut Ring, count: usize) {
    ring.wait(count as u16, NEVER);
    while ring.completed().is_some() {}
}

/// An NVMe controller with eight queues full of reads is reset, and then lost.
pub fn controller(registry: &DeviceRegistry) -> Result<(), Error> {
    const PAIRS: u16 = 8;
    let mut ring = Ring::new(64, 128)?;
    for reset in [true, false] {
        let device = registry.claim("nvme", 0)?.device;
        nvme::start(&device, PAIRS)?;
        let pool = device.pool(64 << 20)?.pool;
        let buffers: Vec<_> = (0..FEW)
            .map(|_| {
                pool.allocate(32 * PAGE, Layout::Scattered)
                    .map(|b| b.buffer)
            })
            .collect::<Result<_, _>>()?;
        for buffer in &buffers {
            buffer.map(3)?;
        }
        let mut full = open(device, &mut ring, SOURCES)?;
        let _admin = full.device.queue(nvme::ADMIN, 0, 8, POLLED)?.queue;
        for index in 1..=PAIRS {
            let queue = full.device.queue(nvme::IO, index, 256, POLLED)?.queue;
            for cookie in 0..200 {
                let read = Command::transfer(io::READ, 1, 0, 256);
                let read = read.ok_or(Refusal::BadArgument)?;
                let buffer = &buffers[cookie as usize % FEW];
                if nvme::submit(&queue, cookie, &read, &[into(buffer, 0, 32 * PAGE as u32)])
                    .is_err()
                {
                    break;
                }
            }
            full.queues.push(queue);
        }
        if reset {
            full.device.reset()?;
        }
        end(registry, full, &mut ring, "nvme")?;
        drop((buffers, pool));
    }
    Ok(())
}

/// A virtio disk with its queue full is reset, and then lost.
pub fn virtio(registry: &DeviceRegistry) -> Result<(), Error> {
    let mut ring = Ring::new(64, 128)?;
    for reset in [true, false] {
        let device = registry.claim("virtio-rng", 0)?.device;
        let agreed = virtio::start(&device, 0, 0)?;
        let pool = device.pool(4 << 20)?.pool;
        let buffer = pool.allocate(FEW as u64 * PAGE, Layout::Scattered)?.buffer;
        let mut full = open(device, &mut ring, SOURCES)?;
        let queue = virtio::poll(&full.device, 0, agreed.depth)?;
        for cookie in 0..u64::from(agreed.depth) {
            let piece = into(&buffer, 0, PAGE as u32);
            if smoke_rig::submit(&queue, cookie, &[], &[piece]).is_err() {
                break;
            }
        }
        full.queues.push(queue);
        if reset {
            full.device.reset()?;
        }
        end(registry, full, &mut ring, "virtio-rng")?;
        drop((buffer, pool));
    }
    Ok(())
}

/// The claim ends, while others ask for the device; one of them has it for a moment.
fn end(
    registry: &DeviceRegistry,
    full: Full,
    ring: &mut Ring,
    driver: &str,
) -> Result<(), Refusal> {
    let waits = full.interrupts.len();
    drop(full.device);
    empty(ring, waits);
    for user in 0..CLAIMS {
        let claim = device_registry::ClaimParams { driver, nth: 0 };
        ring.call::<device_registry::call::Claim>(
            sdk::Interface::object(registry),
            claim,
            user,
            NEVER,
        )?;
    }
    empty(ring, CLAIMS as usize);
    registry.claim(driver, 0).map(drop)
}
