//! The kernel's upper half: direct map, image, stacks, device registers.

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::Lock;
use frames::{Payment, Use};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::DIRECT_MAP_BASE;
use crate::table::{
    ADDRESS, Access, GLOBAL, LARGE, NO_EXECUTE, PRESENT, Slot, WRITE, index, slot, walk,
    walk_making,
};

static ROOT: AtomicU64 = AtomicU64::new(0);
const STACKS: u64 = 0xffff_c000_0000_0000;
const DEVICES: u64 = 0xffff_d000_0000_0000;
static NEXT_STACK: Lock<u64> = Lock::new(STACKS);
static NEXT_DEVICE: Lock<u64> = Lock::new(DEVICES);
/// Top of the last stack that was dropped; each spare stack holds the next one's in its topmost word.
static FREE_STACKS: Lock<u64> = Lock::new(0);

/// Stacks that were made.
static STACKS_MADE: AtomicU64 = AtomicU64::new(0);
/// Stacks in use.
static STACKS_USED: AtomicU64 = AtomicU64::new(0);

/// Pages of a kernel stack. Code that is not optimised keeps every intermediate value in its frame, and needs several times
/// as much.
const STACK_PAGES: u64 = if cfg!(debug_assertions) { 64 } else { 8 };
const STACK_BYTES: u64 = STACK_PAGES * frames::FRAME_BYTES;
/// Bytes from one kernel stack to the next: the unmapped page comes first.
const STACK_STRIDE: u64 = 4096 + STACK_BYTES;
const TWO_MIB: u64 = 2 << 20;
const ONE_GIB: u64 = 1 << 30;

/// One section of the kernel image.
#[derive(Clone, Copy, Debug)]
pub struct KernelSection {
    /// First address, page-aligned.
    pub start: u64,
    /// End address, page-aligned.
    pub end: u64,
    /// What it allows.
    pub access: Access,
}

impl KernelSection {
    /// How many of its pages lie in a physical range, if it may not be written; `virtual_to_physical` as for [`initialise`].
    fn fixed_pages(&self, virtual_to_physical: u64, at: u64, bytes: u64) -> u64 {
        if self.access == Access::ReadWrite {
            return 0;
        }
        let first = self.start & !4095;
        let physical = first.wrapping_add(virtual_to_physical);
        let behind = physical + (self.end - first).next_multiple_of(4096);
        let (from, to) = (physical.max(at), behind.min(at + bytes));
        to.saturating_sub(from) / 4096
    }
}

/// How many pages of the image that may not be written can be written through a mapping of the kernel's half, whichever,
/// as the tables in use say.
pub fn writable_aliases(sections: &[KernelSection], virtual_to_physical: u64) -> u64 {
    let fixed = |at, bytes| {
        let pages = sections
            .iter()
            .map(|section| section.fixed_pages(virtual_to_physical, at, bytes));
        pages.sum()
    };
    (256..512)
        .map(|at| writable_below(slot(kernel_root(), at), 3, &fixed))
        .sum()
}

/// Sums what `pages` says of each physical range that an entry at `level` lets the kernel write.
fn writable_below(entry: Slot, level: u32, pages: &impl Fn(u64, u64) -> u64) -> u64 {
    let value = entry.get();
    // What an entry of a table forbids, nothing below it allows (Intel SDM vol. 3, 4.6.1).
    if value & PRESENT == 0 || value & WRITE == 0 {
        return 0;
    }
    if level == 0 || value & LARGE != 0 {
        let bytes = 4096 << (9 * level);
        return pages(value & ADDRESS & !(bytes - 1), bytes);
    }
    (0..512)
        .map(|at| writable_below(slot(value & ADDRESS, at), level - 1, pages))
        .sum()
}

/// Makes the direct map's page of a section writable.
#[cfg(sabotage)]
pub fn open_directly(section: &KernelSection, virtual_to_physical: u64) {
    let at = section.start.wrapping_add(virtual_to_physical);
    if let Some(s) = walk(kernel_root(), DIRECT_MAP_BASE.wrapping_add(at)) {
        s.set(s.get() | WRITE);
    }
}

/// Root of the kernel's own space: nothing in the lower half.
pub fn kernel_root() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

/// The largest pages that the processor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargestPage {
    /// Every processor knows these.
    TwoMib,
    /// CPUID leaf 8000_0001H, EDX bit 26.
    OneGib,
}

/// Builds the kernel's tables. `memory` is what the direct map covers, in bytes, for reading only where a section lies
/// that is not written; `virtual_to_physical` is what to add
/// to an image address, wrapping, to get where the loader put it. Returns `None` when memory is short.
///
/// # Safety
/// Runs once, after `frames::initialise`, while the loader's tables are still in use and map the same image.
pub unsafe fn initialise(
    memory: &[(u64, u64)],
    sections: &[KernelSection],
    virtual_to_physical: u64,
    largest: LargestPage,
) -> Option<u64> {
    let root = frames::allocate(0, Use::KernelRoot)?.address();
    ROOT.store(root, Ordering::Release);
    // Text and constants have no second way in.
    let fixed = |at: u64, bytes: u64| {
        sections
            .iter()
            .any(|section| section.fixed_pages(virtual_to_physical, at, bytes) > 0)
    };
    for &(start, end) in memory {
        let mut at = start & !4095;
        while at < end {
            let left = end - at;
            let virtual_address = DIRECT_MAP_BASE + at;
            let whole = |bytes: u64| at % bytes == 0 && left >= bytes && !fixed(at, bytes);
            let (leaf, step) = if largest == LargestPage::OneGib && whole(ONE_GIB) {
                (2, ONE_GIB)
            } else if whole(TWO_MIB) {
                (1, TWO_MIB)
            } else {
                (0, 4096)
            };
            let large = if leaf > 0 { LARGE } else { 0 };
            let s = walk_making(root, virtual_address, leaf, 0)?;
            let write = if fixed(at, step) { 0 } else { WRITE };
            s.set(at | PRESENT | write | NO_EXECUTE | GLOBAL | large);
            at += step;
        }
    }
    for section in sections {
        let mut at = section.start & !4095;
        while at < section.end {
            let s = walk_making(root, at, 0, 0)?;
            s.set(at.wrapping_add(virtual_to_physical) | section.access.bits() | GLOBAL);
            at += 4096;
        }
    }
    // Every process copies the upper half once, so the top-level entries of what grows later must exist now.
    for area in [STACKS, DEVICES] {
        let top = slot(root, index(area, 3));
        if top.get() & PRESENT == 0 {
            top.set(frames::allocate(0, Use::Table)?.address() | PRESENT | WRITE);
        }
    }
    Some(root)
}

/// A kernel stack with an unmapped page below it. Stacks are never unmapped; a dropped one is used again. Its pages are
/// paid for while it is in use.
#[derive(Debug)]
pub struct KernelStack {
    top: u64,
    _payment: Payment,
}

impl KernelStack {
    /// The 16-byte aligned end of the stack.
    pub const fn top(&self) -> u64 {
        self.top
    }
}

/// The topmost word of a spare stack.
fn link(top: u64) -> *mut u64 {
    (top - 8) as *mut u64
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let mut free = FREE_STACKS.lock();
        // SAFETY: nothing runs on a dropped stack, and its pages stay mapped.
        unsafe { link(self.top).write(*free) };
        *free = self.top;
        STACKS_USED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of stacks that nobody uses now.
pub fn spare_stack_bytes() -> u64 {
    let used = STACKS_USED.load(Ordering::Relaxed);
    STACKS_MADE.load(Ordering::Relaxed).saturating_sub(used) * STACK_BYTES
}

/// Allocates a kernel stack.
///
/// # Errors
/// `OverBudget` where who pays on this CPU cannot, `NoMemory`.
pub fn new_stack() -> Result<KernelStack, Refusal> {
    let bytes = if sabotage!(STACKS_FOR_NOTHING) {
        0
    } else {
        STACK_BYTES
    };
    let payment = frames::pay(bytes)?;
    let top = match spare_stack() {
        Some(top) => top,
        None => make_stack().ok_or(Refusal::NoMemory)?,
    };
    STACKS_USED.fetch_add(1, Ordering::Relaxed);
    Ok(KernelStack {
        top,
        _payment: payment,
    })
}

/// A long piece of memory, as long as a kernel stack, whose pages lie wherever there are some: it is a stack on which nothing
/// runs.
#[derive(Debug)]
pub struct LongBuffer(KernelStack);

impl LongBuffer {
    /// How long it is.
    pub const BYTES: usize = STACK_BYTES as usize;

    /// Takes a spare stack, or makes one.
    ///
    /// # Errors
    /// As for [`new_stack`].
    pub fn new() -> Result<Self, Refusal> {
        new_stack().map(Self)
    }

    /// Its bytes, whatever was left in them.
    pub fn bytes(&mut self) -> &mut [u8] {
        let start = (self.0.top - STACK_BYTES) as *mut u8;
        // SAFETY: mapped for good and this value's alone, on which nothing runs; any bytes are bytes.
        unsafe { core::slice::from_raw_parts_mut(start, Self::BYTES) }
    }
}

fn spare_stack() -> Option<u64> {
    let mut free = FREE_STACKS.lock();
    if *free == 0 {
        return None;
    }
    let top = *free;
    // SAFETY: a spare stack's topmost word, written when it was dropped.
    *free = unsafe { link(top).read() };
    Some(top)
}

/// Makes a stack, whose pages nobody pays for yet; the tables above them are the kernel's. What an attempt leaves that
/// memory was too short for is used by the next one.
fn make_stack() -> Option<u64> {
    let _kernel = frames::paid_by_kernel();
    let mut next = NEXT_STACK.lock();
    let base = *next + 4096;
    let mut pages = [const { None }; STACK_PAGES as usize];
    for page in &mut pages {
        *page = frames::allocate_unpaid(0, 0, Use::Stack);
    }
    let whole = pages.iter().all(Option::is_some)
        && (0..STACK_PAGES).all(|p| walk_making(kernel_root(), base + p * 4096, 0, 0).is_some());
    if !whole {
        pages
            .into_iter()
            .flatten()
            .for_each(frames::Frames::free_unmapped);
        return None;
    }
    for (at, page) in (0..).zip(pages.into_iter().flatten()) {
        let s = walk_making(kernel_root(), base + at * 4096, 0, 0)?;
        s.set(page.address() | Access::ReadWrite.bits() | GLOBAL);
    }
    let top = *next + STACK_STRIDE;
    *next = top;
    STACKS_MADE.fetch_add(1, Ordering::Relaxed);
    Some(top)
}

/// Whether an address lies in the unmapped page below a kernel stack: who touches it there has overflowed the stack.
/// Takes no lock, so that a fault handler may ask.
pub fn is_below_kernel_stack(address: u64) -> bool {
    (STACKS..DEVICES).contains(&address) && (address - STACKS) % STACK_STRIDE < 4096
}

/// An aligned word of a kernel stack; `None` where there is none. For whoever follows frame pointers that may be wrong.
pub fn kernel_stack_word(address: u64) -> Option<u64> {
    if !(STACKS..DEVICES).contains(&address) || !address.is_multiple_of(8) {
        return None;
    }
    if walk(kernel_root(), address)?.get() & PRESENT == 0 {
        return None;
    }
    // SAFETY: mapped and aligned, and a page of a stack is never unmapped. Whoever runs on it may write meanwhile: read once,
    // as a value without meaning of its own.
    Some(unsafe { (address as *const u64).read_volatile() })
}

/// Why registers could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapDeviceError {
    /// The range is empty or wraps.
    OutOfRange,
    /// No frame for a page table.
    NoMemory,
}

/// Pages that one entry maps a level above.
const LARGE_PAGES: u64 = TWO_MIB / 4096;

/// Maps device registers into the kernel, uncached, for good. Returns the address of byte `physical`.
///
/// A claim does it under the lock of its function, for as much as a BAR has: with large pages where there are such, and
/// without going down from the root for each of the others.
///
/// # Errors
/// See [`MapDeviceError`].
pub fn map_device(physical: u64, bytes: u64) -> Result<*mut u8, MapDeviceError> {
    let end = physical
        .checked_add(bytes)
        .filter(|_| bytes != 0)
        .ok_or(MapDeviceError::OutOfRange)?;
    let first = physical & !4095;
    let pages = (end - first).div_ceil(4096);
    let _kernel = frames::paid_by_kernel();
    let mut next = NEXT_DEVICE.lock();
    let base = place(*next, first, pages);
    // Every table before the first entry: where memory is short nothing was mapped, and who is next finds the tables.
    for (at, pages) in stretches(base, pages) {
        let leaf = u32::from(pages == LARGE_PAGES);
        walk_making(kernel_root(), at, leaf, 0).ok_or(MapDeviceError::NoMemory)?;
    }
    for (at, pages) in stretches(base, pages) {
        map_stretch(at, first + (at - base), pages).ok_or(MapDeviceError::NoMemory)?;
    }
    // One unmapped page between ranges.
    *next = base + (pages + 1) * 4096;
    Ok((base + (physical - first)) as *mut u8)
}

/// Where a range of so many pages from `first` on is mapped, from `next` on: a long one begins at the same place of a large page
/// here and there.
const fn place(next: u64, first: u64, pages: u64) -> u64 {
    if pages < LARGE_PAGES {
        return next;
    }
    next + (first.wrapping_sub(next) & (TWO_MIB - 1))
}

/// The parts of a range that lie in one table each, with how many pages they have; one that has [`LARGE_PAGES`] is such a page.
fn stretches(base: u64, pages: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = base + pages * 4096;
    let mut at = base;
    core::iter::from_fn(move || {
        let start = at;
        at = end.min((start | (TWO_MIB - 1)) + 1);
        (start < end).then(|| (start, (at - start) / 4096))
    })
}

/// Maps one of [`stretches`] to registers from `physical` on. `None`: there is no memory for a table.
fn map_stretch(at: u64, physical: u64, pages: u64) -> Option<()> {
    let bits = Access::Device.bits() | GLOBAL;
    if pages == LARGE_PAGES {
        let s = walk_making(kernel_root(), at, 1, 0)?;
        // A shorter range may have left a table here that memory was too short for.
        if s.get() & PRESENT == 0 {
            s.set(physical | bits | LARGE);
            return Some(());
        }
    }
    walk_making(kernel_root(), at, 0, 0)?;
    let table = walk_making(kernel_root(), at, 1, 0)?.get() & ADDRESS;
    for page in 0..pages {
        let s = slot(table, index(at, 0) + page as usize);
        s.set((physical + page * 4096) | bits);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_registers_takes_few_entries_and_all_of_its_pages() {
        const NEXT: u64 = DEVICES + 17 * 4096;
        for first in [
            0,
            0xfe00_0000,
            0xfe00_0000 + 4096,
            0x10_0000,
            0x38_0000_0000,
        ] {
            for pages in [1, 2, 255, 256, 511, 512, 513, 1024, 4096, 5000] {
                let base = place(NEXT, first, pages);
                assert!(base >= NEXT && base - NEXT < TWO_MIB);
                let (mut at, mut single) = (base, 0);
                for (start, n) in stretches(base, pages) {
                    assert_eq!(start, at);
                    assert!(n > 0 && index(start, 0) as u64 + n <= LARGE_PAGES);
                    let there = first + (start - base);
                    assert!(n < LARGE_PAGES || (start | there).is_multiple_of(TWO_MIB));
                    at += n * 4096;
                    single += n % LARGE_PAGES;
                }
                assert_eq!(at, base + pages * 4096);
                assert!(single < 2 * LARGE_PAGES);
                // A BAR's size is a power of two and its place a multiple of that.
                if pages.is_multiple_of(LARGE_PAGES) && first.is_multiple_of(TWO_MIB) {
                    assert_eq!(single, 0);
                }
            }
        }
    }
}
