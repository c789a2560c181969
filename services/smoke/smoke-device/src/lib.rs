//! Programs that try to get more out of a device than they were given, and say what they were told.
//!
//! Owns what the hostile programs share: an NVMe controller brought up by hand. Invariant: it never goes around an
//! interface; whatever it tries, it tries through the capabilities it was granted.
#![no_std]

use nvme_format::{Command, PAGE_SHIFT};
use sdk::alloc::vec::Vec;
use sdk::device::device_queue::{self, Completion, Direction, Segment};
use sdk::{
    Cap, Device, DeviceQueue, DmaBuffer, DmaPool, Interface, Interrupt, Object, Refusal, Timer,
};

/// The name of what a try came to: `ok`, or the refusal.
pub fn outcome<T>(result: &Result<T, Refusal>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(refusal) => refusal.name(),
    }
}

/// A controller that is up: one administration queue, one I/O queue of 16 entries, polled.
pub struct Rig {
    /// The claim.
    pub device: Device,
    /// 1 MiB of DMA memory.
    pub pool: DmaPool,
    /// Source 0, unmasked.
    pub interrupt: Interrupt,
    /// Administration queue.
    pub admin: DeviceQueue,
    /// I/O queue.
    pub io: DeviceQueue,
}

impl Rig {
    /// Takes the device through reset, configure, enable, queues.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn new(device: Device) -> Result<Self, Refusal> {
        Self::with_pairs(device, 1)
    }

    /// As [`Self::new`], with room for more I/O queues.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn with_pairs(device: Device, pairs: u64) -> Result<Self, Refusal> {
        device.reset()?;
        device.configure(8, pairs, u64::from(PAGE_SHIFT))?;
        device.enable()?;
        let pool = device.pool(1 << 20)?.pool;
        let interrupt = device.interrupt(0)?.interrupt;
        interrupt.unmask()?;
        let admin = device.queue(0, 0, 8, 0)?.queue;
        let io = device.queue(1, 1, 16, 0)?.queue;
        Ok(Self {
            device,
            pool,
            interrupt,
            admin,
            io,
        })
    }

    /// A buffer of `bytes`.
    ///
    /// # Errors
    /// As `DmaPool.allocate`.
    pub fn buffer(&self, bytes: u64) -> Result<DmaBuffer, Refusal> {
        Ok(self.pool.allocate(bytes, sdk::Layout::Scattered)?.buffer)
    }
}

/// A piece of a buffer that the device writes.
pub fn into(buffer: &DmaBuffer, offset: u32, length: u32) -> Segment {
    Segment {
        buffer: handle(buffer),
        offset,
        length,
        direction: Direction::FromDevice,
    }
}

/// The handle behind a client.
pub fn handle<I: Interface<Cap>>(client: &I) -> u64 {
    client.object().handle()
}

/// Submits one command. `Ok`: the broker took it.
///
/// # Errors
/// Why it did not.
pub fn submit(
    queue: &DeviceQueue,
    cookie: u64,
    command: &Command,
    segments: &[Segment],
) -> Result<(), Refusal> {
    let template = command.to_bytes();
    let one = device_queue::Command {
        cookie,
        template: &template,
        segments,
    };
    let submitted = queue.submit(&[one])?;
    match submitted.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

/// Waits for so many completions, at most ten seconds. The cookies and what each came to, in the order in which they came.
///
/// # Errors
/// `TimedOut`, or that of `DeviceQueue.complete`.
pub fn completions(
    queue: &DeviceQueue,
    timer: &Timer,
    count: usize,
) -> Result<Vec<Completion>, Refusal> {
    let give_up = timer.now()?.ns + 10_000_000_000;
    let mut all = Vec::new();
    while all.len() < count {
        queue.complete(64, |results| {
            for completion in results.completions()?.iter() {
                all.push(completion.value()?);
            }
            Ok::<_, Refusal>(())
        })??;
        let now = timer.now()?.ns;
        if now > give_up {
            return Err(Refusal::TimedOut);
        }
        timer.sleep(now + 500_000)?;
    }
    Ok(all)
}

/// Waits for the completion with this cookie, at most a second.
///
/// # Errors
/// `TimedOut`, or the refusal the completion carries.
pub fn completion(queue: &DeviceQueue, timer: &Timer, cookie: u64) -> Result<u16, Refusal> {
    let give_up = timer.now()?.ns + 1_000_000_000;
    loop {
        let found = queue.complete(16, |results| {
            let list = results.completions()?;
            let mine = list.iter().find(|c| c.cookie() == cookie);
            mine.map(|c| c.value()).transpose()
        })??;
        if let Some(c) = found {
            return match c.refusal {
                Some(refusal) => Err(refusal),
                None => Ok(c.status),
            };
        }
        let now = timer.now()?.ns;
        if now > give_up {
            return Err(Refusal::TimedOut);
        }
        timer.sleep(now + 1_000_000)?;
    }
}
