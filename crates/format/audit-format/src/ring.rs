//! The bounded ring that events are recorded into: the oldest record goes first, and nobody is waited for.

use crate::record::{Chain, Event, KINDS, Kind, RECORD_BYTES, Record};

/// Refusals that are recorded in a burst; further ones are only counted.
const BURST: u64 = 32;
/// A used place of the burst comes back after this time.
const REFILL_NS: u64 = 100_000_000;

/// How many refusals of one sort may still be recorded.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    refilled_ns: u64,
}

impl Allowance {
    const FULL: Self = Self {
        left: BURST,
        refilled_ns: 0,
    };

    fn spend(&mut self, ns: u64) -> bool {
        let back = ns.saturating_sub(self.refilled_ns) / REFILL_NS;
        if back > 0 {
            self.left = BURST.min(self.left.saturating_add(back));
            self.refilled_ns = ns;
        }
        let spent = self.left.checked_sub(1);
        self.left = spent.unwrap_or(0);
        spent.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    bytes: [u8; RECORD_BYTES],
    /// The chain after this record.
    chain: Chain,
}

/// What has been counted since the boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Records made.
    pub recorded: u64,
    /// Records overwritten by newer ones.
    pub overwritten: u64,
    /// Refusals that were not recorded, because many came at once.
    pub suppressed: u64,
    /// Events by kind, suppressed ones included.
    pub kinds: [u64; KINDS],
}

/// A reader's cursor names a record that was never made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ahead;

/// What one read covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Sequence number of the first record.
    pub first: u64,
    /// How many records.
    pub count: u32,
    /// Records between the cursor and the first one that are gone.
    pub dropped: u64,
    /// The chain before the first record.
    pub before: Chain,
    /// Where to go on.
    pub next: u64,
    /// Sequence number that the next event will have.
    pub edge: u64,
    /// The chain after the newest record.
    pub head: Chain,
}

/// A ring of `N` records.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    slots: [Slot; N],
    /// Sequence number of the next record.
    edge: u64,
    /// The chain before the oldest record that is held.
    base: Chain,
    head: Chain,
    counters: Counters,
    /// Of holders of devices.
    refusals: Allowance,
    /// Of those who asked to read: nobody who floods the one hides the other.
    readers: Allowance,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0) }
        Self {
            slots: [const {
                Slot {
                    bytes: [0; RECORD_BYTES],
                    chain: Chain::GENESIS,
                }
            }; N],
            edge: 1,
            base: Chain::GENESIS,
            head: Chain::GENESIS,
            counters: Counters {
                recorded: 0,
                overwritten: 0,
                suppressed: 0,
                kinds: [0; KINDS],
            },
            refusals: Allowance::FULL,
            readers: Allowance::FULL,
        }
    }

    /// Records an event, over the oldest record if need be. Returns its sequence number, or `None` for one of many
    /// refusals, which is only counted: whoever is refused on purpose must not drive other records out.
    pub fn record(&mut self, event: Event, ns: u64) -> Option<u64> {
        if let Some(count) = self.counters.kinds.get_mut(event.kind as usize) {
            *count += 1;
        }
        let allowed = match event.kind {
            Kind::Refused => self.refusals.spend(ns),
            Kind::ReaderRefused => self.readers.spend(ns),
            _ => true,
        };
        if !allowed {
            self.counters.suppressed += 1;
            return None;
        }
        let sequence = self.edge;
        let bytes = Record {
            sequence,
            ns,
            event,
        }
        .encode();
        let slot = self.slots.get_mut(place::<N>(sequence))?;
        if sequence > N as u64 {
            self.base = slot.chain;
            self.counters.overwritten += 1;
        }
        self.head = self.head.after(&bytes);
        *slot = Slot {
            bytes,
            chain: self.head,
        };
        self.edge += 1;
        self.counters.recorded += 1;
        Some(sequence)
    }

    /// Sequence number of the oldest record held; the next one's while there is none.
    #[must_use]
    pub const fn oldest(&self) -> u64 {
        if self.edge > N as u64 {
            self.edge - N as u64
        } else {
            1
        }
    }

    /// Sequence number that the next event will have.
    #[must_use]
    pub const fn edge(&self) -> u64 {
        self.edge
    }

    /// The chain after the newest record.
    #[must_use]
    pub const fn head(&self) -> Chain {
        self.head
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What a read of at most `max` records from `from` on covers. A cursor before the oldest record is moved to it;
    /// 0 stands for the beginning.
    ///
    /// # Errors
    /// [`Ahead`] for a cursor beyond the next record.
    pub fn window(&self, from: u64, max: u32) -> Result<Window, Ahead> {
        let from = from.max(1);
        if from > self.edge {
            return Err(Ahead);
        }
        let first = from.max(self.oldest());
        let held = self.edge - first;
        let count = u32::try_from(held).unwrap_or(u32::MAX).min(max);
        let before = if first == self.oldest() {
            self.base
        } else {
            self.slots
                .get(place::<N>(first - 1))
                .map_or(self.base, |slot| slot.chain)
        };
        Ok(Window {
            first,
            count,
            dropped: first - from,
            before,
            next: first + u64::from(count),
            edge: self.edge,
            head: self.head,
        })
    }

    /// The record of this number, if it is held.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&[u8; RECORD_BYTES]> {
        let held = (self.oldest()..self.edge).contains(&sequence);
        let slot = self.slots.get(place::<N>(sequence));
        slot.filter(|_| held).map(|slot| &slot.bytes)
    }
}

/// The slot of a sequence number, which is at least 1.
const fn place<const N: usize>(sequence: u64) -> usize {
    (sequence.wrapping_sub(1) % N as u64) as usize
}
