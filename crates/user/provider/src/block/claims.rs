//! Who may write: which facets lead to writing at all, and which session has which blocks.

use alloc::vec::Vec;

use provider_core::block::Commands;
use provider_core::{Claim, Range};
use sdk::block::{block_device, block_session};
use sdk::{Answered, Call, CapArg, Late, Lifetime, Refusal, Reply};

use super::Provider;

/// Marks the cookie of a unit's facet; those of sessions stay far below.
pub(super) const UNIT: u64 = 1 << 62;
/// Marks the cookie of a facet through which nothing is written.
pub(super) const READ: u64 = 1 << 61;
/// Cookies below are those of exports. Those of sessions begin here.
pub(super) const EXPORTS: u64 = 1 << 8;

/// Whether a cookie is a `BlockDevice`'s.
pub(super) const fn is_device(cookie: u64) -> bool {
    cookie < EXPORTS || cookie & (UNIT | READ) != 0
}

/// Whether nothing is written through a `BlockDevice` of this cookie, nor through what comes of it.
pub(super) const fn is_reader(cookie: u64) -> bool {
    cookie & READ != 0 || (cookie > 0 && cookie < EXPORTS)
}

/// Claims that wait, at most one of each session.
#[derive(Default)]
pub(super) struct Claims(Vec<Waiting>);

/// A claim that waits for a session which has ended.
struct Waiting {
    session: u64,
    range: Range,
    late: Late<block_session::call::Claim>,
}

impl<C: Commands, Q> Provider<'_, C, Q> {
    /// A session is gone for good: what waited for its blocks may have them.
    pub(super) fn claim_again(&mut self) {
        for waiting in core::mem::take(&mut self.claims.0) {
            match self.sessions.claim(waiting.session, waiting.range) {
                Ok(Claim::Later) => self.claims.0.push(waiting),
                Ok(Claim::Taken) => waiting.late.answer(Ok(())),
                Err(refusal) => waiting.late.answer(Err(refusal)),
            }
        }
    }

    /// Checks a claim and makes it.
    fn claimed(
        &mut self,
        session: u64,
        block: u64,
        blocks: u64,
    ) -> Result<(Claim, Range), Refusal> {
        let own = &self.sessions.get(session)?.buffer;
        let (unit, is_reader) = (own.unit, own.is_reader);
        let geometry = self.engine.geometry(unit).ok_or(Refusal::Stale)?;
        if is_reader || geometry.read_only {
            return Err(Refusal::ReadOnly);
        }
        let range = Range::new(unit, block, blocks)?;
        if range.end() > geometry.blocks {
            return Err(Refusal::OutOfRange);
        }
        let mut waiting = self.claims.0.iter();
        if waiting.any(|one| one.session == session) {
            return Err(Refusal::Duplicate);
        }
        Ok((self.sessions.claim(session, range)?, range))
    }

    /// Answers a claim, or lets it wait.
    pub(super) fn answer_claim(
        &mut self,
        reply: Reply<Call<'_>, block_session::call::Claim>,
        block: u64,
        blocks: u64,
    ) -> Answered {
        let session = reply.cookie();
        match self.claimed(session, block, blocks) {
            Ok((Claim::Taken, _)) => reply.send(()),
            Ok((Claim::Later, range)) => {
                let (answered, late) = reply.defer();
                self.claims.0.push(Waiting {
                    session,
                    range,
                    late,
                });
                answered
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    /// Makes a facet for a unit, which may write if the one of this cookie may.
    pub(super) fn unit_facet(&mut self, cookie: u64, number: u32) -> Result<CapArg, Refusal> {
        let unit = self.units.iter().find(|unit| unit.number == number);
        if unit.ok_or(Refusal::NotFound)?.place.is_none() {
            return Err(Refusal::NotSupported);
        }
        // It names the unit and not its place in a list, so it means the same to a successor.
        let read = match is_reader(cookie) {
            true => READ,
            false => 0,
        };
        self.device_facet(UNIT | read | u64::from(number))
    }

    pub(super) fn device_facet(&self, cookie: u64) -> Result<CapArg, Refusal> {
        let minted = self
            .endpoint
            .mint(cookie, block_device::INTERFACE_ID, Lifetime::Durable)?;
        Ok(minted.facet.into_cap())
    }

    /// Makes a facet for the same unit through which nothing is written.
    pub(super) fn reader_facet(&self, cookie: u64) -> Result<CapArg, Refusal> {
        self.device_facet(match cookie {
            // An export's cookie is its place in the manifest, and no unit's number.
            0..EXPORTS => READ,
            unit => unit | READ,
        })
    }
}
