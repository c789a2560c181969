//! A virtio disk brought up by hand.

use sdk::alloc::vec::Vec;
use sdk::device::device_queue::{self, Direction, Segment};
use sdk::{Cap, Device, DeviceQueue, DmaBuffer, DmaPool, Interface, Object, Refusal, Timer};

/// The name of what a try came to: `ok`, or the refusal.
pub fn outcome<T>(result: &Result<T, Refusal>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(refusal) => refusal.name(),
    }
}

/// A completion: its cookie, and the status or the refusal it carries.
pub type Completed = (u64, Result<u16, Refusal>);

/// A disk that is up: one queue, looked at again and again.
pub struct Rig {
    /// The claim.
    pub device: Device,
    /// 1 MiB of DMA memory.
    pub pool: DmaPool,
    /// The queue.
    pub queue: DeviceQueue,
    /// Commands that it holds.
    pub depth: u16,
    /// What `configure` said of queues and configuration.
    pub place: u64,
}

impl Rig {
    /// Takes the device through reset, configure, enable, queue, which holds `depth` commands.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn new(device: Device, depth: u16) -> Result<Self, Refusal> {
        let pool = device.pool(1 << 20)?.pool;
        let (queue, place) = Self::start(&device, depth)?;
        Ok(Self {
            device,
            pool,
            queue,
            depth,
            place,
        })
    }

    /// From whatever state to a queue.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn start(device: &Device, depth: u16) -> Result<(DeviceQueue, u64), Refusal> {
        device.reset()?;
        let agreed = device.configure(0, 1, 0)?;
        device.enable()?;
        let queue = device.queue(0, 0, depth, 0xffff)?.queue;
        Ok((queue, agreed.b))
    }

    /// A buffer of `bytes`.
    ///
    /// # Errors
    /// As `DmaPool.allocate`.
    pub fn buffer(&self, bytes: u64) -> Result<DmaBuffer, Refusal> {
        Ok(self.pool.allocate(bytes, sdk::Layout::Scattered)?.buffer)
    }

    /// The BAR and the offset of the device-specific configuration.
    pub const fn config(&self) -> (u8, u64) {
        ((self.place >> 16) as u8, self.place >> 32)
    }

    /// The completions that there are now.
    ///
    /// # Errors
    /// As `DeviceQueue.complete`.
    pub fn completed(&self) -> Result<Vec<Completed>, Refusal> {
        self.queue.complete(16, |results| {
            let list = results.completions()?;
            let outcome = |c: device_queue::Completion| match c.refusal {
                Some(refusal) => Err(refusal),
                None => Ok(c.status),
            };
            list.iter()
                .map(|c| c.value().map(|c| (c.cookie, outcome(c))))
                .collect()
        })?
    }

    /// Waits for `count` completions, at most a second.
    ///
    /// # Errors
    /// `TimedOut`, and as `DeviceQueue.complete`.
    pub fn completions(&self, timer: &Timer, count: usize) -> Result<Vec<Completed>, Refusal> {
        let give_up = timer.now()?.ns + 1_000_000_000;
        let mut all = Vec::new();
        loop {
            all.extend(self.completed()?);
            let now = timer.now()?.ns;
            if all.len() >= count {
                return Ok(all);
            }
            if now > give_up {
                return Err(Refusal::TimedOut);
            }
            timer.sleep(now + 1_000_000)?;
        }
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
    template: &[u8],
    segments: &[Segment],
) -> Result<(), Refusal> {
    let one = device_queue::Command {
        cookie,
        template,
        segments,
    };
    let submitted = queue.submit(&[one])?;
    match submitted.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}
