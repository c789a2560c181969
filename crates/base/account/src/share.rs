//! How much of something its owner lets others use.

use alloc::sync::Arc;

use ring_abi::Refusal;

use crate::pot::Pot;
use crate::tree::MAX_DEPTH;

/// How much of something whoever it is lent to may use. Who pays for what they use is another question.
#[derive(Debug)]
pub struct Share {
    pot: Pot,
    /// What it was taken from, by whoever lent on.
    of: Option<Part>,
    /// How many shares it came through: what ends passes through all of them.
    depth: u8,
}

/// What is in use of a share; dropping it gives it back.
#[derive(Debug)]
pub struct Part {
    share: Arc<Share>,
    amount: u64,
}

impl Share {
    /// A share of what has no bound of its own.
    #[must_use]
    pub const fn new(amount: u64) -> Self {
        Self {
            pot: Pot::new(amount),
            of: None,
            depth: 0,
        }
    }

    /// A share of this one, which has it back when nothing of it is in use and nobody can use it any more.
    ///
    /// # Errors
    /// `OverShare` for more than is left, and for what was lent on [`MAX_DEPTH`] times.
    pub fn lend(self: &Arc<Self>, amount: u64) -> Result<Self, Refusal> {
        if self.depth >= MAX_DEPTH {
            return Err(Refusal::OverShare);
        }
        Ok(Self {
            of: Some(self.take(amount)?),
            depth: self.depth + 1,
            ..Self::new(amount)
        })
    }

    /// Takes some of it into use.
    ///
    /// # Errors
    /// `OverShare` for more than is left.
    pub fn take(self: &Arc<Self>, amount: u64) -> Result<Part, Refusal> {
        self.pot.take(amount).map_err(|_| Refusal::OverShare)?;
        Ok(Part {
            share: self.clone(),
            amount,
        })
    }

    /// How much of it is in use, what was lent on included.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.pot.used()
    }

    /// Whether it is a part of another one.
    #[must_use]
    pub const fn is_lent_on(&self) -> bool {
        self.of.is_some()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.share.pot.give_back(self.amount);
    }
}
