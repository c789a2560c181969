//! GQI queues: the device goes through them in order, so a count and a list of slots are all that there is to remember.

use alloc::vec::Vec;

use driver_core::{BrokerIo, Completed, DmaPages, Refusal, Segment, release_to_device};
use gve_format::brokered::BUFFER_BYTES;
use gve_format::gqi::{self, rx_flag};
use sabotage::sabotage;

use crate::lists::List;
use crate::queue::{Frames, Rings};
use crate::registers::Doorbell;

/// Status of a frame that the device found to be broken.
pub(crate) const BROKEN_FRAME: u16 = 1;

/// Which slots are in flight, in the order in which they went to the device.
#[derive(Debug)]
struct Order {
    slots: Vec<u16>,
    entries: u16,
    depth: u16,
    /// Ever written, told to the device, and given back.
    pushed: u64,
    rung: u64,
    done: u64,
}

impl Order {
    fn new(entries: u16, depth: u16) -> Result<Self, Refusal> {
        Ok(Self {
            slots: driver_core::list(core::iter::repeat_n(0, entries.into()))?,
            entries,
            depth,
            pushed: 0,
            rung: 0,
            done: 0,
        })
    }

    /// Place in the ring of the entry of that number. There are as many as a power of two.
    #[inline]
    const fn place(&self, number: u64) -> usize {
        number as usize & (self.entries as usize - 1)
    }

    #[inline]
    fn check(&self, slot: u16) -> Result<(), Refusal> {
        if slot >= self.depth {
            return Err(Refusal::OutOfRange);
        }
        match self.pushed - self.done < u64::from(self.depth) {
            true => Ok(()),
            false => Err(Refusal::QueueFull),
        }
    }

    #[inline]
    fn push(&mut self, slot: u16) {
        let place = self.place(self.pushed);
        if let Some(entry) = self.slots.get_mut(place) {
            *entry = slot;
        }
        self.pushed += 1;
    }

    /// Takes the oldest.
    #[inline]
    fn pop(&mut self) -> Result<u16, Refusal> {
        let slot = self.slots.get(self.place(self.done));
        let slot = *slot.ok_or(Refusal::Corrupt)?;
        self.done += 1;
        Ok(slot)
    }
}

/// A queue for reception.
#[derive(Debug)]
pub(crate) struct Receive {
    rings: Rings,
    order: Order,
    doorbell: Doorbell,
    is_broken: bool,
}

impl Receive {
    /// Over rings that are zero.
    ///
    /// # Errors
    /// `OverBudget`.
    pub(crate) fn new(
        rings: Rings,
        doorbell: Doorbell,
        entries: u16,
        depth: u16,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            rings,
            order: Order::new(entries, depth)?,
            doorbell,
            is_broken: false,
        })
    }

    /// The sequence number that the descriptor of this number has: 1 to 7 in turn.
    const fn sequence(number: u64) -> u8 {
        (number % 7) as u8 + 1
    }

    /// The next descriptor, if the device has written it.
    fn next(&self) -> Result<Option<gqi::Rx>, Refusal> {
        const LAST: usize = gqi::RX_BYTES - 8;
        let number = self.order.done;
        let at = self.order.place(number) * gqi::RX_BYTES + LAST;
        // Everything that is looked at lies in this word, with the sequence number.
        let word = self.rings.first.load64(at)?;
        let mut bytes = [0; gqi::RX_BYTES];
        if let Some(last) = bytes.last_chunk_mut() {
            *last = word.to_ne_bytes();
        }
        let descriptor = gqi::Rx::read(&bytes);
        let before = number.checked_sub(self.order.entries.into());
        if descriptor.sequence == before.map_or(0, Self::sequence) {
            return Ok(None);
        }
        let is_next = descriptor.sequence == Self::sequence(number);
        match (is_next || sabotage!(GVE_SKIP_SEQUENCE_CHECK)) && number < self.order.rung {
            true => Ok(Some(descriptor)),
            false => Err(Refusal::Corrupt),
        }
    }
}

impl Frames for Receive {
    fn push(
        &mut self,
        slot: u16,
        segment: &Segment<'_>,
        list: Option<&List>,
    ) -> Result<(), Refusal> {
        if self.is_broken {
            return Err(Refusal::WrongState);
        }
        let at = list.ok_or(Refusal::WrongState)?.locate(segment)?;
        self.order.check(slot)?;
        let place = self.order.place(self.order.pushed) * gqi::SLOT_BYTES;
        let entry = u64::from(at).to_be_bytes();
        self.rings
            .second
            .store64(place, u64::from_ne_bytes(entry))?;
        self.order.push(slot);
        Ok(())
    }

    fn ring(&mut self, io: &dyn BrokerIo) {
        if self.order.rung != self.order.pushed && !self.is_broken {
            release_to_device();
            self.doorbell.ring(io, self.order.pushed as u32);
            self.order.rung = self.order.pushed;
        }
    }

    fn take(&mut self) -> Result<Option<Completed>, Refusal> {
        if self.is_broken {
            return Err(Refusal::Corrupt);
        }
        let next = self.next().and_then(|next| {
            let Some(descriptor) = next else {
                return Ok(None);
            };
            // No frame is longer than a buffer.
            if descriptor.flags & rx_flag::CONTINUES != 0 {
                return Err(Refusal::Corrupt);
            }
            let bytes = descriptor.frame_bytes(BUFFER_BYTES);
            Ok(Some((bytes.ok_or(Refusal::Corrupt)?, descriptor.flags)))
        });
        match next {
            Ok(None) => Ok(None),
            Ok(Some((bytes, flags))) => Ok(Some(Completed {
                slot: self.order.pop()?,
                status: match flags & rx_flag::ERROR {
                    0 => 0,
                    _ => BROKEN_FRAME,
                },
                result: bytes.into(),
            })),
            Err(refusal) => {
                self.is_broken = true;
                Err(refusal)
            }
        }
    }

    fn rings(self) -> Rings {
        self.rings
    }
}

/// A queue for transmission.
#[derive(Debug)]
pub(crate) struct Transmit {
    rings: Rings,
    order: Order,
    doorbell: Doorbell,
    /// Of the device's event counters.
    counter: usize,
    /// Up to where the device has said that it is done.
    seen: u64,
    is_broken: bool,
}

impl Transmit {
    /// Over rings that are zero, with the counter at this place.
    ///
    /// # Errors
    /// `OverBudget`.
    pub(crate) fn new(
        rings: Rings,
        doorbell: Doorbell,
        counter: usize,
        entries: u16,
        depth: u16,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            rings,
            order: Order::new(entries, depth)?,
            doorbell,
            counter,
            seen: 0,
            is_broken: false,
        })
    }

    /// Reads how many descriptors are done, where that is not known yet.
    ///
    /// # Errors
    /// `Corrupt` for more than the device was told of.
    pub(crate) fn look(&mut self, counters: &DmaPages) -> Result<(), Refusal> {
        if self.order.done != self.seen || self.is_broken {
            return Ok(());
        }
        let count = u32::from_be(counters.load32(self.counter)?);
        let more = u64::from(count.wrapping_sub(self.seen as u32));
        if more > self.order.rung - self.seen {
            if !sabotage!(GVE_BELIEVE_COUNTER) {
                self.is_broken = true;
                return Err(Refusal::Corrupt);
            }
            self.seen = self.order.rung;
            return Ok(());
        }
        self.seen += more;
        Ok(())
    }
}

impl Frames for Transmit {
    fn push(
        &mut self,
        slot: u16,
        segment: &Segment<'_>,
        list: Option<&List>,
    ) -> Result<(), Refusal> {
        if self.is_broken {
            return Err(Refusal::WrongState);
        }
        let at = list.ok_or(Refusal::WrongState)?.locate(segment)?;
        self.order.check(slot)?;
        let bytes = segment.length as u16;
        let descriptor = gqi::Tx::Packet {
            segmented: false,
            checksum: None,
            descriptors: 1,
            frame_bytes: bytes,
            bytes,
            at: at.into(),
        };
        let place = self.order.place(self.order.pushed) * gqi::TX_BYTES;
        self.rings.first.write(place, &descriptor.bytes())?;
        self.order.push(slot);
        Ok(())
    }

    fn ring(&mut self, io: &dyn BrokerIo) {
        if self.order.rung != self.order.pushed && !self.is_broken {
            release_to_device();
            self.doorbell.ring(io, self.order.pushed as u32);
            self.order.rung = self.order.pushed;
        }
    }

    fn take(&mut self) -> Result<Option<Completed>, Refusal> {
        if self.is_broken {
            return Err(Refusal::Corrupt);
        }
        if self.order.done == self.seen {
            return Ok(None);
        }
        Ok(Some(Completed {
            slot: self.order.pop()?,
            status: 0,
            result: 0,
        }))
    }

    fn rings(self) -> Rings {
        self.rings
    }
}
