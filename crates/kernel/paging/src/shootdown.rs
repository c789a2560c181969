//! Making every CPU forget a translation.
//!
//! One shootdown runs at a time. The initiator publishes what to drop, marks the CPUs that must answer, interrupts
//! them, and waits. A CPU answers from its interrupt handler, or while it spins for any lock, so two initiators and
//! a lock holder can never wait for each other.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use cpu::Lock;
use frames::ShootdownReceipt;

static ONE_AT_A_TIME: Lock<()> = Lock::new(());
static PENDING: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);
/// When not 0: the root being destroyed; a CPU that has it loaded takes the kernel's root instead.
static EVICT: AtomicU64 = AtomicU64::new(0);
static SENDER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Above this many pages a CPU reloads its root instead.
const RELOAD_PAGES: u64 = 64;

/// Registers how to interrupt the CPUs of a mask.
pub fn set_ipi_sender(f: fn(u64)) {
    SENDER.store(f as *mut (), Ordering::Release);
}

fn drop_translations() {
    let root = EVICT.load(Ordering::Relaxed);
    if root != 0 && cpu::current_root() == root {
        // SAFETY: the kernel's root maps the kernel as every root does.
        unsafe { cpu::load_root(crate::kernel_root()) };
        return;
    }
    let (start, pages) = (START.load(Ordering::Relaxed), PAGES.load(Ordering::Relaxed));
    if pages > RELOAD_PAGES {
        // SAFETY: reloads what is loaded.
        unsafe { cpu::load_root(cpu::current_root()) };
    } else {
        for page in 0..pages {
            cpu::invalidate_page(start + page * 4096);
        }
    }
}

/// Answers a shootdown that waits for this CPU, if one does.
pub fn answer() {
    let pending = PENDING.load(Ordering::Acquire);
    if pending == 0 {
        return;
    }
    let me = 1u64 << cpu::index();
    if pending & me != 0 {
        drop_translations();
        PENDING.fetch_and(!me, Ordering::AcqRel);
    }
}

/// Drops `pages` pages from `start` on every CPU of `active`, this one included, and waits until they have.
pub(crate) fn run(active: &AtomicU64, start: u64, pages: u64, evict: u64) -> ShootdownReceipt {
    let me = 1u64 << cpu::index();
    let guard = ONE_AT_A_TIME.lock();
    START.store(start, Ordering::Relaxed);
    PAGES.store(pages, Ordering::Relaxed);
    EVICT.store(evict, Ordering::Relaxed);
    // A CPU that loads the root after this read walks tables that no longer hold the mapping.
    let seen = active.load(Ordering::SeqCst);
    let others = seen & !me;
    if others != 0 {
        PENDING.store(others, Ordering::Release);
        let sender = SENDER.load(Ordering::Acquire);
        if !sender.is_null() {
            // SAFETY: only `set_ipi_sender` stores here, and it stores a `fn(u64)`.
            let sender: fn(u64) = unsafe { core::mem::transmute(sender) };
            sender(others);
        }
    }
    if seen & me != 0 {
        drop_translations();
    }
    while PENDING.load(Ordering::Acquire) != 0 {
        core::hint::spin_loop();
    }
    drop(guard);
    // SAFETY: every CPU that ran the space has dropped the pages, and the tables no longer hold them.
    unsafe { ShootdownReceipt::after_shootdown() }
}
