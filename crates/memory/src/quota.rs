use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::Refusal;

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
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount).filter(|sum| *sum <= self.limit)
            })
            .map(|_| Charge {
                quota: self.clone(),
                amount,
            })
            .map_err(|_| Refusal::OverBudget)
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
        self.quota.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}
