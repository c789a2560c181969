//! Device table entries (AMD 3.08, 2.2.2.1) and host page tables (2.2.3).

use crate::{Access, DomainId, Entry, Format, Levels, Table};

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const VALID: u64 = 1;
const TRANSLATES: u64 = 1 << 1;
const READ: u64 = 1 << 61;
const WRITE: u64 = 1 << 62;

/// Where a function's memory requests go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Translation {
    /// Nowhere: all are refused, by neither right and by this table, which is empty.
    Blocked(Table),
    /// Through a domain's tables.
    Domain {
        /// First table.
        root: Table,
        /// Depth.
        levels: Levels,
        /// The domain.
        domain: DomainId,
    },
}

/// A function's own interrupt table (2.2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterruptTable {
    /// Its page, which the specification aligns to 128 bytes only.
    pub table: Table,
    /// Entries as a power of two, at most 11.
    pub order: u8,
}

/// Where a function's interrupts go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupts {
    /// Where the message says: nothing is remapped.
    AsTheyAre,
    /// Nowhere: all are refused.
    Refused,
    /// Where its table says.
    Table(InterruptTable),
}

/// An entry of the device table: 256 bits for each function.
///
/// `I` is always 0: the unit answers no request for a translation. Memory is reached through a domain or not at all. Where
/// interrupts are remapped, nothing else passes: no interrupt that has no entry, none of the kinds with pass bits
/// (`InitPass`, `EIntPass`, `NMIPass`, `Lint0Pass`, `Lint1Pass`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceEntry {
    /// Memory.
    pub translation: Translation,
    /// Interrupts.
    pub interrupts: Interrupts,
}

/// `IntCtl` 10b: messages are remapped.
const REMAPPED: u64 = 2 << 60;

impl DeviceEntry {
    /// What blocks a function altogether. `empty` is a table without entries: no levels and neither right would do by the
    /// specification (2.2.2.1, table 7), and emulated units let everything pass then.
    pub const fn blocked(empty: Table) -> Self {
        Self {
            translation: Translation::Blocked(empty),
            interrupts: Interrupts::Refused,
        }
    }

    /// Returns the four words, the lowest first. The first one is written last, because it makes the entry valid.
    pub const fn words(self) -> [u64; 4] {
        let (low, domain) = match self.translation {
            // Valid, translating, neither right: every request is refused and told.
            Translation::Blocked(empty) => {
                let mode = (Levels::Four.count() as u64) << 9;
                (VALID | TRANSLATES | mode | empty.address(), 0)
            }
            Translation::Domain {
                root,
                levels,
                domain,
            } => {
                let mode = (levels.count() as u64) << 9;
                let low = VALID | TRANSLATES | mode | root.address() | READ | WRITE;
                (low, domain.get() as u64)
            }
        };
        let interrupts = match self.interrupts {
            // Without `IV` messages pass as they are.
            Interrupts::AsTheyAre => 0,
            // `IntCtl` 00b: fixed and arbitrated messages are refused.
            Interrupts::Refused => VALID,
            Interrupts::Table(it) => {
                VALID | ((it.order & 0xf) as u64) << 1 | it.table.address() | REMAPPED
            }
        };
        [low, domain, interrupts, 0]
    }
}

const PRESENT: u64 = 1;
const NEXT_LEVEL: u64 = 7 << 9;
/// `FC`: the processor's caches are looked through.
const COHERENT: u64 = 1 << 60;

/// Host page table entries (2.2.3, figures 8 to 10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostPages;

impl Format for HostPages {
    fn table(level: u8, next: Table) -> u64 {
        next.address() | PRESENT | u64::from(level - 1) << 9 | READ | WRITE
    }

    fn page(_level: u8, physical: u64, access: Access) -> u64 {
        let read = if access.reads() { READ } else { 0 };
        let write = if access.writes() { WRITE } else { 0 };
        // `Next Level` 0: a page of this level's size.
        physical & ADDRESS | PRESENT | COHERENT | read | write
    }

    fn read(_level: u8, entry: u64) -> Entry {
        let access = Access::of(entry, READ, WRITE);
        let (true, Some(access)) = (entry & PRESENT != 0, access) else {
            return Entry::Hole;
        };
        let physical = entry & ADDRESS;
        match Table::new(physical) {
            Some(table) if entry & NEXT_LEVEL != 0 => Entry::Table(table),
            _ => Entry::Page { physical, access },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_has_them() {
        let entry = DeviceEntry {
            translation: Translation::Domain {
                root: Table::new(0x1234_5000).unwrap(),
                levels: Levels::Four,
                domain: DomainId::new(0xabcd).unwrap(),
            },
            interrupts: Interrupts::Table(InterruptTable {
                table: Table::new(0x6000).unwrap(),
                order: 5,
            }),
        };
        let words = [0x6000_0000_1234_5803, 0xabcd, 0x2000_0000_0000_600b, 0];
        assert_eq!(entry.words(), words);
        let blocked = DeviceEntry::blocked(Table::new(0x7000).unwrap());
        assert_eq!(blocked.words(), [0x7803, 0, 1, 0]);
        let passing = DeviceEntry {
            interrupts: Interrupts::AsTheyAre,
            ..blocked
        };
        assert_eq!(passing.words(), [0x7803, 0, 0, 0]);
    }
}
