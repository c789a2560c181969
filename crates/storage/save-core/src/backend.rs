//! What a store must be able to do. Three methods write, and each has a condition.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{Group, Refusal, Scope, Slot};

/// What a store knows a state of a slot by: an entity tag, a generation, a time. Equal only where the state is the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token(pub Box<[u8]>);

/// When a write may happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// While nothing is there.
    Absent,
    /// While it is as it was when this was read.
    Is(Token),
}

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The state that it was read in.
    pub token: Token,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A line of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Where.
    pub slot: Slot,
    /// How long; 0 where the store does not say.
    pub bytes: u64,
}

/// Why a store did not do something, or may not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The condition does not hold.
    Precondition,
    /// No answer came: it may have happened or not, and it may still happen while the condition holds.
    Lost,
    /// It did not happen; later it may.
    Busy {
        /// How much later.
        retry_after_ms: u32,
    },
    /// It did not happen: whoever pays has no more.
    OverQuota,
    /// It did not happen and will not: too large for the store.
    TooLarge {
        /// The store's bound.
        limit: u32,
    },
    /// The answer makes no sense.
    Damaged,
}

/// How long to wait where nobody said.
pub(crate) const RETRY_AFTER_MS: u32 = 1000;

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Precondition | Fault::Lost => Self::Unavailable {
                retry_after_ms: RETRY_AFTER_MS,
            },
            Fault::Busy { retry_after_ms } => Self::Unavailable { retry_after_ms },
            Fault::OverQuota => Self::OverQuota,
            Fault::TooLarge { limit } => Self::TooLarge { limit },
            Fault::Damaged => Self::Damaged,
        }
    }
}

/// A store. There is no write without a condition.
pub trait Backend {
    /// What is in a slot.
    ///
    /// # Errors
    /// The store's.
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault>;

    /// Fills a slot, as a whole or not at all, if the condition holds.
    ///
    /// # Errors
    /// The store's; [`Fault::Precondition`] if the condition does not hold.
    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault>;

    /// Empties a slot that nothing needs any more. Nothing follows from a failure but that it is there longer.
    ///
    /// # Errors
    /// The store's.
    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault>;

    /// The first slots of a group after one, in an order of the store's own, which is that of their texts for heads.
    ///
    /// # Errors
    /// The store's.
    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault>;
}

/// A store that can fill two slots as one.
pub trait Pair: Backend {
    /// Fills a slot if the condition holds, and another of the same scope whatever is there: both or neither.
    ///
    /// # Errors
    /// As [`Backend::store`].
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault>;
}

/// A store behind a pointer is one.
macro_rules! behind {
    ($pointer:ty) => {
        impl<B: Backend + ?Sized> Backend for $pointer {
            fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
                (**self).load(scope, slot)
            }

            fn store(
                &mut self,
                scope: &Scope,
                slot: &Slot,
                only: &Condition,
                bytes: &[u8],
            ) -> Result<(), Fault> {
                (**self).store(scope, slot, only, bytes)
            }

            fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
                (**self).remove(scope, slot)
            }

            fn list(
                &mut self,
                scope: &Scope,
                group: Group,
                after: Option<&Slot>,
                most: usize,
            ) -> Result<Vec<Listed>, Fault> {
                (**self).list(scope, group, after, most)
            }
        }
    };
}

behind!(&mut B);
behind!(Box<B>);

impl<B: Pair + ?Sized> Pair for &mut B {
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault> {
        (**self).store_both(scope, first, only, second)
    }
}
