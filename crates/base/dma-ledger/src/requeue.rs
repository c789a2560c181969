//! The reset of one queue while its device runs on.
//!
//! `Open → Resetting → (receipt) Ended → (made again, every revoked cookie taken) Open`. Pins are released by the
//! receipt and by nothing before it.

use crate::ids::{Claim, QueueId};
use crate::queue::QueueState;
use crate::receipts::{QueueProof, QueueReceipt};
use crate::record::{FunctionRecord, Phase};
use crate::refusal::Refusal;

impl<F> FunctionRecord<F> {
    /// Whether a queue may be reset now, changing nothing.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle` for the queue; `WrongState` unless the device runs
    /// and the queue is open.
    pub fn may_reset_queue(&self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        if self.check(claim)? != Phase::Running {
            return Err(Refusal::WrongState);
        }
        if self.current_queue(queue)?.state != QueueState::Open {
            return Err(Refusal::WrongState);
        }
        Ok(())
    }

    /// Begins the reset of one queue: it takes no command and none of its commands completes; the pins stay.
    ///
    /// # Errors
    /// As [`Self::may_reset_queue`]; `Exhausted` after the last reset.
    pub fn begin_queue_reset(&mut self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        self.may_reset_queue(claim, queue)?;
        let known = self.current_queue_mut(queue)?;
        known.stop = known.stop.checked_add(1).ok_or(Refusal::Exhausted)?;
        known.stop_proven = false;
        known.state = QueueState::Resetting;
        Ok(())
    }

    /// Records that the device was seen to have let go of the queue, and makes the one receipt of this reset.
    ///
    /// Call it only with a proof just read from the device by its broker.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle` for the queue; `WrongState` unless it is being reset;
    /// `Duplicate` if this reset has its receipt.
    pub fn prove_queue_stopped(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        proof: QueueProof,
    ) -> Result<QueueReceipt, Refusal> {
        self.check(claim)?;
        let reset = self.reset;
        let known = self.current_queue_mut(queue)?;
        if known.state != QueueState::Resetting {
            return Err(Refusal::WrongState);
        }
        if known.stop_proven {
            return Err(Refusal::Duplicate);
        }
        known.stop_proven = true;
        Ok(QueueReceipt {
            queue,
            reset,
            stop: known.stop,
            proof,
        })
    }

    /// Spends the receipt: the pins of this queue's commands are released, and their cookies wait as `revoked`
    /// ([`Self::next_revoked`]). Returns how many.
    ///
    /// # Errors
    /// `WrongOwner`, `Stale` or `BadHandle` for the queue, or a receipt that a reset of the device has voided;
    /// `WrongState` unless the queue is being reset.
    pub fn finish_queue_reset(&mut self, receipt: QueueReceipt) -> Result<u16, Refusal> {
        let queue = receipt.queue;
        if receipt.reset != self.reset {
            return Err(Refusal::Stale);
        }
        let known = self.current_queue(queue)?;
        if known.state != QueueState::Resetting {
            return Err(Refusal::WrongState);
        }
        if known.stop != receipt.stop || !known.stop_proven {
            return Err(Refusal::Stale);
        }
        let known = self.queues.get_mut(queue.handle).map_err(Refusal::from)?;
        let mut slot = 0;
        while let Some(buffer) = known.pop_any_pin(&mut slot) {
            if let Ok(buffer) = self.buffers.get_mut(buffer) {
                buffer.unpin();
            }
        }
        let revoked = known.end();
        self.in_flight = self.in_flight.saturating_sub(u32::from(revoked));
        Ok(revoked)
    }

    /// Records that the queue exists at the device again: it opens as soon as every revoked cookie was taken.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `WrongState` unless its reset has finished.
    pub fn queue_reopened(&mut self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        self.check(claim)?;
        let known = self.current_queue_mut(queue)?;
        if known.state != QueueState::Ended {
            return Err(Refusal::WrongState);
        }
        known.reopen();
        Ok(())
    }
}
