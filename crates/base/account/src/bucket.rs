//! CPU time by the period: how much of a CPU the threads of an account may use.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use ring_abi::Refusal;

use crate::pot::{After, Pot};

/// What one whole CPU is, in the parts that a budget is counted in.
pub const WHOLE_CPU: u64 = 1000;

/// What an account may use of a CPU in each period, itself and by all below it that have no budget of their own. What it uses
/// too much in one period it has less in the next ones.
#[derive(Debug)]
pub struct Bucket {
    /// Thousandths of a CPU: what it was given, and what of that it gave on.
    pot: Pot,
    /// What it was taken from; `None`: from the machine, which has no budget.
    of: Option<Arc<Self>>,
    /// The period in which `used` is counted.
    period: AtomicU64,
    /// Ticks used in that period, and in those before it beyond what there was.
    used: AtomicU64,
}

impl Bucket {
    /// A bucket of `thousandths` of a CPU, out of that of whoever gives them.
    ///
    /// # Errors
    /// `OverBudget` for more than is left there.
    pub(crate) fn open(of: Option<&Arc<Self>>, thousandths: u64) -> Result<Arc<Self>, Refusal> {
        if let Some(of) = of {
            of.pot.take(thousandths)?;
        }
        Ok(Arc::new(Self {
            pot: Pot::new(thousandths),
            of: of.cloned(),
            period: AtomicU64::new(0),
            used: AtomicU64::new(0),
        }))
    }

    /// Its account has ended: what it did not give on is whose it was.
    pub(crate) fn end(&self) {
        if let (Some((left, _)), Some(of)) = (self.pot.end(), &self.of) {
            of.give_back(left);
        }
    }

    fn give_back(&self, thousandths: u64) {
        if let (After::Ended { .. }, Some(of)) = (self.pot.give_back(thousandths), &self.of) {
            of.give_back(thousandths);
        }
    }

    /// Thousandths of a CPU that it has and did not give on.
    #[must_use]
    pub fn thousandths(&self) -> u64 {
        self.pot.limit().saturating_sub(self.pot.used())
    }

    fn budget(&self, period_ticks: u64) -> u64 {
        self.thousandths().saturating_mul(period_ticks / WHOLE_CPU)
    }

    /// Begins the period of `now`, if nobody did.
    fn roll(&self, now: u64, period_ticks: u64) {
        let period = now / period_ticks.max(1);
        let before = self.period.load(Ordering::Relaxed);
        if period > before
            && self
                .period
                .compare_exchange(before, period, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let back = self.budget(period_ticks).saturating_mul(period - before);
            let less = |used: u64| Some(used.saturating_sub(back));
            let _ = self
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Counts `ticks` that ended at `now`, where a period is `period_ticks` long.
    pub fn spend(&self, ticks: u64, now: u64, period_ticks: u64) {
        self.roll(now, period_ticks);
        self.used.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Ticks that may still be used in the period of `now`.
    #[must_use]
    pub fn left(&self, now: u64, period_ticks: u64) -> u64 {
        self.roll(now, period_ticks);
        let used = self.used.load(Ordering::Relaxed);
        self.budget(period_ticks).saturating_sub(used)
    }
}
