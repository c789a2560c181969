//! The queues of a claim: where each lies at the device, and which ones nobody holds any more.

use alloc::vec::Vec;

use dma_ledger::{Claim, FunctionRecord, QueueId, QueueState};
use driver_core::QueuePlace;
use ring_abi::Refusal;

/// The map from the ledger's numbers to the broker's kinds and indices, which a broker never sees.
pub(crate) struct Queues {
    /// By the ledger's number, since the device was last reset.
    places: Vec<Option<QueuePlace>>,
    /// Those that the device, or the ledger, still knows and nobody holds.
    abandoned: Vec<QueueId>,
}

impl Queues {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    /// Where a queue lies.
    ///
    /// # Errors
    /// `OutOfRange` for one that was not opened since the device was last reset.
    #[inline]
    pub(crate) fn place(&self, queue: QueueId) -> Result<QueuePlace, Refusal> {
        let place = self.places.get(queue.index() as usize).copied();
        place.flatten().ok_or(Refusal::OutOfRange)
    }

    /// Whether a queue was opened there since the device was last reset, well or not.
    pub(crate) fn is_taken(&self, place: QueuePlace) -> bool {
        self.places.contains(&Some(place))
    }

    /// Records where a queue lies.
    #[expect(
        clippy::disallowed_methods,
        reason = "lent: one entry for each queue that the ledger has"
    )]
    pub(crate) fn put(&mut self, queue: QueueId, place: QueuePlace) {
        // The ledger has at most 4096 queues per function, numbered from 0.
        let at = queue.index() as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, None);
        }
        if let Some(entry) = self.places.get_mut(at) {
            *entry = Some(place);
        }
    }

    /// The device is being reset: no queue lies anywhere.
    pub(crate) fn forget_places(&mut self) {
        self.places.clear();
    }

    /// Records that a queue's holder is gone, or never came.
    #[expect(
        clippy::disallowed_methods,
        reason = "lent: one entry for each queue that the ledger has"
    )]
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
