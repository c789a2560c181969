//! Has a card fill one buffer after the other, and gives each back before the card fills the next. What the card does
//! beside that, nobody here asked it for. Nothing is mapped between: some units forget a whole domain when one page of it is.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::device::device_queue::{Command, Direction, Segment};
use sdk::{
    Access, Device, DeviceQueue, DeviceRegistry, DmaBuffer, Env, Error, Interface, Layout, Object,
    Refusal, Timer, Window, fact,
};

sdk::entry!(main);

const PAGE: u64 = 4096;
/// Where the card says how much that nobody asked for was accepted.
const ACCEPTED: u64 = 0x24;
/// No source: the queue is looked at.
const POLLED: u16 = 0xffff;
const BYTES: u32 = 256;
/// How many times one is filled at most, with the argument `on`.
const ON_AND_ON: u32 = 500;
const LOOK_NS: u64 = 2_000_000;
const LOOKS: u32 = 2000;
/// How long the card is left alone with a transfer.
const WORK_NS: u64 = 200_000_000;

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let device: Device = env.get("card")?;
    device.reset()?;
    device.configure()?;
    device.enable()?;
    let pool = device.pool(1 << 20)?.pool;
    let queue = device.queue(0, 0, 1, POLLED)?.queue;
    if env.arguments().any(|word| word == "on") {
        let buffer = pool.allocate(PAGE, Layout::Scattered)?.buffer;
        let filled = (0..ON_AND_ON).map(|_| fill(&queue, &buffer, &timer));
        let end = filled.filter_map(Result::err).next();
        fact!(
            "card.ended",
            refusal = end.map_or("none", |refusal| refusal.name())
        );
        return Ok(());
    }
    let allocate = || pool.allocate(PAGE, Layout::Scattered);
    let buffers = [allocate()?, allocate()?, allocate()?];
    let mut before: Option<DmaBuffer> = None;
    for (round, allocated) in buffers.into_iter().enumerate() {
        let buffer = allocated.buffer;
        if let Some(before) = before.take() {
            before.free()?;
        }
        let window = buffer.window(sdk::WindowAccess::ReadWrite)?.memory;
        let window = Window::map(window, PAGE, Access::ReadWrite)?;
        fill(&queue, &buffer, &timer)?;
        let mut seen = [0; BYTES as usize];
        window.read(0, &mut seen)?;
        fact!(
            "card.filled",
            round = round,
            bytes = seen.iter().filter(|byte| **byte == 0xa5).count()
        );
        before = Some(buffer);
    }
    let registry: DeviceRegistry = env.get("registry")?;
    let accepted = device.mmio(0)?.mmio.read(ACCEPTED, 4)?.value;
    fact!(
        "card.done",
        accepted = accepted,
        unowned = registry.interrupts(0)?.unowned
    );
    Ok(())
}

/// Has the card write to the beginning of a buffer.
fn fill(queue: &DeviceQueue, buffer: &DmaBuffer, timer: &Timer) -> Result<(), Refusal> {
    let segment = Segment {
        buffer: buffer.object().handle(),
        offset: 0,
        length: BYTES,
        direction: Direction::FromDevice,
    };
    let command = Command {
        cookie: 1,
        template: &[2, 0, 0, 0, 64, 0, 0, 0],
        segments: &[segment],
    };
    if let Some(refusal) = queue.submit(&[command])?.refusal {
        return Err(refusal);
    }
    // A card in another process cannot both be looked at and use memory: QEMU waits for the one before the other.
    timer.sleep(timer.now()?.ns + WORK_NS)?;
    for _ in 0..LOOKS {
        let done = queue.complete(1, |results| results.completions().map(|c| c.len()))??;
        if done > 0 {
            return Ok(());
        }
        timer.sleep(timer.now()?.ns + LOOK_NS)?;
    }
    Err(Refusal::TimedOut)
}
