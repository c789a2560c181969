//! A queue that grows in blocks: no length of it needs memory in one piece, and growth can be refused.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use frames::Grow;
use sabotage::sabotage;

/// Entries of a block.
pub(crate) const BLOCK: usize = 64;
/// Entries that one step of a walk looks at: it may take out, and drop, every one of them.
pub(crate) const PART: usize = 16;
/// Entries of the first block when it is made.
const FIRST: usize = 4;

/// Where a walk in steps has come to: a block, and how many of its first entries are still to be looked at. A block is walked
/// from its end, because entries only ever move towards its beginning, and none is added before one that is there: so none of
/// those to come is passed over, whatever is taken out between two steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    block: u64,
    left: usize,
}

impl Place {
    /// Where every walk begins.
    pub(crate) const FIRST: Self = Self::begin(0);

    /// The whole of the first block whose number is at least this.
    const fn begin(block: u64) -> Self {
        let left = usize::MAX;
        Self { block, left }
    }
}

/// Entries in a row, and a number that rises from block to block.
#[derive(Debug)]
struct Block<T> {
    number: u64,
    entries: VecDeque<T>,
}

/// First in, first out. Whoever's entry needs a block pays for it.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// What comes out first.
    head: Block<T>,
    /// What comes behind it, in order; none of them is empty.
    more: VecDeque<Box<Block<T>>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn room<T>(block: &mut VecDeque<T>) -> bool {
    if block.len() < block.capacity() {
        return true;
    }
    let more = block.len().max(FIRST).min(BLOCK - block.len());
    more > 0 && frames::refusable(|| block.try_reserve_exact(more)).is_ok()
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            head: Block {
                number: 0,
                entries: VecDeque::new(),
            },
            more: VecDeque::new(),
        }
    }

    /// Adds an entry at the end.
    ///
    /// # Errors
    /// The entry, where there is no memory for it.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
        if self.more.is_empty() && self.head.entries.len() < self.head.entries.capacity() {
            return self.head.entries.put(entry);
        }
        self.push_growing(entry)
    }

    /// Whether the next entry needs memory.
    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        !self.more.is_empty() || self.head.entries.len() == self.head.entries.capacity()
    }

    #[cold]
    #[inline(never)]
    fn push_growing(&mut self, entry: T) -> Result<(), T> {
        let last = match self.more.back_mut() {
            Some(last) => &mut **last,
            None => &mut self.head,
        };
        let number = last.number + 1;
        let last = &mut last.entries;
        let fits = if sabotage!(ONE_BLOCK_QUEUE) {
            if frames::refusable(|| last.try_reserve(1)).is_err() {
                return Err(entry);
            }
            true
        } else {
            last.len() < BLOCK && room(last)
        };
        if fits {
            return last.put(entry);
        }
        let mut entries = VecDeque::new();
        if entries.grow(BLOCK).is_err() || frames::refusable(|| self.more.try_reserve(1)).is_err() {
            return Err(entry);
        }
        let Ok(mut block) = frames::boxed(Block { number, entries }) else {
            return Err(entry);
        };
        block.entries.put(entry)?;
        let listed = self.more.put(block);
        debug_assert!(listed.is_ok(), "there is room for it");
        Ok(())
    }

    /// Takes the entry that has waited longest.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let first = self.head.entries.pop_front();
        if self.head.entries.is_empty() && !self.more.is_empty() {
            self.next_block();
        }
        first
    }

    /// The entry that has waited longest.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<&T> {
        self.head.entries.front()
    }

    #[cold]
    #[inline(never)]
    fn next_block(&mut self) {
        if let Some(next) = self.more.pop_front() {
            self.head = *next;
        }
        if self.more.is_empty() {
            self.more = VecDeque::new();
        }
    }

    /// Every entry, in order.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let head = self.head.entries.iter();
        head.chain(self.more.iter().flat_map(|b| b.entries.iter()))
    }

    /// Keeps what `keep` says of the next [`PART`] entries of a walk; what is left out is dropped under whatever lock the caller
    /// holds. Returns where to go on; `None`: that was the last step. What is added between two steps may be passed over, and
    /// nothing else.
    pub(crate) fn retain_part(
        &mut self,
        from: Place,
        mut keep: impl FnMut(&T) -> bool,
    ) -> Option<Place> {
        let in_head = self.head.number >= from.block;
        let at = self.more.partition_point(|block| block.number < from.block);
        let behind = if in_head { 0 } else { at + 1 } < self.more.len();
        let block = match in_head {
            true => &mut self.head,
            false => &mut **self.more.get_mut(at)?,
        };
        let of_block = match block.number == from.block {
            true => from.left.min(block.entries.len()),
            false => block.entries.len(),
        };
        let left = of_block.saturating_sub(PART);
        for nth in (left..of_block).rev() {
            if block.entries.get(nth).is_some_and(|entry| !keep(entry)) {
                drop(block.entries.remove(nth));
            }
        }
        let (number, is_empty) = (block.number, block.entries.is_empty());
        match (is_empty, in_head) {
            (false, _) => {}
            (true, true) => self.next_block(),
            (true, false) => drop(self.more.remove(at)),
        }
        if left > 0 {
            return Some(Place {
                block: number,
                left,
            });
        }
        behind.then(|| Place::begin(number + 1))
    }

    /// As [`Self::retain_part`], for the next entries in turn: `at` is where the turn has come to. Done with each addition, it keeps
    /// what is over from piling up, and no addition looks at more than [`PART`].
    pub(crate) fn sweep(&mut self, at: &mut Place, keep: impl FnMut(&T) -> bool) {
        *at = self.retain_part(*at, keep).unwrap_or(Place::FIRST);
    }

    /// Count of blocks, one of which may be empty.
    pub(crate) fn blocks(&self) -> usize {
        1 + self.more.len()
    }

    /// Count of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.head.entries.len() + self.more.iter().map(|b| b.entries.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn keep<T>(q: &mut Queue<T>, mut keep: impl FnMut(&T) -> bool) {
        let mut from = Some(Place::FIRST);
        while let Some(at) = from {
            from = q.retain_part(at, &mut keep);
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_is_taken_between() {
        let mut q = Queue::new();
        let mut model: VecDeque<u32> = VecDeque::new();
        let mut seed = 3u32;
        for n in 0..40_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (seed >> 24) % 16 {
                0..=8 => {
                    q.push(n).unwrap();
                    model.push_back(n);
                }
                9..=12 => {
                    assert_eq!(q.first(), model.front());
                    assert_eq!(q.pop(), model.pop_front());
                }
                13..=14 => {
                    let wanted = model.get(seed as usize % model.len().max(1)).copied();
                    keep(&mut q, |e| Some(*e) != wanted);
                    model.retain(|e| Some(*e) != wanted);
                }
                _ if seed.is_multiple_of(7) => {
                    keep(&mut q, |e| e % 3 != 0);
                    model.retain(|e| e % 3 != 0);
                }
                _ => {}
            }
            if n % 97 == 0 {
                assert_eq!(q.len(), model.len());
                assert!(q.iter().eq(model.iter()));
            }
        }
        let rest: Vec<_> = core::iter::from_fn(|| q.pop()).collect();
        assert!(rest.iter().eq(model.iter()));
    }

    #[test]
    fn no_block_is_longer_than_a_page() {
        let mut q = Queue::new();
        for n in 0..100_000u64 {
            q.push([n; 6]).unwrap();
        }
        assert!(q.head.entries.capacity() <= BLOCK);
        assert!(q.more.iter().all(|b| b.entries.capacity() * 48 <= 4096));
        keep(&mut q, |e| e[0] == 99_999);
        assert_eq!((q.len(), q.more.len()), (1, 0));
    }

    #[test]
    fn what_is_over_does_not_pile_up_where_each_addition_sweeps_a_part() {
        let (mut q, mut at) = (Queue::new(), Place::FIRST);
        for n in 0..50_000u64 {
            let mut looked = 0;
            // Of every hundred one goes on, and the last three hundred.
            q.sweep(&mut at, |e| {
                looked += 1;
                e % 100 == 0 || e + 300 > n
            });
            assert!(looked <= PART, "{looked}");
            q.push(n).unwrap();
        }
        assert!((800..=1500).contains(&q.len()), "{}", q.len());
        assert!((0..500).all(|n| q.iter().any(|e| *e == n * 100)));
    }

    #[test]
    fn a_walk_in_parts_sees_every_entry_that_was_there_and_takes_out_what_it_is_told() {
        for taken in 0..120u32 {
            let mut q = Queue::new();
            (0..500u32).for_each(|n| q.push(n).unwrap());
            let (mut seen, mut from, mut steps) = (Vec::new(), Some(Place::FIRST), 0);
            while let Some(at) = from {
                let mut looked = 0;
                from = q.retain_part(at, |n| {
                    seen.push(*n);
                    looked += 1;
                    n % 2 == 0
                });
                assert!(looked <= PART);
                // Others take from the front and from anywhere, and add at the end.
                for nth in 0..taken / 8 {
                    let _ = q.pop();
                    let one = (taken * 37 + steps * 11 + nth * 71) % 500;
                    keep(&mut q, |n| *n != one);
                }
                q.push(1000 + steps * 2).unwrap();
                steps += 1;
                assert!(steps < 1000);
            }
            for left in q.iter() {
                assert!(seen.contains(left) || *left >= 1000, "{taken}: {left}");
                assert!(left % 2 == 0);
            }
            assert!(q.more.iter().all(|block| !block.entries.is_empty()));
        }
    }

    #[test]
    fn a_walk_in_parts_that_takes_out_all_leaves_an_empty_queue() {
        for count in [0, 1, 15, 16, 17, 63, 64, 65, 1000u32] {
            let mut q = Queue::new();
            (0..count).for_each(|n| q.push(n).unwrap());
            let (mut from, mut seen) = (Some(Place::FIRST), 0);
            while let Some(at) = from {
                from = q.retain_part(at, |_| {
                    seen += 1;
                    false
                });
            }
            assert_eq!((seen, q.len(), q.more.len()), (count, 0, 0));
            q.push(7).unwrap();
            assert_eq!(q.pop(), Some(7));
        }
    }
}
