//! A virtio device brought up by hand.

use sdk::device::device_queue::{self, Direction, Segment};
use sdk::{
    Access, Device, DeviceQueue, DmaBuffer, DmaPool, Interrupt, Refusal, Timer, Window, fact,
};
use smoke_device::{handle, outcome};

const VERSION_1: u64 = 1 << 32;
/// No source: the queue is polled.
pub const POLLED: u16 = 0xffff;

/// A device that runs.
pub struct Rig {
    pub device: Device,
    pub pool: DmaPool,
    pub modern: bool,
}

/// One completion, checked for its refusal.
pub struct Ended {
    pub status: u16,
    pub result: u32,
}

impl Rig {
    /// Takes the device through reset, configure, enable.
    pub fn new(name: &str, device: Device, depth: u64) -> Result<Self, Refusal> {
        device.reset()?;
        let agreed = device.configure(0, 0, depth)?;
        device.enable()?;
        let pool = device.pool(1 << 20)?.pool;
        let modern = agreed.a & VERSION_1 != 0;
        fact!(
            "virtio.up",
            device = name,
            interface = if modern { "modern" } else { "legacy" },
            queues = agreed.b & 0xffff,
            depth = agreed.c
        );
        Ok(Self {
            device,
            pool,
            modern,
        })
    }

    /// A queue, with its interrupt where it has one.
    pub fn queue(
        &self,
        index: u16,
        depth: u16,
    ) -> Result<(DeviceQueue, Option<Interrupt>), Refusal> {
        match self.device.interrupt(index) {
            Ok(opened) => {
                opened.interrupt.unmask()?;
                let queue = self.device.queue(0, index, depth, index)?.queue;
                Ok((queue, Some(opened.interrupt)))
            }
            Err(_) => Ok((self.device.queue(0, index, depth, POLLED)?.queue, None)),
        }
    }

    /// A buffer of scattered pages.
    pub fn buffer(&self, bytes: u64) -> Result<DmaBuffer, Refusal> {
        Ok(self.pool.allocate(bytes, sdk::Layout::Scattered)?.buffer)
    }
}

/// A piece of a buffer.
pub fn piece(buffer: &DmaBuffer, offset: u32, length: u32, direction: Direction) -> Segment {
    Segment {
        buffer: handle(buffer),
        offset,
        length,
        direction,
    }
}

/// A buffer's bytes, for reading and writing.
pub fn window(buffer: &DmaBuffer, bytes: u64) -> Result<Window, Refusal> {
    Window::map(
        buffer.window(sdk::WindowAccess::ReadWrite)?.memory,
        bytes,
        Access::ReadWrite,
    )
}

/// Submits one command. `Ok`: the broker took it.
pub fn submit(
    queue: &DeviceQueue,
    cookie: u64,
    template: &[u8],
    segments: &[Segment],
) -> Result<(), Refusal> {
    let one = device_queue::Command {
        cookie,
        template,
        segments,
    };
    let submitted = queue.submit(&[one])?;
    submitted.refusal.map_or(Ok(()), Err)
}

/// The outcome of a command that is expected to be refused.
pub fn tried(queue: &DeviceQueue, template: &[u8], segments: &[Segment]) -> &'static str {
    outcome(&submit(queue, 99, template, segments))
}

/// Waits for the completion with this cookie, at most two seconds.
pub fn completion(queue: &DeviceQueue, timer: &Timer, cookie: u64) -> Result<Ended, Refusal> {
    let give_up = timer.now()?.ns + 2_000_000_000;
    loop {
        let found = queue.complete(16, |results| {
            let list = results.completions()?;
            let mine = list.iter().find(|c| c.cookie() == cookie);
            mine.map(|c| c.value()).transpose()
        })??;
        if let Some(c) = found {
            return match c.refusal {
                Some(refusal) => Err(refusal),
                None => Ok(Ended {
                    status: c.status,
                    result: c.result,
                }),
            };
        }
        let now = timer.now()?.ns;
        if now > give_up {
            return Err(Refusal::TimedOut);
        }
        timer.sleep(now + 1_000_000)?;
    }
}

/// Waits for the queue's interrupt where there is one, then for the completion. Tells whether the interrupt came.
pub fn finished(
    (queue, interrupt): &(DeviceQueue, Option<Interrupt>),
    timer: &Timer,
    cookie: u64,
) -> Result<(Ended, &'static str), Refusal> {
    let came = match interrupt {
        Some(interrupt) => {
            let give_up = timer.now()?.ns + 2_000_000_000;
            let came = interrupt.with_deadline(give_up).wait().is_ok();
            if came {
                interrupt.acknowledge()?;
            }
            if came { "came" } else { "missing" }
        }
        None => "polled",
    };
    Ok((completion(queue, timer, cookie)?, came))
}
