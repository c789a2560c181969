//! Making every CPU forget a translation.
//!
//! One shootdown runs at a time. The initiator publishes what to drop, marks the CPUs that must answer, interrupts
//! them, and waits. A CPU answers from its interrupt handler, or while it spins for any lock, so two initiators and
//! a lock holder can never wait for each other.
//!
//! A CPU that loads another space stays in the mask of the one that it left, and is asked once more: it finds that it has
//! forgotten everything already, and takes itself out. So a switch costs no locked instruction, and a CPU takes itself out of a
//! mask while the initiator waits for it, never at another time.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use cpu::Lock;
use frames::ShootdownReceipt;
use sabotage::sabotage;

static ONE_AT_A_TIME: Lock<()> = Lock::new(());
static PENDING: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);
/// The root of the space, and the mask of the CPUs that may have it loaded.
static ROOT: AtomicU64 = AtomicU64::new(0);
static ACTIVE: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
/// Whether that root is being destroyed: a CPU that has it loaded takes the kernel's root instead.
static EVICT: AtomicBool = AtomicBool::new(false);
static SENDER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Above this many pages a CPU reloads its root instead.
const RELOAD_PAGES: u64 = 64;

/// Registers how to interrupt the CPUs of a mask.
pub fn set_ipi_sender(f: fn(u64)) {
    SENDER.store(f as *mut (), Ordering::Release);
}

/// Drops on this CPU what the shootdown that runs names; its initiator waits for it, or is this CPU.
fn drop_translations(me: u64) {
    let evict = EVICT.load(Ordering::Relaxed);
    if cpu::current_root() != ROOT.load(Ordering::Relaxed) {
        // What was loaded instead made this CPU forget all of it. It is counted in again before it loads it again.
        let active = ACTIVE.load(Ordering::Relaxed);
        // SAFETY: the initiator has borrowed the mask, and gives it up after this CPU has answered.
        unsafe { (*active).fetch_and(!me, Ordering::SeqCst) };
        return;
    }
    sabotage!(TAKE_LOADED_FOR_LEFT => if !evict {
        return;
    });
    if evict {
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
        drop_translations(me);
        PENDING.fetch_and(!me, Ordering::AcqRel);
    }
}

/// What becomes of the space whose translations are dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Stays,
    /// No CPU keeps it loaded.
    Goes,
}

/// Drops `pages` pages from `start` of the space at `root` on every CPU of `active`, this one included, and waits until they have.
pub(crate) fn run(
    (root, active): (u64, &AtomicU64),
    start: u64,
    pages: u64,
    fate: Fate,
) -> ShootdownReceipt {
    let me = 1u64 << cpu::index();
    let guard = ONE_AT_A_TIME.lock();
    START.store(start, Ordering::Relaxed);
    PAGES.store(pages, Ordering::Relaxed);
    ROOT.store(root, Ordering::Relaxed);
    ACTIVE.store(core::ptr::from_ref(active).cast_mut(), Ordering::Relaxed);
    EVICT.store(fate == Fate::Goes, Ordering::Relaxed);
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
        drop_translations(me);
    }
    while PENDING.load(Ordering::Acquire) != 0 {
        core::hint::spin_loop();
    }
    drop(guard);
    // SAFETY: every CPU that ran the space has dropped the pages, and the tables no longer hold them.
    unsafe { ShootdownReceipt::after_shootdown() }
}
