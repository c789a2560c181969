//! What queues of both families have in common: their memory, their doorbells, and the block that says that there is something.

use driver_core::{BrokerIo, Completed, DmaPages, Refusal, Segment};
use gve_format::registers::{irq, itr};
use gve_format::{PAGE_BYTES, dqo as format};

use crate::dqo;
use crate::gqi;
use crate::lists::List;
use crate::registers::{Doorbell, Order};

/// Two runs of the broker's own pages, which stay with their queue over resets.
#[derive(Debug)]
pub(crate) struct Rings {
    /// GQI and transmit: descriptors. DQO's receive: completions.
    pub(crate) first: DmaPages,
    /// GQI's receive: places of buffers. DQO: completions of transmission, descriptors of buffers.
    pub(crate) second: DmaPages,
}

impl Rings {
    /// Rings of so many bytes, zeroed, out of `old` where that is large enough.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    pub(crate) fn new(
        io: &mut dyn BrokerIo,
        old: Option<Self>,
        (first, second): (usize, usize),
    ) -> Result<Self, Refusal> {
        if let Some(old) = old
            && old.first.len() >= first
            && old.second.len() >= second
        {
            old.first.zero();
            old.second.zero();
            return Ok(old);
        }
        let page = PAGE_BYTES as usize;
        Ok(Self {
            first: io.pages(first.next_multiple_of(page))?,
            second: io.pages(second.max(1).next_multiple_of(page))?,
        })
    }
}

/// A notification block: the vector of one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    doorbell: Doorbell,
    order: Order,
    is_polled: bool,
    /// DQO: an interrupt that was on its way when the block was armed masks it again.
    again: bool,
}

impl Block {
    #[expect(clippy::fn_params_excessive_bools, reason = "what was asked for")]
    pub(crate) const fn new(doorbell: Doorbell, order: Order, is_polled: bool) -> Self {
        Self {
            doorbell,
            order,
            is_polled,
            again: false,
        }
    }

    /// The queue is open: interrupts may come, or never do.
    pub(crate) fn begin(&mut self, io: &dyn BrokerIo) {
        match (self.is_polled, self.order) {
            (true, Order::Big) => self.doorbell.ring(io, irq::MASK),
            (true, Order::Little) => self.doorbell.ring(io, itr::NO_UPDATE),
            (false, _) => self.arm(io),
        }
    }

    /// Something was taken: the next may be told. What came meanwhile counts.
    pub(crate) fn arm(&mut self, io: &dyn BrokerIo) {
        if self.is_polled {
            return;
        }
        match self.order {
            Order::Big => self.doorbell.ring(io, irq::ACK | irq::EVENT),
            Order::Little => self.doorbell.ring(io, itr::ENABLE | itr::NO_UPDATE),
        }
        self.again = self.order == Order::Little;
    }

    /// Nothing was there.
    #[inline]
    pub(crate) fn look(&mut self, io: &dyn BrokerIo) {
        if self.again {
            self.arm(io);
            self.again = false;
        }
    }
}

/// A queue for reception.
#[derive(Debug)]
pub(crate) enum Receive {
    Gqi(gqi::Receive),
    Dqo(dqo::Receive),
}

/// A queue for transmission.
#[derive(Debug)]
pub(crate) enum Transmit {
    Gqi(gqi::Transmit),
    Dqo(dqo::Transmit),
}

/// Bytes of a ring.
pub(crate) fn bytes(entries: u16, each: usize) -> usize {
    usize::from(entries) * each
}

/// A queue of a device, whichever.
pub(crate) trait Frames {
    /// Writes what a command says; the device does not look before [`Self::ring`].
    ///
    /// # Errors
    /// The broker's refusals of a command. Nothing has changed then.
    fn push(
        &mut self,
        slot: u16,
        segment: &Segment<'_>,
        list: Option<&List>,
    ) -> Result<(), Refusal>;

    /// Tells the device of everything written.
    fn ring(&mut self, io: &dyn BrokerIo);

    /// Takes what the device gave back next.
    ///
    /// # Errors
    /// `Corrupt`.
    fn take(&mut self) -> Result<Option<Completed>, Refusal>;

    /// Its memory, for the next one.
    fn rings(self) -> Rings
    where
        Self: Sized;
}

macro_rules! either {
    ($queue:ident) => {
        impl Frames for $queue {
            #[inline]
            fn push(
                &mut self,
                slot: u16,
                segment: &Segment<'_>,
                list: Option<&List>,
            ) -> Result<(), Refusal> {
                match self {
                    Self::Gqi(queue) => queue.push(slot, segment, list),
                    Self::Dqo(queue) => queue.push(slot, segment, list),
                }
            }

            fn ring(&mut self, io: &dyn BrokerIo) {
                match self {
                    Self::Gqi(queue) => queue.ring(io),
                    Self::Dqo(queue) => queue.ring(io),
                }
            }

            #[inline]
            fn take(&mut self) -> Result<Option<Completed>, Refusal> {
                match self {
                    Self::Gqi(queue) => queue.take(),
                    Self::Dqo(queue) => queue.take(),
                }
            }

            fn rings(self) -> Rings {
                match self {
                    Self::Gqi(queue) => queue.rings(),
                    Self::Dqo(queue) => queue.rings(),
                }
            }
        }
    };
}

either!(Receive);
either!(Transmit);

/// Bytes of a DQO queue's rings.
pub(crate) fn dqo_bytes(side: gve_format::brokered::Side, entries: u16) -> (usize, usize) {
    match side {
        gve_format::brokered::Side::Receive => (
            bytes(entries, format::RX_COMPLETION_BYTES),
            bytes(entries, format::RX_BYTES),
        ),
        gve_format::brokered::Side::Transmit => (
            bytes(entries, format::TX_BYTES),
            bytes(entries, format::TX_COMPLETION_BYTES),
        ),
    }
}
