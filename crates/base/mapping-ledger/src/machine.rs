//! What the ledger needs of the machine below it: locks, page tables, frames, shootdowns.

use alloc::sync::Arc;
use core::fmt;

use ring_abi::Refusal;

use crate::{ObjectLedger, SpaceLedger};

/// A lock around a value.
pub trait Guarded<T> {
    /// Makes an open lock.
    fn new(value: T) -> Self;

    /// Runs `f` with the lock held.
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

/// Whether a CPU may hold a translation that the tables no longer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// None can.
    No,
    /// One may.
    Perhaps,
}

impl Cached {
    pub(crate) const fn or(self, other: Self) -> Self {
        match self {
            Self::No => other,
            Self::Perhaps => self,
        }
    }
}

/// What the ledger stands on: the kernel's locks, objects and spaces, or a test's.
pub trait Machine: Sized + 'static {
    /// A lock.
    type Lock<T>: Guarded<T>;
    /// An address space, which holds its ledger.
    type Space: Tables<Self>;
    /// An object that can be mapped, which holds its ledger.
    type Object: Mapped<Self>;
    /// What a mapping allows.
    type Access: Copy + PartialEq + fmt::Debug;
    /// Proof that no CPU holds a translation.
    type Receipt;

    /// Pages that one step touches at most: fewer only for proofs that want many steps of few pages.
    const STEP_PAGES: u64 = crate::STEP_PAGES;

    /// Runs between two steps of a change, with no lock held: the place to look whether somebody more urgent is ready.
    fn between_steps();

    /// Runs while a space that nobody holds any more has not ended yet.
    fn wait();
}

/// An object that can be mapped.
pub trait Mapped<M: Machine> {
    /// Its ledger.
    fn ledger(&self) -> &ObjectLedger<M>;

    /// Length in pages.
    fn pages(&self) -> u64;
}

/// The tables of one address space. Every method is called with the space's lock held, except [`Tables::evict`]; none
/// calls back. `pages` is at most [`crate::STEP_PAGES`] where nothing else is said.
pub trait Tables<M: Machine> {
    /// The space's ledger.
    fn ledger(&self) -> &SpaceLedger<M>;

    /// Enters pages of an object, from its page `first` on, where nothing is.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`; what was entered before stays.
    fn enter(
        &self,
        address: u64,
        pages: u64,
        access: M::Access,
        object: &Arc<M::Object>,
        first: u64,
    ) -> Result<(), Refusal>;

    /// Takes out whatever is entered.
    fn clear(&self, address: u64, pages: u64) -> Cached;

    /// Puts a page of the space's own in the place of every page that is entered, with the rights that this had.
    fn replace(&self, address: u64, pages: u64) -> Cached;

    /// Changes what pages of the object allow.
    fn restrict(
        &self,
        address: u64,
        pages: u64,
        access: M::Access,
        object: &Arc<M::Object>,
    ) -> Cached;

    /// Waits until no CPU holds an old translation of the range, of any length. `cached` is what the edits said.
    fn shoot_down(&self, address: u64, pages: u64, cached: Cached) -> M::Receipt;

    /// Waits until no CPU uses the tables; none does from then on.
    fn evict(&self) -> M::Receipt;

    /// Runs `f`, which calls [`Tables::pay`] and makes records, where what it makes can be paid for.
    ///
    /// # Errors
    /// `NoMemory`; `f` did not run then.
    fn within_room<R>(&self, f: impl FnOnce() -> R) -> Result<R, Refusal> {
        Ok(f())
    }

    /// Pays for one more mapping record, or makes sure that its allocation is paid for.
    ///
    /// # Errors
    /// `OverBudget`.
    fn pay(&self) -> Result<(), Refusal>;

    /// Gives the payment for one mapping record back.
    fn refund(&self);
}
