//! A limit, and charges against it that give themselves back.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::Refusal;
use sabotage::sabotage;

/// A limit and how much of it is used.
#[derive(Debug)]
pub struct Quota {
    limit: u32,
    used: AtomicU32,
}

impl Quota {
    /// Makes an unused quota.
    pub const fn new(limit: u32) -> Self {
        Self {
            limit,
            used: AtomicU32::new(0),
        }
    }

    /// Reserves before the side effect.
    ///
    /// # Errors
    /// `OverBudget`; nothing is reserved then.
    pub fn reserve(self: &Arc<Self>, amount: u32) -> Result<Charge, Refusal> {
        self.take(amount).map(|()| Charge {
            quota: self.clone(),
            amount,
        })
    }

    /// As [`Self::reserve`], for what is counted where it lies.
    ///
    /// # Errors
    /// `OverBudget`; nothing is reserved then.
    pub fn take(&self, amount: u32) -> Result<(), Refusal> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount)
                    .filter(|sum| *sum <= self.limit || sabotage!(SKIP_QUOTA_CHECK))
            })
            .map(|_| ())
            .map_err(|_| Refusal::OverBudget)
    }

    /// Gives back what was taken.
    pub fn give(&self, amount: u32) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }

    /// How much is in use.
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit.
    pub const fn limit(&self) -> u32 {
        self.limit
    }
}

/// What was reserved; dropping it gives it back.
#[derive(Debug)]
pub struct Charge {
    quota: Arc<Quota>,
    amount: u32,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.give(self.amount);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_quota_is_never_exceeded_and_everything_comes_back() {
        let quota = Arc::new(Quota::new(10));
        let a = quota.reserve(7).unwrap();
        assert_eq!(quota.reserve(4).err(), Some(Refusal::OverBudget));
        assert_eq!(quota.reserve(u32::MAX).err(), Some(Refusal::OverBudget));
        assert_eq!(quota.used(), 7);
        let b = quota.reserve(3).unwrap();
        assert_eq!(quota.reserve(1).err(), Some(Refusal::OverBudget));
        assert!(quota.reserve(0).is_ok());
        drop(a);
        assert_eq!(quota.used(), 3);
        drop(b);
        assert_eq!(quota.used(), 0);
    }

    #[test]
    fn threads_that_race_never_exceed_it() {
        let quota = Arc::new(Quota::new(5));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..2000 {
                        let held = quota.reserve(2);
                        assert!(quota.used() <= quota.limit());
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(quota.used(), 0);
    }
}
