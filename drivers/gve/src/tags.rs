//! The numbers under which DQO queues name what is in flight: a slot and a generation that changes with each use of the slot.

use alloc::vec::Vec;

use driver_core::Refusal;

/// Bits of a tag that hold the slot.
const SLOT_BITS: u32 = 9;
/// Most slots of a queue.
pub(crate) const MAX_SLOTS: u16 = 1 << SLOT_BITS;
/// Generations of a slot. A tag stays below 2^15 - 1: devices use the bit above for frames that take the slow path.
const GENERATIONS: u16 = (1 << (15 - SLOT_BITS)) - 1;

/// What is known of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    generation: u16,
    in_flight: bool,
    /// It took the slow path: it comes again.
    pub(crate) missed: bool,
    /// How many descriptors were written with its last.
    pub(crate) end: u64,
}

/// All slots of a queue.
#[derive(Debug)]
pub(crate) struct Tags {
    slots: Vec<Slot>,
}

impl Tags {
    /// For so many slots; generations go on where `old` left them, so that a tag of before a reset is nobody's.
    ///
    /// # Errors
    /// `OverBudget`.
    pub(crate) fn new(depth: u16, old: Option<&Self>) -> Result<Self, Refusal> {
        let mut slots = driver_core::list(core::iter::repeat_n(Slot::default(), depth.into()))?;
        let known = old.iter().flat_map(|old| &old.slots);
        for (new, known) in slots.iter_mut().zip(known) {
            new.generation = known.generation;
        }
        Ok(Self { slots })
    }

    /// A tag for a slot that is free.
    ///
    /// # Errors
    /// `OutOfRange`; `Busy` for one in flight.
    #[inline]
    pub(crate) fn take(&mut self, slot: u16, end: u64) -> Result<u16, Refusal> {
        let entry = self.slots.get_mut(usize::from(slot));
        let entry = entry.ok_or(Refusal::OutOfRange)?;
        if entry.in_flight {
            return Err(Refusal::Busy);
        }
        let generation = (entry.generation + 1) % GENERATIONS;
        *entry = Slot {
            generation,
            in_flight: true,
            missed: false,
            end,
        };
        Ok(slot | generation << SLOT_BITS)
    }

    /// The slot of a tag that is in flight.
    #[inline]
    pub(crate) fn find(&mut self, tag: u16) -> Option<(u16, &mut Slot)> {
        let slot = tag & (MAX_SLOTS - 1);
        let entry = self.slots.get_mut(usize::from(slot))?;
        (entry.in_flight && entry.generation == tag >> SLOT_BITS).then_some((slot, entry))
    }

    /// The slot of a tag that is in flight, which it is no longer.
    #[inline]
    pub(crate) fn give_back(&mut self, tag: u16) -> Option<(u16, Slot)> {
        let (slot, entry) = self.find(tag)?;
        entry.in_flight = false;
        Some((slot, *entry))
    }
}
