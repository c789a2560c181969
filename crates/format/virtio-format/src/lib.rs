//! Virtio as data: registers, feature and status bits, the layout of split rings, and the requests of the device classes
//! that are driven here.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, and its notes on the legacy interface. All fields are little-endian; a
//! legacy device uses the byte order of its machine, which here is the same.
//!
//! Invariant: this crate never touches a register or memory, and never believes a number: sizes are checked where they
//! enter.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod blk;
pub mod iommu;
pub mod net;
pub mod registers;
pub mod ring;

/// Device ids on the PCI bus (Virtio 1.2, 4.1.2 and 5).
pub mod id {
    /// Network card, transitional: reachable the modern and the legacy way.
    pub const NET_TRANSITIONAL: u16 = 0x1000;
    /// Block device, transitional.
    pub const BLK_TRANSITIONAL: u16 = 0x1001;
    /// Entropy source, transitional.
    pub const RNG_TRANSITIONAL: u16 = 0x1005;
    /// Network card.
    pub const NET: u16 = 0x1041;
    /// Block device.
    pub const BLK: u16 = 0x1042;
    /// Entropy source.
    pub const RNG: u16 = 0x1044;
    /// Unit that translates for other functions.
    pub const IOMMU: u16 = 0x1057;

    /// Whether the id promises the legacy interface (4.1.2.1).
    pub const fn is_transitional(device: u16) -> bool {
        device >= 0x1000 && device <= 0x103f
    }
}

/// Feature bits of every device (Virtio 1.2, 6).
pub mod feature {
    /// The device follows version 1 of the specification; without it the interface is the legacy one.
    pub const VERSION_1: u64 = 1 << 32;
    /// The device reaches memory through whatever translates for its bus, as it is for devices that are no virtio
    /// (VIRTIO_F_ACCESS_PLATFORM): addresses are bus addresses. Without it they are physical, whatever stands between.
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
}

/// The device status byte (Virtio 1.2, 2.1).
pub mod status {
    /// The device was noticed.
    pub const ACKNOWLEDGE: u8 = 1;
    /// There is a driver for it.
    pub const DRIVER: u8 = 2;
    /// The driver is ready.
    pub const DRIVER_OK: u8 = 4;
    /// The features were agreed on.
    pub const FEATURES_OK: u8 = 8;
    /// The device cannot go on without a reset.
    pub const DEVICE_NEEDS_RESET: u8 = 64;
    /// The driver gave up.
    pub const FAILED: u8 = 128;
    /// What a device that is gone reads as.
    pub const GONE: u8 = 0xff;
}

/// Bits of the ISR byte (Virtio 1.2, 4.1.4.5). Reading it clears them and lowers the line.
pub mod isr {
    /// A queue has something.
    pub const QUEUE: u8 = 1;
    /// The device-specific configuration changed.
    pub const CONFIG: u8 = 2;
}

/// "No vector", in both interfaces (Virtio 1.2, 4.1.4.3).
pub const NO_VECTOR: u16 = 0xffff;
