//! Queues whose entries their holder writes: all that the ledger knows of one are its two rings.
//!
//! Invariant: the rings are pinned from before the device hears of them until it has proven that it stopped, as the buffers
//! of a command would be that never completes.

use ring_abi::Direction;
use sabotage::sabotage;

use crate::ids::{BufferId, Claim, QueueId};
use crate::queue::{Queue, QueueShape, SlotState};
use crate::record::{FunctionRecord, Phase};
use crate::refusal::Refusal;
use crate::submit::SegmentRequest;

/// What comes back, `revoked`, for the rings of a queue that a reset has ended.
pub const RINGS_COOKIE: u64 = u64::MAX;

impl<F> FunctionRecord<F> {
    /// Makes the record of a queue that the broker is about to open over two buffers of the claim, for submissions and for
    /// completions, and pins both.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` unless the device runs, and for a buffer that is being freed; `BadArgument` for one
    /// buffer twice; `ForeignBuffer`, `Stale` or `BadHandle`; `OutOfRange` for a buffer of 4 GiB and more; `OverBudget`, `NoMemory`.
    pub fn create_direct_queue(
        &mut self,
        claim: &Claim,
        rings: [BufferId; 2],
    ) -> Result<QueueId, Refusal> {
        if self.check(claim)? != Phase::Running {
            return Err(Refusal::WrongState);
        }
        let [submissions, completions] = rings;
        if submissions == completions {
            return Err(Refusal::BadArgument);
        }
        let mut bytes = 0u64;
        for (buffer, direction) in rings
            .into_iter()
            .zip([Direction::ToDevice, Direction::FromDevice])
        {
            let length = self.buffer_info(claim, buffer)?.bytes;
            bytes += length;
            self.check_segment(&SegmentRequest {
                buffer,
                offset: 0,
                length: u32::try_from(length).map_err(|_| Refusal::OutOfRange)?,
                direction,
            })?;
        }
        let shape = QueueShape {
            depth: 1,
            segments: 2,
            bytes,
        };
        let queue = self.create_queue(claim, shape)?;
        let known = self.current_queue_mut(queue)?;
        known.direct = true;
        if let Some((slot, _)) = known.take_slot(RINGS_COOKIE, bytes) {
            rings
                .iter()
                .for_each(|ring| known.push_pin(slot, ring.handle));
            known.issue(slot);
            self.in_flight += 1;
        }
        for ring in rings {
            let buffer = self.pool_buffer_mut(ring)?;
            if !sabotage!(LEAVE_RINGS_FREE) {
                buffer.pin();
            }
        }
        Ok(queue)
    }

    /// Takes the record of such a queue away again, of which the device was never told.
    pub fn withdraw_direct_queue(&mut self, claim: &Claim, queue: QueueId) {
        let is_new = |queue: &Queue| queue.direct && queue.slot(0).is_some_and(is_issued);
        if self.current_queue(queue).is_ok_and(is_new) {
            self.release(queue, 0);
            let _ = self.stop_queue(claim, queue);
            let _ = self.close_queue(claim, queue);
        }
    }
}

fn is_issued(slot: &crate::queue::Slot) -> bool {
    slot.state == SlotState::Issued
}
