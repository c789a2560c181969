//! The modern interface: structures in memory BARs (Virtio 1.2, 4.1.4).

use driver_core::{BrokerIo, Refusal, Registers, VirtioRegion, VirtioRegions};
use virtio_format::registers::common;
use virtio_format::{NO_VECTOR, status};

use crate::queue::Place;

/// Where a queue is notified, in a memory BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doorbell {
    pub(crate) bar: u8,
    pub(crate) at: usize,
}

/// A function reached through its vendor capabilities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modern {
    regions: VirtioRegions,
}

/// A structure with its registers.
struct Open<'a> {
    registers: &'a Registers,
    region: VirtioRegion,
}

impl<'a> Open<'a> {
    fn new(io: &'a dyn BrokerIo, region: VirtioRegion) -> Result<Self, Refusal> {
        let registers = io.registers(region.bar)?;
        Ok(Self { registers, region })
    }

    /// Where a field of the structure lies in the BAR.
    fn at(&self, offset: u64, width: u64) -> Result<usize, Refusal> {
        place(&self.region, offset, width)
            .and_then(|at| usize::try_from(at).ok())
            .ok_or(Refusal::OutOfRange)
    }

    fn read8(&self, offset: u64) -> Result<u8, Refusal> {
        let at = self.at(offset, 1)?;
        Ok(self.registers.read8(at)?)
    }

    fn read16(&self, offset: u64) -> Result<u16, Refusal> {
        let at = self.at(offset, 2)?;
        Ok(self.registers.read16(at)?)
    }

    fn read32(&self, offset: u64) -> Result<u32, Refusal> {
        let at = self.at(offset, 4)?;
        Ok(self.registers.read32(at)?)
    }

    fn write8(&self, offset: u64, value: u8) -> Result<(), Refusal> {
        let at = self.at(offset, 1)?;
        Ok(self.registers.write8(at, value)?)
    }

    fn write16(&self, offset: u64, value: u16) -> Result<(), Refusal> {
        let at = self.at(offset, 2)?;
        Ok(self.registers.write16(at, value)?)
    }

    fn write32(&self, offset: u64, value: u32) -> Result<(), Refusal> {
        let at = self.at(offset, 4)?;
        Ok(self.registers.write32(at, value)?)
    }

    /// 64-bit fields are written in two halves (4.1.3.1).
    fn write64(&self, offset: u64, value: u64) -> Result<(), Refusal> {
        self.write32(offset, value as u32)?;
        self.write32(offset + 4, (value >> 32) as u32)
    }
}

/// Where bytes of a structure lie in its BAR; `None` past its end.
fn place(region: &VirtioRegion, offset: u64, width: u64) -> Option<u64> {
    let end = offset.checked_add(width)?;
    (end <= region.length_bytes).then(|| region.offset + offset)
}

impl Modern {
    pub(crate) const fn new(regions: VirtioRegions) -> Self {
        Self { regions }
    }

    fn common<'a>(&self, io: &'a dyn BrokerIo) -> Result<Open<'a>, Refusal> {
        Open::new(io, self.regions.common)
    }

    pub(crate) fn status(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        self.common(io)?.read8(common::STATUS)
    }

    pub(crate) fn set_status(&self, io: &dyn BrokerIo, value: u8) -> Result<(), Refusal> {
        self.common(io)?.write8(common::STATUS, value)
    }

    pub(crate) fn features(&self, io: &dyn BrokerIo) -> Result<u64, Refusal> {
        let common = self.common(io)?;
        let mut features = 0;
        for half in [1, 0] {
            common.write32(common::DEVICE_FEATURE_SELECT, half)?;
            let word = common.read32(common::DEVICE_FEATURE)?;
            features = features << 32 | u64::from(word);
        }
        Ok(features)
    }

    /// Accepts features; `DeviceError` if the device does not (3.1.1, step 6).
    pub(crate) fn accept(&self, io: &dyn BrokerIo, features: u64) -> Result<(), Refusal> {
        let common = self.common(io)?;
        for (half, word) in [(0, features as u32), (1, (features >> 32) as u32)] {
            common.write32(common::DRIVER_FEATURE_SELECT, half)?;
            common.write32(common::DRIVER_FEATURE, word)?;
        }
        let wanted = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
        common.write8(common::STATUS, wanted)?;
        match common.read8(common::STATUS)? {
            status if status == wanted => Ok(()),
            // The device does not work with what it offered and the broker takes. Another try would end the same way.
            status if status == wanted & !status::FEATURES_OK => Err(Refusal::NotSupported),
            _ => Err(Refusal::DeviceError),
        }
    }

    pub(crate) fn queues(&self, io: &dyn BrokerIo) -> Result<u16, Refusal> {
        self.common(io)?.read16(common::NUM_QUEUES)
    }

    pub(crate) fn queue_size(&self, io: &dyn BrokerIo, queue: u16) -> Result<u16, Refusal> {
        let common = self.common(io)?;
        common.write16(common::QUEUE_SELECT, queue)?;
        common.read16(common::QUEUE_SIZE)
    }

    /// Gives the device a queue, and tells where its notification address is.
    pub(crate) fn set_queue(
        &self,
        io: &dyn BrokerIo,
        index: u16,
        queue: &Place,
        vector: u16,
    ) -> Result<Doorbell, Refusal> {
        let common = self.common(io)?;
        common.write16(common::QUEUE_SELECT, index)?;
        if common.read16(common::QUEUE_ENABLE)? != 0 {
            return Err(Refusal::DeviceError);
        }
        common.write16(common::QUEUE_SIZE, queue.size)?;
        if common.read16(common::QUEUE_SIZE)? != queue.size {
            return Err(Refusal::DeviceError);
        }
        let fields = [
            common::QUEUE_DESC,
            common::QUEUE_DRIVER,
            common::QUEUE_DEVICE,
        ];
        for (field, address) in fields.into_iter().zip(queue.parts) {
            common.write64(field, address.bus())?;
        }
        set_vector(&common, common::QUEUE_VECTOR, vector)?;
        let doorbell = self.doorbell(common.read16(common::QUEUE_NOTIFY_OFF)?)?;
        common.write16(common::QUEUE_ENABLE, 1)?;
        if common.read16(common::QUEUE_ENABLE)? == 1 {
            Ok(doorbell)
        } else {
            Err(Refusal::DeviceError)
        }
    }

    /// A queue's notification address: inside the notification area, or there is none.
    fn doorbell(&self, offset: u16) -> Result<Doorbell, Refusal> {
        let notify = &self.regions.notify;
        let at = u64::from(offset) * u64::from(self.regions.notify_multiplier);
        let found = place(notify, at, 2).filter(|at| at.is_multiple_of(2));
        let at = found.ok_or(Refusal::DeviceError)?;
        Ok(Doorbell {
            bar: notify.bar,
            at: usize::try_from(at).map_err(|_| Refusal::DeviceError)?,
        })
    }

    /// Configuration changes raise nothing.
    pub(crate) fn silence_config(&self, io: &dyn BrokerIo) -> Result<(), Refusal> {
        set_vector(&self.common(io)?, common::CONFIG_VECTOR, NO_VECTOR)
    }

    pub(crate) fn take_isr(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        Open::new(io, self.regions.isr)?.read8(0)
    }

    pub(crate) fn generation(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        self.common(io)?.read8(common::GENERATION)
    }

    pub(crate) fn config32(&self, io: &dyn BrokerIo, offset: u64) -> Result<u32, Refusal> {
        let region = self.regions.device.ok_or(Refusal::NotSupported)?;
        let device = Open::new(io, region)?;
        device.read32(offset).map_err(|_| Refusal::NotSupported)
    }

    /// BAR, first byte and length of the device-specific configuration.
    pub(crate) fn config(&self) -> Option<(u8, u64, u64)> {
        let region = self.regions.device?;
        Some((region.bar, region.offset, region.length_bytes))
    }
}

/// Writes a vector, and reads back that the device took it (4.1.5.1.2.1).
fn set_vector(common: &Open<'_>, field: u64, vector: u16) -> Result<(), Refusal> {
    common.write16(field, vector)?;
    if common.read16(field)? == vector {
        Ok(())
    } else {
        Err(Refusal::DeviceError)
    }
}
