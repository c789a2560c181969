//! The heap: TLSF over a seed in the image, grown through the program's VirtualMemory.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use schema::process::virtual_memory;
use stub::Interface;

use crate::{Cap, Mutex};

/// Bytes that need no system call.
const SEED_BYTES: usize = 16 * 1024;
/// The heap grows by whole steps, and by at least an eighth of what it is while the quota allows it.
const STEP_BYTES: usize = 64 * 1024;
/// Protection bits of VirtualMemory: read and write.
pub(crate) const READ_WRITE: u8 = 3;

type Tlsf = rlsf::Tlsf<'static, u32, u32, 28, 32>;

struct Pool {
    tlsf: Tlsf,
    mapped_bytes: usize,
    used_bytes: usize,
    blocks: usize,
}

/// What a program's heap is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapFigures {
    /// Bytes that were mapped for it, beside the few that lie in the image.
    pub mapped_bytes: usize,
    /// Bytes of the blocks that are given out, as they were asked for.
    pub used_bytes: usize,
    /// How many blocks those are.
    pub blocks: usize,
}

/// What the program's heap is at now. On the host, whose heap is another, nothing.
pub fn heap_figures() -> HeapFigures {
    HEAP.0
        .lock()
        .as_ref()
        .map_or_else(HeapFigures::default, |pool| HeapFigures {
            mapped_bytes: pool.mapped_bytes,
            used_bytes: pool.used_bytes,
            blocks: pool.blocks,
        })
}

struct Seed(UnsafeCell<[MaybeUninit<u64>; SEED_BYTES / 8]>);

// SAFETY: only `Heap::alloc` touches it, once, under the heap's lock.
unsafe impl Sync for Seed {}

static SEED: Seed = Seed(UnsafeCell::new([MaybeUninit::uninit(); SEED_BYTES / 8]));
static VIRTUAL_MEMORY: AtomicU64 = AtomicU64::new(ring_abi::NO_HANDLE);
/// The code with which the kernel last refused the heap more.
static LAST_REFUSAL: AtomicU8 = AtomicU8::new(0);

/// Why the heap did not grow when it was last refused to.
#[cfg(any(target_os = "none", guest))]
pub(crate) fn last_refusal() -> Option<ring_abi::Refusal> {
    ring_abi::Refusal::from_code(LAST_REFUSAL.load(Ordering::Relaxed))
}

/// Names the VirtualMemory that the heap and thread stacks come from.
pub(crate) fn set_virtual_memory(handle: u64) {
    VIRTUAL_MEMORY.store(handle, Ordering::Release);
}

/// The program's own VirtualMemory.
pub(crate) fn virtual_memory() -> virtual_memory::Client<Cap> {
    Interface::from_object(Cap::borrowed(VIRTUAL_MEMORY.load(Ordering::Acquire)))
}

/// The global allocator of a program.
pub(crate) struct Heap(Mutex<Option<Pool>>);

#[cfg_attr(any(target_os = "none", guest), global_allocator)]
static HEAP: Heap = Heap(Mutex::new(None));

impl Heap {
    fn grow(pool: &mut Pool, layout: Layout) -> Option<()> {
        // TLSF looks in the class above the one a request falls into, so a block must exceed it by a good part.
        let wanted = layout.size().checked_add(layout.align())?;
        let wanted = wanted.checked_add(wanted / 16)?.checked_add(4096)?;
        let least = wanted.checked_next_multiple_of(STEP_BYTES)?;
        let more = (pool.mapped_bytes / 8).next_multiple_of(STEP_BYTES);
        let map = |bytes: usize| {
            let mapped = virtual_memory().map(bytes as u64, READ_WRITE);
            let mapped = mapped.inspect_err(|refusal| {
                LAST_REFUSAL.store(refusal.code(), Ordering::Relaxed);
            });
            Some((mapped.ok()?.address, bytes))
        };
        let (address, bytes) = (more > least)
            .then(|| map(more))
            .flatten()
            .or_else(|| map(least))?;
        let start = NonNull::new(address as *mut u8)?;
        // SAFETY: the kernel mapped `bytes` fresh bytes there, readable and writable, and nothing else knows of them.
        unsafe {
            pool.tlsf
                .insert_free_block_ptr(NonNull::slice_from_raw_parts(start, bytes))
        }?;
        pool.mapped_bytes += bytes;
        Some(())
    }
}

// SAFETY: TLSF gives out disjoint blocks of memory that nothing else uses, under a lock.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut guard = self.0.lock();
        let pool = guard.get_or_insert_with(|| {
            let mut tlsf = Tlsf::new();
            let seed = NonNull::from(&SEED.0).cast::<u8>();
            // SAFETY: the seed is static, and only this first use of the heap takes it.
            unsafe {
                tlsf.insert_free_block_ptr(NonNull::slice_from_raw_parts(seed, SEED_BYTES));
            }
            Pool {
                tlsf,
                mapped_bytes: 0,
                used_bytes: 0,
                blocks: 0,
            }
        });
        let first = pool.tlsf.allocate(layout);
        let block = first.or_else(|| {
            Self::grow(pool, layout)?;
            pool.tlsf.allocate(layout)
        });
        if block.is_some() {
            pool.used_bytes += layout.size();
            pool.blocks += 1;
        }
        block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let (Some(block), Some(pool)) = (NonNull::new(block), self.0.lock().as_mut()) {
            // SAFETY: the caller got it from `alloc` with this layout.
            unsafe { pool.tlsf.deallocate(block, layout.align()) };
            pool.used_bytes = pool.used_bytes.saturating_sub(layout.size());
            pool.blocks = pool.blocks.saturating_sub(1);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            return core::ptr::null_mut();
        };
        if let (Some(old), Some(pool)) = (NonNull::new(block), self.0.lock().as_mut()) {
            // In place where the neighbour is free, else elsewhere in what is mapped already.
            // SAFETY: the caller got it from `alloc` with this alignment.
            if let Some(moved) = unsafe { pool.tlsf.reallocate(old, new) } {
                pool.used_bytes = pool.used_bytes.saturating_sub(layout.size()) + new_size;
                return moved.as_ptr();
            }
        }
        // The heap must grow first.
        // SAFETY: the caller's promises are those of `realloc`.
        unsafe {
            let fresh = self.alloc(new);
            if !fresh.is_null() {
                core::ptr::copy_nonoverlapping(block, fresh, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            fresh
        }
    }
}
