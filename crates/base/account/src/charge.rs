//! What is in use of an account, as a value that gives it back.

use alloc::sync::Arc;

use ring_abi::Refusal;

use crate::{Account, Kind};

/// A part of an account that is in use; dropping it gives it back.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    kind: Kind,
    amount: u64,
}

impl Charge {
    pub(crate) fn new(account: &Arc<Account>, kind: Kind, amount: u64) -> Result<Self, Refusal> {
        account.take(kind, amount)?;
        Ok(Self {
            account: account.clone(),
            kind,
            amount,
        })
    }

    /// Who pays.
    #[must_use]
    pub const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How much.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        drop(self.account.give_back(self.kind, self.amount));
    }
}
