//! A tree of the library that needs no memory for one entry.

use alloc::collections::BTreeMap;
use core::mem;
use core::ops::RangeBounds;

/// Entries by their keys. One lies in place; a second makes a tree of the library, which goes with its last entry and not
/// before, so that what comes and goes beside a lasting one makes none anew. Empty, it has no memory: whoever added first
/// would pay for that for as long as there is the tree.
#[derive(Debug)]
pub struct Tree<K, V>(Form<K, V>);

#[derive(Debug)]
enum Form<K, V> {
    One(Option<(K, V)>),
    /// Not empty.
    Many(BTreeMap<K, V>),
}

impl<K: Ord, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V> Tree<K, V> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Form::One(None))
    }

    /// Count of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::One(one) => usize::from(one.is_some()),
            Form::Many(tree) => tree.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Form::One(None))
    }

    /// What has a key.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        match &self.0 {
            Form::One(one) => one.as_ref().filter(|(k, _)| k == key).map(|(_, v)| v),
            Form::Many(tree) => tree.get(key),
        }
    }

    /// As [`Self::get`], for change.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match &mut self.0 {
            Form::One(one) => one.as_mut().filter(|(k, _)| k == key).map(|(_, v)| v),
            Form::Many(tree) => tree.get_mut(key),
        }
    }

    /// The entry with the lowest key.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<(&K, &V)> {
        match &self.0 {
            Form::One(one) => one.as_ref().map(|(k, v)| (k, v)),
            Form::Many(tree) => tree.first_key_value(),
        }
    }

    /// The entry with the lowest key of a range.
    #[inline]
    #[must_use]
    pub fn first_in(&self, range: impl RangeBounds<K>) -> Option<(&K, &V)> {
        match &self.0 {
            Form::One(one) => {
                let (key, value) = one.as_ref()?;
                range.contains(key).then_some((key, value))
            }
            Form::Many(tree) => tree.range(range).next(),
        }
    }

    /// Adds an entry, in the place of one that has its key. It has no way to be refused, and allocates where there is
    /// another entry.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match &mut self.0 {
            Form::One(one @ None) => {
                *one = Some((key, value));
                None
            }
            Form::One(Some((k, old))) if *k == key => Some(mem::replace(old, value)),
            Form::One(one) => {
                let both = one.take().into_iter().chain([(key, value)]);
                self.0 = Form::Many(both.collect());
                None
            }
            Form::Many(tree) => tree.insert(key, value),
        }
    }

    /// Takes out what has a key.
    #[inline]
    pub fn remove(&mut self, key: &K) -> Option<V> {
        match &mut self.0 {
            Form::One(one) => one.take_if(|(k, _)| k == key).map(|(_, v)| v),
            Form::Many(tree) => {
                let gone = tree.remove(key);
                self.shed();
                gone
            }
        }
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        match &mut self.0 {
            Form::One(one) => drop(one.take_if(|(k, v)| !keep(k, v))),
            Form::Many(tree) => {
                tree.retain(keep);
                self.shed();
            }
        }
    }

    /// Frees the last node of a tree that has become empty, which the tree itself would keep.
    fn shed(&mut self) {
        if let Form::Many(tree) = &self.0
            && tree.is_empty()
        {
            self.0 = Form::One(None);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::ops::Bound::{Excluded, Unbounded};

    #[test]
    fn it_is_a_tree_of_any_length() {
        let mut tree: Tree<u32, u32> = Tree::new();
        let mut model = BTreeMap::new();
        let mut seed = 7u32;
        let mut lengths = [0; 4];
        for n in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (seed >> 8) % 4;
            match seed >> 28 {
                0..=6 => assert_eq!(tree.insert(key, n), model.insert(key, n)),
                7..=14 => assert_eq!(tree.remove(&key), model.remove(&key)),
                _ => {
                    tree.retain(|_, v| *v % 3 != 0);
                    model.retain(|_, v| *v % 3 != 0);
                }
            }
            let behind = (Excluded(key), Unbounded);
            assert_eq!(tree.first_in(behind), model.range(behind).next());
            assert_eq!(tree.first_in(key..=key), model.range(key..=key).next());
            assert_eq!(tree.first(), model.first_key_value());
            assert_eq!(tree.get(&key), model.get(&key));
            assert_eq!(tree.get_mut(&key), model.get_mut(&key));
            assert_eq!(
                (tree.len(), tree.is_empty()),
                (model.len(), model.is_empty())
            );
            lengths[model.len().min(3)] += 1;
        }
        assert!(lengths.iter().all(|seen| *seen > 1000), "{lengths:?}");
    }

    #[test]
    fn one_and_none_have_no_memory() {
        let mut tree: Tree<u32, u32> = Tree::new();
        assert_eq!(tree.insert(1, 1), None);
        assert!(matches!(tree.0, Form::One(Some(_))));
        assert_eq!(tree.insert(1, 2), Some(1));
        assert!(matches!(tree.0, Form::One(Some(_))));
        assert_eq!(tree.insert(2, 2), None);
        assert_eq!(tree.remove(&1), Some(2));
        assert!(matches!(tree.0, Form::Many(_)));
        assert_eq!(tree.remove(&2), Some(2));
        assert!(matches!(tree.0, Form::One(None)));
        (0..9).for_each(|n| assert_eq!(tree.insert(n, n), None));
        tree.retain(|_, _| false);
        assert!(matches!(tree.0, Form::One(None)));
    }
}
