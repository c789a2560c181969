//! The end that makes entries.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use sabotage::sabotage;

use crate::layout::{MADE, Memory, ROOM_AT, TAKEN, WAKE_AT};
use crate::{Broken, Full, Kick, Layout, Look, Unfit, after, count, has_reached, less};

/// The end that makes entries of `N` words.
///
/// Its counts have `BITS` bits, fewer than 64 only for proofs.
#[derive(Debug)]
pub struct Producer<M: Memory, const N: usize, const BITS: u32 = 64> {
    memory: M,
    layout: Layout<N>,
    /// Entries made, stated or not.
    made: u64,
    /// Entries that the consumer can see.
    stated: u64,
    /// Entries that the consumer was last seen to be done with.
    taken: u64,
}

impl<M: Memory, const N: usize> Producer<M, N> {
    /// The producer of a queue that nobody has used yet: its memory is zero.
    ///
    /// # Errors
    /// [`Unfit::Memory`].
    pub fn new(memory: M, layout: Layout<N>) -> Result<Self, Unfit> {
        Self::with_counts(memory, layout)
    }
}

impl<M: Memory, const N: usize, const BITS: u32> Producer<M, N, BITS> {
    /// As [`Producer::new`], with counts of `BITS` bits; both ends of a queue have the same.
    ///
    /// # Errors
    /// [`Unfit::Memory`].
    pub fn with_counts(memory: M, layout: Layout<N>) -> Result<Self, Unfit> {
        layout.fits(&memory)?;
        Ok(Self {
            memory,
            layout,
            made: 0,
            stated: 0,
            taken: 0,
        })
    }

    /// Makes an entry. The consumer sees it after [`state`](Self::state).
    ///
    /// # Errors
    /// [`Full`]; nothing was written.
    #[inline]
    pub fn push(&mut self, entry: [u64; N]) -> Result<(), Full> {
        if self.room() == 0 {
            self.look()?;
            if self.room() == 0 {
                return Err(Full::Full);
            }
        }
        let first = self.layout.entry(self.made);
        for (word, value) in entry.into_iter().enumerate() {
            self.memory.store(first + word, value, Relaxed);
        }
        self.made = after::<BITS>(self.made);
        Ok(())
    }

    /// Lets the consumer see every entry made so far.
    #[inline]
    pub fn state(&mut self) -> Kick {
        let before = self.stated;
        if self.made == before {
            return Kick::Spared;
        }
        self.memory.store(MADE, self.made, Release);
        self.stated = self.made;
        // Either the consumer's second look sees the count, or its question is seen here.
        self.memory.fence();
        has_reached::<BITS>(self.memory.load(WAKE_AT, Relaxed), before, self.made)
    }

    /// Asks to be woken when there are places for `entries`, at least one and at most the capacity, and looks once more.
    /// What was made and not stated yet stays so: who waits for the consumer to take it states it first.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn wait_for_room(&mut self, entries: u32) -> Result<Look, Broken> {
        let wanted = u64::from(entries.clamp(1, self.layout.capacity()));
        let missing = wanted.saturating_sub(self.room());
        let asked = count::<BITS>(self.taken.wrapping_add(missing));
        self.memory.store(ROOM_AT, asked, Relaxed);
        self.memory.fence();
        if !sabotage!(QUEUE_SKIP_SECOND_LOOK) {
            self.look()?;
        }
        Ok(if self.room() >= wanted {
            Look::Go
        } else {
            Look::Sleep
        })
    }

    /// Looks at what the consumer has taken, and says how many places are free.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub fn look_for_room(&mut self) -> Result<u64, Broken> {
        self.look()?;
        Ok(self.room())
    }

    /// Places that are known to be free, without a look.
    #[must_use]
    #[inline]
    pub fn room(&self) -> u64 {
        u64::from(self.layout.capacity()).wrapping_sub(less::<BITS>(self.made, self.taken))
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    #[inline]
    fn look(&mut self) -> Result<(), Broken> {
        let taken = count::<BITS>(self.memory.load(TAKEN, Acquire));
        // It can have taken what it was shown, and no more.
        let most = less::<BITS>(self.stated, self.taken);
        if less::<BITS>(taken, self.taken) > most && !sabotage!(QUEUE_BELIEVE_COUNTS) {
            return Err(Broken);
        }
        self.taken = taken;
        Ok(())
    }
}
