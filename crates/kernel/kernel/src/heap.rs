//! The kernel heap: a TLSF allocator that takes memory from the frame allocator in runs.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use cpu::Lock;
use frames::Use;
use rlsf::Tlsf;

/// Bytes per growth, at least: 256 KiB.
const GROW_ORDER: u8 = 6;

type Allocator = Tlsf<'static, u32, u32, 28, 16>;

/// How much the heap took, and how much of it is handed out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Bytes taken from the frame allocator, for good.
    pub taken: u64,
    /// Bytes asked for and not given back.
    pub used: u64,
}

struct Inner {
    blocks: Allocator,
    stats: Stats,
}

struct Heap(Lock<Inner>);

// SAFETY: every path takes the lock; blocks handed out are disjoint by TLSF's own contract.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            {
                let mut inner = self.0.lock();
                if let Some(block) = inner.blocks.allocate(layout) {
                    inner.stats.used += layout.size() as u64;
                    return block.as_ptr();
                }
            }
            if !self.grow(layout) {
                return core::ptr::null_mut();
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(pointer) {
            // SAFETY: the caller got it from `alloc` with this layout.
            unsafe {
                let mut inner = self.0.lock();
                inner.blocks.deallocate(block, layout.align());
                inner.stats.used = inner.stats.used.saturating_sub(layout.size() as u64);
            }
        }
    }
}

impl Heap {
    fn grow(&self, layout: Layout) -> bool {
        let wanted = layout
            .size()
            .saturating_add(layout.align())
            .saturating_add(4096);
        let frames = wanted.div_ceil(4096).next_power_of_two();
        let order = (frames.trailing_zeros() as u8).max(GROW_ORDER);
        // When large runs are gone, a smaller one may still do.
        let run = frames::allocate(order, Use::Kernel)
            .or_else(|| frames::allocate(frames.trailing_zeros() as u8, Use::Kernel));
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

#[global_allocator]
static HEAP: Heap = Heap(Lock::new(Inner {
    blocks: Tlsf::new(),
    stats: Stats { taken: 0, used: 0 },
}));

/// How much the heap holds.
pub fn stats() -> Stats {
    HEAP.0.lock().stats
}
