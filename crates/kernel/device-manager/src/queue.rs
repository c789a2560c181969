//! Submitting and completing commands. Nothing here allocates, formats, or takes more than the function's lock.

use arrayvec::ArrayVec;
use audit_format::Kind;
use dma_ledger::{Claim, QueueId, QueueInfo, QueueState, SegmentRequest};
use driver_core::{CommandSlot, Segment};
use ring_abi::Refusal;

use crate::crossed::Crossed;
use crate::facts::about;
use crate::function::Function;
use crate::turn::{At, Turn};
use crate::{DeviceManager, FrameRun, Platform, Saying};

/// Commands of one batch, and completions of one.
pub const MAX_BATCH: usize = 64;
/// Commands that are taken from one look to the next.
const COMMANDS_PER_LOOK: u16 = 8;
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
        at.turn().function.record.admit_ring(claim, queue)?;
        let mut outcome = Ok(());
        for command in commands {
            outcome = if usize::from(*accepted) == MAX_BATCH {
                Err(Refusal::OutOfRange)
            } else {
                command.and_then(|command| submit_one(at, claim, queue, command))
            };
            if outcome.is_err() {
                break;
            }
            *accepted += 1;
            if accepted.is_multiple_of(COMMANDS_PER_LOOK) {
                self.machine.platform.look();
            }
        }
        if *accepted != 0 {
            let mut turn = at.turn();
            // A reset that came in between takes the commands with it: they end `revoked`, and nothing is rung.
            if turn.function.record.admit_ring(claim, queue).is_ok()
                && let Ok(place) = turn.function.held()?.queues.place(queue)
            {
                let _ = turn.with_broker(|broker, io| driver_core::ring(broker, io, place));
            }
        }
        outcome
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
        let mut turn = self.turn(claim)?;
        let room = out.remaining_capacity().min(usize::from(max));
        let goal = out.len() + room;
        match turn.function.record.queue_info(claim, queue)?.state {
            QueueState::Ended => take_revoked(&mut turn.function, claim, queue, out, goal),
            QueueState::Opening | QueueState::Resetting => Err(Refusal::WrongState),
            QueueState::Open | QueueState::Stopped => turn.take_completed(claim, queue, out, goal),
        }
    }

    /// Describes a queue.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn queue_info(&self, claim: &Claim, queue: QueueId) -> Result<QueueInfo, Refusal> {
        let turn = self.turn(claim)?;
        turn.function.record.queue_info(claim, queue)
    }

    /// Gives a queue up whose holder is gone: it takes nothing more. The device keeps it until the next reset.
    pub fn queue_close(&self, claim: &Claim, queue: QueueId) {
        let Ok(mut turn) = self.turn(claim) else {
            return;
        };
        let _ = turn.function.record.stop_queue(claim, queue);
        if turn.function.record.queue_info(claim, queue).is_ok() {
            turn.at.note_queue(claim, Kind::QueueClosed, queue);
            if let Ok(held) = turn.function.held() {
                held.queues.abandon(queue);
            }
            turn.close_ended(claim);
        }
    }
}

fn submit_one<P: Platform, S>(
    at: At<'_, P>,
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
    let mut turn = at.turn();
    let record = &mut turn.function.record;
    let admitted = record.admit(claim, queue, command.cookie, &requests)?;
    let slot = CommandSlot {
        slot: admitted.command().slot,
    };
    let written = turn.write(queue, slot, command.template, &requests);
    match written {
        Ok(()) => turn.function.record.issue(admitted).map(drop),
        Err(refusal) => {
            turn.function.record.withdraw(admitted);
            Err(refusal)
        }
    }
}

impl<P: Platform> Turn<'_, P> {
    /// Lets the broker write an admitted command.
    fn write(
        &mut self,
        queue: QueueId,
        slot: CommandSlot,
        template: &[u8],
        requests: &[SegmentRequest],
    ) -> Result<(), Refusal> {
        let function = &mut *self.function;
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
        let held = function.held.as_mut().ok_or(Refusal::WrongState)?;
        let place = held.queues.place(queue)?;
        let platform = &self.at.machine.platform;
        let (broker, mut io) = held.driven.drive(platform, &function.mapped, None)?;
        broker.submit(&mut io, place, slot, template, &segments)
    }

    /// States that frames went both ways.
    #[cold]
    pub(crate) fn tell_crossed(&mut self) {
        if self.may_say() == Saying::Nothing {
            return;
        }
        let broker = self.function.held.as_ref();
        let broker = broker.and_then(|held| held.driven.broker());
        let registers = match broker.is_some_and(|broker| broker.access().ports.is_some()) {
            true => "ports",
            false => "memory",
        };
        let driver = self.at.hardware.driver.map_or("?", |driver| driver.name);
        self.at.machine.platform.evidence(&|sink| {
            about(sink, "provider-nic-bound", self.at.bdf())
                .stable("id", format_args!("{}", self.at.hardware.info.id))
                .stable("driver", driver)
                .stable("registers", registers)
                .volatile(
                    "owner",
                    self.function.claim().map_or(0, |claim| claim.owner().0),
                )
                .end()
        });
    }

    fn take_completed(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        out: &mut ArrayVec<QueueCompletion, MAX_BATCH>,
        goal: usize,
    ) -> Result<(), Refusal> {
        let function = &mut *self.function;
        if function.record.check(claim)? != dma_ledger::Phase::Running {
            return Err(Refusal::WrongState);
        }
        let before = out.len();
        let record = &mut function.record;
        let held = function.held.as_mut().ok_or(Refusal::WrongState)?;
        let place = held.queues.place(queue)?;
        let platform = &self.at.machine.platform;
        let (broker, mut io) = held.driven.drive::<P>(platform, &function.mapped, None)?;
        let (mut seen, mut good) = (false, false);
        let mut outcome = Ok(());
        while out.len() < goal {
            let completed = match broker.next_completion(&mut io, place) {
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
                good |= completed.status == 0;
                out.push(QueueCompletion {
                    cookie,
                    status: completed.status,
                    result: completed.result,
                    refusal: None,
                });
            }
        }
        if seen {
            broker.completions_taken(&mut io, place);
        }
        if good && held.crossed != Crossed::Told && held.crossed.note(broker.frames(place)) {
            self.tell_crossed();
        }
        // What was good before the contradiction is handed out first; the next call says why there is no more.
        if out.len() == before { outcome } else { Ok(()) }
    }
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
