//! A heap of deadlines whose entries know their places, so that one is taken out without looking for it.
//!
//! Pure: what waits is a parameter.

use pieces::Pieces;

use crate::NEVER;

/// The place of what is in no heap.
pub(crate) const NO_PLACE: u32 = u32::MAX;

/// What can be in a heap.
pub(crate) trait Placed {
    /// It is at `place` now; [`NO_PLACE`]: in no heap any more.
    fn placed(&self, place: u32);
}

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    what: T,
}

/// Entries in one piece of a heap.
const PIECE: usize = 256;

/// Entries, the earliest deadline first.
#[derive(Debug)]
pub(crate) struct DeadlineHeap<T> {
    entries: Pieces<Entry<T>, PIECE>,
}

impl<T: Placed> DeadlineHeap<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Pieces::new(),
        }
    }

    /// Makes sure that `count` entries fit, so that inserting never allocates. `false`: no memory.
    pub(crate) fn reserve(&mut self, count: usize) -> bool {
        let more = count.saturating_sub(self.entries.len());
        self.entries.reserve(more).is_ok()
    }

    fn note(&self, at: usize) {
        if let Some(entry) = self.entries.get(at) {
            entry.what.placed(at as u32);
        }
    }

    /// The deadline at a place; [`NEVER`] where nothing is.
    fn deadline(&self, at: usize) -> u64 {
        self.entries.get(at).map_or(NEVER, |e| e.deadline)
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.deadline(parent) <= self.deadline(at) {
                break;
            }
            self.entries.swap(parent, at);
            self.note(at);
            at = parent;
        }
        self.note(at);
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if self.deadline(child) < self.deadline(least) {
                    least = child;
                }
            }
            if least == at {
                break;
            }
            self.entries.swap(least, at);
            self.note(at);
            at = least;
        }
        self.note(at);
    }

    pub(crate) fn insert(&mut self, deadline: u64, what: T) {
        let added = self.entries.push(Entry { deadline, what });
        debug_assert!(added.is_ok(), "every task has a place");
        self.up(self.entries.len() - 1);
    }

    /// Takes out what is at a place. `None`: nothing is.
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let at = place as usize;
        if at >= self.entries.len() {
            return None;
        }
        let entry = self.entries.swap_remove(at)?;
        if at < self.entries.len() {
            self.down(at);
            self.up(at);
        }
        entry.what.placed(NO_PLACE);
        Some(entry.what)
    }

    /// The earliest deadline, or [`NEVER`].
    pub(crate) fn first(&self) -> u64 {
        self.deadline(0)
    }

    /// Takes out the earliest entry, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<T> {
        if self.first() > now {
            return None;
        }
        self.remove(0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use core::cell::Cell;

    #[derive(Debug)]
    struct Item {
        deadline: u64,
        place: Cell<u32>,
    }

    impl Placed for Rc<Item> {
        fn placed(&self, place: u32) {
            self.place.set(place);
        }
    }

    fn item(heap: &mut DeadlineHeap<Rc<Item>>, deadline: u64) -> Rc<Item> {
        let item = Rc::new(Item {
            deadline,
            place: Cell::new(NO_PLACE),
        });
        heap.insert(deadline, item.clone());
        item
    }

    fn check(heap: &DeadlineHeap<Rc<Item>>) {
        for (at, entry) in heap.entries.iter().enumerate() {
            assert_eq!(entry.what.place.get(), at as u32);
            assert_eq!(entry.what.deadline, entry.deadline);
            assert!(heap.deadline(at.saturating_sub(1) / 2) <= entry.deadline);
        }
    }

    #[test]
    fn every_entry_knows_its_place_and_the_earliest_comes_first() {
        let mut heap = DeadlineHeap::new();
        let mut held: Vec<Rc<Item>> = Vec::new();
        let mut seed = 3u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..20_000 {
            match next(5) {
                0..=2 if held.len() < 200 => held.push(item(&mut heap, next(50))),
                3 if !held.is_empty() => {
                    let gone = held.swap_remove(next(held.len() as u64) as usize);
                    let taken = heap.remove(gone.place.get()).unwrap();
                    assert!(Rc::ptr_eq(&gone, &taken));
                    assert_eq!(gone.place.get(), NO_PLACE);
                }
                _ => {
                    let now = next(50);
                    let earliest = held.iter().map(|i| i.deadline).min();
                    assert_eq!(heap.first(), earliest.unwrap_or(NEVER));
                    match heap.pop_due(now) {
                        Some(due) => {
                            assert_eq!(Some(due.deadline), earliest);
                            assert!(due.deadline <= now);
                            held.retain(|i| !Rc::ptr_eq(i, &due));
                        }
                        None => assert!(earliest.is_none_or(|e| e > now)),
                    }
                }
            }
            check(&heap);
            assert_eq!(heap.entries.len(), held.len());
        }
    }

    #[test]
    fn a_place_that_is_gone_takes_nothing_out() {
        let mut heap = DeadlineHeap::new();
        assert!(heap.remove(0).is_none());
        let only = item(&mut heap, 5);
        assert!(heap.remove(NO_PLACE).is_none());
        assert!(heap.remove(1).is_none());
        assert!(heap.pop_due(4).is_none());
        assert!(heap.pop_due(5).is_some());
        assert_eq!(only.place.get(), NO_PLACE);
    }
}
