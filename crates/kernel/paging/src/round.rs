//! One shootdown: what every CPU is to forget, and which of them have not answered yet.
//!
//! A CPU that loads another space stays in the mask of the one that it left, and is asked once more: it finds that it has
//! forgotten everything already, and takes itself out. So a switch costs no locked instruction, and a CPU takes itself out of a
//! mask while the initiator waits for it, never at another time.

use crate::atomics::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// What becomes of the space whose translations are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Stays,
    /// No CPU keeps it loaded.
    Goes,
}

/// The CPU that runs this.
pub(crate) trait Processor {
    /// Its bit in a mask.
    fn bit(&self) -> u64;
    /// The root that it has loaded.
    fn root(&self) -> u64;
    /// Loads the kernel's root, which forgets what is a space's.
    fn leave(&self);
    /// Forgets pages of the space that it has loaded.
    fn forget(&self, start: u64, pages: u64);
}

/// The shootdown that runs, of which there is one at a time.
pub(crate) struct Round {
    /// CPUs that have not answered.
    pub(crate) pending: AtomicU64,
    pub(crate) start: AtomicU64,
    pub(crate) pages: AtomicU64,
    /// The root of the space, and the mask of the CPUs that may have it loaded.
    pub(crate) root: AtomicU64,
    pub(crate) active: AtomicPtr<AtomicU64>,
    /// Whether that root is being destroyed: a CPU that has it loaded takes the kernel's root instead.
    pub(crate) evict: AtomicBool,
}

impl Round {
    /// Begins to drop `pages` pages from `start` of the space at `root` on every CPU of `active`: has `ask` tell the others of it,
    /// and drops them here. It is over when [`Self::is_over`] says so, and `active` stays until then.
    pub(crate) fn begin(
        &self,
        here: &impl Processor,
        (root, active): (u64, &AtomicU64),
        (start, pages): (u64, u64),
        fate: Fate,
        ask: impl FnOnce(u64),
    ) {
        self.start.store(start, Ordering::Relaxed);
        self.pages.store(pages, Ordering::Relaxed);
        self.root.store(root, Ordering::Relaxed);
        self.active
            .store(core::ptr::from_ref(active).cast_mut(), Ordering::Relaxed);
        self.evict.store(fate == Fate::Goes, Ordering::Relaxed);
        // A CPU that loads the root after this read walks tables that no longer hold the mapping.
        let seen = active.load(Ordering::SeqCst);
        let others = seen & !here.bit();
        if others != 0 {
            self.pending.store(others, Ordering::Release);
            ask(others);
        }
        if seen & here.bit() != 0 {
            self.drop_translations(here);
        }
    }

    /// Whether every CPU has answered.
    pub(crate) fn is_over(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Answers, if this CPU is asked.
    #[inline]
    pub(crate) fn answer(&self, here: &impl Processor) {
        let pending = self.pending.load(Ordering::Acquire);
        if pending != 0 && pending & here.bit() != 0 {
            self.drop_translations(here);
            self.pending.fetch_and(!here.bit(), Ordering::AcqRel);
        }
    }

    /// Drops on this CPU what the shootdown names; its initiator waits for it, or is this CPU.
    fn drop_translations(&self, here: &impl Processor) {
        if here.root() != self.root.load(Ordering::Relaxed) {
            // What was loaded instead made this CPU forget all of it. It is counted in again before it loads it again.
            let active = self.active.load(Ordering::Relaxed);
            // SAFETY: the initiator has borrowed the mask, and gives it up after this CPU has answered.
            unsafe { (*active).fetch_and(!here.bit(), Ordering::SeqCst) };
            return;
        }
        if self.evict.load(Ordering::Relaxed) {
            return here.leave();
        }
        let start = self.start.load(Ordering::Relaxed);
        here.forget(start, self.pages.load(Ordering::Relaxed));
    }
}

/// Counts a CPU in that is about to load the space with this mask. Its bit is set here, and cleared by its own answers or when
/// everybody was evicted.
#[inline]
pub(crate) fn count_in(active: &AtomicU64, bit: u64) {
    if active.load(Ordering::Relaxed) & bit == 0 {
        active.fetch_or(bit, Ordering::SeqCst);
    }
}
