//! One queue: command slots with issue generations, and the pins of their segments.
//!
//! Nothing here allocates after the queue was made, and every step takes constant time per segment.

use alloc::vec::Vec;

use handles::Handle;

use crate::refusal::Refusal;

/// The deepest queue (Virtio 1.2, 2.7 allows 2^15 descriptors; NVMe queues that a provider uses are smaller).
pub const MAX_DEPTH: u16 = 1 << 15;
/// Segments of one command.
pub const MAX_SEGMENTS: usize = 1024;
/// Queues of one function.
pub(crate) const MAX_QUEUES: u32 = 4096;
/// Segments in flight of one queue. With [`MAX_QUEUES`] of them, the pins of a buffer still fit 32 bits.
const MAX_PINS: u32 = 1 << 17;

const NO_SLOT: u16 = u16::MAX;
const NO_PIN: u32 = u32::MAX;
/// A wire id that is never used: NVMe reserves it (NVMe Base 1.4, 4.2, Command Identifier).
const RESERVED_WIRE: u16 = u16::MAX;

/// What a queue shall hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueShape {
    /// Commands in flight, 1 to [`MAX_DEPTH`].
    pub depth: u16,
    /// Segments of all commands in flight together.
    pub segments: u32,
    /// Bytes of all commands in flight together.
    pub bytes: u64,
    /// Bits of the id that the device gives back with a completion: 16 for an NVMe command identifier, and as few as
    /// the depth needs for a descriptor head. What the slot number leaves of them carries its issue generation.
    pub wire_bits: u8,
}

/// How far a queue has come. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum QueueState {
    /// The broker is making it at the device.
    Opening = 0,
    /// It takes commands.
    Open = 1,
    /// It takes no more; what is in flight may still complete.
    Stopped = 2,
    /// The device has stopped; what was in flight ends `revoked`.
    Ended = 3,
    /// The broker is making the device let go of this queue alone; nothing is taken and nothing completes.
    Resetting = 4,
}

/// What a queue's holder may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueInfo {
    /// Commands it can have in flight.
    pub depth: u16,
    /// Commands it has in flight.
    pub in_flight: u16,
    /// Bytes they move.
    pub bytes_in_flight: u64,
    /// Segments they pin.
    pub pinned: u32,
    /// Commands that ended `revoked` and whose cookies were not taken yet.
    pub revoked: u16,
    /// How far it has come.
    pub state: QueueState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SlotState {
    Free,
    /// Admitted by the ledger, not yet written by the broker.
    Admitted,
    /// Written; the device may work on it.
    Issued,
    /// Its issue generation is used up.
    Retired,
}

#[derive(Debug)]
pub(crate) struct Slot {
    /// Rises with each command in this slot; 0 before the first.
    pub(crate) issue: u64,
    pub(crate) cookie: u64,
    pub(crate) bytes: u64,
    /// Bytes of its segments that the device may write.
    pub(crate) writable: u64,
    first_pin: u32,
    next_free: u16,
    pub(crate) state: SlotState,
}

#[derive(Debug)]
struct Pin {
    buffer: Handle,
    next: u32,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) state: QueueState,
    /// The function's reset count when it was made: a later reset has ended it.
    pub(crate) reset: u64,
    /// Resets of this queue alone.
    pub(crate) stop: u64,
    /// The present one has its receipt.
    pub(crate) stop_proven: bool,
    /// It exists at the device again, and opens once every revoked cookie was taken.
    reopened: bool,
    slots: Vec<Slot>,
    free_head: u16,
    free_tail: u16,
    pins: Vec<Pin>,
    pin_free: u32,
    pinned: u32,
    slot_bits: u32,
    tag_bits: u32,
    pub(crate) in_flight: u16,
    bytes_in_flight: u64,
    byte_limit: u64,
    pub(crate) revoked: u16,
    revoked_from: u16,
}

impl Queue {
    /// Allocates everything that the queue will ever need.
    pub(crate) fn new(shape: QueueShape, reset: u64, last_issue: u64) -> Result<Self, Refusal> {
        let QueueShape {
            depth,
            segments,
            bytes,
            wire_bits,
        } = shape;
        if depth == 0 || segments == 0 || bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        let slot_bits = u16::BITS - (depth - 1).leading_zeros();
        let wire_bits = u32::from(wire_bits);
        if depth > MAX_DEPTH
            || segments > MAX_PINS
            || wire_bits > u16::BITS
            || wire_bits < slot_bits
        {
            return Err(Refusal::OutOfRange);
        }
        let mut slots = Vec::new();
        slots
            .try_reserve_exact(usize::from(depth))
            .map_err(|_| Refusal::NoMemory)?;
        slots.extend((1..=depth).map(|next| Slot {
            issue: last_issue,
            cookie: 0,
            bytes: 0,
            writable: 0,
            first_pin: NO_PIN,
            next_free: if next == depth { NO_SLOT } else { next },
            state: SlotState::Free,
        }));
        let mut pins = Vec::new();
        pins.try_reserve_exact(segments as usize)
            .map_err(|_| Refusal::NoMemory)?;
        pins.extend((1..=segments).map(|next| Pin {
            buffer: Handle::NULL,
            next: if next == segments { NO_PIN } else { next },
        }));
        Ok(Self {
            state: QueueState::Opening,
            reset,
            stop: 0,
            stop_proven: false,
            reopened: false,
            slots,
            free_head: 0,
            free_tail: depth - 1,
            pins,
            pin_free: 0,
            pinned: 0,
            slot_bits,
            tag_bits: wire_bits - slot_bits,
            in_flight: 0,
            bytes_in_flight: 0,
            byte_limit: bytes,
            revoked: 0,
            revoked_from: 0,
        })
    }

    /// Tells whether one more command of this size fits, changing nothing.
    pub(crate) fn room(&self, segments: usize, bytes: u64) -> Result<(), Refusal> {
        let pins_left = self.pins.len() - self.pinned as usize;
        if segments > self.pins.len() {
            return Err(Refusal::OutOfRange);
        }
        if self.free_head == NO_SLOT {
            // Slots at their last issue generation never come back.
            return Err(if self.in_flight == 0 {
                Refusal::Exhausted
            } else {
                Refusal::QueueFull
            });
        }
        if segments > pins_left {
            return Err(Refusal::QueueFull);
        }
        if bytes > self.byte_limit.saturating_sub(self.bytes_in_flight) {
            return Err(Refusal::OverBudget);
        }
        Ok(())
    }

    /// Takes the slot that has been free longest, under its next issue generation. After [`Self::room`].
    pub(crate) fn take_slot(
        &mut self,
        cookie: u64,
        bytes: u64,
        writable: u64,
    ) -> Option<(u16, u64)> {
        let index = self.free_head;
        let tag_mask = self.tag_mask();
        let slot_bits = self.slot_bits;
        let slot = self.slots.get_mut(usize::from(index))?;
        slot.issue += 1;
        if wire(index, slot.issue, slot_bits, tag_mask) == RESERVED_WIRE && slot.issue != u64::MAX {
            slot.issue += 1;
        }
        self.free_head = slot.next_free;
        if self.free_head == NO_SLOT {
            self.free_tail = NO_SLOT;
        }
        slot.next_free = NO_SLOT;
        slot.cookie = cookie;
        slot.bytes = bytes;
        slot.writable = writable;
        slot.first_pin = NO_PIN;
        slot.state = SlotState::Admitted;
        self.in_flight += 1;
        self.bytes_in_flight += bytes;
        Some((index, slot.issue))
    }

    /// Remembers that the slot's command pins a buffer. After [`Self::room`].
    pub(crate) fn push_pin(&mut self, index: u16, buffer: Handle) {
        let at = self.pin_free;
        if let Some(slot) = self.slots.get_mut(usize::from(index))
            && let Some(pin) = self.pins.get_mut(at as usize)
        {
            self.pin_free = pin.next;
            *pin = Pin {
                buffer,
                next: slot.first_pin,
            };
            slot.first_pin = at;
            self.pinned += 1;
        }
    }

    /// Forgets one of the slot's pins and tells which buffer it was on.
    pub(crate) fn pop_pin(&mut self, index: u16) -> Option<Handle> {
        let slot = self.slots.get_mut(usize::from(index))?;
        let at = slot.first_pin;
        let pin = self.pins.get_mut(at as usize)?;
        slot.first_pin = pin.next;
        pin.next = self.pin_free;
        self.pin_free = at;
        self.pinned -= 1;
        Some(pin.buffer)
    }

    /// Ends the slot's command: queues the slot for reuse, or retires it after its last issue generation.
    pub(crate) fn release_slot(&mut self, index: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else {
            return;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(slot.bytes);
        // Two generations are kept back, because taking a slot may skip one.
        if slot.issue >= u64::MAX - 1 {
            slot.state = SlotState::Retired;
            return;
        }
        slot.state = SlotState::Free;
        slot.next_free = NO_SLOT;
        match self.slots.get_mut(usize::from(self.free_tail)) {
            Some(tail) => tail.next_free = index,
            None => self.free_head = index,
        }
        self.free_tail = index;
    }

    pub(crate) fn slot(&self, index: u16) -> Option<&Slot> {
        self.slots.get(usize::from(index))
    }

    pub(crate) fn slot_mut(&mut self, index: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(index))
    }

    /// Returns the id under which the device knows a command.
    pub(crate) fn wire_of(&self, index: u16, issue: u64) -> u16 {
        wire(index, issue, self.slot_bits, self.tag_mask())
    }

    /// Finds the command that a device names, if it is the one in flight.
    pub(crate) fn find(&self, wire_id: u16) -> Result<(u16, &Slot), Refusal> {
        let wire_bits = self.slot_bits + self.tag_bits;
        if wire_bits < u16::BITS && wire_id >> wire_bits != 0 {
            return Err(Refusal::OutOfRange);
        }
        let index = wire_id & mask(self.slot_bits);
        let slot = self
            .slots
            .get(usize::from(index))
            .ok_or(Refusal::OutOfRange)?;
        if slot.issue == 0 {
            return Err(Refusal::NotFound);
        }
        if self.wire_of(index, slot.issue) != wire_id {
            return Err(Refusal::Stale);
        }
        match slot.state {
            SlotState::Issued => Ok((index, slot)),
            SlotState::Admitted => Err(Refusal::WrongState),
            SlotState::Free | SlotState::Retired => Err(Refusal::Duplicate),
        }
    }

    /// Ends everything: the device has stopped and the pins are released elsewhere. Returns the commands revoked.
    pub(crate) fn end(&mut self) -> u16 {
        self.reopened = false;
        if self.state == QueueState::Ended {
            return 0;
        }
        self.state = QueueState::Ended;
        // Commands admitted but never written are nobody's to hear of; `next_revoked` passes them over.
        self.revoked = self.in_flight;
        self.revoked_from = 0;
        self.in_flight = 0;
        self.bytes_in_flight = 0;
        self.pinned = 0;
        self.revoked
    }

    /// Takes the cookie of one more revoked command.
    pub(crate) fn next_revoked(&mut self) -> Option<u64> {
        while self.revoked > 0 {
            let slot = self.slots.get_mut(usize::from(self.revoked_from))?;
            self.revoked_from += 1;
            let state = core::mem::replace(&mut slot.state, SlotState::Retired);
            match state {
                SlotState::Issued => {
                    self.revoked -= 1;
                    return Some(slot.cookie);
                }
                SlotState::Admitted => self.revoked -= 1,
                SlotState::Free | SlotState::Retired => {}
            }
        }
        None
    }

    /// Visits one more pin of a command that the device no longer has, and forgets it. Beginning with slot `from`.
    pub(crate) fn pop_any_pin(&mut self, from: &mut u16) -> Option<Handle> {
        loop {
            let slot = self.slots.get(usize::from(*from))?;
            let busy = matches!(slot.state, SlotState::Admitted | SlotState::Issued);
            match busy.then(|| self.pop_pin(*from)).flatten() {
                Some(buffer) => return Some(buffer),
                None => *from += 1,
            }
        }
    }

    /// Takes note that the queue exists at the device again.
    pub(crate) fn reopen(&mut self) {
        self.reopened = true;
        self.open_if_settled();
    }

    /// Opens a queue that was made again once nobody is owed a cookie: every slot is free, under higher generations.
    pub(crate) fn open_if_settled(&mut self) {
        if !self.reopened || self.revoked != 0 || self.state != QueueState::Ended {
            return;
        }
        self.reopened = false;
        self.state = QueueState::Open;
        (self.free_head, self.free_tail) = (NO_SLOT, NO_SLOT);
        for index in 0..self.slots.len() as u16 {
            let Some(slot) = self.slots.get_mut(usize::from(index)) else {
                return;
            };
            slot.next_free = NO_SLOT;
            if slot.issue >= u64::MAX - 1 {
                slot.state = SlotState::Retired;
                continue;
            }
            slot.state = SlotState::Free;
            match self.slots.get_mut(usize::from(self.free_tail)) {
                Some(tail) => tail.next_free = index,
                None => self.free_head = index,
            }
            self.free_tail = index;
        }
    }

    pub(crate) const fn info(&self) -> QueueInfo {
        QueueInfo {
            depth: self.slots.len() as u16,
            in_flight: self.in_flight,
            bytes_in_flight: self.bytes_in_flight,
            pinned: self.pinned,
            revoked: self.revoked,
            state: self.state,
        }
    }

    /// Visits the buffers pinned by commands in flight, once per segment. For the audit.
    pub(crate) fn pinned_buffers(&self) -> impl Iterator<Item = Handle> {
        let ended = self.state == QueueState::Ended;
        let busy = move |slot: &&Slot| {
            !ended && matches!(slot.state, SlotState::Admitted | SlotState::Issued)
        };
        self.slots.iter().filter(busy).flat_map(|slot| {
            core::iter::successors(self.pins.get(slot.first_pin as usize), |pin| {
                self.pins.get(pin.next as usize)
            })
            .map(|pin| pin.buffer)
        })
    }

    /// Recounts commands and bytes in flight. For the audit.
    pub(crate) fn recount(&self) -> (u16, u64) {
        let ended = self.state == QueueState::Ended;
        let busy =
            |slot: &&Slot| !ended && matches!(slot.state, SlotState::Admitted | SlotState::Issued);
        self.slots
            .iter()
            .filter(busy)
            .fold((0, 0), |(count, bytes), slot| {
                (count + 1, bytes + slot.bytes)
            })
    }

    const fn tag_mask(&self) -> u16 {
        mask(self.tag_bits)
    }
}

const fn mask(bits: u32) -> u16 {
    if bits >= u16::BITS {
        u16::MAX
    } else {
        (1 << bits) - 1
    }
}

/// The slot number in the low bits, as much of the issue generation as fits above it.
const fn wire(index: u16, issue: u64, slot_bits: u32, tag_mask: u16) -> u16 {
    // slot_bits is at most 15, because the deepest queue has 2^15 slots.
    index | ((issue as u16 & tag_mask) << slot_bits)
}
