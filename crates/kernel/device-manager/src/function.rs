//! What stands beside the record of one function, under the same lock.

use alloc::collections::VecDeque;

use dma_ledger::{Claim, FunctionRecord, OwnerId};
use driver_core::{Broker, BrokerIo};
use frames::Grow;
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::driven::OwnPages;
use crate::facts::Voice;
use crate::held::Held;
use crate::mapped::Mapped;
use crate::{Platform, Waiter};

/// One that waits for the function to be free.
pub(crate) struct Claimant<P: Platform> {
    pub(crate) owner: OwnerId,
    pub(crate) waiter: P::Claiming,
}

/// How many may wait for one function at once, and how many of them for one owner: the line is looked at in one go.
const CLAIMANTS: usize = 64;
const SHARE: usize = 4;
/// Of those that wait, how many are answered in one turn.
pub(crate) const SERVED: usize = 8;

/// Everything under one function's lock.
pub(crate) struct Function<P: Platform> {
    pub(crate) record: FunctionRecord<P::Frames>,
    pub(crate) mapped: Mapped,
    /// What exists only while somebody holds the function, or its teardown runs.
    pub(crate) held: Option<Held<P>>,
    claimants: VecDeque<Claimant<P>>,
    pub(crate) voice: Voice,
}

impl<P: Platform> Function<P> {
    pub(crate) const fn new(record: FunctionRecord<P::Frames>) -> Self {
        Self {
            record,
            mapped: Mapped::new(),
            held: None,
            claimants: VecDeque::new(),
            voice: Voice::new(),
        }
    }

    /// What its holder has; `WrongState` where nobody holds it.
    #[inline]
    pub(crate) fn held(&mut self) -> Result<&mut Held<P>, Refusal> {
        self.held.as_mut().ok_or(Refusal::WrongState)
    }

    /// Its claim, until the teardown has ended.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        self.held.as_ref().map(|held| &held.claim)
    }

    /// Runs the broker with everything it may use; `WrongState` where there is none.
    pub(crate) fn with_broker<T>(
        &mut self,
        platform: &P,
        run: impl FnOnce(&mut dyn Broker, &mut dyn BrokerIo) -> T,
    ) -> Result<T, Refusal> {
        let held = self.held.as_mut().ok_or(Refusal::WrongState)?;
        let pages = Some(OwnPages {
            record: &mut self.record,
            claim: held.claim,
            reach: &held.reach,
        });
        let (broker, mut io) = held.driven.drive(platform, &self.mapped, pages)?;
        Ok(run(broker, &mut io))
    }

    /// Puts one more into the line, and those out of it who wait no longer.
    ///
    /// # Errors
    /// The claimant: `Busy` where it has its share of the line, or the line is full; `OverBudget` where nobody can pay for its
    /// place.
    pub(crate) fn wait_for(&mut self, claimant: Claimant<P>) -> Result<(), (Claimant<P>, Refusal)> {
        self.claimants.retain(|one| one.waiter.is_live());
        let of_owner = |one: &&Claimant<P>| one.owner == claimant.owner;
        let own = self.claimants.iter().filter(of_owner).count();
        if (own >= SHARE || self.claimants.len() >= CLAIMANTS) && !sabotage!(SHARE_CLAIM_WAITS) {
            return Err((claimant, Refusal::Busy));
        }
        if self.claimants.grow(1).is_err() {
            self.give_back();
            return Err((claimant, Refusal::OverBudget));
        }
        let put = self.claimants.put(claimant);
        put.map_err(|claimant| (claimant, Refusal::OverBudget))
    }

    /// Whether somebody waits for the function.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.claimants.is_empty()
    }

    /// The next that waits for the function.
    pub(crate) fn next_claimant(&mut self) -> Option<Claimant<P>> {
        let next = self.claimants.pop_front();
        self.give_back();
        next
    }

    /// Frees the memory of a line in which nobody stands: whoever came last paid for all of it.
    fn give_back(&mut self) {
        if self.claimants.is_empty() {
            self.claimants = VecDeque::new();
        }
    }
}
