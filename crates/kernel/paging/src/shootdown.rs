//! Making every CPU forget a translation.
//!
//! One shootdown runs at a time. The initiator publishes what to drop, marks the CPUs that must answer, interrupts
//! them, and waits. A CPU answers from its interrupt handler, or while it spins for any lock, so two initiators and
//! a lock holder can never wait for each other. The order of all that is [`Round`]'s.

use core::ptr::null_mut;

use cpu::Lock;
use frames::ShootdownReceipt;
use sabotage::sabotage;

use crate::atomics::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
pub(crate) use crate::round::{Fate, count_in};
use crate::round::{Processor, Round};

static ONE_AT_A_TIME: Lock<()> = Lock::new(());
static ROUND: Round = Round {
    pending: AtomicU64::new(0),
    start: AtomicU64::new(0),
    pages: AtomicU64::new(0),
    root: AtomicU64::new(0),
    active: AtomicPtr::new(null_mut()),
    evict: AtomicBool::new(false),
};
static SENDER: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Above this many pages a CPU reloads its root instead.
const RELOAD_PAGES: u64 = 64;

/// Registers how to interrupt the CPUs of a mask.
pub fn set_ipi_sender(f: fn(u64)) {
    SENDER.store(f as *mut (), Ordering::Release);
}

/// This CPU.
struct Here;

impl Processor for Here {
    #[inline]
    fn bit(&self) -> u64 {
        1 << cpu::index()
    }

    #[inline]
    fn root(&self) -> u64 {
        cpu::current_root()
    }

    fn leave(&self) {
        // SAFETY: the kernel's root maps the kernel as every root does.
        unsafe { cpu::load_root(crate::kernel_root()) };
    }

    fn forget(&self, start: u64, pages: u64) {
        sabotage!(TAKE_LOADED_FOR_LEFT => return);
        if pages > RELOAD_PAGES {
            // SAFETY: reloads what is loaded.
            unsafe { cpu::load_root(cpu::current_root()) };
        } else {
            for page in 0..pages {
                cpu::invalidate_page(start + page * 4096);
            }
        }
    }
}

/// Answers a shootdown that waits for this CPU, if one does.
pub fn answer() {
    ROUND.answer(&Here);
}

/// Drops `pages` pages from `start` of the space at `root` on every CPU of `active`, this one included, and waits until they have.
pub(crate) fn run(
    space: (u64, &AtomicU64),
    start: u64,
    pages: u64,
    fate: Fate,
) -> ShootdownReceipt {
    let guard = ONE_AT_A_TIME.lock();
    ROUND.begin(&Here, space, (start, pages), fate, |others| {
        let sender = SENDER.load(Ordering::Acquire);
        if !sender.is_null() {
            // SAFETY: only `set_ipi_sender` stores here, and it stores a `fn(u64)`.
            let sender: fn(u64) = unsafe { core::mem::transmute(sender) };
            sender(others);
        }
    });
    while !ROUND.is_over() {
        core::hint::spin_loop();
    }
    drop(guard);
    // SAFETY: every CPU that ran the space has dropped the pages, and the tables no longer hold them.
    unsafe { ShootdownReceipt::after_shootdown() }
}
