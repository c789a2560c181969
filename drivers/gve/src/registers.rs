//! The registers in BAR 0 and the doorbells in BAR 2.

use arrayvec::ArrayVec;
use driver_core::{Access, BrokerIo, MAX_READABLE, Refusal};
use gve_format::BARS;
use gve_format::registers::{self, DOORBELL_BYTES};

/// Bytes of the registers that are used.
pub(crate) const BYTES: u64 = registers::ADMIN_LENGTH;

/// What the device reads as when it is gone.
const GONE: u32 = u32::MAX;

/// A provider may read the device's status, for its link, and nothing else; it writes and maps nothing.
pub(crate) fn access() -> Access {
    let mut readable = ArrayVec::<_, MAX_READABLE>::new();
    readable.push((BARS.0, registers::DEVICE_STATUS, 4));
    Access {
        readable,
        ..Access::default()
    }
}

/// Reads a register.
///
/// # Errors
/// `DeviceError` when the device is gone.
pub(crate) fn read(io: &dyn BrokerIo, at: u64) -> Result<u32, Refusal> {
    let raw = io.registers(BARS.0)?.read32(at as usize)?;
    match raw {
        // The event counter alone may be that, once in 2^32 commands.
        GONE => Err(Refusal::DeviceError),
        raw => Ok(u32::from_be(raw)),
    }
}

/// Writes a register.
///
/// # Errors
/// As `BrokerIo::registers`.
pub(crate) fn write(io: &dyn BrokerIo, at: u64, value: u32) -> Result<(), Refusal> {
    Ok(io.registers(BARS.0)?.write32(at as usize, value.to_be())?)
}

/// A doorbell that lies in the BAR, and the byte order of its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doorbell {
    at: usize,
    order: Order,
}

/// How a doorbell is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// GQI.
    Big,
    /// DQO.
    Little,
}

impl Doorbell {
    /// The doorbell of an index that the device gave.
    ///
    /// # Errors
    /// `Corrupt` where it lies outside of the BAR.
    pub(crate) fn at(index: u32, bar_bytes: u64, order: Order) -> Result<Self, Refusal> {
        let at = u64::from(index) * DOORBELL_BYTES;
        match at + DOORBELL_BYTES <= bar_bytes {
            true => Ok(Self {
                at: at as usize,
                order,
            }),
            false => Err(Refusal::Corrupt),
        }
    }

    /// Rings it.
    pub(crate) fn ring(self, io: &dyn BrokerIo, value: u32) {
        let value = match self.order {
            Order::Big => value.to_be(),
            Order::Little => value.to_le(),
        };
        if let Ok(doorbells) = io.registers(BARS.2) {
            // It was compared with the BAR's length.
            let _ = doorbells.write32(self.at, value);
        }
    }
}
