//! The legacy interface: registers in an I/O BAR, one page number per queue (Virtio 1.2, 4.1.4.10).

use driver_core::{BrokerIo, OutOfRegion, Ports, Refusal};
use virtio_format::NO_VECTOR;
use virtio_format::registers::legacy;

use crate::queue::Virtqueue;

/// A function reached through the ports of its first BAR, and through no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Legacy {
    /// MSI-X is enabled: there are two more registers, and the device-specific ones lie behind them.
    msix: bool,
    ports: u64,
}

const fn outside(_: OutOfRegion) -> Refusal {
    Refusal::OutOfRange
}

impl Legacy {
    pub(crate) const fn new(msix: bool, ports: u64) -> Self {
        Self { msix, ports }
    }

    /// Ports that the registers of every device take.
    pub(crate) const fn least_ports(msix: bool) -> u64 {
        legacy::config(msix) as u64
    }

    fn ports<'a>(&self, io: &'a dyn BrokerIo) -> Result<&'a Ports, Refusal> {
        io.ports(legacy::BAR)
    }

    pub(crate) fn status(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        self.ports(io)?.read8(legacy::STATUS).map_err(outside)
    }

    pub(crate) fn set_status(&self, io: &dyn BrokerIo, value: u8) -> Result<(), Refusal> {
        let ports = self.ports(io)?;
        ports.write8(legacy::STATUS, value).map_err(outside)
    }

    pub(crate) fn features(&self, io: &dyn BrokerIo) -> Result<u64, Refusal> {
        let ports = self.ports(io)?;
        let features = ports.read32(legacy::DEVICE_FEATURES).map_err(outside)?;
        Ok(u64::from(features))
    }

    pub(crate) fn accept(&self, io: &dyn BrokerIo, features: u64) -> Result<(), Refusal> {
        let ports = self.ports(io)?;
        let written = ports.write32(legacy::DRIVER_FEATURES, features as u32);
        written.map_err(outside)
    }

    pub(crate) fn queue_size(&self, io: &dyn BrokerIo, queue: u16) -> Result<u16, Refusal> {
        let ports = self.ports(io)?;
        ports
            .write16(legacy::QUEUE_SELECT, queue)
            .map_err(outside)?;
        ports.read16(legacy::QUEUE_SIZE).map_err(outside)
    }

    /// Gives the device a queue by its page number.
    pub(crate) fn set_queue(
        &self,
        io: &dyn BrokerIo,
        index: u16,
        queue: &Virtqueue,
        vector: u16,
    ) -> Result<(), Refusal> {
        if self.queue_size(io, index)? != queue.size() {
            return Err(Refusal::DeviceError);
        }
        let ports = self.ports(io)?;
        let page = || ports.read32(legacy::QUEUE_PAGE).map_err(outside);
        if page()? != 0 {
            return Err(Refusal::DeviceError);
        }
        let [base, ..] = queue.addresses();
        // A page that the register cannot hold is memory that this device cannot reach.
        let number = u32::try_from(base.bus() >> legacy::PAGE_SHIFT);
        let number = number.map_err(|_| Refusal::NoMemory)?;
        if self.msix {
            self.set_vector(io, legacy::QUEUE_VECTOR, vector)?;
        }
        let written = ports.write32(legacy::QUEUE_PAGE, number);
        written.map_err(outside)?;
        if page()? == number {
            Ok(())
        } else {
            Err(Refusal::DeviceError)
        }
    }

    /// Configuration changes raise nothing.
    pub(crate) fn silence_config(&self, io: &dyn BrokerIo) -> Result<(), Refusal> {
        if self.msix {
            self.set_vector(io, legacy::CONFIG_VECTOR, NO_VECTOR)?;
        }
        Ok(())
    }

    /// Writes a vector, and reads back that the device took it.
    fn set_vector(&self, io: &dyn BrokerIo, at: usize, vector: u16) -> Result<(), Refusal> {
        let ports = self.ports(io)?;
        ports.write16(at, vector).map_err(outside)?;
        if ports.read16(at).map_err(outside)? == vector {
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
        self.ports(io)?.read8(legacy::ISR).map_err(outside)
    }

    /// Reads 32 bits of the device-specific configuration.
    pub(crate) fn config32(&self, io: &dyn BrokerIo, offset: u64) -> Result<u32, Refusal> {
        let at = legacy::config(self.msix) as u64 + offset;
        let at = usize::try_from(at).map_err(|_| Refusal::NotSupported)?;
        let read = self.ports(io)?.read32(at);
        read.map_err(|_| Refusal::NotSupported)
    }

    /// BAR, first byte and length of the device-specific configuration.
    pub(crate) fn config(&self) -> Option<(u8, u64, u64)> {
        let at = legacy::config(self.msix) as u64;
        let bytes = self.ports.checked_sub(at).filter(|bytes| *bytes != 0)?;
        Some((legacy::BAR, at, bytes))
    }
}
