//! What is under way at a function: an operation that the device needs time for, or the end of its claim.

use dma_ledger::{
    DeviceReset, Pages, QueueId, QueuesQuiesced, ResetProof, ResetReceipt, ScrubDone,
    SubmissionsStopped, Teardown, TranslationsRemoved, Withdrawn,
};

use ring_abi::Refusal;

use crate::Platform;
use crate::effects::Answer;
use crate::flr::Flr;

/// At most one thing at a time.
pub(crate) enum Job<P: Platform> {
    Idle,
    Operation(Operation<P>),
    Teardown(Stage<P>),
}

/// An operation under way.
pub(crate) struct Operation<P: Platform> {
    pub(crate) asked: Asked<P>,
    pub(crate) deadline_ns: u64,
}

/// Which operation, and whom to answer.
pub(crate) enum Asked<P: Platform> {
    /// What is answered with nothing.
    Act(Act, P::Acting),
    /// The broker opens a queue.
    Open(QueueId, P::Opening),
}

impl<P: Platform> Asked<P> {
    /// The answer of one that comes to nothing.
    pub(crate) fn refused(self, refusal: Refusal) -> Answer<P> {
        match self {
            Self::Act(_, waiter) => Answer::Act(waiter, Err(refusal)),
            Self::Open(_, waiter) => Answer::Open(waiter, Err(refusal)),
        }
    }
}

/// What is done to a device or a queue of it, and how far it has come.
pub(crate) enum Act {
    /// The broker stops the device.
    Reset {
        /// The function was reset before, so there is nothing stronger left.
        after_flr: bool,
    },
    /// The broker could not; the function is being reset.
    FunctionReset(Flr),
    /// It has stopped: the pages that it could see are released, a few at a time.
    Releasing(ResetReceipt, ResetProof),
    /// The broker enables the device.
    Enable,
    /// The broker makes the device let go of one queue.
    QueueReset(QueueId),
    /// The broker makes that queue again.
    Reopen(QueueId),
}

/// Where the teardown stands between two looks.
#[derive(Debug)]
pub(crate) enum Stage<P: Platform> {
    /// Objects are being revoked with the lock open, here or by an operation that had begun before.
    Unmapping(Option<Teardown<SubmissionsStopped>>),
    /// The broker stops the device.
    Resetting {
        token: Teardown<QueuesQuiesced>,
        deadline_ns: u64,
    },
    /// The broker could not: the function is being reset.
    FunctionReset {
        token: Teardown<QueuesQuiesced>,
        flr: Flr,
    },
    /// It has stopped: the pages that it could see are released, a few at a time.
    Releasing {
        token: Teardown<QueuesQuiesced>,
        receipt: ResetReceipt,
        proof: ResetProof,
    },
    /// Bus mastering goes off, and what is under way ends.
    Draining {
        token: Teardown<DeviceReset>,
        deadline_ns: u64,
    },
    /// Pages are wiped, a few at a time: those of one buffer that are half done, and from where on.
    Scrubbing {
        token: Teardown<TranslationsRemoved>,
        begun: Option<(Pages<Withdrawn, P::Frames>, usize)>,
    },
    /// Pages go back, a few at a time: what is left of one buffer's, and how many have gone.
    Freeing {
        token: Teardown<ScrubDone>,
        begun: Option<P::Frames>,
        freed: u64,
    },
    /// A step that cannot fail was refused. The function stays as it is, and nothing of it is ever freed.
    Stuck,
}
