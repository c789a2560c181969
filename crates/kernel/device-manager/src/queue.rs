//! Submitting and completing commands. Nothing here allocates, formats, or takes more than the function's lock.

use arrayvec::ArrayVec;
use audit_format::Kind;
use dma_ledger::{Claim, QueueId, QueueInfo, QueueState, SegmentRequest};
use driver_core::{CommandSlot, Segment};
use ring_abi::Refusal;

use crate::function::{Function, Io};
use crate::manager::At;
use crate::{DeviceManager, FrameRun, Platform};

/// Commands of one batch, and completions of one.
pub const MAX_BATCH: usize = 64;
/// Segments of one command.
pub const MAX_COMMAND_SEGMENTS: usize = 64;

/// One command, as a provider asks for it.
#[derive(Clone, Copy, Debug)]
pub struct CommandRequest<'m, S> {
    /// What comes back with its completion.
    pub cookie: u64,
    /// The device's own command, without anything that bears an address, a length or an identifier.
    pub template: &'m [u8],
    /// Where its data lies.
    pub segments: S,
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Submitted {
    /// Commands that were taken, from the first on.
    pub accepted: u16,
    /// Why the next one was not.
    pub refusal: Option<Refusal>,
}

/// One command that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueCompletion {
    /// What its submitter gave with it.
    pub cookie: u64,
    /// The device's status, 0 for success.
    pub status: u16,
    /// The device's result.
    pub result: u32,
    /// `revoked` for a command that a reset ended; status and result are 0 then.
    pub refusal: Option<Refusal>,
}

impl<P: Platform> DeviceManager<P> {
    /// Submits commands in order until one is refused, and rings the doorbell once. The iterators run with no lock held.
    pub fn queue_submit<'m, S>(
        &self,
        claim: &Claim,
        queue: QueueId,
        commands: impl IntoIterator<Item = Result<CommandRequest<'m, S>, Refusal>>,
    ) -> Submitted
    where
        S: IntoIterator<Item = Result<SegmentRequest, Refusal>>,
    {
        let mut accepted = 0;
        let refusal = self.submit_all(claim, queue, commands, &mut accepted).err();
        Submitted { accepted, refusal }
    }

    fn submit_all<'m, S>(
        &self,
        claim: &Claim,
        queue: QueueId,
        commands: impl IntoIterator<Item = Result<CommandRequest<'m, S>, Refusal>>,
        accepted: &mut u16,
    ) -> Result<(), Refusal>
    where
        S: IntoIterator<Item = Result<SegmentRequest, Refusal>>,
    {
        let at = self.of(claim)?;
        at.lock().record.admit_ring(claim, queue)?;
        let mut outcome = Ok(());
        for command in commands {
            outcome = if usize::from(*accepted) == MAX_BATCH {
                Err(Refusal::OutOfRange)
            } else {
                command.and_then(|command| self.submit_one(&at, claim, queue, command))
            };
            if outcome.is_err() {
                break;
            }
            *accepted += 1;
        }
        if *accepted != 0 {
            let mut guard = at.lock();
            // A reset that came in between takes the commands with it: they end `revoked`, and nothing is rung.
            if guard.record.admit_ring(claim, queue).is_ok() {
                let number = number(queue);
                let _ = guard.with_broker(&self.platform, |broker, io| broker.ring(io, number));
            }
        }
        outcome
    }

    fn submit_one<S>(
        &self,
        at: &At<'_, P>,
        claim: &Claim,
        queue: QueueId,
        command: CommandRequest<'_, S>,
    ) -> Result<(), Refusal>
    where
        S: IntoIterator<Item = Result<SegmentRequest, Refusal>>,
    {
        let mut requests = ArrayVec::<SegmentRequest, MAX_COMMAND_SEGMENTS>::new();
        for segment in command.segments {
            requests
                .try_push(segment?)
                .map_err(|_| Refusal::OutOfRange)?;
        }
        let mut guard = at.lock();
        let function = &mut *guard;
        let record = &mut function.record;
        let admitted = record.admit(claim, queue, command.cookie, &requests)?;
        let slot = CommandSlot {
            slot: admitted.command().slot,
        };
        let written = self.write(function, queue, slot, command.template, &requests);
        match written {
            Ok(()) => function.record.issue(admitted).map(drop),
            Err(refusal) => {
                function.record.withdraw(admitted);
                Err(refusal)
            }
        }
    }

    /// Lets the broker write an admitted command.
    fn write(
        &self,
        function: &mut Function<P>,
        queue: QueueId,
        slot: CommandSlot,
        template: &[u8],
        requests: &[SegmentRequest],
    ) -> Result<(), Refusal> {
        let record = &function.record;
        let mut segments = ArrayVec::<Segment<'_>, MAX_COMMAND_SEGMENTS>::new();
        for request in requests {
            let segment = Segment {
                pages: record.frames(request.buffer)?.pages(),
                offset: request.offset,
                length: request.length,
                direction: request.direction,
            };
            segments
                .try_push(segment)
                .map_err(|_| Refusal::OutOfRange)?;
        }
        let broker = function.broker.as_deref_mut().ok_or(Refusal::WrongState)?;
        let mut io = Io {
            platform: &self.platform,
            bars: &function.bars,
            ports: function.ports.as_ref(),
            pages: None,
        };
        broker.submit(&mut io, number(queue), slot, template, &segments)
    }

    /// Takes completions, at most `max` and what `out` has room for. Every value that the device wrote was checked by the
    /// broker, and by the ledger, which decides whether the command was in flight.
    ///
    /// After a reset it gives the cookies of what was in flight, each with `revoked`.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle` for the queue; `WrongState` during a reset; `Stale` for a
    /// queue that a reset has ended and that owes nothing more; `Corrupt` once the device has contradicted itself.
    pub fn queue_complete(
        &self,
        claim: &Claim,
        queue: QueueId,
        out: &mut ArrayVec<QueueCompletion, MAX_BATCH>,
        max: u16,
    ) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let function = &mut *guard;
        let room = out.remaining_capacity().min(usize::from(max));
        let goal = out.len() + room;
        match function.record.queue_info(claim, queue)?.state {
            QueueState::Ended => take_revoked(function, claim, queue, out, goal),
            QueueState::Opening | QueueState::Resetting => Err(Refusal::WrongState),
            QueueState::Open | QueueState::Stopped => {
                self.take_completed(function, claim, queue, out, goal)
            }
        }
    }

    fn take_completed(
        &self,
        function: &mut Function<P>,
        claim: &Claim,
        queue: QueueId,
        out: &mut ArrayVec<QueueCompletion, MAX_BATCH>,
        goal: usize,
    ) -> Result<(), Refusal> {
        if function.record.check(claim)? != dma_ledger::Phase::Running {
            return Err(Refusal::WrongState);
        }
        let before = out.len();
        let record = &mut function.record;
        let broker = function.broker.as_deref_mut().ok_or(Refusal::WrongState)?;
        let mut io = Io::<P> {
            platform: &self.platform,
            bars: &function.bars,
            ports: function.ports.as_ref(),
            pages: None,
        };
        let mut seen = false;
        let mut outcome = Ok(());
        while out.len() < goal {
            let completed = match broker.next_completion(&mut io, number(queue)) {
                Ok(Some(completed)) => completed,
                Ok(None) => break,
                Err(refusal) => {
                    outcome = Err(refusal);
                    break;
                }
            };
            seen = true;
            // A completion of nothing in flight changes nothing and wakes nobody.
            if let Ok(cookie) = record.complete(claim, queue, completed.slot) {
                out.push(QueueCompletion {
                    cookie,
                    status: completed.status,
                    result: completed.result,
                    refusal: None,
                });
            }
        }
        if seen {
            broker.completions_taken(&mut io, number(queue));
        }
        // What was good before the contradiction is handed out first; the next call says why there is no more.
        if out.len() == before { outcome } else { Ok(()) }
    }

    /// Tells about a queue.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn queue_info(&self, claim: &Claim, queue: QueueId) -> Result<QueueInfo, Refusal> {
        self.of(claim)?.lock().record.queue_info(claim, queue)
    }

    /// Gives a queue up whose holder is gone: it takes nothing more. The device keeps it until the next reset.
    pub fn queue_close(&self, claim: &Claim, queue: QueueId) {
        let Ok(at) = self.of(claim) else { return };
        let mut guard = at.lock();
        let function = &mut *guard;
        let _ = function.record.stop_queue(claim, queue);
        if function.record.queue_info(claim, queue).is_ok() {
            self.note_queue(&at, claim, Kind::QueueClosed, queue);
            function.abandoned_queues.push(queue);
            close_abandoned(function, claim);
        }
    }
}

/// The dense number that a broker knows the queue by.
pub(crate) fn number(queue: QueueId) -> u16 {
    // The ledger has at most 4096 queues per function.
    queue.index() as u16
}

fn take_revoked<P: Platform>(
    function: &mut Function<P>,
    claim: &Claim,
    queue: QueueId,
    out: &mut ArrayVec<QueueCompletion, MAX_BATCH>,
    goal: usize,
) -> Result<(), Refusal> {
    let before = out.len();
    while out.len() < goal {
        // With its last cookie a queue that was made again is open, and has no more to give.
        let Ok(Some(cookie)) = function.record.next_revoked(claim, queue) else {
            break;
        };
        out.push(QueueCompletion {
            cookie,
            status: 0,
            result: 0,
            refusal: Some(Refusal::Revoked),
        });
    }
    // A queue that was made again is open from the last cookie on, and empty.
    let ended = function.record.queue_info(claim, queue)?.state == QueueState::Ended;
    if out.len() == before && goal > before && ended {
        Err(Refusal::Stale)
    } else {
        Ok(())
    }
}

/// Closes the queues whose holders are gone, where a reset has ended them.
pub(crate) fn close_abandoned<P: Platform>(function: &mut Function<P>, claim: &Claim) {
    let record = &mut function.record;
    function.abandoned_queues.retain(|queue| {
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
