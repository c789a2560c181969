//! What is in use of an account, as a value that gives it back.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use ring_abi::Refusal;

use crate::{Account, Kind};

/// A part of an account that is in use; dropping it gives back what was not given back before.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    kind: Kind,
    amount: AtomicU64,
}

impl Charge {
    pub(crate) fn new(account: &Arc<Account>, kind: Kind, amount: u64) -> Result<Self, Refusal> {
        account.take(kind, amount)?;
        Ok(Self {
            account: account.clone(),
            kind,
            amount: AtomicU64::new(amount),
        })
    }

    /// Who pays.
    #[must_use]
    pub const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How much: nothing once it was given back.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount.load(Ordering::Relaxed)
    }

    /// Gives it back now, whoever still holds what it was for. Has its effect once.
    pub fn release(&self) {
        let amount = self.amount.swap(0, Ordering::Relaxed);
        if amount > 0 {
            drop(self.account.give_back(self.kind, amount));
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
    }
}
