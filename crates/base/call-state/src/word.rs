//! The atomic word: generation in bits 8..64, state in bits 0..8.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

use crate::state::{CallState, Ending};

/// The generation of a call object's first call. 0 is never used.
pub const FIRST_GENERATION: u64 = 1;
/// The generation of a call object's last call.
pub const LAST_GENERATION: u64 = (1 << 56) - 1;

const STATE_BITS: u32 = 8;

/// Why an operation changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The object has moved on to another call; the operation named one that is over, or never was.
    Stale,
    /// The call is in this state, from which the operation is not allowed.
    State(CallState),
}

/// What the consumer of an ended call learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consumed {
    /// How the call ended.
    pub ending: Ending,
    /// The generation of the object's next call; `None` if the object has retired.
    pub next: Option<u64>,
}

/// The state of one call object.
///
/// Every operation names the generation of the call it means. All of them are lock-free and take a bounded number of
/// attempts: within one generation the state only moves forward, and past it the operation is stale.
///
/// `LAST` is the generation of its last call, smaller only for proofs that want to reach it.
#[derive(Debug)]
pub struct CallWord<const LAST: u64 = LAST_GENERATION>(AtomicU64);

impl CallWord {
    /// Makes an idle word whose first call has [`FIRST_GENERATION`].
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(pack(FIRST_GENERATION, CallState::Idle)))
    }

    /// Makes an idle word whose first call has [`FIRST_GENERATION`].
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(pack(FIRST_GENERATION, CallState::Idle)))
    }

    /// Makes an idle word whose first call has the given generation; `None` outside
    /// [`FIRST_GENERATION`]`..=`[`LAST_GENERATION`].
    ///
    /// An object that takes the place of an earlier one goes on from its generation with this.
    #[must_use]
    pub fn starting_at(generation: u64) -> Option<Self> {
        Self::within(generation)
    }
}

impl<const LAST: u64> CallWord<LAST> {
    /// As [`CallWord::starting_at`], whatever the last generation is.
    #[must_use]
    pub fn within(generation: u64) -> Option<Self> {
        const { assert!(LAST >= FIRST_GENERATION && LAST <= LAST_GENERATION) };
        (FIRST_GENERATION..=LAST)
            .contains(&generation)
            .then(|| Self(AtomicU64::new(pack(generation, CallState::Idle))))
    }

    /// Returns the current generation and state. Both may have changed by the time the caller looks.
    #[must_use]
    pub fn load(&self) -> (u64, CallState) {
        unpack(self.0.load(Ordering::Acquire))
    }

    /// Starts a call: idle → queued.
    ///
    /// # Errors
    /// `Stale` for another generation, else the state found.
    pub fn begin(&self, generation: u64) -> Result<(), Lost> {
        self.step(generation, CallState::Idle, CallState::Queued)
    }

    /// Hands the call to a server: queued → delivered.
    ///
    /// # Errors
    /// `Stale` for another generation, else the state found (an ending that came first).
    pub fn deliver(&self, generation: u64) -> Result<(), Lost> {
        self.step(generation, CallState::Queued, CallState::Delivered)
    }

    /// Starts a call whose server is at hand: idle → delivered.
    ///
    /// # Errors
    /// `Stale` for another generation, else the state found.
    pub fn begin_delivered(&self, generation: u64) -> Result<(), Lost> {
        match self.load() {
            (found, _) if found != generation => Err(Lost::Stale),
            (_, CallState::Idle) => {
                // No other step leads out of idle, and whoever begins a call has its object alone: nothing to be exchanged.
                let delivered = pack(generation, CallState::Delivered);
                self.0.store(delivered, Ordering::Release);
                Ok(())
            }
            (_, state) => Err(Lost::State(state)),
        }
    }

    /// Ends the call with the server's answer and frees the object in one step: delivered → idle with the generation raised,
    /// or retired after the last one. No loser sees the ending itself; it finds another generation.
    ///
    /// # Errors
    /// `Stale` for another generation, else the state found.
    pub fn answer(&self, generation: u64) -> Result<(), Lost> {
        self.exchange(
            generation,
            CallState::Delivered,
            after::<LAST>(generation).1,
        )
    }

    /// Ends the call. Of all the endings that race, exactly one returns `Ok`, and its caller owns the result until
    /// it is consumed.
    ///
    /// # Errors
    /// `Stale` for another generation, else the state found: the ending that won, or one from which this ending may
    /// not follow ([`Ending::may_follow`]).
    pub fn end(&self, generation: u64, ending: Ending) -> Result<(), Lost> {
        // The common case first: the call is with a server.
        let mut found = match self.step(generation, CallState::Delivered, ending.state()) {
            Err(Lost::State(state)) => state,
            other => return other,
        };
        // Queued can still turn to delivered under us, after which only an ending or a new generation follows.
        while ending.may_follow(found) {
            match self.step(generation, found, ending.state()) {
                Err(Lost::State(state)) => found = state,
                other => return other,
            }
        }
        Err(Lost::State(found))
    }

    /// Ends the call with the server's answer: delivered → replied.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub fn reply(&self, generation: u64) -> Result<(), Lost> {
        self.end(generation, Ending::Replied)
    }

    /// Ends the call for its caller: queued or delivered → cancelled.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub fn cancel(&self, generation: u64) -> Result<(), Lost> {
        self.end(generation, Ending::Cancelled)
    }

    /// Ends the call at its deadline: queued or delivered → timed out.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub fn time_out(&self, generation: u64) -> Result<(), Lost> {
        self.end(generation, Ending::TimedOut)
    }

    /// Ends the call because the server that has it died: delivered → server died.
    ///
    /// # Errors
    /// As for [`Self::end`]; a queued call stays queued for the successor.
    pub fn server_died(&self, generation: u64) -> Result<(), Lost> {
        self.end(generation, Ending::ServerDied)
    }

    /// Ends the call because its reply handle was dropped: delivered → no reply.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub fn drop_reply(&self, generation: u64) -> Result<(), Lost> {
        self.end(generation, Ending::NoReply)
    }

    /// Ends the call because its object is revoked: queued or delivered → revoked.
    ///
    /// # Errors
    /// As for [`Self::end`].
    pub fn revoke(&self, generation: u64) -> Result<(), Lost> {
        self.end(generation, Ending::Revoked)
    }

    /// Records the ending and frees the object for its next call: ended → idle with the generation raised, or
    /// retired after the last one.
    ///
    /// # Errors
    /// `Stale` for another generation (somebody else consumed it), else the state of a call that has not ended.
    pub fn consume(&self, generation: u64) -> Result<Consumed, Lost> {
        let (found_generation, state) = self.load();
        if found_generation != generation {
            return Err(Lost::Stale);
        }
        // An ended call changes only by being consumed, so one attempt decides.
        let ending = state.ending().ok_or(Lost::State(state))?;
        let (next, to) = after::<LAST>(generation);
        self.exchange(generation, state, to)?;
        Ok(Consumed { ending, next })
    }

    fn step(&self, generation: u64, from: CallState, to: CallState) -> Result<(), Lost> {
        self.exchange(generation, from, pack(generation, to))
    }

    /// Acquire, so that a winner sees what earlier steps wrote; release, so that later steps see what it wrote.
    fn exchange(&self, generation: u64, from: CallState, to: u64) -> Result<(), Lost> {
        if !(FIRST_GENERATION..=LAST).contains(&generation) {
            return Err(Lost::Stale);
        }
        match self.0.compare_exchange(
            pack(generation, from),
            to,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Ok(()),
            Err(word) => match unpack(word) {
                (found, state) if found == generation => Err(Lost::State(state)),
                _ => Err(Lost::Stale),
            },
        }
    }
}

impl Default for CallWord {
    fn default() -> Self {
        Self::new()
    }
}

const fn pack(generation: u64, state: CallState) -> u64 {
    (generation << STATE_BITS) | state as u64
}

/// The generation after this one, and the word of an object whose call of this one is over.
const fn after<const LAST: u64>(generation: u64) -> (Option<u64>, u64) {
    if generation >= LAST {
        (None, pack(generation, CallState::Retired))
    } else {
        (Some(generation + 1), pack(generation + 1, CallState::Idle))
    }
}

const fn unpack(word: u64) -> (u64, CallState) {
    (word >> STATE_BITS, CallState::from_bits(word))
}
