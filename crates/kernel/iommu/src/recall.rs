//! What a unit in software remembers of tables: every word that it read, until it is told to forget that one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::vec::Vec;

use crate::unit_tests::word;

const PAGE: u64 = 4096;

/// A word of a domain's tables, and the device addresses that it leads on for.
struct Recalled {
    word: u64,
    first: u64,
    last: u64,
    leaf: bool,
}

/// Words of all domains' tables: by domain, by how many low bits of the device address they leave open, and by the others. Where they
/// were read does not count.
#[derive(Default)]
pub(crate) struct Tables(HashMap<(u16, u64, u64), Recalled>);

/// Which device addresses are to be forgotten.
#[derive(Clone, Copy)]
pub(crate) enum Block {
    All,
    /// First address, and the last one.
    Of(u64, u64),
}

/// Whether words that lead to tables are forgotten, too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Pages,
    Tables,
}

impl Tables {
    /// What is remembered of the word that a walk of so many levels reads at a step.
    pub(crate) fn look(&self, domain: u16, (iova, levels): (u64, u64), step: usize) -> Option<u64> {
        let shift = left_open(levels, step)?;
        let recalled = self.0.get(&(domain, shift, iova >> shift))?;
        Some(recalled.word)
    }

    /// Notes the words of a walk of so many levels, the first one's first, as far as `keeps` says.
    pub(crate) fn note(
        &mut self,
        domain: u16,
        (iova, levels): (u64, u64),
        words: &[(u64, u64)],
        keeps: impl Fn(u64) -> bool,
    ) {
        for (step, (_, word)) in words
            .iter()
            .enumerate()
            .filter(|(_, (_, word))| keeps(*word))
        {
            let shift = left_open(levels, step).unwrap();
            let first = iova >> shift << shift;
            let recalled = Recalled {
                word: *word,
                first,
                last: first + (1 << shift) - 1,
                leaf: step + 1 == words.len(),
            };
            self.0.insert((domain, shift, iova >> shift), recalled);
        }
    }

    /// Whether anything of a domain is remembered.
    pub(crate) fn recalls(&self, domain: u16) -> bool {
        self.0.keys().any(|(of, ..)| *of == domain)
    }

    pub(crate) fn forget(&mut self, domain: Option<u16>, block: Block, depth: Depth) {
        self.0.retain(|(of, ..), recalled| {
            let meets = match block {
                Block::All => true,
                Block::Of(first, last) => recalled.first <= last && first <= recalled.last,
            };
            let deep = recalled.leaf || depth == Depth::Tables;
            !(domain.is_none_or(|one| one == *of) && meets && deep)
        });
    }
}

/// Bits of the device address that a word leaves open.
fn left_open(levels: u64, step: usize) -> Option<u64> {
    Some(12 + 9 * levels.checked_sub(1 + step as u64)?)
}

/// The words that one walk reads, in their order.
#[derive(Default)]
pub(crate) struct Walk(RefCell<Vec<(u64, u64)>>);

impl Walk {
    /// Reads the next one: `recalled` says it, or memory does. It is told what was read so far.
    pub(crate) fn read(
        &self,
        at: u64,
        recalled: impl Fn(&[(u64, u64)]) -> Option<u64>,
    ) -> Option<u64> {
        let known = recalled(&self.0.borrow());
        let read = known.or_else(|| word(at))?;
        self.0.borrow_mut().push((at, read));
        Some(read)
    }

    pub(crate) fn words(self) -> Vec<(u64, u64)> {
        self.0.into_inner()
    }
}

/// The block that a VT-d descriptor or an AMD command names: 2^`order` pages.
pub(crate) const fn block(address: u64, order: u32) -> Block {
    let bytes = PAGE << order;
    let first = address & !(bytes - 1);
    Block::Of(first, first + (bytes - 1))
}
