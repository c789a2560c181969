//! The route word: the state of one interrupt source, which the interrupt handler moves without a lock.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::Refusal;

/// The last generation of a route; after it the source takes no route any more.
pub const LAST_ROUTE_GENERATION: u64 = (1 << GENERATION_WIDTH) - 1;

const GENERATION_WIDTH: u32 = 56;
const GENERATION_SHIFT: u32 = 8;
const STATE_MASK: u64 = 0b111;
/// The driver wants the source masked once the present dispatch is acknowledged.
const MASK_WANTED: u64 = 1 << 3;
/// The present dispatch has not completed a wait yet.
const PENDING: u64 = 1 << 4;
/// The latest dispatch was acknowledged.
const ACKNOWLEDGED: u64 = 1 << 5;
/// An interrupt arrived that could not be dispatched then: it is as soon as the route is armed again.
const KEPT: u64 = 1 << 6;
const FLAGS: u64 = MASK_WANTED | PENDING | ACKNOWLEDGED | KEPT;

const DISPATCHED_ANEW: u64 = RouteState::Dispatched as u64 | PENDING;

/// What became of an interrupt that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It was dispatched: the waiter is to be woken.
    Dispatched,
    /// The route was masked, or waits for its acknowledgement: it is kept, and dispatched when the route is armed.
    Kept,
}

/// The state of a route. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RouteState {
    /// The source has no vector.
    Unregistered = 0,
    /// A vector is programmed; the source is masked and nobody holds it.
    RegisteredMasked = 1,
    /// A driver holds it; the source is masked.
    ClaimedMasked = 2,
    /// The source may raise its interrupt.
    Armed = 3,
    /// It was raised, masked by the handler, and waits for its one acknowledgement.
    Dispatched = 4,
    /// The last generation is used up.
    Retired = 5,
}

impl RouteState {
    const fn from_word(word: u64) -> Self {
        match word & STATE_MASK {
            0 => Self::Unregistered,
            1 => Self::RegisteredMasked,
            2 => Self::ClaimedMasked,
            3 => Self::Armed,
            4 => Self::Dispatched,
            _ => Self::Retired,
        }
    }
}

/// Generation in bits 8..64, flags, state in bits 0..3; and the dispatches of the route.
#[derive(Debug)]
pub struct RouteWord {
    word: AtomicU64,
    dispatches: AtomicU64,
}

impl RouteWord {
    /// Makes an unregistered word; its first route has the generation after `last_generation`.
    #[must_use]
    pub fn after(last_generation: u64) -> Self {
        let generation = last_generation.min(LAST_ROUTE_GENERATION);
        let state = if generation == LAST_ROUTE_GENERATION {
            RouteState::Retired
        } else {
            RouteState::Unregistered
        };
        Self {
            word: AtomicU64::new((generation << GENERATION_SHIFT) | state as u64),
            dispatches: AtomicU64::new(0),
        }
    }

    /// Returns generation and state; both may have moved on by the time the caller looks.
    #[must_use]
    pub fn load(&self) -> (u64, RouteState) {
        let word = self.word.load(Ordering::Acquire);
        (word >> GENERATION_SHIFT, RouteState::from_word(word))
    }

    /// Returns how often the source has dispatched, over all its routes.
    #[must_use]
    pub fn dispatches(&self) -> u64 {
        self.dispatches.load(Ordering::Relaxed)
    }

    /// Moves the word by `rule`, which sees state and flags of exactly this generation and returns both anew.
    ///
    /// Contenders are few (one handler, the holder, the teardown) and each changes the state, so attempts are bounded.
    fn step(
        &self,
        generation: u64,
        rule: impl Fn(RouteState, u64) -> Result<u64, Refusal>,
    ) -> Result<u64, Refusal> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if generation == 0 || word >> GENERATION_SHIFT != generation {
                return Err(Refusal::Stale);
            }
            let low = rule(RouteState::from_word(word), word & FLAGS)?;
            let next = (generation << GENERATION_SHIFT) | low;
            match self
                .word
                .compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Ok(word),
                Err(found) => word = found,
            }
        }
    }

    /// Programs a vector under the next generation: unregistered → registered, masked. Returns the generation.
    ///
    /// # Errors
    /// `Exhausted` after the last generation; `AlreadyExists` while a route is registered.
    pub fn register(&self) -> Result<u64, Refusal> {
        let word = self.word.load(Ordering::Acquire);
        match RouteState::from_word(word) {
            RouteState::Unregistered => {}
            RouteState::Retired => return Err(Refusal::Exhausted),
            _ => return Err(Refusal::AlreadyExists),
        }
        // An unregistered word is never at its last generation, see `detach`.
        let generation = (word >> GENERATION_SHIFT) + 1;
        let next = (generation << GENERATION_SHIFT) | RouteState::RegisteredMasked as u64;
        match self
            .word
            .compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(generation),
            Err(_) => Err(Refusal::AlreadyExists),
        }
    }

    /// Hands the route to a driver: registered → claimed, masked.
    ///
    /// # Errors
    /// `Stale`; `AlreadyExists` if a driver holds it.
    pub fn take(&self, generation: u64) -> Result<(), Refusal> {
        self.step(generation, |state, _| match state {
            RouteState::RegisteredMasked => Ok(RouteState::ClaimedMasked as u64),
            RouteState::ClaimedMasked | RouteState::Armed | RouteState::Dispatched => {
                Err(Refusal::AlreadyExists)
            }
            _ => Err(Refusal::Stale),
        })
        .map(drop)
    }

    /// Lets the source raise its interrupt: claimed, masked → armed, or → dispatched if an interrupt was kept. Armed
    /// stays armed; during a dispatch it takes effect with the acknowledgement. Returns whether the caller must unmask the
    /// source now.
    ///
    /// # Errors
    /// `Stale`; `WrongState` before [`Self::take`].
    pub fn unmask(&self, generation: u64) -> Result<bool, Refusal> {
        let before = self.step(generation, |state, flags| match state {
            RouteState::ClaimedMasked if flags & KEPT != 0 => Ok(DISPATCHED_ANEW),
            RouteState::ClaimedMasked | RouteState::Armed => Ok(RouteState::Armed as u64 | flags),
            RouteState::Dispatched => Ok(RouteState::Dispatched as u64 | (flags & !MASK_WANTED)),
            RouteState::RegisteredMasked => Err(Refusal::WrongState),
            _ => Err(Refusal::Stale),
        })?;
        let was_masked = RouteState::from_word(before) == RouteState::ClaimedMasked;
        Ok(was_masked && !self.was_kept(before))
    }

    /// Counts the dispatch of an interrupt that was kept in the word of before.
    fn was_kept(&self, before: u64) -> bool {
        let kept = before & KEPT != 0;
        if kept {
            self.dispatches.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    /// Keeps the source from raising its interrupt: armed → claimed, masked. During a dispatch, where it is masked
    /// already, it stays so after the acknowledgement. Returns whether the caller must mask the source now.
    ///
    /// # Errors
    /// `Stale`; `WrongState` before [`Self::take`].
    pub fn mask(&self, generation: u64) -> Result<bool, Refusal> {
        let before = self.step(generation, |state, flags| match state {
            RouteState::ClaimedMasked | RouteState::Armed => {
                Ok(RouteState::ClaimedMasked as u64 | flags)
            }
            RouteState::Dispatched => Ok(RouteState::Dispatched as u64 | flags | MASK_WANTED),
            RouteState::RegisteredMasked => Err(Refusal::WrongState),
            _ => Err(Refusal::Stale),
        })?;
        Ok(RouteState::from_word(before) == RouteState::Armed)
    }

    /// Records an interrupt of exactly this route: armed → dispatched. Called by the handler of a line, which the
    /// device asserts for as long as it wants. `Ok` means that the waiter is to be woken.
    ///
    /// # Errors
    /// `Stale` for a route of before, `WrongState` for one that is masked or already dispatched: nobody is woken and
    /// nothing is counted.
    pub fn dispatch(&self, generation: u64) -> Result<(), Refusal> {
        self.step(generation, |state, _| match state {
            RouteState::Armed => Ok(RouteState::Dispatched as u64 | PENDING),
            RouteState::Unregistered | RouteState::Retired => Err(Refusal::Stale),
            _ => Err(Refusal::WrongState),
        })?;
        self.dispatches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// As [`Self::dispatch`], for a source that says a thing once: what cannot be dispatched now is kept, at most one.
    ///
    /// # Errors
    /// `Stale`; `WrongState` before [`Self::take`]: nobody is woken and nothing is counted.
    pub fn arrive(&self, generation: u64) -> Result<Arrival, Refusal> {
        let before = self.step(generation, |state, flags| match state {
            RouteState::Armed => Ok(RouteState::Dispatched as u64 | PENDING),
            RouteState::ClaimedMasked | RouteState::Dispatched => Ok(state as u64 | flags | KEPT),
            RouteState::RegisteredMasked => Err(Refusal::WrongState),
            RouteState::Unregistered | RouteState::Retired => Err(Refusal::Stale),
        })?;
        if RouteState::from_word(before) != RouteState::Armed {
            return Ok(Arrival::Kept);
        }
        self.dispatches.fetch_add(1, Ordering::Relaxed);
        Ok(Arrival::Dispatched)
    }

    /// Completes a wait if a dispatch is there that completed none yet.
    ///
    /// # Errors
    /// `Stale`; `WrongState` before [`Self::take`]; both end the wait.
    pub fn poll_wait(&self, generation: u64) -> Result<bool, Refusal> {
        let before = self.step(generation, |state, flags| match state {
            RouteState::Dispatched => Ok(RouteState::Dispatched as u64 | (flags & !PENDING)),
            RouteState::ClaimedMasked | RouteState::Armed => Ok(state as u64 | flags),
            RouteState::RegisteredMasked => Err(Refusal::WrongState),
            _ => Err(Refusal::Stale),
        })?;
        Ok(before & PENDING != 0)
    }

    /// Spends the dispatch's one acknowledgement: dispatched → armed, or → claimed, masked if the driver asked for it; or
    /// at once to the next dispatch if an interrupt was kept. Returns whether the caller must unmask the source now.
    ///
    /// # Errors
    /// `Stale`; `WrongState` before the first dispatch; `Duplicate` when every dispatch has been acknowledged.
    pub fn acknowledge(&self, generation: u64) -> Result<bool, Refusal> {
        let before = self.step(generation, |state, flags| match state {
            RouteState::Dispatched if flags & MASK_WANTED != 0 => {
                Ok(RouteState::ClaimedMasked as u64 | ACKNOWLEDGED | (flags & KEPT))
            }
            RouteState::Dispatched if flags & KEPT != 0 => Ok(DISPATCHED_ANEW),
            RouteState::Dispatched => Ok(RouteState::Armed as u64 | ACKNOWLEDGED),
            RouteState::Armed | RouteState::ClaimedMasked if flags & ACKNOWLEDGED != 0 => {
                Err(Refusal::Duplicate)
            }
            RouteState::Armed | RouteState::ClaimedMasked | RouteState::RegisteredMasked => {
                Err(Refusal::WrongState)
            }
            _ => Err(Refusal::Stale),
        })?;
        if before & MASK_WANTED != 0 {
            return Ok(false);
        }
        Ok(!self.was_kept(before))
    }

    /// Takes the route away, whatever its state, so that everything that names it is stale. Idempotent.
    pub fn detach(&self) {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            match RouteState::from_word(word) {
                RouteState::Unregistered | RouteState::Retired => return,
                _ => {}
            }
            let generation = word >> GENERATION_SHIFT;
            // The generation itself rises at the next registration; an unregistered word answers nobody.
            let state = if generation >= LAST_ROUTE_GENERATION {
                RouteState::Retired
            } else {
                RouteState::Unregistered
            };
            let next = (generation << GENERATION_SHIFT) | state as u64;
            match self
                .word
                .compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }
}
