//! Root, context and second-stage entries (VT-d 4.1, 9.1, 9.3, 9.8).

use crate::{Access, DomainId, Entry, Format, Levels, Table};

const PRESENT: u64 = 1;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// An entry of the root table, one for each bus (9.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootEntry(pub Table);

impl RootEntry {
    /// What blocks every function of a bus.
    pub const BLOCKED: [u64; 2] = [0, 0];

    /// Returns both words, the low one first.
    pub const fn words(self) -> [u64; 2] {
        [self.0.address() | PRESENT, 0]
    }

    /// Reads an entry; `None` if it blocks.
    pub const fn read(words: [u64; 2]) -> Option<Self> {
        match (words[0] & PRESENT, Table::new(words[0] & ADDRESS)) {
            (PRESENT, Some(table)) => Some(Self(table)),
            _ => None,
        }
    }
}

/// An entry of a context table, one for each function of a bus (9.3).
///
/// `TT` is always 0: untranslated requests go through the domain's tables, translated ones and requests for translation
/// are refused, so a device's own translation cache is of no use to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextEntry {
    /// First table of the domain.
    pub root: Table,
    /// Depth of its tables.
    pub levels: Levels,
    /// The domain.
    pub domain: DomainId,
}

impl ContextEntry {
    /// What blocks a function.
    pub const BLOCKED: [u64; 2] = [0, 0];

    /// Returns both words, the low one first. The high one is written first, because the low one makes it present.
    pub const fn words(self) -> [u64; 2] {
        let width = match self.levels {
            Levels::Three => 1,
            Levels::Four => 2,
        };
        let high = width | (self.domain.get() as u64) << 8;
        [self.root.address() | PRESENT, high]
    }

    /// Reads an entry; `None` if it blocks, or says what is never written here.
    pub const fn read(words: [u64; 2]) -> Option<Self> {
        let levels = match words[1] & 7 {
            1 => Levels::Three,
            2 => Levels::Four,
            _ => return None,
        };
        let kind = words[0] >> 2 & 3;
        let domain = DomainId::new((words[1] >> 8) as u16);
        match (
            words[0] & PRESENT,
            kind,
            Table::new(words[0] & ADDRESS),
            domain,
        ) {
            (PRESENT, 0, Some(root), Some(domain)) => Some(Self {
                root,
                levels,
                domain,
            }),
            _ => None,
        }
    }
}

const READ: u64 = 1;
const WRITE: u64 = 1 << 1;
/// `PS`, at the levels that can hold large pages.
const LARGE: u64 = 1 << 7;

/// Second-stage paging entries (9.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecondStage;

impl Format for SecondStage {
    fn table(_level: u8, next: Table) -> u64 {
        next.address() | READ | WRITE
    }

    fn page(level: u8, physical: u64, access: Access) -> u64 {
        let read = if access.reads() { READ } else { 0 };
        let write = if access.writes() { WRITE } else { 0 };
        let large = if level > 1 { LARGE } else { 0 };
        physical & ADDRESS | read | write | large
    }

    fn read(level: u8, entry: u64) -> Entry {
        let Some(access) = Access::of(entry, READ, WRITE) else {
            return Entry::Hole;
        };
        let physical = entry & ADDRESS;
        match Table::new(physical) {
            Some(table) if level > 1 && entry & LARGE == 0 => Entry::Table(table),
            _ => Entry::Page { physical, access },
        }
    }
}
