//! Network cards (Virtio 1.2, 5.1).

/// The device gives its own maximum frame size.
pub const F_MTU: u64 = 1 << 3;
/// The device has a MAC address of its own.
pub const F_MAC: u64 = 1 << 5;
/// The device says whether its link is up.
pub const F_STATUS: u64 = 1 << 16;

/// Offsets in the device-specific configuration (5.1.4).
pub mod config {
    /// MAC address, six bytes. Needs `F_MAC`.
    pub const MAC: u64 = 0;
    /// Link status, 16 bits; bit 0: the link is up. Needs `F_STATUS`.
    pub const STATUS: u64 = 6;
    /// Largest payload of a frame, 16 bits. Needs `F_MTU`.
    pub const MTU: u64 = 10;
    /// Bytes of it that are ever looked at.
    pub const BYTES: u64 = 12;
}

/// Queue of received frames.
pub const RECEIVE: u16 = 0;
/// Queue of frames to send.
pub const TRANSMIT: u16 = 1;

/// Bytes of the header before each frame (5.1.6) of a device with the modern interface.
pub const HEADER_BYTES: u32 = 12;
/// The same of one with the legacy interface and without merged buffers.
pub const LEGACY_HEADER_BYTES: u32 = 10;

/// Bytes of an Ethernet header, the least that is sent.
pub const MIN_FRAME: u32 = 14;
/// Header and 1500 bytes of payload: the most that is sent, and the least room for one that is received (5.1.6.3.1).
pub const MAX_FRAME: u32 = 1514;
