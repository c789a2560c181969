//! What the manager hands to the hardware audit log: every change of device authority, none of them per command.
//!
//! Each is noted where it takes effect, under the function's lock, so that the log has the order of the effects.

use audit_format::{Event, Kind, TEARDOWN_STEPS};
use dma_ledger::{BufferId, Claim, PoolId, QueueId, ResetProof, RouteId};
use ring_abi::Refusal;

use crate::turn::At;
use crate::{DeviceManager, Platform};

impl<P: Platform> At<'_, P> {
    /// Records an event of a function, and of the claim it concerns.
    pub(crate) fn tell(&self, claim: Option<&Claim>, event: Event) {
        self.machine.platform.audit(Event {
            function: self.bdf().as_u32(),
            owner: claim.map_or(0, |claim| claim.owner().0),
            claim: claim.map_or(0, Claim::generation),
            ..event
        });
    }

    /// Records that a holder was refused an operation that the device needs time for.
    pub(crate) fn note_refused(&self, claim: &Claim, refusal: Refusal) {
        self.tell(
            Some(claim),
            Event::new(Kind::Refused).outcome(refusal.code()),
        );
    }

    /// Records that an operation that the device needs time for has failed; each is recorded where it succeeds.
    pub(crate) fn note_failed(&self, claim: &Claim, refusal: Refusal) {
        let failed = Event::new(Kind::OperationFailed);
        self.tell(Some(claim), failed.outcome(refusal.code()));
    }

    /// Records that the device proved that it stopped.
    pub(crate) fn note_reset(&self, claim: Option<Claim>, proof: ResetProof, revoked: u64) {
        let event = Event::new(Kind::ResetProven).detail(proof_number(proof));
        self.tell(claim.as_ref(), event.value(revoked));
    }

    /// Records what became of an interrupt route.
    pub(crate) fn note_route(&self, claim: Option<&Claim>, kind: Kind, route: &RouteId) {
        let about = Event::new(kind).object(route.source().into(), route.route_generation());
        self.tell(claim, about);
    }

    /// Records what became of a queue.
    pub(crate) fn note_queue(&self, claim: &Claim, kind: Kind, queue: QueueId) {
        let about = Event::new(kind).object(queue.index(), queue.generation());
        self.tell(Some(claim), about);
    }

    /// Records that a queue is open; `direct` is 1 where its holder writes its entries, else 0.
    pub(crate) fn note_opened(&self, claim: &Claim, queue: QueueId, direct: u32) {
        let about = Event::new(Kind::QueueOpened).object(queue.index(), queue.generation());
        self.tell(Some(claim), about.detail(direct));
    }

    /// Records what became of a buffer.
    pub(crate) fn note_buffer(&self, claim: &Claim, event: Event, buffer: BufferId) {
        let about = event.object(buffer.index(), buffer.generation());
        self.tell(Some(claim), about);
    }

    /// Records what became of a pool.
    pub(crate) fn note_pool(&self, claim: &Claim, event: Event, pool: PoolId) {
        let about = event.object(pool.index(), pool.generation());
        self.tell(Some(claim), about);
    }

    /// Records a step of a teardown by its name.
    pub(crate) fn note_step(&self, step: &str, value: u64) {
        let place = TEARDOWN_STEPS.iter().position(|name| *name == step);
        let number = place.map_or(0, |place| place as u32 + 1);
        let event = Event::new(Kind::TeardownStep).detail(number).value(value);
        self.tell(None, event);
    }
}

impl<P: Platform> DeviceManager<P> {
    /// The address of a claim's function, for records about the claim.
    #[must_use]
    pub fn address_of(&self, claim: &Claim) -> u32 {
        self.of(claim)
            .map_or(audit_format::NO_FUNCTION, |at| at.bdf().as_u32())
    }
}

/// The number of a proof in records.
const fn proof_number(proof: ResetProof) -> u32 {
    match proof {
        ResetProof::CstsRdyZero => 1,
        ResetProof::VirtioStatusZero => 2,
        ResetProof::FlrCompleted => 3,
        ResetProof::EngineIdle => 4,
        ResetProof::ResetBitClear => 5,
        ResetProof::AdminQueueReleased => 6,
    }
}
