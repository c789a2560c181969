//! An NVMe controller.

use nvme_format::{Command, PAGE_SHIFT};
use sdk::device::device_queue::Segment;
use sdk::{Device, DeviceQueue, DmaBuffer, DmaPool, Interrupt, Layout, Refusal};

/// The kind of the administration queue.
pub const ADMIN: u16 = 0;
/// The kind of I/O queues.
pub const IO: u16 = 1;

/// Entries of the administration queue.
const ADMIN_DEPTH: u16 = 8;

/// A controller that is up: one administration queue, one I/O queue of 16 entries, both on source 0.
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

/// Configures and enables a controller that was reset, with room for `pairs` I/O queues.
///
/// # Errors
/// The refusal of the step that failed.
pub fn enable(device: &Device, pairs: u16) -> Result<(), Refusal> {
    device.configure_nvme(ADMIN_DEPTH, pairs, PAGE_SHIFT)?;
    device.enable()
}

/// From whatever state to enabled.
///
/// # Errors
/// As [`enable`].
pub fn start(device: &Device, pairs: u16) -> Result<(), Refusal> {
    device.reset()?;
    enable(device, pairs)
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
    pub fn with_pairs(device: Device, pairs: u16) -> Result<Self, Refusal> {
        start(&device, pairs)?;
        let pool = device.pool(1 << 20)?.pool;
        let interrupt = device.interrupt(0)?.interrupt;
        interrupt.unmask()?;
        let admin = device.queue(ADMIN, 0, ADMIN_DEPTH, 0)?.queue;
        let io = device.queue(IO, 1, 16, 0)?.queue;
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
        Ok(self.pool.allocate(bytes, Layout::Scattered)?.buffer)
    }
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
    crate::submit(queue, cookie, &command.to_bytes(), segments)
}
