//! Calls that a kernel object has put aside, in the order of what they wait for, with a share for each process.
//!
//! Pure: what waits, and whether anybody still wants it, are parameters. Invariant: no process has more than its share,
//! and what one process does never makes the share of another smaller. Nothing here walks the whole list: adding looks
//! at the holder's own entries and at two of others. Nobody pays for a list in which nothing waits.

use arrayvec::ArrayVec;
use pieces::Tree;

/// Entries of others that an addition looks at: those that nobody wants any more are found before long.
const SWEEP: usize = 2;

/// Where an entry stands: what it waits for, and a number that parts equal ones.
type At<K> = (K, u64);

#[derive(Debug)]
struct Entry<T> {
    holder: u64,
    what: T,
}

/// What waits. `SHARE` is how many entries each holder may have at once.
#[derive(Debug)]
pub struct Waitlist<K, T, const SHARE: usize> {
    entries: Tree<At<K>, Entry<T>>,
    holders: Tree<u64, ArrayVec<At<K>, SHARE>>,
    number: u64,
    swept: Option<At<K>>,
}

/// Most that a tree takes for one more entry: a node of eleven, and one more where it splits.
const fn nodes<K, V>() -> u64 {
    2 * (11 * (size_of::<K>() + size_of::<V>()) + 12 * size_of::<usize>() + 128) as u64
}

/// What an addition took out because nobody wants it any more; to be dropped outside of locks.
pub type Unwanted<T, const SHARE: usize> = (ArrayVec<T, SHARE>, ArrayVec<T, SWEEP>);

impl<K: Ord + Copy, T, const SHARE: usize> Waitlist<K, T, SHARE> {
    /// Nothing waits.
    pub const fn new() -> Self {
        Self {
            entries: Tree::new(),
            holders: Tree::new(),
            number: 0,
            swept: None,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry of `holder` that waits for `key`.
    ///
    /// # Errors
    /// The entry itself: its holder has as many as it may have, or nobody can pay for its place.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn add(
        &mut self,
        holder: u64,
        key: K,
        what: T,
        is_wanted: impl Fn(&T) -> bool,
    ) -> (Result<(), T>, Unwanted<T, SHARE>) {
        let mut own = ArrayVec::new();
        if let Some(held) = self.holders.get(&holder)
            && held.is_full()
        {
            for at in held.clone() {
                if let Some(gone) = self.take_unwanted(at, &is_wanted) {
                    own.push(gone);
                }
            }
        }
        let swept = self.sweep(&is_wanted);
        self.number += 1;
        let at = (key, self.number);
        // Only what comes after the refusals makes anything.
        if self.holders.get(&holder).is_some_and(ArrayVec::is_full) {
            return (Err(what), (own, swept));
        }
        let mut entry = Some(what);
        let bytes = const { nodes::<At<K>, Entry<T>>() + nodes::<u64, ArrayVec<At<K>, SHARE>>() };
        let room = frames::with_room(bytes, || {
            if self.holders.get(&holder).is_none() {
                self.holders.insert(holder, ArrayVec::new());
            }
            let listed = self.holders.get_mut(&holder).map(|mine| mine.try_push(at));
            debug_assert!(matches!(listed, Some(Ok(()))), "it was not full");
            let entry = entry.take().map(|what| Entry { holder, what });
            let _ = entry.map(|entry| self.entries.insert(at, entry));
        });
        match (room, entry) {
            (Err(_), Some(what)) => (Err(what), (own, swept)),
            _ => (Ok(()), (own, swept)),
        }
    }

    fn sweep(&mut self, is_wanted: &impl Fn(&T) -> bool) -> ArrayVec<T, SWEEP> {
        let mut gone = ArrayVec::new();
        for _ in 0..SWEEP {
            use core::ops::Bound::{Excluded, Unbounded};
            let next = match self.swept {
                Some(at) => self.entries.first_in((Excluded(at), Unbounded)),
                None => self.entries.first(),
            };
            let Some(at) = next.map(|(at, _)| *at) else {
                self.swept = None;
                break;
            };
            self.swept = Some(at);
            let unwanted = self.take_unwanted(at, is_wanted);
            let _ = unwanted.map(|one| gone.try_push(one));
        }
        gone
    }

    fn take_unwanted(&mut self, at: At<K>, is_wanted: &impl Fn(&T) -> bool) -> Option<T> {
        if self.entries.get(&at).is_some_and(|e| !is_wanted(&e.what)) {
            self.take(at)
        } else {
            None
        }
    }

    fn take(&mut self, at: At<K>) -> Option<T> {
        let entry = self.entries.remove(&at)?;
        if let Some(held) = self.holders.get_mut(&entry.holder) {
            held.retain(|other| *other != at);
            if held.is_empty() {
                self.holders.remove(&entry.holder);
            }
        }
        Some(entry.what)
    }

    /// Takes out the entry that comes first, if `is_due`.
    pub fn pop_if(&mut self, is_due: impl FnOnce(&K) -> bool) -> Option<T> {
        let at = *self.entries.first()?.0;
        if is_due(&at.0) { self.take(at) } else { None }
    }

    /// The entry that comes first.
    pub fn peek(&self) -> Option<&T> {
        self.entries.first().map(|(_, entry)| &entry.what)
    }

    /// What the first entry waits for.
    pub fn first(&self) -> Option<K> {
        self.entries.first().map(|(at, _)| at.0)
    }

    /// Looks at `most` entries from `from` on, and takes out those that are `chosen`. Returns where to go on; `None`: at
    /// the end.
    pub fn take_chosen(
        &mut self,
        from: Option<(K, u64)>,
        most: usize,
        chosen: impl Fn(&T) -> bool,
        mut each: impl FnMut(T),
    ) -> Option<(K, u64)> {
        use core::ops::Bound::{Excluded, Unbounded};
        let mut last = from;
        for _ in 0..most {
            let next = match last {
                Some(at) => self.entries.first_in((Excluded(at), Unbounded)),
                None => self.entries.first(),
            };
            let (at, entry) = next?;
            let (at, hit) = (*at, chosen(&entry.what));
            last = Some(at);
            if hit && let Some(what) = self.take(at) {
                each(what);
            }
        }
        last
    }
}

impl<K: Ord + Copy, T, const SHARE: usize> Default for Waitlist<K, T, SHARE> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[derive(Clone, Copy, PartialEq)]
    enum Wanted {
        Still,
        NoMore,
    }

    type List = Waitlist<u64, (u64, Wanted), 4>;

    fn add(list: &mut List, holder: u64, key: u64, wanted: Wanted) -> bool {
        let (added, _) = list.add(holder, key, (holder, wanted), |(_, wanted)| {
            *wanted == Wanted::Still
        });
        added.is_ok()
    }

    #[test]
    fn a_holder_has_its_share_whatever_others_do() {
        let mut list = List::new();
        for _ in 0..100 {
            let _ = add(&mut list, 1, 7, Wanted::Still);
        }
        assert_eq!(list.len(), 4);
        for holder in 2..500 {
            for _ in 0..4 {
                assert!(add(&mut list, holder, 9, Wanted::Still));
            }
            assert!(!add(&mut list, holder, 9, Wanted::Still));
        }
    }

    #[test]
    fn what_nobody_wants_any_more_leaves_its_share() {
        let mut list = List::new();
        for _ in 0..3 {
            assert!(add(&mut list, 1, 5, Wanted::Still));
        }
        for round in 0..100 {
            assert!(add(&mut list, 1, round, Wanted::NoMore), "{round}");
        }
        assert!(list.len() <= 4);
    }

    #[test]
    fn entries_of_holders_that_are_gone_do_not_pile_up() {
        let mut list = List::new();
        for holder in 0..10_000 {
            assert!(add(&mut list, holder, u64::MAX, Wanted::NoMore));
            assert!(list.len() < 64, "{}", list.len());
        }
    }

    #[test]
    fn entries_come_in_the_order_of_their_keys() {
        let mut list = List::new();
        for (holder, key) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            assert!(add(&mut list, holder, key, Wanted::Still));
        }
        let mut order = Vec::new();
        while let Some((holder, _)) = list.pop_if(|key| *key < 30) {
            order.push(holder);
        }
        assert_eq!(order, [2, 4, 3]);
        assert_eq!(list.first(), Some(30));
        assert!(list.holders.len() == 1);
    }

    #[test]
    fn chosen_ones_are_taken_a_few_at_a_time() {
        let mut list = List::new();
        for holder in 0..50 {
            assert!(add(&mut list, holder, holder, Wanted::Still));
        }
        let (mut from, mut taken, mut steps) = (None, Vec::new(), 0);
        loop {
            from = list.take_chosen(
                from,
                8,
                |(holder, _)| holder % 2 == 0,
                |one| taken.push(one.0),
            );
            steps += 1;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(taken.len(), 25);
        assert!(steps >= 6);
        assert_eq!(list.len(), 25);
    }
}
