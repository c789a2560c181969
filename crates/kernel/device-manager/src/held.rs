//! What exists only while somebody holds the function, or its teardown runs.

use dma_ledger::{Claim, ResetReceipt};

use crate::Platform;
use crate::buffers::Buffers;
use crate::crossed::Crossed;
use crate::driven::Driven;
use crate::interrupt::route::Routes;
use crate::job::Job;
use crate::queues::Queues;
use crate::views::RegisterViews;

/// Made by a claim and dropped as one by the end of its teardown, so that nothing of it outlives the claim.
pub(crate) struct Held<P: Platform> {
    pub(crate) claim: Claim,
    pub(crate) driven: Driven,
    /// How the device reaches memory.
    pub(crate) reach: P::Reach,
    /// The proof that the device has stopped, until bus mastering spends it.
    pub(crate) receipt: Option<ResetReceipt>,
    pub(crate) job: Job<P>,
    /// A reset found no proof: the claim must end, and the device gets no second chance to stop politely.
    pub(crate) unstoppable: bool,
    /// Looked up in [`crate::interrupt`] alone.
    pub(crate) routes: Routes<P>,
    pub(crate) buffers: Buffers<P>,
    pub(crate) views: RegisterViews<P>,
    pub(crate) queues: Queues,
    pub(crate) crossed: Crossed,
    /// Pages that the teardown found still allocated: what its domain must have had mapped.
    pub(crate) left: u64,
}

impl<P: Platform> Held<P> {
    pub(crate) const fn new(
        claim: Claim,
        driven: Driven,
        reach: P::Reach,
        crossed: Crossed,
    ) -> Self {
        Self {
            claim,
            driven,
            reach,
            receipt: None,
            job: Job::Idle,
            unstoppable: false,
            routes: Routes::new(),
            buffers: Buffers::new(),
            views: RegisterViews::new(),
            queues: Queues::new(),
            crossed,
            left: 0,
        }
    }

    /// The claim that must end because the device did not stop.
    pub(crate) fn doomed(&self) -> Option<Claim> {
        let idle = matches!(self.job, Job::Idle);
        (self.unstoppable && idle).then_some(self.claim)
    }
}
