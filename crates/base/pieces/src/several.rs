//! One entry, most often, or a list.

use crate::{NoRoom, Pieces};

/// One entry that needs no memory, or as many as come, in pieces of at most `N`.
#[derive(Debug)]
pub enum Several<T, const N: usize> {
    /// One at most.
    One(Option<T>),
    /// More.
    Many(Pieces<T, N>),
}

impl<T, const N: usize> Default for Several<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Several<T, N> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::One(None)
    }

    /// What an iterator gives.
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
        match self {
            Self::One(one) => one.is_some() as usize,
            Self::Many(list) => list.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at a place.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&T> {
        match self {
            Self::One(one) if at == 0 => one.as_ref(),
            Self::One(_) => None,
            Self::Many(list) => list.get(at),
        }
    }

    /// Adds an entry at the end.
    ///
    /// # Errors
    /// The entry, where there is no memory for it.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), T> {
        match self {
            Self::One(one) => match one.take() {
                None => *one = Some(entry),
                Some(first) => return self.become_many(first, entry),
            },
            Self::Many(list) => return list.push(entry),
        }
        Ok(())
    }

    fn become_many(&mut self, first: T, entry: T) -> Result<(), T> {
        let mut list = Pieces::new();
        if list.reserve(2).is_err() {
            *self = Self::One(Some(first));
            return Err(entry);
        }
        // There is room for both.
        let _ = list.push(first);
        let added = list.push(entry);
        *self = Self::Many(list);
        added
    }

    /// Takes the last entry out, and gives its piece back with it if it was the last there.
    pub fn pop(&mut self) -> Option<T> {
        match self {
            Self::One(one) => one.take(),
            Self::Many(list) => list.shed(),
        }
    }

    /// Every entry, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(one) => (one.as_ref(), None),
            Self::Many(list) => (None, Some(list.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn it_is_a_list_of_any_length() {
        for count in [0, 1, 2, 3, 50] {
            let mut list: Several<u32, 8> = Several::of(0..count).unwrap();
            assert_eq!((list.len(), list.is_empty()), (count as usize, count == 0));
            assert!(list.iter().copied().eq(0..count));
            assert!((0..count).all(|at| list.get(at as usize) == Some(&at)));
            assert_eq!(list.get(count as usize), None);
            let out: Vec<u32> = core::iter::from_fn(|| list.pop()).collect();
            assert!(out.into_iter().eq((0..count).rev()));
        }
    }
}
