//! One queue: command slots with issue generations, and the pins of their segments.
//!
//! Nothing here allocates after the queue was made, and every step takes constant time per segment.

use alloc::vec::Vec;

use handles::Handle;

use crate::bindings::Bindings;
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

/// What a queue must be able to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueShape {
    /// Commands in flight, 1 to [`MAX_DEPTH`].
    pub depth: u16,
    /// Segments of all commands in flight together.
    pub segments: u32,
    /// Bytes of all commands in flight together.
    pub bytes: u64,
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
    /// Its holder writes its entries; the one command in flight is its rings.
    pub direct: bool,
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
    /// The first buffer that it pins; most commands pin one.
    pin: Handle,
    /// The others.
    first_pin: u32,
    next_free: u16,
    pub(crate) state: SlotState,
}

impl Slot {
    /// Frees it, or retires it after its last issue generation. Whether it may be used again.
    #[inline]
    const fn put_away(&mut self) -> bool {
        self.next_free = NO_SLOT;
        let last = self.issue == u64::MAX;
        self.state = if last {
            SlotState::Retired
        } else {
            SlotState::Free
        };
        !last
    }
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
    pub(crate) in_flight: u16,
    bytes_in_flight: u64,
    byte_limit: u64,
    pub(crate) revoked: u16,
    revoked_from: u16,
    /// Its holder writes its entries.
    pub(crate) direct: bool,
    pub(crate) bindings: Bindings,
}

impl Queue {
    /// Allocates everything that the queue will ever need.
    pub(crate) fn new(shape: QueueShape, reset: u64) -> Result<Self, Refusal> {
        let QueueShape {
            depth,
            segments,
            bytes,
        } = shape;
        if depth == 0 || segments == 0 || bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        if depth > MAX_DEPTH || segments > MAX_PINS {
            return Err(Refusal::OutOfRange);
        }
        let mut slots = Vec::new();
        slots
            .try_reserve_exact(usize::from(depth))
            .map_err(|_| Refusal::NoMemory)?;
        slots.extend((0..depth).map(|_| Slot {
            issue: 0,
            cookie: 0,
            bytes: 0,
            pin: Handle::NULL,
            first_pin: NO_PIN,
            next_free: NO_SLOT,
            state: SlotState::Free,
        }));
        let mut pins = Vec::new();
        pins.try_reserve_exact(segments as usize)
            .map_err(|_| Refusal::NoMemory)?;
        pins.extend((1..=segments).map(|next| Pin {
            buffer: Handle::NULL,
            next: if next == segments { NO_PIN } else { next },
        }));
        let mut queue = Self {
            state: QueueState::Opening,
            reset,
            stop: 0,
            stop_proven: false,
            reopened: false,
            slots,
            free_head: NO_SLOT,
            free_tail: NO_SLOT,
            pins,
            pin_free: 0,
            pinned: 0,
            in_flight: 0,
            bytes_in_flight: 0,
            byte_limit: bytes,
            revoked: 0,
            revoked_from: 0,
            direct: false,
            bindings: Bindings::default(),
        };
        queue.free_all();
        Ok(queue)
    }

    /// Makes the list of free slots anew: all in the order of their numbers, except those at their last generation.
    fn free_all(&mut self) {
        (self.free_head, self.free_tail) = (NO_SLOT, NO_SLOT);
        for index in 0..self.slots.len() as u16 {
            self.free(index);
        }
    }

    /// Puts a slot at the end of the free list, or retires it after its last issue generation.
    fn free(&mut self, index: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else {
            return;
        };
        if slot.put_away() {
            self.queue_slot(index);
        }
    }

    /// Puts a slot that was put away at the end of the free list.
    #[inline]
    fn queue_slot(&mut self, index: u16) {
        match self.slots.get_mut(usize::from(self.free_tail)) {
            Some(tail) => tail.next_free = index,
            None => self.free_head = index,
        }
        self.free_tail = index;
    }

    /// Whether one more command of this size fits, changing nothing.
    #[inline]
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
    #[inline]
    pub(crate) fn take_slot(&mut self, cookie: u64, bytes: u64) -> Option<(u16, u64)> {
        let index = self.free_head;
        let slot = self.slots.get_mut(usize::from(index))?;
        slot.issue += 1;
        self.free_head = slot.next_free;
        if self.free_head == NO_SLOT {
            self.free_tail = NO_SLOT;
        }
        slot.next_free = NO_SLOT;
        slot.cookie = cookie;
        slot.bytes = bytes;
        slot.pin = Handle::NULL;
        slot.first_pin = NO_PIN;
        slot.state = SlotState::Admitted;
        self.in_flight += 1;
        self.bytes_in_flight += bytes;
        Some((index, slot.issue))
    }

    /// Remembers that the slot's command pins a buffer. After [`Self::room`].
    #[inline]
    pub(crate) fn push_pin(&mut self, index: u16, buffer: Handle) {
        if let Some(slot) = self.slots.get_mut(usize::from(index))
            && slot.pin == Handle::NULL
        {
            slot.pin = buffer;
            self.pinned += 1;
            return;
        }
        self.push_another_pin(index, buffer);
    }

    fn push_another_pin(&mut self, index: u16, buffer: Handle) {
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
    #[inline]
    pub(crate) fn pop_pin(&mut self, index: u16) -> Option<Handle> {
        let slot = self.slots.get_mut(usize::from(index))?;
        if slot.pin == Handle::NULL {
            return None;
        }
        let at = slot.first_pin;
        if at == NO_PIN {
            self.pinned -= 1;
            return Some(core::mem::replace(&mut slot.pin, Handle::NULL));
        }
        let pin = self.pins.get_mut(at as usize)?;
        slot.first_pin = pin.next;
        pin.next = self.pin_free;
        self.pin_free = at;
        self.pinned -= 1;
        Some(pin.buffer)
    }

    /// Ends the slot's command: queues the slot for reuse, or retires it after its last issue generation.
    #[inline]
    pub(crate) fn release_slot(&mut self, index: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else {
            return;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(slot.bytes);
        if slot.put_away() {
            self.queue_slot(index);
        }
    }

    pub(crate) fn slot(&self, index: u16) -> Option<&Slot> {
        self.slots.get(usize::from(index))
    }

    pub(crate) fn slot_mut(&mut self, index: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(index))
    }

    /// The cookie of the command that the device has in this slot.
    #[inline]
    pub(crate) fn issued(&self, index: u16) -> Result<u64, Refusal> {
        let slot = self.slot(index).ok_or(Refusal::OutOfRange)?;
        match slot.state {
            SlotState::Issued => Ok(slot.cookie),
            SlotState::Admitted => Err(Refusal::WrongState),
            SlotState::Free | SlotState::Retired if slot.issue == 0 => Err(Refusal::NotFound),
            SlotState::Free | SlotState::Retired => Err(Refusal::Duplicate),
        }
    }

    /// Whether the slot's command was admitted and not written yet.
    pub(crate) fn is_admitted(&self, index: u16) -> bool {
        self.slot(index)
            .is_some_and(|slot| slot.state == SlotState::Admitted)
    }

    /// The broker has written the slot's command.
    #[inline]
    pub(crate) fn issue(&mut self, index: u16) {
        if let Some(slot) = self.slot_mut(index)
            && slot.state == SlotState::Admitted
        {
            slot.state = SlotState::Issued;
        }
    }

    /// Ends everything: the device has stopped and the pins are released elsewhere. Returns the commands revoked.
    pub(crate) fn end(&mut self) -> u16 {
        self.reopened = false;
        self.bindings.end();
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

    /// Records that the queue exists at the device again.
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
        self.free_all();
    }

    pub(crate) const fn info(&self) -> QueueInfo {
        QueueInfo {
            depth: self.slots.len() as u16,
            in_flight: self.in_flight,
            bytes_in_flight: self.bytes_in_flight,
            pinned: self.pinned,
            revoked: self.revoked,
            state: self.state,
            direct: self.direct,
        }
    }

    /// Visits the buffers pinned by commands in flight, once per segment. For the audit.
    pub(crate) fn pinned_buffers(&self) -> impl Iterator<Item = Handle> {
        let ended = self.state == QueueState::Ended;
        let busy = move |slot: &&Slot| {
            !ended && matches!(slot.state, SlotState::Admitted | SlotState::Issued)
        };
        self.slots.iter().filter(busy).flat_map(|slot| {
            let others = core::iter::successors(self.pins.get(slot.first_pin as usize), |pin| {
                self.pins.get(pin.next as usize)
            });
            let first = (slot.pin != Handle::NULL).then_some(slot.pin);
            first.into_iter().chain(others.map(|pin| pin.buffer))
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
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Queue, QueueShape, SlotState};
    use crate::refusal::Refusal;

    const SHAPE: QueueShape = QueueShape {
        depth: 2,
        segments: 1,
        bytes: 1,
    };

    #[test]
    fn a_slot_retires_at_its_last_issue_generation() {
        let mut queue = Queue::new(SHAPE, 0).unwrap();
        queue.slot_mut(0).unwrap().issue = u64::MAX - 1;
        queue.slot_mut(1).unwrap().issue = u64::MAX - 2;
        let mut issues = Vec::new();
        while queue.room(0, 0).is_ok() {
            let (index, issue) = queue.take_slot(0, 0).unwrap();
            issues.push((index, issue));
            queue.release_slot(index);
        }
        let last = u64::MAX;
        assert_eq!(issues, [(0, last), (1, last - 1), (1, last)]);
        assert_eq!(queue.room(0, 0), Err(Refusal::Exhausted));
        assert_eq!(queue.slot(1).unwrap().state, SlotState::Retired);
        queue.free_all();
        assert_eq!(queue.room(0, 0), Err(Refusal::Exhausted), "for good");
    }
}
