//! The slots of a table: a list of two pages at most, and pieces of a page behind it. However long the table is, growing copies
//! no more than the list, and nothing of it is longer in one run.

use alloc::vec::Vec;

use pieces::Pieces;

/// Bytes of a piece, at most, unless one slot is longer.
const PIECE_BYTES: usize = 4096;
/// Bytes of the head: growing copies no more.
const HEAD_BYTES: usize = 8 * 1024;
/// Slots of a piece, at most.
const MOST: usize = 64;
/// Pieces in one piece of their list.
const LISTED: usize = 256;

/// A list of slots that only grows, and at last goes away piece by piece.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    /// The first ones, which most tables never have more than: found as quickly as in any list.
    head: Vec<T>,
    /// The others. All but the last with slots in it are full; behind it there may be empty ones.
    pieces: Pieces<Vec<T>, LISTED>,
    len: usize,
    /// Some have gone.
    shed: bool,
}

impl<T> Slots<T> {
    /// Slots of a piece: a power of two.
    const PIECE: usize = {
        let mut piece = MOST;
        while piece > 1 && piece * size_of::<T>() > PIECE_BYTES {
            piece /= 2;
        }
        piece
    };
    /// Slots of the head.
    const HEAD: usize = HEAD_BYTES / size_of::<T>();

    pub(crate) const fn new() -> Self {
        Self {
            head: Vec::new(),
            pieces: Pieces::new(),
            len: 0,
            shed: false,
        }
    }

    /// How many there ever were.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.head.get(index as usize) {
            Some(slot) => Some(slot),
            None => self.far(index),
        }
    }

    #[cold]
    #[inline(never)]
    fn far(&self, index: u32) -> Option<&T> {
        let index = (index as usize).checked_sub(Self::HEAD)?;
        let piece = self.pieces.get(index / Self::PIECE)?;
        piece.get(index % Self::PIECE)
    }

    /// Slots in a row from the one at `index` on: those of one piece. Empty beyond the last one.
    pub(crate) fn stretch(&self, index: u32) -> &[T] {
        let index = index as usize;
        let (piece, at) = match index.checked_sub(Self::HEAD) {
            None => (Some(&self.head), index),
            Some(far) => (self.pieces.get(far / Self::PIECE), far % Self::PIECE),
        };
        piece.and_then(|piece| piece.get(at..)).unwrap_or_default()
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        if (index as usize) < self.head.len() {
            self.head.get_mut(index as usize)
        } else {
            self.far_mut(index)
        }
    }

    #[cold]
    #[inline(never)]
    fn far_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = (index as usize).checked_sub(Self::HEAD)?;
        let piece = self.pieces.get_mut(index / Self::PIECE)?;
        piece.get_mut(index % Self::PIECE)
    }

    /// Makes room for `more`. `false`: no memory, or the list is going away.
    #[must_use]
    pub(crate) fn make_room(&mut self, more: usize) -> bool {
        let wanted = self.len.saturating_add(more);
        let short = wanted.min(Self::HEAD).saturating_sub(self.head.len());
        if self.shed || self.head.try_reserve(short).is_err() {
            return false;
        }
        let last = wanted.saturating_sub(Self::HEAD).div_ceil(Self::PIECE);
        while self.pieces.len() < last {
            if self.pieces.push(Vec::new()).is_err() {
                return false;
            }
        }
        let first = self.len.saturating_sub(Self::HEAD) / Self::PIECE;
        (first..last).all(|at| {
            // Each is made once, as long as it will ever be.
            self.pieces.get_mut(at).is_some_and(|piece| {
                let missing = Self::PIECE.saturating_sub(piece.len());
                piece.try_reserve_exact(missing).is_ok()
            })
        })
    }

    /// Adds one for which there is room. `false`: there is none.
    #[must_use]
    pub(crate) fn push(&mut self, slot: T) -> bool {
        let place = match self.len.checked_sub(Self::HEAD) {
            None => Some(&mut self.head),
            Some(index) => self.pieces.get_mut(index / Self::PIECE),
        };
        match place {
            Some(place) if !self.shed => {
                place.push(slot);
                self.len += 1;
                true
            }
            _ => false,
        }
    }

    /// Drops the last piece; the first ones stay to the end. `false`: there is none left.
    pub(crate) fn shed(&mut self) -> bool {
        self.shed = true;
        drop(self.pieces.shed());
        !self.pieces.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.head.iter().chain(self.pieces.iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.head.iter_mut().chain(self.pieces.iter_mut().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use alloc::vec::Vec;

    #[test]
    fn a_list_holds_what_was_put_in_whatever_its_length() {
        let mut slots = Slots::<[u64; 9]>::new();
        for at in 0..5000u64 {
            assert!(slots.make_room(1 + at as usize % 7));
            assert!(slots.push([at; 9]));
        }
        let all: Vec<u64> = slots.iter().map(|slot| slot[0]).collect();
        assert_eq!(all, (0..5000).collect::<Vec<_>>());
        for at in 0..5000 {
            assert_eq!(slots.get(at), Some(&[u64::from(at); 9]));
            assert_eq!(slots.stretch(at).first(), slots.get(at));
        }
        let (mut at, mut seen) = (0, Vec::new());
        while let stretch @ [_, ..] = slots.stretch(at) {
            seen.extend(stretch.iter().map(|slot| slot[0]));
            at += stretch.len() as u32;
        }
        assert_eq!(seen, all);
        assert!(slots.stretch(u32::MAX).is_empty());
        assert!(slots.get(5000).is_none() && slots.get(u32::MAX).is_none());
        assert!(slots.pieces.iter().all(|piece| piece.len() * 72 <= 4096));
    }

    #[test]
    fn nothing_comes_after_a_piece_has_gone() {
        let mut slots = Slots::<u64>::new();
        for at in 0..20_000 {
            assert!(slots.make_room(1) && slots.push(at), "{at}");
        }
        while slots.shed() {}
        assert_eq!(slots.len(), 20_000);
        assert!(!slots.make_room(1));
        assert!(!slots.push(1));
        assert!(slots.get(19_999).is_none());
    }
}
