//! The legacy interface: registers in an I/O BAR, one page number per queue (Virtio 1.2, 4.1.4.10).

use driver_core::{BrokerIo, Ports, Refusal};
use virtio_format::NO_VECTOR;
use virtio_format::registers::legacy;

use crate::queue::Place;

/// A function reached through the ports of its first BAR, and through no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Legacy {
    /// MSI-X is enabled: there are two more registers, and the device-specific ones lie behind them.
    /// Where the device-specific configuration begins, which is behind the vectors where there are any.
    config_at: usize,
    ports: u64,
}

impl Legacy {
    /// The interface of a device with so many MSI-X vectors and ports; `None` where its registers take more ports.
    pub(crate) const fn new(msix_vectors: u16, ports: u64) -> Option<Self> {
        let config_at = match msix_vectors {
            0 => legacy::CONFIG,
            _ => legacy::CONFIG_WITH_MSIX,
        };
        if ports < config_at as u64 {
            return None;
        }
        Some(Self { config_at, ports })
    }

    const fn has_vectors(&self) -> bool {
        self.config_at == legacy::CONFIG_WITH_MSIX
    }

    fn ports<'a>(&self, io: &'a dyn BrokerIo) -> Result<&'a Ports, Refusal> {
        io.ports(legacy::BAR)
    }

    pub(crate) fn status(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        Ok(self.ports(io)?.read8(legacy::STATUS)?)
    }

    pub(crate) fn set_status(&self, io: &dyn BrokerIo, value: u8) -> Result<(), Refusal> {
        let ports = self.ports(io)?;
        Ok(ports.write8(legacy::STATUS, value)?)
    }

    pub(crate) fn features(&self, io: &dyn BrokerIo) -> Result<u64, Refusal> {
        let ports = self.ports(io)?;
        let features = ports.read32(legacy::DEVICE_FEATURES)?;
        Ok(u64::from(features))
    }

    pub(crate) fn accept(&self, io: &dyn BrokerIo, features: u64) -> Result<(), Refusal> {
        let ports = self.ports(io)?;
        Ok(ports.write32(legacy::DRIVER_FEATURES, features as u32)?)
    }

    pub(crate) fn queue_size(&self, io: &dyn BrokerIo, queue: u16) -> Result<u16, Refusal> {
        let ports = self.ports(io)?;
        ports.write16(legacy::QUEUE_SELECT, queue)?;
        Ok(ports.read16(legacy::QUEUE_SIZE)?)
    }

    /// Gives the device a queue by its page number.
    pub(crate) fn set_queue(
        &self,
        io: &dyn BrokerIo,
        index: u16,
        queue: &Place,
        vector: u16,
    ) -> Result<(), Refusal> {
        if self.queue_size(io, index)? != queue.size {
            return Err(Refusal::DeviceError);
        }
        let ports = self.ports(io)?;
        let page = || ports.read32(legacy::QUEUE_PAGE);
        if page()? != 0 {
            return Err(Refusal::DeviceError);
        }
        let [base, ..] = queue.parts;
        // A page that the register cannot hold is memory that this device cannot reach.
        let number = u32::try_from(base.bus() >> legacy::PAGE_SHIFT);
        let number = number.map_err(|_| Refusal::NoMemory)?;
        if self.has_vectors() {
            self.set_vector(io, legacy::QUEUE_VECTOR, vector)?;
        }
        ports.write32(legacy::QUEUE_PAGE, number)?;
        if page()? == number {
            Ok(())
        } else {
            Err(Refusal::DeviceError)
        }
    }

    /// Configuration changes raise nothing.
    pub(crate) fn silence_config(&self, io: &dyn BrokerIo) -> Result<(), Refusal> {
        if self.has_vectors() {
            self.set_vector(io, legacy::CONFIG_VECTOR, NO_VECTOR)?;
        }
        Ok(())
    }

    /// Writes a vector, and reads back that the device took it.
    fn set_vector(&self, io: &dyn BrokerIo, at: usize, vector: u16) -> Result<(), Refusal> {
        let ports = self.ports(io)?;
        ports.write16(at, vector)?;
        if ports.read16(at)? == vector {
            Ok(())
        } else {
            Err(Refusal::DeviceError)
        }
    }

    pub(crate) fn notify(&self, io: &dyn BrokerIo, queue: u16) {
        if let Ok(ports) = self.ports(io) {
            let _ = ports.write16(legacy::QUEUE_NOTIFY, queue);
        }
    }

    pub(crate) fn take_isr(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        Ok(self.ports(io)?.read8(legacy::ISR)?)
    }

    /// Reads 32 bits of the device-specific configuration.
    pub(crate) fn config32(&self, io: &dyn BrokerIo, offset: u64) -> Result<u32, Refusal> {
        let at = self.config_at as u64 + offset;
        let at = usize::try_from(at).map_err(|_| Refusal::NotSupported)?;
        let read = self.ports(io)?.read32(at);
        read.map_err(|_| Refusal::NotSupported)
    }

    /// BAR, first byte and length of the device-specific configuration.
    pub(crate) fn config(&self) -> Option<(u8, u64, u64)> {
        let at = self.config_at as u64;
        let bytes = self.ports.checked_sub(at).filter(|bytes| *bytes != 0)?;
        Some((legacy::BAR, at, bytes))
    }
}
