//! Does each mistake of a driver's author end in a line that says what was wrong, and where, and in nothing else?
//!
//! Each role is a provider that does one thing wrong at a card of its own. Invariant: what it does wrong, an author can do
//! wrong: it never goes around an interface.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::device::device_queue::{Direction, Segment};
use sdk::{
    Access, Device, DeviceMmio, DeviceQueue, DeviceRegistry, DmaBuffer, Env, Error, Interface,
    Layout, Object, Refusal, Timer, Window, WindowAccess, fact, sleep_for,
};
use smoke::{outcome, role};
use smoke_rig::{POLLED, completions, submit};

sdk::entry!(main);

/// Bytes of a buffer: one page.
const PAGE: u64 = 4096;
/// The card's register with the address that its engine reads from.
const DMA_SOURCE: u64 = 0x80;
/// From memory to the card's memory, at its start.
const TO_CARD: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];
/// A command that the card does not have.
const UNKNOWN: [u8; 8] = [9, 0, 0, 0, 0, 0, 0, 0];
/// Until the others have ended.
const LAST_NS: u64 = 1_500_000_000;
/// Cards in the machine.
const CARDS: u32 = 17;

/// A card that is up, with its queue and one buffer.
struct Rig {
    device: Device,
    queue: DeviceQueue,
    buffer: DmaBuffer,
}

impl Rig {
    fn new(env: &Env) -> Result<Self, Error> {
        let device: Device = env.get("device")?;
        Self::of(device)
    }

    fn of(device: Device) -> Result<Self, Error> {
        device.reset()?;
        device.configure()?;
        device.enable()?;
        let queue = device.queue(0, 0, 1, POLLED)?.queue;
        let pool = device.pool(PAGE)?.pool;
        let buffer = pool.allocate(PAGE, Layout::Contiguous)?.buffer;
        Ok(Self {
            device,
            queue,
            buffer,
        })
    }

    fn send(&self, offset: u32, length: u32) -> Result<(), Refusal> {
        let segments = [to_card(&self.buffer, offset, length)];
        submit(&self.queue, 1, &TO_CARD, &segments)
    }
}

fn to_card(buffer: &DmaBuffer, offset: u32, length: u32) -> Segment {
    Segment {
        buffer: buffer.object().handle(),
        offset,
        length,
        direction: Direction::ToDevice,
    }
}

fn main(env: &Env) -> Result<(), Error> {
    match role(env).unwrap_or_default() {
        "unnamed" => {
            let _: Device = env.get("card")?;
        }
        "misread" => {
            let granted = "device";
            let _: DeviceMmio = env.get(granted)?;
        }
        "unreset" => {
            let device: Device = env.get("device")?;
            device.configure()?;
        }
        "early" => {
            let device: Device = env.get("device")?;
            device.reset()?;
            device.queue(0, 0, 1, POLLED)?;
        }
        "empty" => {
            let rig = up(env)?;
            rig.queue(0, 0, 0, POLLED)?;
        }
        "bar" => {
            up(env)?.mmio(3)?;
        }
        "register" => {
            let mmio = up(env)?.mmio(0)?.mmio;
            mmio.write(DMA_SOURCE, 8, 0x1000)?;
        }
        "budget" => {
            let pool = up(env)?.pool(PAGE)?.pool;
            pool.allocate(2 * PAGE, Layout::Scattered)?;
        }
        "lost" => idles(env)?,
        transfer => return transfers(env, transfer),
    }
    Ok(())
}

/// The claim, with the device enabled.
fn up(env: &Env) -> Result<Device, Error> {
    Ok(Rig::new(env)?.device)
}

/// What is wrong with a transfer, or with who began it.
fn transfers(env: &Env, role: &str) -> Result<(), Error> {
    match role {
        "freed" => {
            let rig = Rig::new(env)?;
            rig.buffer.free()?;
            rig.send(0, 64)?;
        }
        "offset" => Rig::new(env)?.send(PAGE as u32, 64)?,
        "longer" => Rig::new(env)?.send(64, PAGE as u32)?,
        "nothing" => Rig::new(env)?.send(0, 0)?,
        "backwards" => {
            let rig = Rig::new(env)?;
            let mut segment = to_card(&rig.buffer, 0, 64);
            segment.direction = Direction::FromDevice;
            submit(&rig.queue, 1, &TO_CARD, &[segment])?;
        }
        "unknown" => {
            let rig = Rig::new(env)?;
            submit(&rig.queue, 1, &UNKNOWN, &[to_card(&rig.buffer, 0, 64)])?;
        }
        "unasked" => {
            let rig = Rig::new(env)?;
            rig.send(0, 64)?;
            rig.send(0, 64)?;
        }
        "panics" => {
            let rig = Rig::new(env)?;
            rig.send(0, 64)?;
            panic!("the author forgot a case");
        }
        "last" => last(env)?,
        _ => {}
    }
    Ok(())
}

/// A provider that has work and never does it: it turns for good.
fn idles(env: &Env) -> Result<(), Error> {
    let rig = Rig::new(env)?;
    rig.send(0, 64)?;
    loop {
        core::hint::spin_loop();
    }
}

/// Waits for all of these ends, then takes every card whose owner is gone and has it do what the others did not.
fn last(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    sleep_for(&timer, LAST_NS)?;
    let (mut work, mut held) = (0, 0);
    for card in 0..CARDS {
        match registry.claim("edu", card) {
            Ok(claimed) => {
                round(claimed.device, &timer)?;
                work += 1;
            }
            Err(Refusal::Busy) => held += 1,
            Err(refusal) => fact!("mistakes.card", card = card, claim = refusal.name()),
        }
    }
    fact!("mistakes.cards", work = work, held = held);
    Ok(())
}

/// A transfer without a mistake.
fn round(device: Device, timer: &Timer) -> Result<(), Error> {
    let rig = Rig::of(device)?;
    let memory = rig.buffer.window(WindowAccess::ReadWrite)?.memory;
    Window::map(memory, PAGE, Access::ReadWrite)?.write(0, b"right")?;
    rig.send(0, 64)?;
    let done = completions(&rig.queue, timer, 1)?;
    let first = done.first().ok_or(Refusal::Failed)?;
    if outcome(&first.refusal.map_or(Ok(()), Err)) != "ok" {
        fact!("mistakes.round", status = first.status);
    }
    Ok(())
}
