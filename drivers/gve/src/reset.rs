//! Stopping the device, and the proof that it stopped: the admin queue's page number reads as 0 (`gve_adminq_release`).

use dma_ledger::ResetProof;
use driver_core::{BrokerIo, Poll, Refusal, Step};
use gve_format::registers::{ADMIN_PFN, MAX_TX_QUEUES};
use sabotage::sabotage;

use crate::registers;

/// How long the device may take.
const TIMEOUT_NS: u64 = 5_000_000_000;
/// How long to wait before looking again.
const POLL_NS: u64 = 100_000;

/// A reset under way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reset {
    /// The page number was written as 0.
    Asked { deadline_ns: u64 },
    /// It cannot be done; nothing stands proven.
    Impossible(Refusal),
}

/// Begins a reset from whatever state the device is in: it forgets queues, lists and resources with its admin queue.
pub(crate) fn begin(io: &dyn BrokerIo) -> Reset {
    match registers::write(io, ADMIN_PFN, 0) {
        Ok(()) => Reset::Asked {
            deadline_ns: io.now_ns().saturating_add(TIMEOUT_NS),
        },
        Err(refusal) => Reset::Impossible(refusal),
    }
}

/// Looks whether the device has stopped.
pub(crate) fn poll(io: &dyn BrokerIo, reset: Reset) -> Poll {
    let deadline_ns = match reset {
        Reset::Asked { deadline_ns } => deadline_ns,
        Reset::Impossible(refusal) => return Poll::Failed(refusal),
    };
    // The clock first: a look that came late still counts.
    let now_ns = io.now_ns();
    match is_stopped(io) {
        Err(refusal) => Poll::Failed(refusal),
        Ok(true) => Poll::Done(Step::Stopped(ResetProof::AdminQueueReleased)),
        Ok(false) if sabotage!(GVE_RECEIPT_WITHOUT_RELEASE) => {
            Poll::Done(Step::Stopped(ResetProof::AdminQueueReleased))
        }
        Ok(false) if now_ns >= deadline_ns => Poll::Failed(Refusal::TimedOut),
        Ok(false) => Poll::Pending { after_ns: POLL_NS },
    }
}

/// Whether the admin queue was given back.
///
/// # Errors
/// `DeviceError` where nobody answers, or a device that says of itself that it cannot be used: both read as zeros, too.
pub(crate) fn is_stopped(io: &dyn BrokerIo) -> Result<bool, Refusal> {
    let page = registers::read(io, ADMIN_PFN)?;
    match registers::read(io, MAX_TX_QUEUES)? {
        0 => Err(Refusal::DeviceError),
        _ => Ok(page == 0),
    }
}
