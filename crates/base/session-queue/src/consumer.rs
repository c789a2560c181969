//! The end that takes entries.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use sabotage::sabotage;

use crate::layout::{MADE, Memory, ROOM_AT, TAKEN, WAKE_AT};
use crate::{Broken, Kick, Layout, Look, Unfit, after, count, has_reached, less};

/// The end that takes entries of `N` words.
///
/// Its counts have `BITS` bits, fewer than 64 only for proofs.
#[derive(Debug)]
pub struct Consumer<M: Memory, const N: usize, const BITS: u32 = 64> {
    memory: M,
    layout: Layout<N>,
    /// Entries taken, given back or not.
    taken: u64,
    /// Entries whose places the producer may use again.
    stated: u64,
    /// Entries that the producer was last seen to have made.
    made: u64,
}

impl<M: Memory, const N: usize> Consumer<M, N> {
    /// The consumer of a queue that nobody has used yet: its memory is zero.
    ///
    /// # Errors
    /// [`Unfit::Memory`].
    pub fn new(memory: M, layout: Layout<N>) -> Result<Self, Unfit> {
        Self::with_counts(memory, layout)
    }
}

impl<M: Memory, const N: usize, const BITS: u32> Consumer<M, N, BITS> {
    /// As [`Consumer::new`], with counts of `BITS` bits; both ends of a queue have the same.
    ///
    /// # Errors
    /// [`Unfit::Memory`].
    pub fn with_counts(memory: M, layout: Layout<N>) -> Result<Self, Unfit> {
        layout.fits(&memory)?;
        Ok(Self {
            memory,
            layout,
            taken: 0,
            stated: 0,
            made: 0,
        })
    }

    /// Copies the oldest entry out, or `None` when there is none. Its place is the producer's again after
    /// [`state`](Self::state).
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub fn pop(&mut self) -> Result<Option<[u64; N]>, Broken> {
        if self.known() == 0 {
            self.look()?;
            if self.known() == 0 {
                return Ok(None);
            }
        }
        let first = self.layout.entry(self.taken);
        let entry = core::array::from_fn(|word| self.memory.load(first + word, Relaxed));
        self.taken = after::<BITS>(self.taken);
        Ok(Some(entry))
    }

    /// Gives the places of all entries taken so far back.
    #[inline]
    pub fn state(&mut self) -> Kick {
        let before = self.stated;
        if self.taken == before {
            return Kick::Spared;
        }
        self.memory.store(TAKEN, self.taken, Release);
        self.stated = self.taken;
        // Either the producer's second look sees the count, or its question is seen here.
        self.memory.fence();
        has_reached::<BITS>(self.memory.load(ROOM_AT, Relaxed), before, self.taken)
    }

    /// Asks to be woken when `entries` are there to be taken, at least one and at most the capacity, and looks once more.
    /// Entries taken and not stated hold their places: who waits for new ones states these first.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn wait_for_entries(&mut self, entries: u32) -> Result<Look, Broken> {
        let wanted = u64::from(entries.clamp(1, self.layout.capacity()));
        let asked = count::<BITS>(self.taken.wrapping_add(wanted));
        self.memory.store(WAKE_AT, asked, Relaxed);
        self.memory.fence();
        if !sabotage!(QUEUE_SKIP_SECOND_LOOK) {
            self.look()?;
        }
        Ok(if self.known() >= wanted {
            Look::Go
        } else {
            Look::Sleep
        })
    }

    /// Entries that are known to be there, without a look.
    #[must_use]
    #[inline]
    pub fn known(&self) -> u64 {
        less::<BITS>(self.made, self.taken)
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    #[inline]
    fn look(&mut self) -> Result<(), Broken> {
        let made = count::<BITS>(self.memory.load(MADE, Acquire));
        // It has places for as many more as it was given back.
        let most =
            u64::from(self.layout.capacity()).wrapping_sub(less::<BITS>(self.made, self.stated));
        if less::<BITS>(made, self.made) > most && !sabotage!(QUEUE_BELIEVE_COUNTS) {
            return Err(Broken);
        }
        self.made = made;
        Ok(())
    }
}
