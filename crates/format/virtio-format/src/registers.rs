//! Where the registers of both interfaces lie.

/// The common configuration structure (Virtio 1.2, 4.1.4.3): offsets in bytes, widths as named.
pub mod common {
    /// Which 32 feature bits `DEVICE_FEATURE` shows; 32 bits.
    pub const DEVICE_FEATURE_SELECT: u64 = 0;
    /// Offered features; 32 bits.
    pub const DEVICE_FEATURE: u64 = 4;
    /// Which 32 feature bits `DRIVER_FEATURE` takes; 32 bits.
    pub const DRIVER_FEATURE_SELECT: u64 = 8;
    /// Accepted features; 32 bits.
    pub const DRIVER_FEATURE: u64 = 12;
    /// MSI-X vector of configuration changes; 16 bits.
    pub const CONFIG_VECTOR: u64 = 16;
    /// Queues that the device has; 16 bits.
    pub const NUM_QUEUES: u64 = 18;
    /// Device status; 8 bits.
    pub const STATUS: u64 = 20;
    /// Changes with the device-specific configuration; 8 bits.
    pub const GENERATION: u64 = 21;
    /// Which queue the registers below are of; 16 bits.
    pub const QUEUE_SELECT: u64 = 22;
    /// Entries: the most on reset, 0 for a queue that is not there; 16 bits.
    pub const QUEUE_SIZE: u64 = 24;
    /// MSI-X vector of the queue; 16 bits.
    pub const QUEUE_VECTOR: u64 = 26;
    /// 1 makes the queue live; 16 bits.
    pub const QUEUE_ENABLE: u64 = 28;
    /// Which notification address is the queue's; 16 bits.
    pub const QUEUE_NOTIFY_OFF: u64 = 30;
    /// Address of the descriptor table; two halves of 32 bits.
    pub const QUEUE_DESC: u64 = 32;
    /// Address of the available ring; two halves.
    pub const QUEUE_DRIVER: u64 = 40;
    /// Address of the used ring; two halves.
    pub const QUEUE_DEVICE: u64 = 48;
}

/// The legacy interface in an I/O BAR (Virtio 1.2, 4.1.4.10).
pub mod legacy {
    /// The BAR that it lies in.
    pub const BAR: u8 = 0;
    /// Offered features; 32 bits.
    pub const DEVICE_FEATURES: usize = 0;
    /// Accepted features; 32 bits.
    pub const DRIVER_FEATURES: usize = 4;
    /// Page number of the queue, 0 for none; 32 bits.
    pub const QUEUE_PAGE: usize = 8;
    /// Entries, fixed by the device, 0 for a queue that is not there; 16 bits.
    pub const QUEUE_SIZE: usize = 12;
    /// Which queue the two above are of; 16 bits.
    pub const QUEUE_SELECT: usize = 14;
    /// A queue's number written here makes the device look; 16 bits.
    pub const QUEUE_NOTIFY: usize = 16;
    /// Device status; 8 bits.
    pub const STATUS: usize = 18;
    /// ISR; 8 bits.
    pub const ISR: usize = 19;
    /// With MSI-X enabled: vector of configuration changes; 16 bits.
    pub const CONFIG_VECTOR: usize = 20;
    /// With MSI-X enabled: vector of the selected queue; 16 bits.
    pub const QUEUE_VECTOR: usize = 22;
    /// Bits that a queue's address is shifted by.
    pub const PAGE_SHIFT: u32 = 12;

    /// Where the device-specific configuration begins with MSI-X off.
    pub const CONFIG: usize = 20;
    /// Where it begins with MSI-X on.
    pub const CONFIG_WITH_MSIX: usize = 24;
}
