//! The teardown transaction: one order, held by types.
//!
//! `Begun → HandlesRevoked → SubmissionsStopped → MappingsRemoved → InterruptsMasked → QueuesQuiesced → DeviceReset →
//! BusMasterCleared → TranslationsRemoved → ScrubDone → unclaimed`. Each step takes the token of the one before.

use core::marker::PhantomData;

use crate::ids::{BufferId, Claim, FunctionId};
use crate::pages::{Pages, Withdrawn};
use crate::parts::{Held, TeardownStep};
use crate::receipts::{DrainProof, ResetReceipt, ShootdownProof, TranslationProof};
use crate::record::{FunctionRecord, FunctionState};
use crate::refusal::Refusal;

/// Places that are passed over in one go.
const PASSED: u32 = 128;

mod sealed {
    pub trait Sealed {}
}

/// A step of the teardown, as a type.
pub trait Step: sealed::Sealed {
    /// The step as a value.
    const STEP: TeardownStep;
}

/// A step at which the device may turn out never to stop.
pub trait MayFail: Step {}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Step for $name {
            const STEP: TeardownStep = TeardownStep::$name;
        }
    )*};
}

steps! {
    /// See [`TeardownStep::Begun`].
    Begun,
    /// See [`TeardownStep::HandlesRevoked`].
    HandlesRevoked,
    /// See [`TeardownStep::SubmissionsStopped`].
    SubmissionsStopped,
    /// See [`TeardownStep::MappingsRemoved`].
    MappingsRemoved,
    /// See [`TeardownStep::InterruptsMasked`].
    InterruptsMasked,
    /// See [`TeardownStep::QueuesQuiesced`].
    QueuesQuiesced,
    /// See [`TeardownStep::DeviceReset`].
    DeviceReset,
    /// See [`TeardownStep::BusMasterCleared`].
    BusMasterCleared,
    /// See [`TeardownStep::TranslationsRemoved`].
    TranslationsRemoved,
    /// See [`TeardownStep::ScrubDone`].
    ScrubDone,
}

impl MayFail for QueuesQuiesced {}
impl MayFail for DeviceReset {}
impl MayFail for BusMasterCleared {}

/// Permission to take the step after `S`. Only the record makes one, and each is used once.
///
/// ```
/// use dma_ledger::*;
/// fn end<F>(record: &mut FunctionRecord<F>, token: Teardown<TranslationsRemoved>) -> Option<Teardown<ScrubDone>> {
///     record.scrub_done(token).ok()
/// }
/// ```
///
/// The device is reset after the queues are quiesced, not before:
///
/// ```compile_fail,E0308
/// use dma_ledger::*;
/// fn skips<F>(record: &mut FunctionRecord<F>, token: Teardown<InterruptsMasked>, receipt: ResetReceipt) {
///     let _ = record.device_reset(token, receipt);
/// }
/// ```
///
/// Nothing is scrubbed while the device may write:
///
/// ```compile_fail,E0308
/// use dma_ledger::*;
/// fn early<F>(record: &mut FunctionRecord<F>, token: &Teardown<DeviceReset>) {
///     let _ = record.next_to_scrub(token);
/// }
/// ```
///
/// Nor while a remapping unit may lead it there:
///
/// ```compile_fail,E0308
/// use dma_ledger::*;
/// fn early<F>(record: &mut FunctionRecord<F>, token: &Teardown<BusMasterCleared>) {
///     let _ = record.next_to_scrub(token);
/// }
/// ```
///
/// Frames come out only at the end:
///
/// ```compile_fail,E0308
/// use dma_ledger::*;
/// fn early<F>(record: &mut FunctionRecord<F>, token: &Teardown<TranslationsRemoved>) {
///     let _ = record.frames_to_free(token);
/// }
/// ```
///
/// No step is taken twice:
///
/// ```compile_fail,E0382
/// use dma_ledger::*;
/// fn twice<F>(record: &mut FunctionRecord<F>, token: Teardown<HandlesRevoked>) {
///     let _ = record.stop_submissions(token);
///     let _ = record.stop_submissions(token);
/// }
/// ```
///
/// Mappings are not gone before a shootdown says so:
///
/// ```compile_fail,E0061
/// use dma_ledger::*;
/// fn trusting<F>(record: &mut FunctionRecord<F>, token: Teardown<SubmissionsStopped>) {
///     let _ = record.mappings_removed(token);
/// }
/// ```
///
/// A function whose mappings are still there is not put into quarantine:
///
/// ```compile_fail,E0277
/// use dma_ledger::*;
/// fn early<F>(record: &mut FunctionRecord<F>, token: Teardown<HandlesRevoked>) {
///     let _ = record.quarantine(token);
/// }
/// ```
#[must_use = "a teardown that is not carried on leaves the function unusable"]
pub struct Teardown<S: Step> {
    function: FunctionId,
    generation: u64,
    step: PhantomData<S>,
}

impl<S: Step> core::fmt::Debug for Teardown<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Teardown({:?}, {:?}, {})",
            S::STEP,
            self.function,
            self.generation
        )
    }
}

/// The next token, or the refusal with the token that was given.
type Next<From, To> = Result<Teardown<To>, (Refusal, Teardown<From>)>;

impl<F> FunctionRecord<F> {
    /// Begins the end of a claim: its holder dropped it, died, or lost it. From here every operation is refused `revoked`.
    ///
    /// # Errors
    /// Those of [`Self::check`]: `Stale` for a claim of before, `Revoked` if the teardown runs already, `Quarantined`.
    pub fn begin_teardown(&mut self, claim: &Claim) -> Result<Teardown<Begun>, Refusal> {
        self.check(claim)?;
        self.void_receipts();
        self.scrubbed = 0;
        self.cursor = 0;
        self.state = FunctionState::Revoking(TeardownStep::Begun);
        Ok(self.token())
    }

    /// Records that every capability that came from the claim is dead.
    ///
    /// # Errors
    /// The token comes back with `WrongOwner` or `Stale` if it is not this teardown's.
    pub fn handles_revoked(&mut self, token: Teardown<Begun>) -> Next<Begun, HandlesRevoked> {
        self.advance(token, |_| Ok(()))
    }

    /// Stops the intake of every queue.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`].
    pub fn stop_submissions(
        &mut self,
        token: Teardown<HandlesRevoked>,
    ) -> Next<HandlesRevoked, SubmissionsStopped> {
        self.advance(token, |record| {
            record.stop_all_queues();
            Ok(())
        })
    }

    /// Records that every mapping was removed ([`Self::mappings`] is empty) and that no CPU holds a translation.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`]; `Busy` while a mapping is held.
    pub fn mappings_removed(
        &mut self,
        token: Teardown<SubmissionsStopped>,
        _shot_down: impl ShootdownProof,
    ) -> Next<SubmissionsStopped, MappingsRemoved> {
        self.advance(token, |record| {
            if record.mappings.is_empty() {
                Ok(())
            } else {
                Err(Refusal::Busy)
            }
        })
    }

    /// Takes every route away, after the caller masked the sources at the device.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`].
    pub fn interrupts_masked(
        &mut self,
        token: Teardown<MappingsRemoved>,
    ) -> Next<MappingsRemoved, InterruptsMasked> {
        self.advance(token, |record| {
            record.detach_all_routes();
            Ok(())
        })
    }

    /// Ends the use of every doorbell. What is in flight keeps its pins: this is the quarantine of a dead driver's pages.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`].
    pub fn queues_quiesced(
        &mut self,
        token: Teardown<InterruptsMasked>,
    ) -> Next<InterruptsMasked, QueuesQuiesced> {
        self.advance(token, |_| Ok(()))
    }

    /// Spends the receipt: the device has stopped, so every pin is released. Returns the commands that were in flight.
    ///
    /// # Errors
    /// Token and receipt come back with `WrongOwner` or `Stale` if they are not this teardown's.
    #[allow(clippy::type_complexity)] // what went in comes back, and nothing else
    pub fn device_reset(
        &mut self,
        token: Teardown<QueuesQuiesced>,
        receipt: ResetReceipt,
    ) -> Result<(Teardown<DeviceReset>, u32), (Refusal, Teardown<QueuesQuiesced>, ResetReceipt)>
    {
        if let Err(refusal) = self.check_receipt(&receipt) {
            return Err((refusal, token, receipt));
        }
        match self.advance(token, |_| Ok(())) {
            Ok(next) => Ok((next, self.release_by(&receipt))),
            Err((refusal, token)) => Err((refusal, token, receipt)),
        }
    }

    /// Records that bus mastering is off and that the function has nothing under way.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`].
    pub fn bus_master_cleared(
        &mut self,
        token: Teardown<DeviceReset>,
        _drained: DrainProof,
    ) -> Next<DeviceReset, BusMasterCleared> {
        self.advance(token, |record| {
            record.bus_master = false;
            Ok(())
        })
    }

    /// Records that no device has a translation to any page of the claim: its domain is gone, or it never had one.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`].
    pub fn translations_removed(
        &mut self,
        token: Teardown<BusMasterCleared>,
        _forgotten: impl TranslationProof,
    ) -> Next<BusMasterCleared, TranslationsRemoved> {
        self.advance(token, |_| Ok(()))
    }

    /// How many buffers there are, those whose pages are out included.
    #[must_use]
    pub const fn buffers_there(&self) -> u32 {
        self.buffers.len()
    }

    /// Passes over places in which no buffer is, a bounded number. `false`: there may be more of them.
    pub fn pass_over(&mut self) -> bool {
        let (found, next) = self.buffers.next_live(self.cursor, PASSED);
        self.cursor = match (found, next) {
            (Some(handle), _) => handle.index(),
            (None, Some(next)) => next,
            (None, None) => u32::MAX,
        };
        found.is_some() || next.is_none()
    }

    /// Takes the pages of one more buffer out, to be scrubbed and put back with [`Self::put_scrubbed`]; `None` when none
    /// is left. Pages that were out before the teardown are put back the same way.
    ///
    /// # Errors
    /// `WrongOwner` or `Stale` if the token is not this teardown's.
    pub fn next_to_scrub(
        &mut self,
        token: &Teardown<TranslationsRemoved>,
    ) -> Result<Option<Pages<Withdrawn, F>>, Refusal> {
        self.check_token(token)?;
        while let Some(buffer) = self.next_buffer() {
            let known = self.buffers.get_mut(buffer.handle).map_err(Refusal::from)?;
            if matches!(known.held, Held::Committed(_) | Held::Quiesced(_)) {
                let pages = known.take_quiet()?;
                return Ok(Some(pages.withdrawn_with_domain()));
            }
        }
        Ok(None)
    }

    /// Records that every page is wiped.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`]; `Busy` while pages are out or a reservation is open.
    pub fn scrub_done(
        &mut self,
        token: Teardown<TranslationsRemoved>,
    ) -> Next<TranslationsRemoved, ScrubDone> {
        self.advance(token, |record| {
            if record.scrubbed != record.buffers.len() || record.buffers.reserved() != 0 {
                return Err(Refusal::Busy);
            }
            record.cursor = 0;
            Ok(())
        })
    }

    /// Gives out the frames of one more buffer, for the allocator; `None` when none is left.
    ///
    /// # Errors
    /// `WrongOwner` or `Stale` if the token is not this teardown's.
    pub fn frames_to_free(&mut self, token: &Teardown<ScrubDone>) -> Result<Option<F>, Refusal> {
        self.check_token(token)?;
        let Some(buffer) = self.next_buffer() else {
            return Ok(None);
        };
        match self.remove_buffer(buffer).map(|removed| removed.held) {
            Some(Held::Scrubbed(pages)) => Ok(Some(pages.into_frames())),
            // Not reached: `scrub_done` counted every buffer as scrubbed.
            _ => Err(Refusal::WrongState),
        }
    }

    /// Ends the claim: the function may be claimed again, under a higher generation.
    ///
    /// # Errors
    /// As for [`Self::handles_revoked`]; `Busy` while frames are left.
    pub fn finish(
        &mut self,
        token: Teardown<ScrubDone>,
    ) -> Result<(), (Refusal, Teardown<ScrubDone>)> {
        if let Err(refusal) = self.check_token(&token) {
            return Err((refusal, token));
        }
        if !self.buffers.is_empty() {
            return Err((Refusal::Busy, token));
        }
        self.queues.clear();
        self.pools.clear();
        self.pool_budgets = 0;
        self.proven = false;
        self.state = if self.generation == u64::MAX {
            FunctionState::Dead
        } else {
            FunctionState::Unclaimed
        };
        Ok(())
    }

    /// Gives the function up for good: it never proved that it stopped. The caller turns bus mastering off; the pages
    /// stay where they are. Returns the bytes lost.
    ///
    /// # Errors
    /// The token comes back with `WrongOwner` or `Stale` if it is not this teardown's.
    pub fn quarantine<S: MayFail>(
        &mut self,
        token: Teardown<S>,
    ) -> Result<u64, (Refusal, Teardown<S>)> {
        if let Err(refusal) = self.check_token(&token) {
            return Err((refusal, token));
        }
        self.bus_master = false;
        self.state = FunctionState::Quarantined;
        Ok(self.buffers.iter().map(|(_, buffer)| buffer.bytes).sum())
    }

    fn token<S: Step>(&self) -> Teardown<S> {
        Teardown {
            function: self.id,
            generation: self.generation,
            step: PhantomData,
        }
    }

    fn check_token<S: Step>(&self, token: &Teardown<S>) -> Result<(), Refusal> {
        if token.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        if token.generation != self.generation || self.state != FunctionState::Revoking(S::STEP) {
            return Err(Refusal::Stale);
        }
        Ok(())
    }

    fn advance<From: Step, To: Step>(
        &mut self,
        token: Teardown<From>,
        act: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Next<From, To> {
        match self.check_token(&token).and_then(|()| act(self)) {
            Ok(()) => {
                self.state = FunctionState::Revoking(To::STEP);
                Ok(self.token())
            }
            Err(refusal) => Err((refusal, token)),
        }
    }

    /// Steps through the buffers once per pass, so that a pass takes linear time however many calls it needs.
    fn next_buffer(&mut self) -> Option<BufferId> {
        let (found, next) = self.buffers.next_live(self.cursor, u32::MAX);
        self.cursor = next.unwrap_or(u32::MAX);
        found.map(|handle| BufferId {
            function: self.id,
            handle,
        })
    }
}
