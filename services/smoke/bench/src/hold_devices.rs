//! What keeps the kernel busy in one go at the end of a real device: every interrupt of it waited for, queues full of commands,
//! as many buffers as a teardown takes in one turn, and a line of those who want it next. And at its ring.

use device_ring::{Binding, ENTRIES, Opcode, ProviderEnd};
use nvme_format::{Command, io};
use sdk::alloc::vec::Vec;
use sdk::device::{device_registry, interrupt};
use sdk::{
    Access, Device, DeviceQueue, DeviceRegistry, Env, Error, Interrupt, Layout, NEVER,
    ProcessHandle, Refusal, Ring, Timer, Window, Words,
};
use smoke_rig::{POLLED, handle, into, nvme, virtio};

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

/// An NVMe controller is claimed for the first time, and again.
pub fn claims(registry: &DeviceRegistry) -> Result<(), Error> {
    for _ in 0..2 {
        registry.claim("nvme", 0).map(drop)?;
    }
    Ok(())
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

/// A ring full of the longest commands, and one full of commands that are refused, each rung for once.
pub fn kick(registry: &DeviceRegistry) -> Result<(), Error> {
    /// What the controller takes in one command.
    const LONGEST: u32 = 128 * PAGE as u32;
    let rig = nvme::Rig::new(registry.claim("nvme", 0)?.device)?;
    let buffer = rig.buffer(LONGEST.into())?;
    let page = Window::map(rig.io.ring()?.memory, PAGE, Access::ReadWrite)?;
    let mut end = ProviderEnd::new(Words::of(page)?).map_err(|_| Refusal::OutOfRange)?;
    let bound = rig.io.bind(handle(&buffer))?;
    let binding = Binding {
        slot: bound.slot,
        generation: bound.generation,
    };
    // The last ones reach past the buffer.
    for length in [LONGEST, LONGEST, !511] {
        for cookie in 0..u64::from(ENTRIES) {
            let read = device_ring::Command::bare(cookie, Opcode::Read, 1);
            let read = read.with(binding, 0, length);
            end.push(&read).map_err(|_| Refusal::QueueFull)?;
        }
        end.show();
        let mut left = ENTRIES;
        while left > 0 {
            rig.io.kick(ENTRIES as u16, ENTRIES as u16)?;
            while end.take().map_err(|_| Refusal::Corrupt)?.is_some() {
                left -= 1;
            }
            end.give_back();
        }
    }
    Ok(())
}

/// Holds a device with thousands of mapped buffers, until it faults or is killed.
pub fn driver(env: &Env) -> Result<(), Error> {
    const MIB: u64 = 1 << 20;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(100 * MIB)?.pool;
    let large = pool.allocate(64 * MIB, Layout::Scattered)?.buffer;
    large.map(3)?;
    let small: Vec<_> = (0..3000)
        .map(|_| {
            let buffer = pool.allocate(PAGE, Layout::Scattered)?.buffer;
            buffer.map(1).map(|_| buffer)
        })
        .collect::<Result<_, _>>()?;
    if env.arguments().nth(1) == Some("fault") {
        crate::hold_more::deep(0);
    }
    let timer: Timer = env.get("timer")?;
    sdk::sleep_for(&timer, 600_000_000_000)?;
    drop((device, pool, large, small));
    Ok(())
}

/// A driver that faults, and one that is killed; this waits for the end of each one's claim.
pub fn lost(
    registry: &DeviceRegistry,
    timer: &Timer,
    start: impl Fn(&[&str]) -> Result<ProcessHandle, Refusal>,
) -> Result<(), Error> {
    start(&["hold-driver", "fault"])?.wait(|_| ())?;
    registry.claim("edu", 0).map(drop)?;
    let driver = start(&["hold-driver", "wait"])?;
    sdk::sleep_for(timer, 2_000_000_000)?;
    driver.kill()?;
    driver.wait(|_| ())?;
    registry.claim("edu", 0).map(drop)?;
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
