//! The list of an object's pages, in pieces that the kernel's heap has room for.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use cpu::Lock;
use frames::Grow;
use ring_abi::Refusal;

/// Addresses in one piece of a list: what fits in a page of the kernel's heap.
const PIECE: usize = 512;

/// A list of pages that somebody else keeps.
pub trait PageList: fmt::Debug + Send + Sync {
    /// Count of pages.
    fn count(&self) -> u64;

    /// Physical address of page `at`; `None` past the end.
    fn page(&self, at: u64) -> Option<u64>;
}

/// Most that the tree of pieces grows by for one more: a node at each level.
const NODE_BYTES: u64 = 2048;

/// Physical addresses of an object's pages.
#[derive(Debug)]
pub(crate) enum Pages {
    /// Those that stay as long as the object.
    Fixed(List),
    /// Those that go before it where the account ends that pays for them, and how many there were.
    Ending(Lock<List>, u64),
    /// Those of somebody else: nothing is added to them or taken out.
    Lent(Arc<dyn PageList>),
}

impl Pages {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Fixed(list) => list.len(),
            Self::Ending(_, count) => *count,
            Self::Lent(list) => list.count(),
        }
    }

    pub(crate) fn get(&self, at: u64) -> Option<u64> {
        match self {
            Self::Fixed(list) => list.get(at),
            Self::Ending(list, _) => list.lock().get(at),
            Self::Lent(list) => list.page(at),
        }
    }

    /// # Errors
    /// `OverBudget`, `NoMemory`; `ReadOnly` for what is not this object's alone.
    pub(crate) fn push(&mut self, address: u64) -> Result<(), Refusal> {
        match self {
            Self::Fixed(list) => list.push(address),
            _ => Err(Refusal::ReadOnly),
        }
    }

    /// Takes the last address out of what is this object's own, which nobody else holds.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        match self {
            Self::Fixed(list) => list.pop(),
            _ => self.take(),
        }
    }

    /// Takes the last address out of what goes before its object.
    pub(crate) fn take(&self) -> Option<u64> {
        match self {
            Self::Ending(list, _) => list.lock().pop(),
            _ => None,
        }
    }

    /// Lets what is this object's own go before it.
    pub(crate) fn let_end(self) -> Self {
        match self {
            Self::Fixed(list) => {
                let count = list.len();
                Self::Ending(Lock::new(list), count)
            }
            other => other,
        }
    }

    /// Whether its pages may go while somebody names the object.
    pub(crate) const fn may_go(&self) -> bool {
        !matches!(self, Self::Fixed(_))
    }
}

/// A long list lies in pieces, so that no object needs more than a page of the kernel's heap in one run.
#[derive(Debug)]
pub(crate) enum List {
    Short(Vec<u64>),
    Long(BTreeMap<u32, Vec<u64>>, u64),
}

fn piece(wanted: usize) -> Result<Vec<u64>, Refusal> {
    let mut piece = Vec::new();
    piece.grow(wanted.min(PIECE))?;
    Ok(piece)
}

impl List {
    /// An empty list that will hold `wanted` addresses.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub(crate) fn with_room(wanted: usize) -> Result<Self, Refusal> {
        if wanted <= PIECE {
            piece(wanted).map(Self::Short)
        } else {
            Ok(Self::Long(BTreeMap::new(), 0))
        }
    }

    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub(crate) fn of(addresses: impl ExactSizeIterator<Item = u64>) -> Result<Self, Refusal> {
        let mut pages = Self::with_room(addresses.len())?;
        for address in addresses {
            pages.push(address)?;
        }
        Ok(pages)
    }

    /// # Errors
    /// `OverBudget`, `NoMemory`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub(crate) fn push(&mut self, address: u64) -> Result<(), Refusal> {
        match self {
            Self::Short(list) => {
                list.add(address)?;
            }
            Self::Long(pieces, count) => {
                let at = u32::try_from(*count / PIECE as u64).map_err(|_| Refusal::NoMemory)?;
                if *count % PIECE as u64 == 0 {
                    let piece = piece(PIECE)?;
                    frames::with_room(NODE_BYTES, || pieces.insert(at, piece))?;
                }
                if let Some(list) = pieces.get_mut(&at) {
                    list.add(address)?;
                    *count += 1;
                }
            }
        }
        Ok(())
    }

    /// Takes the last address out, and with the last of a piece the piece.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        match self {
            Self::Short(list) => list.pop(),
            Self::Long(pieces, count) => {
                let at = u32::try_from(count.checked_sub(1)? / PIECE as u64).ok()?;
                let list = pieces.get_mut(&at)?;
                let address = list.pop();
                let is_empty = list.is_empty();
                *count -= 1;
                if is_empty {
                    pieces.remove(&at);
                }
                address
            }
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Short(list) => list.len() as u64,
            Self::Long(_, count) => *count,
        }
    }

    pub(crate) fn get(&self, at: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        match self {
            Self::Short(list) => list.get(at).copied(),
            Self::Long(pieces, _) => {
                let list = pieces.get(&u32::try_from(at / PIECE).ok()?)?;
                list.get(at % PIECE).copied()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_end_goes_from_the_last_on_and_keeps_its_length() {
        for count in [1, PIECE, 2 * PIECE + 3] {
            let address = |at: usize| 0x1000 * (at as u64 + 1);
            let pages = Pages::Fixed(List::of((0..count).map(address)).unwrap());
            assert_eq!(pages.take(), None);
            assert!(!pages.may_go());
            let pages = pages.let_end();
            assert!(pages.may_go());
            for at in (0..count).rev() {
                assert_eq!(pages.get(at as u64), Some(address(at)));
                assert_eq!(pages.take(), Some(address(at)));
                assert_eq!(pages.get(at as u64), None);
                assert_eq!(pages.len(), count as u64);
            }
            assert_eq!(pages.take(), None);
        }
    }

    #[test]
    fn a_list_gives_back_what_was_put_in_whatever_its_length() {
        for wanted in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7] {
            let address = |at: usize| 0x1000 * (at as u64 * 7 + 3);
            let mut pages = List::of((0..wanted).map(address)).unwrap();
            assert_eq!(pages.len(), wanted as u64);
            for at in 0..wanted {
                assert_eq!(pages.get(at as u64), Some(address(at)));
            }
            assert_eq!(pages.get(wanted as u64), None);
            assert_eq!(pages.get(u64::MAX), None);
            for at in (0..wanted).rev() {
                assert_eq!(pages.pop(), Some(address(at)));
                assert_eq!(pages.len(), at as u64);
            }
            assert_eq!(pages.pop(), None);
        }
    }
}
