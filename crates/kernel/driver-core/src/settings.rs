//! What a provider may choose while its device is stopped: one type for each class of devices that has a choice.

use ring_abi::Refusal;

/// What a provider asks for, by the class that it takes its device for. [`crate::Broker::configure`] puts what was agreed on in
/// place of what was asked; after a refusal nothing may be made of it.
#[derive(Debug)]
pub enum Settings<'a> {
    /// Nothing: there is nothing to choose.
    Plain,
    /// Of an NVMe controller.
    Nvme(&'a mut NvmeSettings),
    /// Of a virtio device.
    Virtio(&'a mut VirtioSettings),
}

impl Settings<'_> {
    /// For a device without a choice.
    ///
    /// # Errors
    /// `NotSupported` for the settings of any class.
    pub const fn plain(&self) -> Result<(), Refusal> {
        match self {
            Self::Plain => Ok(()),
            Self::Nvme(_) | Self::Virtio(_) => Err(Refusal::NotSupported),
        }
    }
}

/// What can be chosen of an NVMe controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NvmeSettings {
    /// Commands in the administration queue.
    pub admin_depth: u16,
    /// I/O queue pairs.
    pub pairs: u16,
    /// Logarithm of the page size, in bytes.
    pub page_shift: u32,
}

/// What can be chosen of a virtio device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioSettings {
    /// Feature bits; asked for: 0 for all that the broker knows.
    pub features: u64,
    /// Queues; asked for: 0 for the class's own number.
    pub queues: u16,
    /// Entries of a queue; asked for: 0 for what is usual; agreed on: those of queue 0.
    pub depth: u16,
    /// Where the device-specific configuration lies, which is the broker's to say: nothing is asked for.
    pub config: Option<ConfigRange>,
}

/// A range of registers that holds a device-specific configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigRange {
    /// BAR number.
    pub bar: u8,
    /// First byte.
    pub offset: u32,
    /// Bytes, at least 1.
    pub bytes: u32,
}
