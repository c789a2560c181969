//! The bounded ring that events are recorded into: the oldest record goes first, and nobody is waited for.
//!
//! The chain is folded when somebody reads, and not by who records. Records that went before anybody read them are one
//! link of it together: how many they were.

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
    /// The chain after this record, once it is folded.
    chain: Chain,
}

/// The next link of the chain: a private copy of what it is made from, so that it is made with no lock held.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    sequence: u64,
    before: Chain,
    /// Records that went unread just before this one.
    unread: u64,
    record: [u8; RECORD_BYTES],
}

/// A link that is made.
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    sequence: u64,
    /// The chain before the record, those that went unread included.
    base: Chain,
    chain: Chain,
}

impl Link {
    /// Hashes it.
    #[must_use]
    pub fn fold(&self) -> Folded {
        let base = self.before.after_unread(self.unread);
        Folded {
            sequence: self.sequence,
            base,
            chain: base.after(&self.record),
        }
    }
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
    /// Sequence number that the event after the newest record covered will have.
    pub edge: u64,
    /// The chain after the newest record covered.
    pub head: Chain,
}

/// A ring of `N` records.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    slots: [Slot; N],
    /// Sequence number of the next record.
    edge: u64,
    /// Sequence number of the next record to be folded: never before the oldest, never beyond the edge.
    folding: u64,
    /// Records that went unread since the last one that was folded.
    unread: u64,
    /// The chain before the oldest record that is held, where that one is folded.
    base: Chain,
    /// The chain after the last record that was folded.
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
            folding: 1,
            unread: 0,
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
        if let Some(lost) = sequence.checked_sub(N as u64).filter(|lost| *lost != 0) {
            if lost < self.folding {
                self.base = slot.chain;
            } else {
                self.folding = lost + 1;
                self.unread += 1;
            }
            self.counters.overwritten += 1;
        }
        slot.bytes = bytes;
        self.edge += 1;
        self.counters.recorded += 1;
        Some(sequence)
    }

    /// Folds all there is: for who shares the ring with nobody.
    pub fn fold(&mut self) {
        while let Some(link) = self.link() {
            self.put(&link.fold());
        }
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

    /// The next link to be folded, if there is a record that is not.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        let slot = self.slots.get(place::<N>(self.folding))?;
        (self.folding < self.edge).then_some(Link {
            sequence: self.folding,
            before: self.head,
            unread: self.unread,
            record: slot.bytes,
        })
    }

    /// Puts a link into its place. One whose record somebody else has folded meanwhile, or which went, is of no use any
    /// more; so this is no error.
    pub fn put(&mut self, folded: &Folded) {
        // As long as this record is the next one, none went unread since the link was copied.
        if folded.sequence != self.folding || self.folding >= self.edge {
            return;
        }
        if let Some(slot) = self.slots.get_mut(place::<N>(self.folding)) {
            slot.chain = folded.chain;
            if self.folding == self.oldest() {
                self.base = folded.base;
            }
            self.head = folded.chain;
            self.unread = 0;
            self.folding += 1;
        }
    }

    /// How many records are not folded.
    #[must_use]
    pub const fn unfolded(&self) -> u64 {
        self.edge - self.folding
    }

    /// The chain after the last record that was folded.
    #[must_use]
    pub const fn head(&self) -> Chain {
        self.head
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What a read of at most `max` records from `from` on covers, all of which the caller has had folded: nothing beyond
    /// what is folded is in it, and records that were made meanwhile are there for the next read. A cursor before the oldest
    /// record is moved to it; 0 stands for the beginning.
    ///
    /// # Errors
    /// [`Ahead`] for a cursor beyond the next record.
    pub fn window(&self, from: u64, max: u32) -> Result<Window, Ahead> {
        let from = from.max(1);
        if from > self.edge {
            return Err(Ahead);
        }
        let first = from.max(self.oldest());
        let edge = self.folding.max(first);
        let held = edge - first;
        let count = u32::try_from(held).unwrap_or(u32::MAX).min(max);
        let before = if first == self.oldest() {
            self.base
        } else if first > self.folding {
            // Nothing is covered, so nothing follows from it.
            self.head
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
            edge,
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
