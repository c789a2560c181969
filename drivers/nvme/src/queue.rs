//! One submission and completion queue pair with its shadow.
//!
//! Everything the device writes is compared with the shadow before it is believed. A command identifier holds the slot
//! and a generation that changes with each use of the slot, so an entry of an earlier use never matches a later one.

use alloc::vec::Vec;

use driver_core::{BrokerIo, DmaPages, Refusal, Registers, release_to_device};
use nvme_format::template::QueueKind;
use nvme_format::{
    COMMAND_BYTES, COMPLETION_BYTES, Command, Completion, RingPosition, Status, regs,
};
use sabotage::sabotage;

use crate::lists::Lists;
use crate::open::Rings;

/// Bits of a command identifier that hold the slot.
const SLOT_BITS: u32 = 10;

/// The most slots a queue can have, the broker's own included.
pub(crate) const MAX_SLOTS: u16 = (1 << SLOT_BITS) - 1;

/// Generations of a slot. The last one is left out: with the highest slot it would make identifier 0xffff, which the
/// error log uses for "no command".
const GENERATIONS: u16 = (1 << (16 - SLOT_BITS)) - 1;

/// What the broker remembers of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u16,
    in_flight: bool,
    /// How many commands were pushed before the one in it.
    order: u64,
}

/// One completion that fits the shadow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) slot: u16,
    pub(crate) status: Status,
    pub(crate) result: u32,
}

/// A queue pair. Its pages stay with it over resets.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The device's number for it; 0 is administration.
    number: u16,
    sq: DmaPages,
    cq: DmaPages,
    pub(crate) lists: Lists,
    slots: Vec<Slot>,
    /// Slots that the ledger uses; above them lie the broker's own.
    depth: u16,
    stride: u8,
    tail: RingPosition,
    rung: RingPosition,
    /// How far the device has said that it fetched.
    fetched: RingPosition,
    /// Commands pushed and commands fetched since the queue was opened.
    pushed_total: u64,
    fetched_total: u64,
    head: RingPosition,
    head_told: RingPosition,
    phase: bool,
    /// The device contradicted itself: nothing more until a reset.
    broken: bool,
}

impl Queue {
    /// Bytes of the two rings for so many slots: one entry more than slots, because a ring that is quite full looks
    /// empty.
    fn ring_bytes(slots: usize) -> (usize, usize) {
        const PAGE: usize = nvme_format::PAGE_BYTES as usize;
        let entries = slots + 1;
        (
            (entries * COMMAND_BYTES).next_multiple_of(PAGE),
            (entries * COMPLETION_BYTES).next_multiple_of(PAGE),
        )
    }

    /// Takes pages for a queue of `depth` slots for the ledger and `own` for the broker, out of `old` where that is
    /// large enough. The device does not know of the queue yet.
    pub(crate) fn prepare(
        io: &mut dyn BrokerIo,
        old: Option<Self>,
        number: u16,
        depth: u16,
        own: u16,
        stride: u8,
    ) -> Result<Self, Refusal> {
        let slots = usize::from(depth) + usize::from(own);
        let (sq_bytes, cq_bytes) = Self::ring_bytes(slots);
        // Generations go on where they were, so that an entry of before the queue was made again matches nothing.
        let mut generations = driver_core::list(core::iter::repeat_n(Slot::default(), slots))?;
        for (new, known) in generations
            .iter_mut()
            .zip(old.iter().flat_map(|old| &old.slots))
        {
            new.generation = known.generation;
        }
        let (sq, cq, lists) = match old {
            Some(old) if old.sq.len() >= sq_bytes && old.cq.len() >= cq_bytes => {
                old.sq.zero();
                if !sabotage!(KEEP_COMPLETIONS) {
                    old.cq.zero();
                }
                (old.sq, old.cq, old.lists)
            }
            Some(old) => (
                io.read_only_pages(sq_bytes)?,
                io.pages(cq_bytes)?,
                old.lists,
            ),
            None => (
                io.read_only_pages(sq_bytes)?,
                io.pages(cq_bytes)?,
                Lists::empty(),
            ),
        };
        let start = RingPosition::start(u16::try_from(slots + 1).map_err(|_| Refusal::OutOfRange)?);
        Ok(Self {
            number,
            sq,
            cq,
            lists,
            slots: generations,
            depth,
            stride,
            tail: start,
            rung: start,
            fetched: start,
            pushed_total: 0,
            fetched_total: 0,
            head: start,
            head_told: start,
            phase: true,
            broken: false,
        })
    }

    /// Whether the rings hold so many commands.
    pub(crate) fn has_room_for(&self, depth: u16) -> bool {
        let (sq_bytes, cq_bytes) = Self::ring_bytes(depth.into());
        self.sq.len() >= sq_bytes && self.cq.len() >= cq_bytes
    }

    pub(crate) const fn number(&self) -> u16 {
        self.number
    }

    pub(crate) const fn depth(&self) -> u16 {
        self.depth
    }

    pub(crate) const fn kind(&self) -> QueueKind {
        if self.number == 0 {
            QueueKind::Admin
        } else {
            QueueKind::Io
        }
    }

    pub(crate) fn entries(&self) -> u16 {
        // `prepare` checked that this fits.
        self.slots.len() as u16 + 1
    }

    pub(crate) fn rings(&self) -> Rings {
        Rings {
            number: self.number,
            entries: self.entries(),
            submissions: self.sq_base(),
            completions: self.cq_base(),
        }
    }

    pub(crate) const fn sq_base(&self) -> u64 {
        self.sq.address().bus()
    }

    pub(crate) const fn cq_base(&self) -> u64 {
        self.cq.address().bus()
    }

    /// Whether a command may be put into this slot now.
    ///
    /// # Errors
    /// `WrongState` after the device contradicted itself, `OutOfRange`, `Busy` for a slot in flight, `QueueFull`.
    #[inline]
    pub(crate) fn check_slot(&self, slot: u16) -> Result<(), Refusal> {
        if self.broken {
            return Err(Refusal::WrongState);
        }
        let state = self
            .slots
            .get(usize::from(slot))
            .ok_or(Refusal::OutOfRange)?;
        if state.in_flight {
            return Err(Refusal::Busy);
        }
        if self.tail.next().0 == self.fetched {
            return Err(Refusal::QueueFull);
        }
        Ok(())
    }

    /// Writes a command into the ring under this slot's identifier. The device does not look before [`Self::ring`].
    ///
    /// # Errors
    /// As [`Self::check_slot`]; nothing has changed then.
    #[inline]
    pub(crate) fn push(&mut self, slot: u16, mut command: Command) -> Result<(), Refusal> {
        self.check_slot(slot)?;
        let state = self
            .slots
            .get_mut(usize::from(slot))
            .ok_or(Refusal::OutOfRange)?;
        let generation = (state.generation + 1) % GENERATIONS;
        command.cid = slot | generation << SLOT_BITS;
        let at = usize::from(self.tail.index()) * COMMAND_BYTES;
        self.sq.store_words(at, &command.words())?;
        *state = Slot {
            generation,
            in_flight: true,
            order: self.pushed_total,
        };
        self.pushed_total += 1;
        self.tail = self.tail.next().0;
        Ok(())
    }

    /// Tells the device of everything pushed since the last time, with one register write.
    pub(crate) fn ring(&mut self, registers: &Registers) {
        if self.tail != self.rung && !self.broken {
            release_to_device();
            let doorbell = regs::sq_tail_doorbell(self.number, self.stride);
            // `configure` checked that the doorbell lies in the BAR.
            let _ = registers.write32(doorbell, u32::from(self.tail.index()));
            self.rung = self.tail;
        }
    }

    /// Takes the next completion the device has posted, if any.
    ///
    /// # Errors
    /// `Corrupt` when it does not fit the shadow; the queue is then good for nothing until a reset.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Option<Taken>, Refusal> {
        if self.broken {
            return Err(Refusal::Corrupt);
        }
        let at = usize::from(self.head.index()) * COMPLETION_BYTES;
        // The second word holds the phase; it is loaded with acquire order, so the first one is not older.
        let second = self.cq.load64(at + 8)?;
        if Completion::phase_of(second) != self.phase {
            return Ok(None);
        }
        let first = self.cq.load64(at)?;
        let completion = Completion::parse(first, second);
        let Some((slot, newly_fetched)) = self.plausible(&completion) else {
            self.broken = true;
            return Err(Refusal::Corrupt);
        };
        if let Some(state) = self.slots.get_mut(usize::from(slot)) {
            state.in_flight = false;
        }
        self.fetched = self.fetched.at(completion.sq_head).unwrap_or(self.fetched);
        self.fetched_total += u64::from(newly_fetched);
        let (next, wrapped) = self.head.next();
        self.head = next;
        self.phase ^= wrapped;
        Ok(Some(Taken {
            slot,
            status: completion.status,
            result: completion.result,
        }))
    }

    /// Checks a completion against the shadow: our queue, a fetch position between the last one and what was rung, and a
    /// slot in flight under its present generation whose command lies before that position. Gives the slot and how far
    /// the fetch position moved.
    #[inline]
    fn plausible(&self, completion: &Completion) -> Option<(u16, u16)> {
        if completion.sq_id != self.number {
            return None;
        }
        let fetched = self.fetched.at(completion.sq_head)?;
        let newly_fetched = self.fetched.distance_to(fetched);
        if newly_fetched > self.fetched.distance_to(self.rung) {
            return None;
        }
        let slot = completion.cid & MAX_SLOTS;
        let state = self.slots.get(usize::from(slot))?;
        if !state.in_flight || state.generation != completion.cid >> SLOT_BITS {
            return None;
        }
        let seen = state.order < self.fetched_total + u64::from(newly_fetched);
        seen.then_some((slot, newly_fetched))
    }

    /// Hands the entries taken since the last time back to the device.
    pub(crate) fn hand_back(&mut self, registers: &Registers) {
        if self.head != self.head_told {
            let doorbell = regs::cq_head_doorbell(self.number, self.stride);
            let _ = registers.write32(doorbell, u32::from(self.head.index()));
            self.head_told = self.head;
        }
    }
}
