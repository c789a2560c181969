//! The device-specific configuration.

use sdk::{Device, DeviceMmio, Refusal};

/// The BAR number that stands for none.
const NO_BAR: u8 = 0xff;

/// The device-specific configuration, wherever the device keeps it: in a memory BAR or, with legacy devices, behind I/O
/// ports. Read only, through the kernel.
#[derive(Debug)]
pub struct Config {
    mmio: Option<DeviceMmio>,
    start: u64,
}

impl Config {
    /// From the second word of `Device.configure`'s answer: the BAR in bits 16 to 24, the offset in it from bit 32 on.
    pub(crate) fn new(device: &Device, word: u64) -> Result<Self, Refusal> {
        let bar = (word >> 16) as u8;
        let mmio = if bar == NO_BAR {
            None
        } else {
            Some(device.mmio(bar)?.mmio)
        };
        Ok(Self {
            mmio,
            start: word >> 32,
        })
    }

    /// Reads the field of `width` bytes at `offset`: 1, 2 or 4.
    ///
    /// # Errors
    /// `OutOfRange` where the device has no configuration, and what `DeviceMmio.read` refuses.
    pub fn read(&self, offset: u64, width: u8) -> Result<u32, Refusal> {
        let mmio = self.mmio.as_ref().ok_or(Refusal::OutOfRange)?;
        let value = mmio.read(self.start + offset, width)?.value;
        u32::try_from(value).map_err(|_| Refusal::OutOfRange)
    }

    /// Reads a field of 8 bytes, again if it has changed meanwhile: there is no single access for it, and the broker
    /// keeps the generation counter.
    ///
    /// # Errors
    /// As [`Config::read`]; `Busy` where it changes all the time.
    pub fn read_long(&self, offset: u64) -> Result<u64, Refusal> {
        let mut high = self.read(offset + 4, 4)?;
        for _ in 0..8 {
            let low = self.read(offset, 4)?;
            let again = self.read(offset + 4, 4)?;
            if again == high {
                return Ok(u64::from(high) << 32 | u64::from(low));
            }
            high = again;
        }
        Err(Refusal::Busy)
    }
}
