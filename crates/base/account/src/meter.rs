//! A sum of CPU time that outlives its account in that of its parent.

use core::sync::atomic::{AtomicU64, Ordering};

/// Set once the account has ended; the rest is the sum. No machine runs for 2^63 ticks.
const ENDED: u64 = 1 << 63;

/// A sum that rises, and that is the parent's, too, once the account has ended.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    /// Adds to the sum. `true`: the account has ended, so its parent is told as well.
    #[inline]
    pub(crate) fn add(&self, amount: u64) -> bool {
        self.0.fetch_add(amount, Ordering::Relaxed) & ENDED != 0
    }

    /// Gives the sum, once, to be the parent's from now on. What is added later [`Self::add`] tells of.
    pub(crate) fn end(&self) -> u64 {
        let sum = self.0.fetch_or(ENDED, Ordering::Relaxed);
        if sum & ENDED == 0 { sum } else { 0 }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !ENDED
    }
}
