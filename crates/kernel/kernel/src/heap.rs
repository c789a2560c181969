//! The kernel heap: a TLSF allocator that takes memory from the frame allocator in runs.
//!
//! Every block names its payer in its last word and is charged whole, header and rounding included. What the heap keeps
//! for later nobody pays for: it counts as free. For each CPU it keeps a few blocks beside, for what has no way to be
//! refused: see [`frames::with_room`].

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use cpu::{Lock, MAX_CPUS};
use frames::{KEPT_BLOCKS, LARGEST_BLOCK, Payer, Use};
use rlsf::Tlsf;

/// Bytes per growth, at least: 64 KiB, which may have to be wiped in one go.
const GROW_ORDER: u8 = 4;
/// What the allocator rounds a block to, and the header of one.
const GRANULE: usize = 4 * size_of::<usize>();
const HEADER: usize = GRANULE / 2;
/// Blocks up to this size are given even where the payer cannot pay for them; then the kernel does, and says how much it
/// lent. Nobody should need it: what can be refused says so with [`frames::refusable`], and what cannot is made within
/// [`frames::with_room`].
const SMALL: u64 = 64 * 1024;
/// Frames that are left to what cannot be refused when the heap grows for what can.
const LEFT_FRAMES: u64 = frames::KERNEL_RESERVE / 2;
/// A block that is kept for a CPU: the largest that may be asked for, and what the allocator may round it up by.
const KEPT: Layout = match Layout::from_size_align(LARGEST_BLOCK + LARGEST_BLOCK / 4, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a size and an alignment"),
};

type Allocator = Tlsf<'static, u32, u32, 28, 16>;

/// How much the heap took, and how much of it is handed out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Bytes taken from the frame allocator, for good.
    pub taken: u64,
    /// Bytes of blocks that were not given back, as they are charged.
    pub used: u64,
}

struct Inner {
    blocks: Allocator,
    stats: Stats,
    kept: [[Option<NonNull<u8>>; KEPT_BLOCKS]; MAX_CPUS],
}

// SAFETY: the kept blocks are the allocator's own, in memory that lives for good.
unsafe impl Send for Inner {}

struct Heap(Lock<Inner>);

/// The layout with room for the payer's name, and where that is.
fn named(layout: Layout) -> Option<(Layout, usize)> {
    let at = layout.size().checked_next_multiple_of(size_of::<u64>())?;
    let size = at.checked_add(size_of::<u64>())?;
    let align = layout.align().max(align_of::<u64>());
    Some((Layout::from_size_align(size, align).ok()?, at))
}

/// Bytes of the block that the allocator makes of a layout. For an alignment above its own it is the most that it may take.
const fn block_bytes(layout: Layout) -> u64 {
    let overhead = HEADER + layout.align().saturating_sub(HEADER);
    (layout.size() + overhead).next_multiple_of(GRANULE) as u64
}

impl Heap {
    /// Takes a block, and who pays for it: out of the room that was made for it, or now.
    fn take_paid(&self, layout: Layout, bytes: u64) -> Option<(Payer, Option<NonNull<u8>>)> {
        if let Some(payer) = frames::draw(bytes) {
            let block = self.take(layout, bytes, 0);
            let block = block.or_else(|| self.take_kept(layout, bytes));
            return Some((payer, block));
        }
        let payer = Payer::current();
        if frames::is_refusable() || bytes > SMALL {
            payer.take(bytes).ok()?;
            #[cfg(sabotage)]
            if payer.is_refused() {
                return Some((payer, None));
            }
            return Some((payer, self.take(layout, bytes, LEFT_FRAMES)));
        }
        let payer = payer.take_or_lend(bytes).ok()?;
        Some((payer, self.take(layout, bytes, 0)))
    }

    /// Takes a block; the heap grows for it while `least` frames stay free.
    fn take(&self, layout: Layout, bytes: u64, least: u64) -> Option<NonNull<u8>> {
        loop {
            {
                let mut inner = self.0.lock();
                if let Some(block) = inner.blocks.allocate(layout) {
                    inner.stats.used += bytes;
                    return Some(block);
                }
            }
            if !self.grow(layout, least) {
                return None;
            }
        }
    }

    /// Takes a block where there is no memory but what was kept for this CPU.
    #[cold]
    fn take_kept(&self, layout: Layout, bytes: u64) -> Option<NonNull<u8>> {
        if layout.size() > LARGEST_BLOCK + size_of::<u64>() {
            return None;
        }
        let mut inner = self.0.lock();
        let kept = inner.kept[cpu::index() % MAX_CPUS]
            .iter_mut()
            .find_map(Option::take)?;
        frames::kept_was_used();
        // SAFETY: this allocator gave it out with that alignment, and nobody else has it.
        unsafe { inner.blocks.deallocate(kept, KEPT.align()) };
        let block = inner.blocks.allocate(layout)?;
        inner.stats.used += bytes;
        Some(block)
    }

    fn grow(&self, layout: Layout, least: u64) -> bool {
        let wanted = layout
            .size()
            .saturating_add(layout.align())
            .saturating_add(4096);
        let frames = wanted.div_ceil(4096).next_power_of_two();
        let order = (frames.trailing_zeros() as u8).max(GROW_ORDER);
        // When large runs are gone, a smaller one may still do.
        let run = frames::allocate_unpaid(order, least, Use::Kernel)
            .or_else(|| frames::allocate_unpaid(frames.trailing_zeros() as u8, least, Use::Kernel));
        let Some(run) = run else { return false };
        let Some(start) = NonNull::new(frames::direct_map(run.address())) else {
            return false;
        };
        let block = NonNull::slice_from_raw_parts(start, run.bytes());
        let mut inner = self.0.lock();
        // SAFETY: the run is owned, mapped for good, and never given back: the value has no destructor.
        let grown = unsafe { inner.blocks.insert_free_block_ptr(block) }.is_some();
        if grown {
            inner.stats.taken += run.bytes() as u64;
        }
        grown
    }
}

/// Whether the boot is over: from then on whoever gets no memory hears of it.
static BOOTED: AtomicBool = AtomicBool::new(false);

/// What there is no memory for. While the machine boots that is its end, whoever asked.
#[cold]
fn missing(bytes: u64) -> *mut u8 {
    if !BOOTED.load(Ordering::Relaxed) {
        crate::refusal::boot_error(format_args!(
            "too little memory: the kernel needs {bytes} bytes more for what it keeps, {} are free",
            frames::stats().free * 4096
        ));
    }
    core::ptr::null_mut()
}

/// The boot is over.
pub fn end_boot() {
    BOOTED.store(true, Ordering::Relaxed);
}

// SAFETY: every path takes the lock; blocks handed out are disjoint by TLSF's own contract, and longer than asked for by
// the payer's name, which lies behind what the caller may use.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((layout, at)) = named(layout) else {
            return core::ptr::null_mut();
        };
        let bytes = block_bytes(layout);
        let Some((payer, block)) = self.take_paid(layout, bytes) else {
            return missing(bytes);
        };
        match block {
            Some(block) => {
                // SAFETY: inside the block, aligned to a word by `named`.
                unsafe { block.add(at).cast::<u64>().write(payer.to_word()) };
                block.as_ptr()
            }
            None => {
                payer.give_back(bytes);
                missing(bytes)
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let (Some(block), Some((layout, at))) = (NonNull::new(pointer), named(layout)) {
            let bytes = block_bytes(layout);
            // SAFETY: the caller got it from `alloc` with this layout, which wrote the payer's name there.
            let payer = unsafe {
                let payer = Payer::from_word(block.add(at).cast::<u64>().read());
                let mut inner = self.0.lock();
                inner.blocks.deallocate(block, layout.align());
                inner.stats.used = inner.stats.used.saturating_sub(bytes);
                payer
            };
            payer.give_back(bytes);
        }
    }
}

#[global_allocator]
static HEAP: Heap = Heap(Lock::new(Inner {
    blocks: Tlsf::new(),
    stats: Stats { taken: 0, used: 0 },
    kept: [[None; KEPT_BLOCKS]; MAX_CPUS],
}));

/// Keeps as many blocks for this CPU as there shall be. `false`: there is no memory.
fn keep() -> bool {
    let cpu = cpu::index() % MAX_CPUS;
    loop {
        {
            let mut inner = HEAP.0.lock();
            let Some(place) = inner.kept[cpu].iter().position(Option::is_none) else {
                return true;
            };
            if let Some(block) = inner.blocks.allocate(KEPT) {
                inner.kept[cpu][place] = Some(block);
                continue;
            }
        }
        if !HEAP.grow(KEPT, LEFT_FRAMES) {
            return false;
        }
    }
}

/// Lets [`frames::with_room`] make the heap keep blocks.
pub fn start_keeping() {
    frames::set_keeper(keep);
}

/// How much the heap holds.
pub fn stats() -> Stats {
    HEAP.0.lock().stats
}
