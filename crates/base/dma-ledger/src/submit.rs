//! Queues of a function: opening, admission of commands, completion, and what a reset leaves of them.

use ring_abi::Direction;
use sabotage::sabotage;

use crate::ids::{BufferId, Claim, QueueId};
use crate::parts::{BufferUse, Held};
use crate::queue::{MAX_SEGMENTS, Queue, QueueInfo, QueueShape, QueueState, SlotState};
use crate::receipts::ResetReceipt;
use crate::record::{FunctionRecord, Phase, Released};
use crate::refusal::Refusal;

/// Buffers that are released in one go when a device has stopped, and slots that are looked at.
const RELEASES: u32 = 32;
const RELEASE_SLOTS: u32 = 128;

/// One piece of a transfer, as a provider asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentRequest {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte in it.
    pub offset: u32,
    /// Bytes, not 0.
    pub length: u32,
    /// Which way.
    pub direction: Direction,
}

/// The command as broker and device know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// Its slot, below the queue's depth: index of the broker's shadow.
    pub slot: u16,
    /// The slot's issue generation.
    pub issue: u64,
}

/// A command that holds its slot and its pins, but that the broker has not written yet.
///
/// Lost, it keeps both until the device is reset.
#[must_use = "an admitted command is issued or withdrawn"]
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    queue: QueueId,
    command: Command,
}

impl Admitted {
    /// Returns the command.
    #[must_use]
    pub const fn command(&self) -> Command {
        self.command
    }
}

impl<F> FunctionRecord<F> {
    /// Makes the record of a queue that the broker is about to open at the device.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` before the device is configured; `ZeroLength` and `OutOfRange` for the shape;
    /// `OverBudget`, `NoMemory`.
    pub fn create_queue(&mut self, claim: &Claim, shape: QueueShape) -> Result<QueueId, Refusal> {
        match self.check(claim)? {
            Phase::Configured | Phase::Enabling | Phase::Running => {}
            _ => return Err(Refusal::WrongState),
        }
        if self.queues.len() >= self.queues.quota() {
            return Err(Refusal::OverBudget);
        }
        let queue = Queue::new(shape, self.reset)?;
        let handle = self
            .queues
            .insert(queue)
            .map_err(|(error, _)| Refusal::from(error))?;
        Ok(QueueId {
            function: self.id,
            handle,
        })
    }

    /// Records that the queue exists at the device.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `WrongState` unless it is being opened.
    pub fn queue_opened(&mut self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        self.check(claim)?;
        let known = self.current_queue_mut(queue)?;
        if known.state != QueueState::Opening {
            return Err(Refusal::WrongState);
        }
        known.state = QueueState::Open;
        Ok(())
    }

    /// Stops the intake of a queue; what is in flight may still complete.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `WrongState` unless it is open or being opened.
    pub fn stop_queue(&mut self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        self.check(claim)?;
        let known = self.current_queue_mut(queue)?;
        match known.state {
            QueueState::Opening | QueueState::Open => {
                known.state = QueueState::Stopped;
                Ok(())
            }
            QueueState::Stopped | QueueState::Ended | QueueState::Resetting => {
                Err(Refusal::WrongState)
            }
        }
    }

    /// Takes a queue away that is gone from the device and owes nobody a cookie.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `WrongState` while it is open; `Busy` while a command is
    /// in flight or a revoked one's cookie was not taken.
    pub fn close_queue(&mut self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        self.check(claim)?;
        let known = self.queue_mut(queue)?;
        match known.state {
            QueueState::Stopped | QueueState::Ended => {}
            QueueState::Opening | QueueState::Open | QueueState::Resetting => {
                return Err(Refusal::WrongState);
            }
        }
        if known.in_flight != 0 || known.revoked != 0 {
            return Err(Refusal::Busy);
        }
        self.queues
            .remove(queue.handle)
            .map(drop)
            .map_err(Refusal::from)
    }

    /// Admits one command: everything is checked first, then slot, pins and bytes are taken at once.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` unless the device runs and the queue is open, and for a buffer that is being
    /// freed; `WrongOwner`, `Stale` or `BadHandle` for the queue; `ForeignBuffer`, `Stale` or `BadHandle` for a buffer;
    /// `ZeroLength`, `OutOfRange` for a segment, or for more segments than the queue can ever hold; `QueueFull`,
    /// `OverBudget`, `Exhausted`.
    pub fn admit(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        cookie: u64,
        segments: &[SegmentRequest],
    ) -> Result<Admitted, Refusal> {
        self.admit_ring(claim, queue)?;
        if segments.len() > MAX_SEGMENTS {
            return Err(Refusal::OutOfRange);
        }
        // At most 1024 lengths of 32 bits: the sum cannot overflow.
        let mut bytes = 0u64;
        for segment in segments {
            self.check_segment(segment)?;
            bytes += u64::from(segment.length);
        }
        let known = self.queues.get_mut(queue.handle).map_err(Refusal::from)?;
        known.room(segments.len(), bytes)?;

        let (slot, issue) = known.take_slot(cookie, bytes).ok_or(Refusal::QueueFull)?;
        for segment in segments {
            known.push_pin(slot, segment.buffer.handle);
            if let Ok(buffer) = self.buffers.get_mut(segment.buffer.handle) {
                buffer.pin();
            }
        }
        self.in_flight += 1;
        Ok(Admitted {
            queue,
            command: Command { slot, issue },
        })
    }

    /// Takes an admitted command back that the broker refused: the device never saw it.
    pub fn withdraw(&mut self, admitted: Admitted) {
        let Admitted { queue, command } = admitted;
        let ours = self.queue_mut(queue).is_ok_and(|known| {
            known.state != QueueState::Ended
                && known.slot(command.slot).is_some_and(|slot| {
                    slot.issue == command.issue && slot.state == SlotState::Admitted
                })
        });
        if ours {
            self.release(queue, command.slot);
        }
    }

    /// Records that the broker has written the command: from now on the device may answer it.
    ///
    /// # Errors
    /// `WrongState` or `Stale` if the queue was stopped or ended since; the command keeps its pins until a reset then.
    pub fn issue(&mut self, admitted: Admitted) -> Result<Command, Refusal> {
        let Admitted { queue, command } = admitted;
        let known = self.current_queue_mut(queue)?;
        if known.state != QueueState::Open {
            return Err(Refusal::WrongState);
        }
        let slot = known.slot_mut(command.slot).ok_or(Refusal::OutOfRange)?;
        if slot.issue != command.issue || slot.state != SlotState::Admitted {
            return Err(Refusal::Stale);
        }
        slot.state = SlotState::Issued;
        Ok(command)
    }

    /// Whether the queue's doorbell may be rung now.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` unless the device runs and the queue is open; `WrongOwner`, `Stale` or
    /// `BadHandle`.
    #[inline]
    pub fn admit_ring(&self, claim: &Claim, queue: QueueId) -> Result<(), Refusal> {
        if self.check(claim)? != Phase::Running {
            return Err(Refusal::WrongState);
        }
        if self.current_queue(queue)?.state == QueueState::Open {
            Ok(())
        } else {
            Err(Refusal::WrongState)
        }
    }

    /// Accepts a completion that the broker has matched with the command in `slot`: pins are released and the cookie is
    /// handed out, once. Which use of the slot the device meant is the broker's to know, before it asks.
    ///
    /// # Errors
    /// Nothing changes. Those of [`Self::check`]; `WrongState` unless the device runs, or for a command not issued yet;
    /// `WrongOwner`, `Stale` or `BadHandle` for the queue; `OutOfRange` for a slot beyond the depth; `NotFound` for one never
    /// used; `Duplicate` for one whose command has completed.
    pub fn complete(&mut self, claim: &Claim, queue: QueueId, slot: u16) -> Result<u64, Refusal> {
        if self.check(claim)? != Phase::Running {
            return Err(Refusal::WrongState);
        }
        let known = self.current_queue(queue)?;
        if !matches!(known.state, QueueState::Open | QueueState::Stopped) {
            return Err(Refusal::WrongState);
        }
        let cookie = known.issued(slot)?;
        self.release(queue, slot);
        Ok(cookie)
    }

    /// Takes the cookie of one more command that a reset ended; `None` when there is none left.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `WrongState` unless a reset has ended the queue.
    pub fn next_revoked(&mut self, claim: &Claim, queue: QueueId) -> Result<Option<u64>, Refusal> {
        self.check(claim)?;
        let known = self.queue_mut(queue)?;
        if known.state != QueueState::Ended {
            return Err(Refusal::WrongState);
        }
        let next = known.next_revoked();
        known.open_if_settled();
        Ok(next)
    }

    /// Tells a queue's holder about it.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn queue_info(&self, claim: &Claim, queue: QueueId) -> Result<QueueInfo, Refusal> {
        self.check(claim)?;
        self.queue(queue).map(Queue::info)
    }

    /// Returns the commands that the device may still be working on.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn stop_all_queues(&mut self) {
        for (_, queue) in self.queues.iter_mut() {
            // A reset of the one queue ends with the device's: what it was owed, the device's receipt gives.
            if matches!(
                queue.state,
                QueueState::Opening | QueueState::Open | QueueState::Resetting
            ) {
                queue.state = QueueState::Stopped;
            }
        }
    }

    /// Quiesces a bounded number of the pages that were visible to the device, because it has stopped. `true`: there are
    /// no more. What ends the reset or takes the next step of a teardown does what is left in one go.
    ///
    /// # Errors
    /// `Stale` or `WrongOwner` for a receipt of another reset or function.
    pub fn release_some(&mut self, receipt: &ResetReceipt) -> Result<bool, Refusal> {
        self.check_receipt(receipt)?;
        Ok(self.quiesce_some(receipt))
    }

    fn quiesce_some(&mut self, receipt: &ResetReceipt) -> bool {
        let mut at = match self.released {
            Released::Nothing => 0,
            Released::UpTo(at) => at,
            Released::All => return true,
        };
        let end = at.saturating_add(RELEASE_SLOTS);
        let mut left = RELEASES;
        self.released = loop {
            let (handle, next) = self.buffers.next_live(at, end.saturating_sub(at));
            let known = handle.and_then(|handle| self.buffers.get_mut(handle).ok());
            if let Some(buffer) = known
                && matches!(buffer.held, Held::DeviceVisible(_))
            {
                buffer.quiesce_by(receipt);
                left -= 1;
            }
            match next {
                None => break Released::All,
                Some(next) if next >= end || left == 0 => break Released::UpTo(next),
                Some(next) => at = next,
            }
        };
        self.released == Released::All
    }

    /// Ends every queue and quiesces every page that is left, because the device has stopped. Returns the commands revoked.
    pub(crate) fn release_by(&mut self, receipt: &ResetReceipt) -> u32 {
        let mut revoked = 0;
        for (_, queue) in self.queues.iter_mut() {
            revoked += u32::from(queue.end());
            if sabotage!(LOSE_REVOKED) {
                queue.revoked = 0;
            }
        }
        while !self.quiesce_some(receipt) {}
        self.released = Released::Nothing;
        self.in_flight = 0;
        revoked
    }

    /// A segment's own rules. The buffer is live, of this function, a provider's, and not being freed.
    #[inline]
    pub(crate) fn check_segment(&self, segment: &SegmentRequest) -> Result<(), Refusal> {
        let buffer = self.buffer(segment.buffer)?;
        if buffer.usage == BufferUse::Broker {
            return Err(Refusal::ForeignBuffer);
        }
        if buffer.freeing || matches!(buffer.held, Held::Away | Held::Scrubbed(_)) {
            return Err(Refusal::WrongState);
        }
        if segment.length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if u64::from(segment.offset) + u64::from(segment.length) > buffer.bytes {
            return Err(Refusal::OutOfRange);
        }
        Ok(())
    }

    /// Releases a command's pins and its slot.
    pub(crate) fn release(&mut self, queue: QueueId, index: u16) {
        let Ok(known) = self.queues.get_mut(queue.handle) else {
            return;
        };
        crate::bound::release(known, &mut self.buffers, index);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn queue(&self, queue: QueueId) -> Result<&Queue, Refusal> {
        if queue.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        self.queues.get(queue.handle).map_err(Refusal::from)
    }

    fn queue_mut(&mut self, queue: QueueId) -> Result<&mut Queue, Refusal> {
        if queue.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        self.queues.get_mut(queue.handle).map_err(Refusal::from)
    }

    /// A queue that no reset has ended since it was made.
    pub(crate) fn current_queue(&self, queue: QueueId) -> Result<&Queue, Refusal> {
        let reset = self.reset;
        let known = self.queue(queue)?;
        if known.reset == reset {
            Ok(known)
        } else {
            Err(Refusal::Stale)
        }
    }

    pub(crate) fn current_queue_mut(&mut self, queue: QueueId) -> Result<&mut Queue, Refusal> {
        let reset = self.reset;
        let known = self.queue_mut(queue)?;
        if known.reset == reset {
            Ok(known)
        } else {
            Err(Refusal::Stale)
        }
    }
}
