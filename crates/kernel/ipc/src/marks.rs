//! What every call and every way back to the program looks at: one word for a whole process.

use core::sync::atomic::{AtomicU32, Ordering};

/// Whether a process is ending or traced.
#[derive(Debug, Default)]
pub(crate) struct Marks(AtomicU32);

/// It is ending: every thread leaves at its next way back to user mode.
const DYING: u32 = 1;
/// Its calls are recorded.
const TRACED: u32 = 2;

impl Marks {
    /// Whether the process is ending.
    #[inline]
    pub(crate) fn is_dying(&self) -> bool {
        self.0.load(Ordering::Acquire) & DYING != 0
    }

    /// Whether its calls are recorded.
    #[inline(always)]
    pub(crate) fn is_traced(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TRACED != 0
    }

    /// Whether it is neither ending nor traced.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// It is ending, from now on.
    pub(crate) fn set_dying(&self) {
        self.0.fetch_or(DYING, Ordering::Release);
    }

    /// Its calls are recorded from now on.
    pub(crate) fn set_traced(&self) {
        self.0.fetch_or(TRACED, Ordering::Relaxed);
    }

    /// Its calls are recorded no longer.
    pub(crate) fn clear_traced(&self) {
        self.0.fetch_and(!TRACED, Ordering::Relaxed);
    }
}
