//! Which of the two interfaces a function is driven through.

use driver_core::{BrokerIo, Probed, Refusal};
use virtio_format::registers::legacy;
use virtio_format::{NO_VECTOR, feature, id};

use crate::legacy::Legacy;
use crate::modern::{Doorbell, Modern};
use crate::queue::Place;

/// The interface of one function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Modern(Modern),
    Legacy(Legacy),
}

/// Runs the same on either.
macro_rules! either {
    ($self:ident, $one:ident => $run:expr) => {
        match $self {
            Self::Modern($one) => $run,
            Self::Legacy($one) => $run,
        }
    };
}

/// Whether features promise that addresses are those of the bus.
pub(crate) const fn offers_bus(features: u64) -> bool {
    features & feature::ACCESS_PLATFORM != 0
}

impl Transport {
    /// The modern interface where the function has it; the legacy one where its id promises that and its first BAR has
    /// ports enough.
    ///
    /// # Errors
    /// `NotSupported`.
    pub(crate) fn choose(probed: &Probed) -> Result<Self, Refusal> {
        if let Some(regions) = probed.virtio {
            return Ok(Self::Modern(Modern::new(regions)));
        }
        let ports = probed.port_bytes.get(usize::from(legacy::BAR)).copied();
        let ports = ports.unwrap_or(0);
        let legacy = Legacy::new(probed.msix_vectors, ports);
        legacy
            .filter(|_| id::is_transitional(probed.device))
            .map(Self::Legacy)
            .ok_or(Refusal::NotSupported)
    }

    /// The I/O BAR it needs.
    pub(crate) const fn port_bar(&self) -> Option<u8> {
        match self {
            Self::Modern(_) => None,
            Self::Legacy(_) => Some(legacy::BAR),
        }
    }

    /// Features that the interface itself needs.
    pub(crate) const fn required(&self) -> u64 {
        match self {
            Self::Modern(_) => feature::VERSION_1,
            Self::Legacy(_) => 0,
        }
    }

    /// Features that are taken wherever they are offered: a device that offers ACCESS_PLATFORM may refuse to work without
    /// it (6.1). The addresses that the broker writes are bus addresses in any case: those that the DMA backend gave,
    /// physical ones where no unit translates.
    pub(crate) const fn wherever_offered(&self) -> u64 {
        match self {
            Self::Modern(_) => feature::ACCESS_PLATFORM,
            Self::Legacy(_) => 0,
        }
    }

    /// Whether the device's requests go over the bus, and so through a remapping unit that serves it; else the addresses
    /// that it is given are physical ones whatever stands between (6.1).
    pub(crate) fn goes_over_bus(&self, io: &dyn BrokerIo) -> Result<bool, Refusal> {
        match self {
            Self::Modern(one) => Ok(offers_bus(one.features(io)?)),
            Self::Legacy(_) => Ok(false),
        }
    }

    /// Whether each part of a queue may lie anywhere.
    pub(crate) const fn parts_are_chosen(&self) -> bool {
        matches!(self, Self::Modern(_))
    }

    /// Whether the broker chooses how many entries a queue has.
    pub(crate) const fn sizes_are_chosen(&self) -> bool {
        matches!(self, Self::Modern(_))
    }

    pub(crate) fn status(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        either!(self, one => one.status(io))
    }

    pub(crate) fn set_status(&self, io: &dyn BrokerIo, value: u8) -> Result<(), Refusal> {
        either!(self, one => one.set_status(io, value))
    }

    pub(crate) fn features(&self, io: &dyn BrokerIo) -> Result<u64, Refusal> {
        either!(self, one => one.features(io))
    }

    pub(crate) fn accept(&self, io: &dyn BrokerIo, features: u64) -> Result<(), Refusal> {
        either!(self, one => one.accept(io, features))
    }

    /// Queues that the device has. The legacy interface does not say: there a queue of size 0 is the end.
    pub(crate) fn queues(&self, io: &dyn BrokerIo) -> Result<u16, Refusal> {
        match self {
            Self::Modern(one) => one.queues(io),
            Self::Legacy(_) => Ok(u16::MAX),
        }
    }

    /// Entries of a queue, at most or exactly: see [`Self::sizes_are_chosen`].
    pub(crate) fn queue_size(&self, io: &dyn BrokerIo, queue: u16) -> Result<u16, Refusal> {
        either!(self, one => one.queue_size(io, queue))
    }

    /// Gives the device a queue.
    pub(crate) fn set_queue(
        &self,
        io: &dyn BrokerIo,
        index: u16,
        queue: &Place,
        vector: Option<u16>,
    ) -> Result<Option<Doorbell>, Refusal> {
        let vector = vector.unwrap_or(NO_VECTOR);
        match self {
            Self::Modern(one) => one.set_queue(io, index, queue, vector).map(Some),
            Self::Legacy(one) => one.set_queue(io, index, queue, vector).map(|()| None),
        }
    }

    pub(crate) fn silence_config(&self, io: &dyn BrokerIo) -> Result<(), Refusal> {
        either!(self, one => one.silence_config(io))
    }

    /// Tells the device that a queue has something: one register write, at the queue's own address.
    pub(crate) fn notify(&self, io: &dyn BrokerIo, queue: u16, doorbell: Option<Doorbell>) {
        match (self, doorbell) {
            (Self::Legacy(one), _) => one.notify(io, queue),
            (Self::Modern(_), Some(doorbell)) => {
                if let Ok(registers) = io.registers(doorbell.bar) {
                    // `set_queue` checked that it lies in the notification area.
                    let _ = registers.write16(doorbell.at, queue);
                }
            }
            (Self::Modern(_), None) => {}
        }
    }

    /// Reads the ISR byte, which clears it and lowers the line.
    pub(crate) fn take_isr(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        either!(self, one => one.take_isr(io))
    }

    pub(crate) fn generation(&self, io: &dyn BrokerIo) -> Result<u8, Refusal> {
        match self {
            Self::Modern(one) => one.generation(io),
            Self::Legacy(_) => Ok(0),
        }
    }

    pub(crate) fn config32(&self, io: &dyn BrokerIo, offset: u64) -> Result<u32, Refusal> {
        either!(self, one => one.config32(io, offset))
    }

    /// BAR, first byte and length of the device-specific configuration.
    pub(crate) fn config(&self) -> Option<(u8, u64, u64)> {
        either!(self, one => one.config())
    }
}
