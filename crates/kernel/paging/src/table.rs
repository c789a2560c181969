//! One table of 512 entries, and the walk through four levels.

use core::sync::atomic::{AtomicU64, Ordering};

pub(crate) const PRESENT: u64 = 1;
pub(crate) const WRITE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
pub(crate) const LARGE: u64 = 1 << 7;
pub(crate) const GLOBAL: u64 = 1 << 8;
pub(crate) const NO_EXECUTE: u64 = 1 << 63;
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits 52 to 62 of an entry that names a table are ignored by the processor (SDM 3A, 4.5.4): how many entries of that
/// table are present. Kept in the lower half alone.
const COUNT: u32 = 52;

/// What a mapping allows. There is no way to ask for write and execute together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    Read,
    /// Reads and writes.
    ReadWrite,
    /// Reads and instruction fetches.
    ReadExecute,
    /// Device registers: reads and writes, uncached.
    Device,
    /// Device registers: reads only, uncached.
    DeviceRead,
}

impl Access {
    pub(crate) const fn bits(self) -> u64 {
        match self {
            Self::Read => PRESENT | NO_EXECUTE,
            Self::ReadWrite => PRESENT | WRITE | NO_EXECUTE,
            Self::ReadExecute => PRESENT,
            Self::Device => PRESENT | WRITE | NO_EXECUTE | WRITE_THROUGH | CACHE_DISABLE,
            Self::DeviceRead => PRESENT | NO_EXECUTE | WRITE_THROUGH | CACHE_DISABLE,
        }
    }
}

/// An entry, by its place in the direct map. The CPU's walker reads it at any time, so it is an atomic.
#[derive(Clone, Copy)]
pub(crate) struct Slot(*mut u64);

impl Slot {
    pub(crate) fn get(self) -> u64 {
        // SAFETY: a slot points into a live page table in the direct map, 8-byte aligned.
        unsafe { AtomicU64::from_ptr(self.0) }.load(Ordering::Relaxed)
    }

    pub(crate) fn set(self, value: u64) {
        // SAFETY: as in `get`.
        unsafe { AtomicU64::from_ptr(self.0) }.store(value, Ordering::Release);
    }

    /// How many entries of the table that this entry names are present.
    pub(crate) fn count(self) -> u64 {
        (self.get() >> COUNT) & 0x7ff
    }

    /// That many more are. An "accessed" bit that the processor sets meanwhile may be lost; nobody reads it.
    pub(crate) fn count_more(self, more: u64) {
        self.set(self.get() + (more << COUNT));
    }

    /// That many fewer are. Returns what is left.
    pub(crate) fn count_fewer(self, fewer: u64) -> u64 {
        let left = self.count().saturating_sub(fewer);
        self.set((self.get() & !(0x7ff << COUNT)) | (left << COUNT));
        left
    }
}

/// Entries that are looked at together.
const BLOCK: usize = 8;

/// The present entries of a table below `end`, a multiple of 8, in order: blocks without any cost one look.
pub(crate) fn present(table: u64, end: usize) -> impl Iterator<Item = Slot> {
    let entries = frames::direct_map(table).cast::<u64>();
    let at = move |at: usize| Slot(entries.wrapping_add(at & 511));
    let blocks = (0..end / BLOCK).map(|block| block * BLOCK);
    let used = blocks.filter(move |block| {
        let any = (0..BLOCK).fold(0, |any, of| any | at(block + of).get());
        any & PRESENT != 0
    });
    used.flat_map(move |block| (block..block + BLOCK).map(at))
        .filter(|slot| slot.get() & PRESENT != 0)
}

/// The first present entry of a table below `end`, a multiple of 8.
pub(crate) fn first_present(table: u64, end: usize) -> Option<Slot> {
    present(table, end).next()
}

pub(crate) const fn index(virtual_address: u64, level: u32) -> usize {
    ((virtual_address >> (12 + 9 * level)) & 511) as usize
}

pub(crate) fn slot(table: u64, at: usize) -> Slot {
    Slot(frames::direct_map(table + (at as u64 & 511) * 8).cast())
}

/// Finds the level-`leaf` slot of an address, making tables on the way. `None`: no memory, or a larger page is there.
pub(crate) fn walk_making(root: u64, address: u64, leaf: u32, flags: u64) -> Option<Slot> {
    let mut table = root;
    for level in (leaf + 1..=3).rev() {
        let s = slot(table, index(address, level));
        let entry = s.get();
        if entry & PRESENT == 0 {
            let fresh = frames::allocate(0, frames::Use::Table)?;
            table = fresh.address();
            s.set(table | PRESENT | WRITE | flags);
        } else if entry & LARGE != 0 && level < 3 {
            return None;
        } else {
            table = entry & ADDRESS;
        }
    }
    Some(slot(table, index(address, leaf)))
}

/// Finds the 4 KiB slot of an address, if every table on the way exists.
pub(crate) fn walk(root: u64, address: u64) -> Option<Slot> {
    let mut table = root;
    for level in (1..=3).rev() {
        let entry = slot(table, index(address, level)).get();
        if entry & PRESENT == 0 || (level < 3 && entry & LARGE != 0) {
            return None;
        }
        table = entry & ADDRESS;
    }
    Some(slot(table, index(address, 0)))
}
