//! The device-specific configuration.

use sdk::schema::device::device::ConfigureVirtioResults;
use sdk::{Device, DeviceMmio, Refusal};

/// The device-specific configuration, wherever the device keeps it: in a memory BAR or, with legacy devices, behind I/O
/// ports. Read only, through the kernel.
#[derive(Debug)]
pub struct Config {
    mmio: Option<DeviceMmio>,
    start: u64,
}

impl Config {
    /// Where `Device.configureVirtio` says that it lies.
    pub(crate) fn new(device: &Device, agreed: &ConfigureVirtioResults) -> Result<Self, Refusal> {
        let mmio = match agreed.config_bytes {
            0 => None,
            _ => Some(device.mmio(agreed.config_bar)?.mmio),
        };
        Ok(Self {
            mmio,
            start: agreed.config_offset.into(),
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
