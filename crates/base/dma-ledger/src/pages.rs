//! The life cycle of pages a device may touch, as types: `Committed → DeviceVisible → Quiesced → Withdrawn → Scrubbed →
//! free`.
//!
//! Each transition consumes the state before it, so an order that leaks or reuses a page does not compile.

use crate::ids::BufferId;
use crate::receipts::{ResetReceipt, TranslationProof};

/// Zeroed pages that no device has seen yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Committed(());

/// Pages that a device may be reading or writing now.
#[derive(Debug, PartialEq, Eq)]
pub struct DeviceVisible {
    /// Segments in flight; at least 1 except between an unpin and the quiesce that follows it.
    in_flight: u32,
}

/// Pages that no device will touch any more, still holding data.
#[derive(Debug, PartialEq, Eq)]
pub struct Quiesced(());

/// Pages to which no device has a translation any more, still holding data.
#[derive(Debug, PartialEq, Eq)]
pub struct Withdrawn(());

/// Zeroed pages that neither a device nor a process can reach.
#[derive(Debug, PartialEq, Eq)]
pub struct Scrubbed(());

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Committed {}
    impl Sealed for super::DeviceVisible {}
    impl Sealed for super::Quiesced {}
    impl Sealed for super::Withdrawn {}
    impl Sealed for super::Scrubbed {}
}

/// A state of [`Pages`].
pub trait PageState: sealed::Sealed {}
impl PageState for Committed {}
impl PageState for DeviceVisible {}
impl PageState for Quiesced {}
impl PageState for Withdrawn {}
impl PageState for Scrubbed {}

/// The frames of one buffer, in state `S`. Only the ledger makes one, and only `Scrubbed` pages give their frames back.
///
/// ```
/// use dma_ledger::{Pages, Quiesced, Scrubbed, TranslationProof};
/// // The one legal way on from here; the ledger takes the result back and frees it.
/// fn wipe(pages: Pages<Quiesced, u64>, forgotten: impl TranslationProof) -> Pages<Scrubbed, u64> {
///     pages.withdraw(forgotten).scrub(|frames| *frames = 0)
/// }
/// ```
///
/// ```compile_fail,E0599
/// use dma_ledger::{Pages, Quiesced, Scrubbed};
/// fn scrubs_what_a_unit_may_remember(pages: Pages<Quiesced, u64>) -> Pages<Scrubbed, u64> {
///     pages.scrub(|_| ())
/// }
/// ```
///
/// ```compile_fail,E0599
/// use dma_ledger::{Committed, Pages};
/// fn skips_quiesce_and_scrub(pages: Pages<Committed, u64>) -> u64 {
///     pages.into_frames()
/// }
/// ```
///
/// ```compile_fail,E0599
/// use dma_ledger::{DeviceVisible, Pages, Scrubbed};
/// fn scrubs_under_the_device(pages: Pages<DeviceVisible, u64>) -> Pages<Scrubbed, u64> {
///     pages.scrub(|_| ())
/// }
/// ```
///
/// ```compile_fail,E0382
/// use dma_ledger::{Pages, Scrubbed, Withdrawn};
/// fn keeps_a_copy(pages: Pages<Withdrawn, u64>) -> (Pages<Scrubbed, u64>, Pages<Withdrawn, u64>) {
///     (pages.scrub(|_| ()), pages)
/// }
/// ```
///
/// ```compile_fail,E0624
/// use dma_ledger::{Pages, Scrubbed};
/// fn frees_behind_the_ledger(pages: Pages<Scrubbed, u64>) -> u64 {
///     pages.into_frames()
/// }
/// ```
#[must_use = "pages that are dropped never return to the allocator"]
#[derive(Debug, PartialEq, Eq)]
pub struct Pages<S: PageState, F> {
    buffer: BufferId,
    frames: F,
    state: S,
}

impl<S: PageState, F> Pages<S, F> {
    /// Returns the buffer these pages belong to.
    #[must_use]
    pub const fn buffer(&self) -> BufferId {
        self.buffer
    }

    /// Returns the frames, to be looked at.
    #[must_use]
    pub const fn frames(&self) -> &F {
        &self.frames
    }

    fn turn<T: PageState>(self, state: T) -> Pages<T, F> {
        Pages {
            buffer: self.buffer,
            frames: self.frames,
            state,
        }
    }
}

impl<F> Pages<Committed, F> {
    /// Takes zeroed frames in.
    pub(crate) const fn commit(buffer: BufferId, frames: F) -> Self {
        Self {
            buffer,
            frames,
            state: Committed(()),
        }
    }

    /// Lets the device at them, for one segment.
    pub(crate) fn expose(self) -> Pages<DeviceVisible, F> {
        self.turn(DeviceVisible { in_flight: 1 })
    }

    /// Ends their use; no device ever saw them.
    pub(crate) fn quiesce(self) -> Pages<Quiesced, F> {
        self.turn(Quiesced(()))
    }
}

impl<F> Pages<DeviceVisible, F> {
    /// Returns the segments in flight.
    pub(crate) const fn in_flight(&self) -> u32 {
        self.state.in_flight
    }

    /// Counts one more segment. Queue capacities keep the sum far below the width (see `queue`).
    pub(crate) const fn pin(&mut self) {
        self.state.in_flight += 1;
    }

    /// Counts one segment less where another one is left. `false`: nothing has changed.
    pub(crate) const fn unpin_one_of_several(&mut self) -> bool {
        if self.state.in_flight > 1 {
            self.state.in_flight -= 1;
            return true;
        }
        false
    }

    /// Counts one segment less, and quiesces the pages after the last: the device answered for every segment.
    pub(crate) fn unpin(mut self) -> Result<Pages<Quiesced, F>, Self> {
        self.state.in_flight = self.state.in_flight.saturating_sub(1);
        if self.state.in_flight == 0 {
            Ok(self.turn(Quiesced(())))
        } else {
            Err(self)
        }
    }

    /// Quiesces the pages whatever is in flight, because the device has stopped.
    pub(crate) fn quiesce_by(self, _stopped: &ResetReceipt) -> Pages<Quiesced, F> {
        self.turn(Quiesced(()))
    }
}

impl<F> Pages<Quiesced, F> {
    /// Lets the device at them once more, for the same owner.
    pub(crate) fn expose(self) -> Pages<DeviceVisible, F> {
        self.turn(DeviceVisible { in_flight: 1 })
    }

    /// Records that no device has a translation to them any more.
    pub fn withdraw(self, _forgotten: impl TranslationProof) -> Pages<Withdrawn, F> {
        self.turn(Withdrawn(()))
    }

    /// As [`Self::withdraw`], because the whole domain is gone: the teardown's token says so.
    pub(crate) fn withdrawn_with_domain(self) -> Pages<Withdrawn, F> {
        self.turn(Withdrawn(()))
    }
}

impl<F> Pages<Withdrawn, F> {
    /// Wipes the pages. The ledger hands them out only after the shootdown, so nobody can write afterwards.
    pub fn scrub(mut self, wipe: impl FnOnce(&mut F)) -> Pages<Scrubbed, F> {
        wipe(&mut self.frames);
        self.turn(Scrubbed(()))
    }

    /// Wipes some of the pages; `wipe` says whether that were the last.
    ///
    /// # Errors
    /// The pages, where there are more to wipe.
    pub fn scrub_some(
        mut self,
        wipe: impl FnOnce(&mut F) -> bool,
    ) -> Result<Pages<Scrubbed, F>, Self> {
        if wipe(&mut self.frames) {
            Ok(self.turn(Scrubbed(())))
        } else {
            Err(self)
        }
    }
}

impl<F> Pages<Scrubbed, F> {
    /// Gives the frames back; the ledger takes them off its accounts at the same time.
    pub(crate) fn into_frames(self) -> F {
        self.frames
    }
}
