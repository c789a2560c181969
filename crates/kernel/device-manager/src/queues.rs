//! The queues of a claim whose holders are gone.

use alloc::vec::Vec;

use dma_ledger::{Claim, FunctionRecord, QueueId, QueueState};

/// Queues that the device, or the ledger, still knows and nobody holds.
pub(crate) struct Queues {
    abandoned: Vec<QueueId>,
}

impl Queues {
    pub(crate) const fn new() -> Self {
        Self {
            abandoned: Vec::new(),
        }
    }

    /// Records that a queue's holder is gone, or never came.
    pub(crate) fn abandon(&mut self, queue: QueueId) {
        self.abandoned.push(queue);
    }

    /// Closes those that a reset has ended.
    pub(crate) fn close_ended<F>(&mut self, record: &mut FunctionRecord<F>, claim: &Claim) {
        self.abandoned.retain(|queue| {
            let ended = record
                .queue_info(claim, *queue)
                .map(|info| info.state == QueueState::Ended);
            match ended {
                Ok(true) => {
                    while let Ok(Some(_)) = record.next_revoked(claim, *queue) {}
                    // One that was made again at the device is open by now: it is stopped, and its number stays taken.
                    record.stop_queue(claim, *queue).is_ok()
                        || record.close_queue(claim, *queue).is_err()
                }
                // The broker still knows it by its number, so the number stays taken.
                Ok(false) => true,
                Err(_) => false,
            }
        });
    }
}

/// The dense number that a broker knows the queue by.
pub(crate) fn number(queue: QueueId) -> u16 {
    // The ledger has at most 4096 queues per function.
    queue.index() as u16
}
