//! A list that grows at its end.

use alloc::vec::Vec;

use crate::{NoRoom, PIECE_BYTES, reserve, widen};

/// Pieces that one list of pieces holds.
const GROUP: usize = 256;

/// A list in pieces of at most `N` entries. Entries are found by their place, the first `N` of them as in a plain list.
#[derive(Debug)]
pub struct Pieces<T, const N: usize> {
    first: Vec<T>,
    /// What comes behind: lists of [`GROUP`] pieces, of which all but the last are full.
    more: Vec<Vec<Vec<T>>>,
    len: usize,
}

impl<T, const N: usize> Default for Pieces<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where an entry behind the first piece lies: its list of pieces, the piece, and the place in it.
const fn place(behind: usize, n: usize) -> (usize, usize, usize) {
    (behind / n / GROUP, behind / n % GROUP, behind % n)
}

impl<T, const N: usize> Pieces<T, N> {
    /// An empty list, which has no memory.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N * size_of::<T>() <= PIECE_BYTES) };
        Self {
            first: Vec::new(),
            more: Vec::new(),
            len: 0,
        }
    }

    /// A list of what an iterator gives.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn of(entries: impl IntoIterator<Item = T>) -> Result<Self, NoRoom> {
        let mut list = Self::new();
        for entry in entries {
            list.push(entry).map_err(|_| NoRoom)?;
        }
        Ok(list)
    }

    /// Count of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry at a place.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&T> {
        match self.first.get(at) {
            Some(entry) => Some(entry),
            None => self.get_behind(at),
        }
    }

    #[inline]
    fn get_behind(&self, at: usize) -> Option<&T> {
        let (group, piece, entry) = place(at.checked_sub(N)?, N);
        self.more.get(group)?.get(piece)?.get(entry)
    }

    /// The entry at a place, for change.
    #[inline(always)]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at < self.first.len() {
            return self.first.get_mut(at);
        }
        self.get_mut_behind(at)
    }

    #[inline]
    fn get_mut_behind(&mut self, at: usize) -> Option<&mut T> {
        let (group, piece, entry) = place(at.checked_sub(N)?, N);
        self.more.get_mut(group)?.get_mut(piece)?.get_mut(entry)
    }

    /// The piece that has, or would have, the entry at a place, made where it is not there yet.
    fn piece(&mut self, at: usize) -> Result<&mut Vec<T>, NoRoom> {
        let Some(behind) = at.checked_sub(N) else {
            return Ok(&mut self.first);
        };
        let (group, piece, _) = place(behind, N);
        if group == self.more.len() {
            widen(&mut self.more, usize::MAX)?;
            self.more.push(Vec::new());
        }
        let group = self.more.get_mut(group).ok_or(NoRoom)?;
        if piece == group.len() {
            widen(group, GROUP)?;
            group.push(Vec::new());
        }
        group.get_mut(piece).ok_or(NoRoom)
    }

    /// Makes room for `more` entries, so that adding them needs no memory.
    ///
    /// # Errors
    /// [`NoRoom`]; some room may have been made then.
    pub fn reserve(&mut self, more: usize) -> Result<(), NoRoom> {
        let end = self.len.checked_add(more).ok_or(NoRoom)?;
        let mut at = self.len - self.len % N;
        while at < end {
            let wanted = (end - at).min(N);
            let piece = self.piece(at)?;
            if wanted > piece.capacity() {
                // Twice as much as there was, so that a list that grows by one each time is seldom moved.
                let most = wanted.max(2 * piece.capacity()).min(N);
                reserve(piece, most - piece.len())?;
            }
            at += N;
        }
        Ok(())
    }

    /// Adds an entry at the end.
    ///
    /// # Errors
    /// The entry, where there is no memory for it.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), T> {
        let at = self.len;
        let Ok(piece) = self.piece(at) else {
            return Err(entry);
        };
        if widen(piece, N).is_err() {
            return Err(entry);
        }
        piece.push(entry);
        self.len += 1;
        Ok(())
    }

    /// Takes the last entry out. Its memory stays for the next one.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let entry = self.piece(last).ok()?.pop()?;
        self.len = last;
        Some(entry)
    }

    /// As [`Self::pop`], for a list that is being emptied: a piece goes with its last entry, so that the end of a long list
    /// is not one long step.
    pub fn shed(&mut self) -> Option<T> {
        let entry = self.pop()?;
        if let Some(behind) = self.len.checked_sub(N)
            && behind % N == 0
        {
            let (group, piece, _) = place(behind, N);
            if let Some(pieces) = self.more.get_mut(group) {
                pieces.truncate(piece);
            }
        }
        Some(entry)
    }

    /// Swaps the entries at two places.
    ///
    /// # Panics
    /// Never: a place without an entry changes nothing.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a.max(b) < self.first.len() {
            self.first.swap(a, b);
            return;
        }
        if a == b || a.max(b) >= self.len {
            return;
        }
        let (low, high) = (a.min(b), a.max(b));
        self.swap_apart(low, high);
    }

    #[cold]
    #[inline(never)]
    fn swap_apart(&mut self, low: usize, high: usize) {
        let (group, piece, entry) = place(high - N, N);
        if let Some(in_first) = self.first.get_mut(low) {
            let there = self.more.get_mut(group).and_then(|g| g.get_mut(piece));
            if let Some(other) = there.and_then(|piece| piece.get_mut(entry)) {
                core::mem::swap(in_first, other);
            }
            return;
        }
        let (low_group, low_piece, low_entry) = place(low - N, N);
        if low_group != group {
            let (before, from) = self.more.split_at_mut(group);
            let low = before.get_mut(low_group).and_then(|g| g.get_mut(low_piece));
            let high = from.first_mut().and_then(|g| g.get_mut(piece));
            if let (Some(low), Some(high)) = (low, high) {
                swap_between(low, low_entry, high, entry);
            }
            return;
        }
        let Some(pieces) = self.more.get_mut(group) else {
            return;
        };
        if low_piece == piece {
            if let Some(piece) = pieces.get_mut(piece) {
                piece.swap(low_entry, entry);
            }
            return;
        }
        let (before, from) = pieces.split_at_mut(piece);
        if let (Some(low), Some(high)) = (before.get_mut(low_piece), from.first_mut()) {
            swap_between(low, low_entry, high, entry);
        }
    }

    /// Takes the entry at a place out, and puts the last one there.
    pub fn swap_remove(&mut self, at: usize) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        if at > last {
            return None;
        }
        self.swap(at, last);
        self.pop()
    }

    /// Every entry, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let more = self.more.iter().flatten().flatten();
        self.first.iter().chain(more)
    }

    /// Every entry for change, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let more = self.more.iter_mut().flatten().flatten();
        self.first.iter_mut().chain(more)
    }

    /// The entries in pieces, in order: each in one run.
    pub fn runs(&self) -> impl Iterator<Item = &[T]> {
        let more = self.more.iter().flatten().map(Vec::as_slice);
        core::iter::once(self.first.as_slice()).chain(more)
    }
}

fn swap_between<T>(low: &mut [T], at: usize, high: &mut [T], other: usize) {
    if let (Some(low), Some(high)) = (low.get_mut(at), high.get_mut(other)) {
        core::mem::swap(low, high);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn it_is_a_list_whatever_its_length() {
        let (mut list, mut model): (Pieces<u32, 3>, Vec<u32>) = (Pieces::new(), Vec::new());
        let mut seed = 5u32;
        for n in 0..60_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % model.len().max(1);
            // Long enough for several lists of pieces, then down to nothing, and again.
            let grows = (n / 10_000).is_multiple_of(2);
            match (seed >> 28, grows) {
                (0..=9, true) | (0..=2, false) => {
                    list.push(n).unwrap();
                    model.push(n);
                }
                (10..=11, true) | (3..=9, false) => assert_eq!(list.pop(), model.pop()),
                (12, _) => {
                    let wanted = (at < model.len()).then(|| model.swap_remove(at));
                    assert_eq!(list.swap_remove(at), wanted);
                }
                (13, _) => list.reserve(seed as usize % 20).unwrap(),
                _ => {
                    let other = (seed >> 16) as usize % model.len().max(1);
                    list.swap(at, other);
                    if !model.is_empty() {
                        model.swap(at, other);
                    }
                }
            }
            assert_eq!((list.len(), list.get(at)), (model.len(), model.get(at)));
            assert_eq!(list.get(model.len()), None);
            if n % 501 == 0 {
                assert!(list.iter().eq(model.iter()));
                assert!(list.runs().flatten().eq(model.iter()));
                list.iter_mut().zip(&mut model).for_each(|(a, b)| {
                    *a += 1;
                    *b += 1;
                });
            }
        }
    }

    #[test]
    fn a_list_that_is_emptied_has_no_empty_piece() {
        let mut list: Pieces<u64, 8> = Pieces::of(0..5000).unwrap();
        for n in (0..5000).rev() {
            assert_eq!(list.shed(), Some(n));
            assert!(list.more.iter().flatten().all(|piece| !piece.is_empty()));
        }
        assert_eq!(list.shed(), None);
    }

    #[test]
    fn what_was_reserved_needs_no_memory() {
        let mut list: Pieces<u64, 8> = Pieces::new();
        for more in [1, 7, 8, 9, 400, 3000] {
            list.reserve(more).unwrap();
            let before: usize = capacity(&list);
            for n in 0..more as u64 {
                list.push(n).unwrap();
                assert_eq!(list.pop(), Some(n));
                list.push(n).unwrap();
            }
            assert_eq!(capacity(&list), before);
        }
    }

    fn capacity(list: &Pieces<u64, 8>) -> usize {
        let more = list.more.iter().flatten().map(Vec::capacity);
        list.first.capacity() + more.sum::<usize>()
    }

    #[test]
    fn no_piece_is_longer_than_it_may_be() {
        let mut list: Pieces<[u64; 6], 128> = Pieces::new();
        (0..200_000).for_each(|n| list.push([n; 6]).unwrap());
        let pieces = list.more.iter().flatten();
        assert!(pieces.clone().all(|piece| piece.capacity() <= 128));
        assert!(
            list.more
                .iter()
                .all(|group| group.capacity() * 24 <= PIECE_BYTES)
        );
        assert!(list.more.capacity() * 24 <= PIECE_BYTES);
        assert_eq!(list.get(199_999), Some(&[199_999; 6]));
    }
}
