//! A list that is ordered by a key.

use alloc::vec::Vec;

use crate::{NoRoom, PIECE_BYTES, reserve, widen};

/// Entries by their keys, in pieces of at most `N`. Made for keys that rise: one that comes at the end moves nothing.
#[derive(Debug)]
pub struct Sorted<K, V, const N: usize> {
    /// In order; none of them is empty.
    pieces: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K: Ord + Copy, V, const N: usize> Default for Sorted<K, V, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Copy, V, const N: usize> Sorted<K, V, N> {
    /// An empty list, which has no memory.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 8 && N * size_of::<(K, V)>() <= PIECE_BYTES) };
        Self {
            pieces: Vec::new(),
            len: 0,
        }
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

    /// The piece that has a key, or would have it, and the place in it.
    fn find(&self, key: K) -> (usize, Result<usize, usize>) {
        // Mostly it is about the last one, or what comes behind that.
        if let [.., piece] = &self.pieces[..]
            && let [.., (last, _)] = &piece[..]
            && *last <= key
        {
            let end = piece.len();
            let place = if *last == key { Ok(end - 1) } else { Err(end) };
            return (self.pieces.len() - 1, place);
        }
        let is_before = |piece: &Vec<(K, V)>| piece.first().is_some_and(|(first, _)| *first <= key);
        let nth = self.pieces.partition_point(is_before).saturating_sub(1);
        let piece = self.pieces.get(nth).map_or(&[][..], Vec::as_slice);
        (nth, piece.binary_search_by_key(&key, |(key, _)| *key))
    }

    /// What has a key.
    #[must_use]
    pub fn get(&self, key: K) -> Option<&V> {
        let (nth, place) = self.find(key);
        let (_, value) = self.pieces.get(nth)?.get(place.ok()?)?;
        Some(value)
    }

    /// As [`Self::get`], for change.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (nth, place) = self.find(key);
        let (_, value) = self.pieces.get_mut(nth)?.get_mut(place.ok()?)?;
        Some(value)
    }

    /// The entry with the highest key.
    #[must_use]
    pub fn last(&self) -> Option<(K, &V)> {
        let (key, value) = self.pieces.last()?.last()?;
        Some((*key, value))
    }

    /// Everything from a key on, in order.
    pub fn from(&self, key: K) -> impl Iterator<Item = (K, &V)> {
        let (nth, place) = self.find(key);
        let at = place.unwrap_or_else(|at| at);
        let pieces = self.pieces.iter().skip(nth).enumerate();
        let entries = pieces.flat_map(move |(n, piece)| {
            let skipped = if n == 0 { at } else { 0 };
            piece.iter().skip(skipped)
        });
        entries.map(|(key, value)| (*key, value))
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.pieces
            .iter()
            .flatten()
            .map(|(key, value)| (*key, value))
    }

    /// Adds an entry, in the place of one that has its key.
    ///
    /// # Errors
    /// The value, where there is no memory for it.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, V> {
        let (nth, place) = self.find(key);
        let at = match place {
            Ok(at) => {
                let there = self.pieces.get_mut(nth).and_then(|piece| piece.get_mut(at));
                return Ok(there.map(|(_, old)| core::mem::replace(old, value)));
            }
            Err(at) => at,
        };
        self.enter((nth, at), key, value).map(|_| None)
    }

    /// Adds an entry under a key that has none, and returns its value for change.
    ///
    /// # Errors
    /// The value, where something has its key, or there is no memory for it.
    pub fn add(&mut self, key: K, value: V) -> Result<&mut V, V> {
        match self.find(key) {
            (nth, Err(at)) => self.enter((nth, at), key, value),
            (_, Ok(_)) => Err(value),
        }
    }

    /// Puts an entry where [`Self::find`] would have it.
    fn enter(&mut self, (nth, at): (usize, usize), key: K, value: V) -> Result<&mut V, V> {
        let Ok((nth, at)) = self.make_room(nth, at) else {
            return Err(value);
        };
        let Some(piece) = self.pieces.get_mut(nth).filter(|piece| at <= piece.len()) else {
            return Err(value);
        };
        piece.insert(at, (key, value));
        self.len += 1;
        let (_, value) = &mut piece[at];
        Ok(value)
    }

    /// Makes room for one more at a place of a piece; where that place is then.
    fn make_room(&mut self, nth: usize, at: usize) -> Result<(usize, usize), NoRoom> {
        let Some(piece) = self.pieces.get_mut(nth) else {
            return self.new_piece(nth, FIRST_OF_NEW).map(|nth| (nth, 0));
        };
        let len = piece.len();
        if len < N {
            widen(piece, N)?;
            return Ok((nth, at));
        }
        if at == len {
            // In order: the full piece stays full.
            return self.new_piece(nth + 1, FIRST_OF_NEW).map(|nth| (nth, 0));
        }
        let half = len / 2;
        let next = self.new_piece(nth + 1, N)?;
        let (before, from) = self.pieces.split_at_mut(next);
        if let (Some(full), Some(new)) = (before.last_mut(), from.first_mut()) {
            new.extend(full.drain(half..));
        }
        Ok(if at <= half {
            (nth, at)
        } else {
            (next, at - half)
        })
    }

    fn new_piece(&mut self, nth: usize, room: usize) -> Result<usize, NoRoom> {
        let mut piece = Vec::new();
        reserve(&mut piece, room)?;
        widen(&mut self.pieces, usize::MAX)?;
        self.pieces.insert(nth, piece);
        Ok(nth)
    }

    /// Takes out what has a key. Nothing is allocated for it.
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.remove_if(key, |_| true)
    }

    /// As [`Self::remove`], of what is as it should be; what is not stays.
    pub fn remove_if(&mut self, key: K, is_so: impl FnOnce(&V) -> bool) -> Option<V> {
        let (nth, place) = self.find(key);
        let piece = self.pieces.get_mut(nth)?;
        let at = place.ok()?;
        if !is_so(&piece.get(at)?.1) {
            return None;
        }
        let (_, value) = piece.remove(at);
        self.len -= 1;
        let left = piece.len();
        if left == 0 {
            drop(self.pieces.remove(nth));
        } else if left <= N / 4 {
            self.join(nth);
        }
        if self.is_empty() {
            self.pieces = Vec::new();
        }
        Some(value)
    }

    /// Puts a piece into the one before or behind it, where that has the room.
    fn join(&mut self, nth: usize) {
        let Some(len) = self.pieces.get(nth).map(Vec::len) else {
            return;
        };
        let fits = |piece: &Vec<(K, V)>| piece.capacity() - piece.len() >= len;
        if let Some(before) = nth.checked_sub(1)
            && self.pieces.get(before).is_some_and(fits)
        {
            let moved = self.pieces.remove(nth);
            if let Some(before) = self.pieces.get_mut(before) {
                before.extend(moved);
            }
        } else if self.pieces.get(nth + 1).is_some_and(fits) {
            let moved = self.pieces.remove(nth);
            if let Some(next) = self.pieces.get_mut(nth) {
                next.splice(..0, moved);
            }
        }
    }
}

/// Entries that a new piece has room for.
const FIRST_OF_NEW: usize = 4;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;

    fn check(list: &Sorted<u32, u32, 12>, model: &BTreeMap<u32, u32>, at: u32) {
        assert_eq!(list.len(), model.len());
        assert_eq!(list.get(at), model.get(&at));
        assert_eq!(
            list.last().map(|(key, _)| key),
            model.last_key_value().map(|(key, _)| *key)
        );
        let entries = model.iter().map(|(key, value)| (*key, value));
        assert!(list.iter().eq(entries));
        let behind = model.range(at..).map(|(key, value)| (*key, value));
        assert!(list.from(at).eq(behind));
        assert!(
            list.pieces
                .iter()
                .all(|piece| !piece.is_empty() && piece.capacity() <= 12)
        );
    }

    #[test]
    fn it_is_ordered_whatever_comes_and_goes() {
        let mut list: Sorted<u32, u32, 12> = Sorted::new();
        let mut model = BTreeMap::new();
        let (mut seed, mut next) = (5u32, 0);
        for n in 0..20_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) % 700;
            match (seed >> 28, (n / 4000).is_multiple_of(2)) {
                (0..=5, _) => assert_eq!(list.insert(at, n), Ok(model.insert(at, n))),
                (6..=8, true) => {
                    next += 1;
                    assert_eq!(list.insert(700 + next, n), Ok(model.insert(700 + next, n)));
                }
                (9..=12, true) => assert_eq!(list.remove(at), model.remove(&at)),
                (6..=15, false) => {
                    let key = model.keys().nth(at as usize % model.len().max(1)).copied();
                    let key = key.unwrap_or(0);
                    assert_eq!(list.remove(key), model.remove(&key));
                }
                _ => {}
            }
            if n % 17 == 0 {
                check(&list, &model, at);
            }
        }
    }

    #[test]
    fn an_empty_one_has_no_memory_and_a_thinned_one_little() {
        let mut list: Sorted<u64, (), 256> = Sorted::new();
        (0..16_384).for_each(|n| assert_eq!(list.insert(n, ()), Ok(None)));
        assert!(list.pieces.capacity() * 24 <= PIECE_BYTES);
        // All but one of each hundred.
        for n in (0..16_384).filter(|n| n % 100 != 0) {
            assert_eq!(list.remove(n), Some(()));
        }
        assert!(list.pieces.len() <= 4, "{}", list.pieces.len());
        (0..16_384).filter(|n| n % 100 == 0).for_each(|n| {
            list.remove(n);
        });
        assert_eq!(list.pieces.capacity(), 0);
    }
}
