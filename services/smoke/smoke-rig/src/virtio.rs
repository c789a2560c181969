//! A virtio device, whatever its class.

use sdk::{Device, DeviceQueue, DmaBuffer, DmaPool, Interrupt, Layout, Refusal};

use crate::POLLED;

/// The feature bit of devices that have the modern interface (VIRTIO 1.2, section 6).
const VERSION_1: u64 = 1 << 32;

/// What broker and device agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// Features.
    pub features: u64,
    /// How many queues there are.
    pub queues: u16,
    /// Commands that the longest queue holds.
    pub depth: u16,
    /// The BAR of the device-specific configuration.
    pub bar: u8,
    /// Where in it that begins.
    pub config: u64,
}

impl Agreed {
    /// Whether the device has the modern interface.
    #[must_use]
    pub const fn is_modern(&self) -> bool {
        self.features & VERSION_1 != 0
    }
}

/// A device that is up; its queues are opened one by one.
pub struct Rig {
    /// The claim.
    pub device: Device,
    /// 1 MiB of DMA memory.
    pub pool: DmaPool,
    /// What was agreed on.
    pub agreed: Agreed,
}

/// From whatever state to enabled. `queues` and `depth`: at most so many, 0 for what the device has.
///
/// # Errors
/// The refusal of the step that failed.
pub fn start(device: &Device, queues: u16, depth: u16) -> Result<Agreed, Refusal> {
    device.reset()?;
    let agreed = device.configure_virtio(0, queues, depth)?;
    device.enable()?;
    Ok(Agreed {
        features: agreed.features,
        queues: agreed.queues,
        depth: agreed.depth,
        bar: agreed.config_bar,
        config: agreed.config_offset.into(),
    })
}

/// Opens a queue that raises source `index`, and unmasks that.
///
/// # Errors
/// The refusal of the step that failed.
pub fn listen(
    device: &Device,
    index: u16,
    depth: u16,
) -> Result<(DeviceQueue, Interrupt), Refusal> {
    let interrupt = device.interrupt(index)?.interrupt;
    interrupt.unmask()?;
    Ok((device.queue(0, index, depth, index)?.queue, interrupt))
}

/// Opens a queue that is polled.
///
/// # Errors
/// As `Device.queue`.
pub fn poll(device: &Device, index: u16, depth: u16) -> Result<DeviceQueue, Refusal> {
    Ok(device.queue(0, index, depth, POLLED)?.queue)
}

impl Rig {
    /// Takes the device through reset, configure, enable, as [`start`] does.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    pub fn new(device: Device, queues: u16, depth: u16) -> Result<Self, Refusal> {
        let agreed = start(&device, queues, depth)?;
        let pool = device.pool(1 << 20)?.pool;
        Ok(Self {
            device,
            pool,
            agreed,
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
