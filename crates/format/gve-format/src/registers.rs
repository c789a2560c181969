//! The registers in BAR 0 and the doorbells in BAR 2. All are big-endian but the doorbells of DQO queues.
//!
//! Source: `gve_register.h` of Linux and DPDK; the revisions are those of `gve_adminq_alloc`.

/// Device status, read only: [`device_status`].
pub const DEVICE_STATUS: u64 = 0x00;
/// Driver status: [`driver_status`].
pub const DRIVER_STATUS: u64 = 0x04;
/// Most transmit queues, read only. 0 means that the device is not usable.
pub const MAX_TX_QUEUES: u64 = 0x08;
/// Most receive queues, read only.
pub const MAX_RX_QUEUES: u64 = 0x0c;
/// Revision 0: page number of the admin queue. Writing 0 gives it back and resets the device; it reads as 0 once that has
/// happened, and until then the device may still reach its memory.
pub const ADMIN_PFN: u64 = 0x10;
/// How many admin commands were ever given, modulo 2^32.
pub const ADMIN_DOORBELL: u64 = 0x14;
/// How many admin commands were ever carried out, modulo 2^32; read only.
pub const ADMIN_EVENTS: u64 = 0x18;
/// One byte: the driver's version is written here as text, byte after byte, with a newline at its end.
pub const DRIVER_VERSION: u64 = 0x1f;
/// Revision 1: address of the admin queue, upper half.
pub const ADMIN_BASE_HIGH: u64 = 0x20;
/// Revision 1: its lower half.
pub const ADMIN_BASE_LOW: u64 = 0x24;
/// Revision 1: bytes of the admin queue, 16 bits.
pub const ADMIN_LENGTH: u64 = 0x28;

/// Bits of [`DEVICE_STATUS`].
pub mod device_status {
    /// The device asks to be reset.
    pub const RESET: u32 = 1 << 1;
    /// The link is up.
    pub const LINK: u32 = 1 << 2;
    /// The device asks for a report of statistics.
    pub const REPORT_STATS: u32 = 1 << 3;
    /// Revision 1: the reset that the driver asked for has happened.
    pub const IS_RESET: u32 = 1 << 4;
}

/// Bits of [`DRIVER_STATUS`].
pub mod driver_status {
    /// The driver runs.
    pub const RUN: u32 = 1 << 0;
    /// The driver asks for a reset.
    pub const RESET: u32 = 1 << 1;
}

/// Bits of the interrupt doorbell of a notification block, GQI (big-endian).
pub mod irq {
    /// The interrupt was seen: more may come.
    pub const ACK: u32 = 1 << 31;
    /// None may come.
    pub const MASK: u32 = 1 << 30;
    /// What happened while none could come counts.
    pub const EVENT: u32 = 1 << 29;
    /// All bits that mean something.
    pub const ALL: u32 = ACK | MASK | EVENT;
}

/// Bits of the interrupt doorbell of a notification block, DQO (little-endian).
pub mod itr {
    /// Interrupts may come.
    pub const ENABLE: u32 = 1 << 0;
    /// The pending bit is cleared.
    pub const CLEAR_PENDING: u32 = 1 << 1;
    /// The interval stays as it is.
    pub const NO_UPDATE: u32 = 3 << 3;
    /// Where the interval is, in units of 2 us, 12 bits.
    pub const INTERVAL_SHIFT: u32 = 5;
    /// All bits that mean something.
    pub const ALL: u32 = ENABLE | CLEAR_PENDING | NO_UPDATE | 0xfff << INTERVAL_SHIFT;
}

/// Bytes between doorbells: doorbell `n` lies at `4 * n` of BAR 2.
pub const DOORBELL_BYTES: u64 = 4;
