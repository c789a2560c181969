//! Which entries of an interrupt table are in use, and when one may be used again.

use crate::{FlushClock, IotlbReceipt, Refusal, Scope};

/// Bits of a word.
const BITS: usize = 64;

/// The entries of one table: `free → taken → cleared → free`. One that is cleared stays out of use until a receipt shows that
/// the unit forgot it, and comes round again only after all others.
#[derive(Debug)]
pub struct Entries<const WORDS: usize> {
    unit: u8,
    table: u16,
    taken: [u64; WORDS],
    next: usize,
}

/// An entry that was cleared in memory, and that the unit may remember.
#[must_use = "an entry that is not forgotten is never used again"]
#[derive(Debug)]
pub struct Cleared {
    unit: u8,
    table: u16,
    index: u16,
    turn: u64,
}

impl<const WORDS: usize> Entries<WORDS> {
    /// A table of the unit of this number, with nothing in use; `table` tells it from others of the unit. Numbers are given from
    /// `first` on, round and round.
    #[must_use]
    pub const fn new(unit: u8, table: u16, first: usize) -> Self {
        Self {
            unit,
            table,
            taken: [0; WORDS],
            next: first % (WORDS * BITS),
        }
    }

    /// Takes an entry, the one that was free for longest.
    ///
    /// # Errors
    /// `NoAddress`: all are taken, or not forgotten yet.
    pub fn take(&mut self) -> Result<u16, Refusal> {
        let all = WORDS * BITS;
        let round = (self.next..all).chain(0..self.next);
        let mut free = round.filter(|index| !self.is_taken(*index));
        let index = free.next().ok_or(Refusal::NoAddress)?;
        drop(free);
        if let Some(word) = self.taken.get_mut(index / BITS) {
            *word |= 1 << (index % BITS);
        }
        self.next = (index + 1) % all;
        u16::try_from(index).map_err(|_| Refusal::Range)
    }

    /// Whether an entry is taken, or was cleared and is not forgotten.
    #[must_use]
    pub fn is_taken(&self, index: usize) -> bool {
        let word = self.taken.get(index / BITS);
        word.is_none_or(|word| word & 1 << (index % BITS) != 0)
    }

    /// How many are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.taken.iter().map(|word| word.count_ones()).sum()
    }

    /// Notes that an entry is gone from the table.
    ///
    /// # Errors
    /// `State`: it was not taken.
    pub fn clear(&self, clock: &FlushClock, index: u16) -> Result<Cleared, Refusal> {
        let inside = usize::from(index) < WORDS * BITS;
        if clock.unit() != self.unit || !inside || !self.is_taken(index.into()) {
            return Err(Refusal::State);
        }
        Ok(Cleared {
            unit: self.unit,
            table: self.table,
            index,
            turn: clock.unmapped(),
        })
    }

    /// Takes an entry back, whose unit was seen to have forgotten it.
    ///
    /// # Errors
    /// `Receipt`: the receipt does not say that. The entry stays out of use.
    pub fn forget(&mut self, cleared: Cleared, receipt: &IotlbReceipt) -> Result<(), Refusal> {
        let Cleared {
            unit,
            table,
            index,
            turn,
        } = cleared;
        let entry = Scope::Entry { table, index };
        let ours = (unit, table) == (self.unit, self.table);
        if !ours || !receipt.holds_for_entry(unit, entry, turn) {
            return Err(Refusal::Receipt);
        }
        let index = usize::from(index);
        if let Some(word) = self.taken.get_mut(index / BITS) {
            *word &= !(1 << (index % BITS));
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::WaitProof;

    struct Done;
    impl WaitProof for Done {}

    const fn of(table: u16, index: u16) -> Scope {
        Scope::Entry { table, index }
    }

    fn receipt(clock: &FlushClock, scope: Scope) -> IotlbReceipt {
        let pending = clock.begin(scope).unwrap();
        clock.finish(pending, Done).unwrap()
    }

    #[test]
    fn an_entry_comes_back_with_a_receipt_of_later_alone_and_last_of_all() {
        let clock = FlushClock::new(3);
        let mut book = Entries::<2>::new(3, 7, 130);
        let first = book.take().unwrap();
        assert_eq!((first, book.take()), (2, Ok(3)));
        let early = receipt(&clock, of(7, 2));
        let cleared = book.clear(&clock, first).unwrap();
        assert_eq!(book.forget(cleared, &early), Err(Refusal::Receipt));
        let cleared = book.clear(&clock, first).unwrap();
        let other = receipt(&clock, of(7, 3));
        assert_eq!(book.forget(cleared, &other), Err(Refusal::Receipt));
        let cleared = book.clear(&clock, first).unwrap();
        let elsewhere = receipt(&clock, of(6, 2));
        assert_eq!(book.forget(cleared, &elsewhere), Err(Refusal::Receipt));
        let cleared = book.clear(&clock, first).unwrap();
        let its = receipt(&clock, of(7, 2));
        assert_eq!(book.forget(cleared, &its), Ok(()));
        // Every other one first.
        for expected in (4..128).chain(0..3) {
            assert_eq!(book.take(), Ok(expected));
        }
        assert_eq!((book.take(), book.count()), (Err(Refusal::NoAddress), 128));
    }

    #[test]
    fn what_is_not_taken_is_not_cleared() {
        let clock = FlushClock::new(0);
        let book = Entries::<1>::new(0, 0, 0);
        assert!(book.clear(&clock, 0).is_err());
        assert!(book.clear(&clock, u16::MAX).is_err());
        let mut book = Entries::<1>::new(0, 0, 0);
        assert_eq!(book.take(), Ok(0));
        assert!(book.clear(&FlushClock::new(1), 0).is_err());
        // A receipt for pages is none for entries.
        let cleared = book.clear(&clock, 0).unwrap();
        let pages = receipt(&clock, Scope::Domain(0));
        assert_eq!(book.forget(cleared, &pages), Err(Refusal::Receipt));
        let cleared = book.clear(&clock, 0).unwrap();
        let all = receipt(&clock, Scope::Unit);
        assert_eq!(book.forget(cleared, &all), Ok(()));
        assert_eq!(book.count(), 0);
    }
}
