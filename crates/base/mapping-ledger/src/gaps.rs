//! Where a space has room, found by length.

use alloc::collections::BTreeSet;

use ring_abi::Refusal;

use crate::PAGE_BYTES;

/// Where programs may map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First address that the ledger chooses itself.
    pub first: u64,
    /// End of all addresses.
    pub end: u64,
}

/// A mapping with an unmapped page on either side.
const LEAST: u64 = 3;

/// The unmapped stretches of a space, by length: finding room does not depend on how much is mapped.
#[derive(Debug)]
pub(crate) struct Gaps {
    by_length: BTreeSet<(u64, u64)>,
    bounds: Bounds,
}

impl Gaps {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let mut gaps = Self {
            by_length: BTreeSet::new(),
            bounds,
        };
        gaps.add(bounds.first, bounds.end);
        gaps
    }

    const fn clip(&self, start: u64) -> u64 {
        if start < self.bounds.first {
            self.bounds.first
        } else {
            start
        }
    }

    fn add(&mut self, start: u64, end: u64) {
        let start = self.clip(start);
        let pages = end.saturating_sub(start) / PAGE_BYTES;
        if pages >= LEAST {
            self.by_length.insert((pages, start));
        }
    }

    fn remove(&mut self, start: u64, end: u64) {
        let start = self.clip(start);
        let pages = end.saturating_sub(start) / PAGE_BYTES;
        if pages >= LEAST {
            self.by_length.remove(&(pages, start));
        }
    }

    /// Something is put at `start..end` of the gap `from..to`.
    pub(crate) fn fill(&mut self, (from, to): (u64, u64), (start, end): (u64, u64)) {
        self.remove(from, to);
        self.add(from, start);
        self.add(end, to);
    }

    /// What was at `start..end` goes, between the neighbours `from` and `to`.
    pub(crate) fn open(&mut self, (from, to): (u64, u64), (start, end): (u64, u64)) {
        self.remove(from, start);
        self.remove(end, to);
        self.add(from, to);
    }

    /// Room of `pages` pages with an unmapped page on either side, in the shortest stretch that has it.
    pub(crate) fn room(&self, pages: u64) -> Result<u64, Refusal> {
        let wanted = pages.checked_add(2).ok_or(Refusal::OutOfRange)?;
        let found = self.by_length.range((wanted, 0)..).next();
        let (_, start) = found.ok_or(Refusal::NoMemory)?;
        Ok(start + PAGE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;

    const FIRST: u64 = 0x10_0000;
    const END: u64 = FIRST + 1000 * PAGE_BYTES;

    fn gaps() -> Gaps {
        let (first, end) = (FIRST, END);
        Gaps::new(Bounds { first, end })
    }

    /// End of what lies before a range, and beginning of what lies behind.
    fn around(taken: &BTreeMap<u64, u64>, start: u64, end: u64) -> (u64, u64) {
        let before = taken.range(..start).next_back().map_or(0, |(_, end)| *end);
        let behind = taken.range(end..).next().map_or(END, |(start, _)| *start);
        (before, behind)
    }

    #[test]
    fn rooms_have_an_unmapped_page_on_either_side() {
        let (mut gaps, mut taken) = (gaps(), BTreeMap::new());
        let mut last = FIRST;
        for pages in [1, 2, 3, 1] {
            let at = gaps.room(pages).unwrap();
            assert_eq!(at, last + PAGE_BYTES);
            last = at + pages * PAGE_BYTES;
            gaps.fill(around(&taken, at, last), (at, last));
            taken.insert(at, last);
        }
        // The hole of two pages takes two, and no more.
        let hole = FIRST + 3 * PAGE_BYTES;
        let end = taken.remove(&hole).unwrap();
        gaps.open(around(&taken, hole, end), (hole, end));
        assert_eq!(gaps.room(2), Ok(hole));
        assert_eq!(gaps.room(3), Ok(last + PAGE_BYTES));
        assert_eq!(gaps.room(1000), Err(Refusal::NoMemory));
        assert_eq!(gaps.room(u64::MAX), Err(Refusal::OutOfRange));
    }

    #[test]
    fn what_is_kept_is_what_a_walk_over_everything_finds() {
        let (mut gaps, mut taken) = (gaps(), BTreeMap::new());
        let mut seed = 7u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        // One below the first address that is chosen, as images are.
        gaps.fill((0, END), (PAGE_BYTES, 2 * PAGE_BYTES));
        taken.insert(PAGE_BYTES, 2 * PAGE_BYTES);
        for _ in 0..3000 {
            if next(3) > 0 {
                let pages = 1 + next(9);
                if let Ok(at) = gaps.room(pages) {
                    let end = at + pages * PAGE_BYTES;
                    let (from, to) = around(&taken, at, end);
                    assert!(at > from && at > FIRST && end < to, "a page on either side");
                    gaps.fill((from, to), (at, end));
                    taken.insert(at, end);
                }
            } else if taken.len() > 1 {
                let victim = 1 + next(taken.len() as u64 - 1) as usize;
                let (at, end) = taken.iter().nth(victim).map(|(a, e)| (*a, *e)).unwrap();
                taken.remove(&at);
                gaps.open(around(&taken, at, end), (at, end));
            }
            let mut walked = BTreeSet::new();
            let mut from = FIRST;
            let ends = taken.iter().map(|(start, end)| (*start, *end));
            for (start, end) in ends.chain([(END, END)]) {
                let pages = start.saturating_sub(from) / PAGE_BYTES;
                if pages >= LEAST {
                    walked.insert((pages, from));
                }
                from = from.max(end);
            }
            assert_eq!(gaps.by_length, walked);
        }
    }
}
