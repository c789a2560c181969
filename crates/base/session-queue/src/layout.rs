//! Where what lies, and the memory it lies in.

use core::sync::atomic::Ordering;

/// The most entries of a queue.
const MOST_ENTRIES: u32 = 1 << 15;
/// The most words of an entry.
const MOST_WORDS: usize = 8;

/// The consumer's line.
pub(crate) const TAKEN: usize = 0;
pub(crate) const WAKE_AT: usize = 1;
/// The producer's line, 64 bytes on, so that the two write to lines of their own.
pub(crate) const MADE: usize = 8;
pub(crate) const ROOM_AT: usize = 9;
const ENTRIES: usize = 16;

/// Memory that both ends can read and write, as words of 8 bytes. A reference to its bytes must not exist: the other end
/// writes at any time.
pub trait Memory {
    /// How many words there are.
    fn words(&self) -> usize;
    /// Reads a word below [`words`](Self::words).
    fn load(&self, word: usize, order: Ordering) -> u64;
    /// Writes a word below [`words`](Self::words).
    fn store(&self, word: usize, value: u64, order: Ordering);
    /// A fence with [`Ordering::SeqCst`]: what was stored before is seen before what is loaded after.
    fn fence(&self);
}

/// A queue cannot be laid out so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The capacity is no power of two from 1 to 32,768.
    Capacity,
    /// An entry has no word, or more than 8.
    Entry,
    /// The memory has fewer words than the queue needs.
    Memory,
}

/// The shape of a queue whose entries have `N` words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout<const N: usize> {
    capacity: u32,
}

impl<const N: usize> Layout<N> {
    /// A queue with places for `capacity` entries.
    ///
    /// # Errors
    /// [`Unfit::Capacity`] and [`Unfit::Entry`].
    pub const fn new(capacity: u32) -> Result<Self, Unfit> {
        if !capacity.is_power_of_two() || capacity > MOST_ENTRIES {
            return Err(Unfit::Capacity);
        }
        if N == 0 || N > MOST_WORDS {
            return Err(Unfit::Entry);
        }
        Ok(Self { capacity })
    }

    /// How many entries fit.
    #[must_use]
    pub const fn capacity(self) -> u32 {
        self.capacity
    }

    /// How many words of 8 bytes it needs, at most 262,160.
    #[must_use]
    pub const fn words(self) -> usize {
        ENTRIES + self.capacity as usize * N
    }

    /// The first word of the entry that a count stands for.
    pub(crate) const fn entry(self, count: u64) -> usize {
        // The mask keeps it below the capacity, whatever the count is.
        ENTRIES + (count & (self.capacity as u64 - 1)) as usize * N
    }

    /// Whether the memory holds it.
    pub(crate) fn fits(self, memory: &impl Memory) -> Result<(), Unfit> {
        if memory.words() < self.words() {
            return Err(Unfit::Memory);
        }
        Ok(())
    }
}
