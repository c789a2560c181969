//! Commands and completions through the page that a queue's holder shares with the kernel.
//!
//! Invariant: what a kick costs is bounded by what it may take; every entry is read once and judged from what was read.
//! Nothing here allocates, formats, or takes more than the function's lock.

use device_ring::{Broken, Command, Completion, KernelEnd, Memory, Opcode};
use dma_ledger::{Binding, BoundSegment, BufferId, Claim, Gate, QueueId, QueueState, RingId};
use driver_core::{Broker, BrokerIo, CommandSlot, QueuePlace, Segment, Transfer};
use ring_abi::{Direction, Refusal};

use crate::crossed::Crossed;
use crate::turn::Turn;
use crate::{DeviceManager, FrameRun, Platform};

/// Commands and completions that one turn of the function's lock takes.
const STEP: u16 = 16;
/// Bytes that count as one command more: a broker visits each page of a transfer.
const STEP_BYTES: u32 = 64 << 10;
/// Commands that one kick takes, and completions that it gives.
const MOST: u16 = device_ring::ENTRIES as u16;

/// The kernel's end of a queue's ring.
pub struct Ring<M: Memory> {
    end: KernelEnd<M>,
    id: RingId,
    /// A command that was read when the queue had no place for it: it is the next.
    waiting: Option<Command>,
}

impl<M: Memory> Ring<M> {
    /// Which opening of the queue's ring this is.
    pub const fn id(&self) -> RingId {
        self.id
    }
}

/// What a kick may take and give, at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kick {
    /// Commands.
    pub submit: u16,
    /// Completions.
    pub complete: u16,
}

/// What a kick did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kicked {
    /// Commands that went to the device.
    pub accepted: u16,
    /// Commands that did not; each has a completion that says why.
    pub refused: u16,
    /// Completions of commands that had gone to the device.
    pub completed: u16,
    /// Why the next command was left for another kick.
    pub stopped: Option<Refusal>,
    /// The refusal of the first that was refused.
    pub first: Option<Refusal>,
}

/// How far a kick is.
struct Progress {
    left: Kick,
    kicked: Kicked,
    /// Commands were written that the device was not told of.
    unrung: bool,
}

impl<P: Platform> DeviceManager<P> {
    /// Opens the ring of a queue over a page that nobody has used yet.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` unless the device runs and the queue is open; `WrongOwner`, `Stale` or `BadHandle`
    /// for the queue; `Duplicate` while it has one; `NotSupported` where its holder writes its entries; `NoMemory`; `OutOfRange` for
    /// less than a page.
    pub fn ring_open<M: Memory + Clone>(
        &self,
        claim: &Claim,
        queue: QueueId,
        page: M,
    ) -> Result<Ring<M>, Refusal> {
        let end = KernelEnd::new(page).map_err(|_| Refusal::OutOfRange)?;
        let mut turn = self.turn(claim)?;
        let record = &mut turn.function.record;
        if record.queue_info(claim, queue)?.direct {
            return Err(Refusal::NotSupported);
        }
        let id = record.open_ring(claim, queue)?;
        Ok(Ring {
            end,
            id,
            waiting: None,
        })
    }

    /// Ends a ring, with its bindings. What is in flight completes to whoever asks for it.
    pub fn ring_close(&self, claim: &Claim, queue: QueueId, ring: RingId) {
        if let Ok(mut turn) = self.turn(claim) {
            // One that ended with its queue is closed.
            let _ = turn.function.record.close_ring(claim, queue, ring);
        }
    }

    /// Binds a buffer of the same claim to a free place of the ring.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` unless the device runs and the queue is open, and for a buffer that is being freed;
    /// `Stale` for a ring that has ended; `ForeignBuffer`, `Stale` or `BadHandle`; `OverBudget`, `Exhausted`.
    pub fn ring_bind(
        &self,
        claim: &Claim,
        queue: QueueId,
        ring: RingId,
        buffer: BufferId,
    ) -> Result<Binding, Refusal> {
        let mut turn = self.turn(claim)?;
        turn.function.record.bind(claim, queue, ring, buffer)
    }

    /// Ends a binding.
    ///
    /// # Errors
    /// Those of the claim; `Stale` for a ring or a binding that has ended; `OutOfRange`.
    pub fn ring_unbind(
        &self,
        claim: &Claim,
        queue: QueueId,
        ring: RingId,
        binding: Binding,
    ) -> Result<(), Refusal> {
        let mut turn = self.turn(claim)?;
        turn.function.record.unbind(claim, queue, ring, binding)
    }

    /// Gives the completions that there are and takes the commands that there are, at most so many of each, and rings the
    /// doorbell once. A command that is refused gets a completion that says why, and the next one is looked at; one that the
    /// queue has no place for stays the next.
    ///
    /// After a reset it gives the cookies of what was in flight, each with `revoked`.
    ///
    /// # Errors
    /// Those of [`Self::queue_complete`]; `Stale` for a ring that has ended and owes nothing more; `BadMessage` for counts
    /// in the page that cannot be. Where something was taken or given, that is told, and the next kick is refused.
    pub fn ring_kick<M: Memory>(
        &self,
        claim: &Claim,
        queue: QueueId,
        ring: &mut Ring<M>,
        most: Kick,
    ) -> Result<Kicked, Refusal> {
        let at = self.of(claim)?;
        let mut progress = Progress {
            left: Kick {
                submit: most.submit.min(MOST),
                complete: most.complete.min(MOST),
            },
            kicked: Kicked::default(),
            unrung: false,
        };
        let outcome = loop {
            // The turn is over before the look.
            let step = at.turn().kick_some(claim, queue, ring, &mut progress);
            match step {
                Ok(true) => self.machine.platform.look(),
                Ok(false) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
        };
        ring.end.show();
        let kicked = progress.kicked;
        match outcome {
            Err(refusal) if kicked.accepted + kicked.refused + kicked.completed == 0 => {
                Err(refusal)
            }
            _ => Ok(kicked),
        }
    }
}

impl<P: Platform> Turn<'_, P> {
    /// A bounded part of a kick. `true`: there is more to do.
    fn kick_some<M: Memory>(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        ring: &mut Ring<M>,
        progress: &mut Progress,
    ) -> Result<bool, Refusal> {
        let function = &mut *self.function;
        let gate = match function.record.gate(claim, queue, ring.id) {
            Ok(gate) => gate,
            Err(refusal) => return self.give_revoked(claim, queue, ring, progress, refusal),
        };
        let held = function.held.as_mut().ok_or(Refusal::WrongState)?;
        let place = held.queues.place(queue)?;
        let platform = &self.at.machine.platform;
        let (broker, mut io) = held.driven.drive::<P>(platform, &function.mapped, None)?;
        let looked = ring.end.look_for_room().map_err(broken);
        let mut step = Step {
            gate,
            broker,
            io: &mut io,
            place,
            room: looked.unwrap_or(0),
            left: STEP,
            good: false,
        };
        // Whatever the page says by now, the device is told of what was written before.
        let completed = looked.and_then(|_| step.complete(ring, progress));
        let submitted = completed.and_then(|()| step.submit(ring, progress));
        let more = submitted.is_ok()
            && step.left == 0
            && (progress.left.submit > 0 || progress.left.complete > 0);
        if !more && progress.unrung {
            driver_core::ring(step.broker, step.io, place);
        }
        if step.good
            && held.crossed != Crossed::Told
            && held.crossed.note(step.broker.frames(place))
        {
            self.tell_crossed();
        }
        submitted.map(|()| more)
    }

    /// What a queue that a reset has ended owes; `refusal` where it owes nothing.
    #[cold]
    fn give_revoked<M: Memory>(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        ring: &mut Ring<M>,
        progress: &mut Progress,
        refusal: Refusal,
    ) -> Result<bool, Refusal> {
        let record = &mut self.function.record;
        if record.queue_info(claim, queue)?.state != QueueState::Ended {
            return Err(refusal);
        }
        let mut room = ring.end.look_for_room().map_err(broken)?;
        let mut given = 0;
        while progress.left.complete > 0
            && room > 0
            && let Some(cookie) = record.next_revoked(claim, queue).ok().flatten()
        {
            let outcome = Err(Refusal::Revoked);
            let _ = ring.end.push(&Completion { cookie, outcome });
            room -= 1;
            given += 1;
            progress.left.complete -= 1;
        }
        progress.kicked.completed += given;
        let owed = record
            .queue_info(claim, queue)
            .map_or(0, |info| info.revoked);
        if given == 0 && owed == 0 {
            return Err(Refusal::Stale);
        }
        Ok(false)
    }
}

fn broken(_: Broken) -> Refusal {
    Refusal::BadMessage
}

/// What one turn works with.
struct Step<'t, F> {
    gate: Gate<'t, F>,
    broker: &'t mut dyn Broker,
    io: &'t mut dyn BrokerIo,
    place: QueuePlace,
    /// Places for completions.
    room: u32,
    /// Commands and completions that this turn may still take.
    left: u16,
    /// Whether something ended well.
    good: bool,
}

impl<F: FrameRun> Step<'_, F> {
    fn complete<M: Memory>(
        &mut self,
        ring: &mut Ring<M>,
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        let mut seen = false;
        let mut outcome = Ok(());
        while progress.left.complete > 0 && self.room > 0 && self.left > 0 {
            let completed = match self.broker.next_completion(self.io, self.place) {
                Ok(Some(completed)) => completed,
                Ok(None) => {
                    progress.left.complete = 0;
                    break;
                }
                Err(refusal) => {
                    outcome = Err(refusal);
                    break;
                }
            };
            seen = true;
            self.left -= 1;
            // A completion of nothing in flight changes nothing and wakes nobody.
            if let Ok(cookie) = self.gate.complete(completed.slot) {
                self.good |= completed.status == 0;
                let outcome = Ok((completed.status, completed.result));
                let _ = ring.end.push(&Completion { cookie, outcome });
                self.room -= 1;
                progress.left.complete -= 1;
                progress.kicked.completed += 1;
            }
        }
        if seen {
            self.broker.completions_taken(self.io, self.place);
        }
        outcome
    }

    fn submit<M: Memory>(
        &mut self,
        ring: &mut Ring<M>,
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        // A refused command needs a place for its completion.
        while progress.left.submit > 0 && self.room > 0 && self.left > 0 {
            let command = if ring.waiting.is_none() {
                let Some(command) = ring.end.take().map_err(broken)? else {
                    progress.left.submit = 0;
                    break;
                };
                command
            } else {
                ring.waiting.take().unwrap_or_default()
            };
            self.left = self.left.saturating_sub(weight(&command));
            match self.one(&command) {
                Ok(()) => {
                    progress.left.submit -= 1;
                    progress.kicked.accepted += 1;
                    progress.unrung = true;
                }
                Err(refusal @ (Refusal::QueueFull | Refusal::OverBudget))
                    if self.gate.in_flight() > 0 =>
                {
                    ring.waiting = Some(command);
                    progress.kicked.stopped = Some(refusal);
                    progress.left.submit = 0;
                }
                Err(refusal) => {
                    let cookie = command.cookie;
                    let outcome = Err(refusal);
                    let _ = ring.end.push(&Completion { cookie, outcome });
                    self.room -= 1;
                    progress.left.submit -= 1;
                    progress.kicked.refused += 1;
                    progress.kicked.first.get_or_insert(refusal);
                }
            }
        }
        Ok(())
    }

    /// Admits one command and has the broker write it. A refusal leaves no trace.
    #[inline]
    fn one(&mut self, command: &Command) -> Result<(), Refusal> {
        let opcode = Opcode::from_number(command.opcode).ok_or(Refusal::TemplateRefused)?;
        let data = match opcode.direction() {
            Some(direction) => Some((direction, bound(command))),
            None if command.is_bare() || (opcode.is_clear() && command.is_unbound()) => None,
            None => return Err(Refusal::TemplateRefused),
        };
        let (slot, frames) = self
            .gate
            .admit(command.cookie, data.map(|(_, segment)| segment))?;
        let segment = data.zip(frames).map(|(data, frames)| segment(data, frames));
        let transfer = Transfer {
            opcode,
            unit: command.unit,
            block: command.block,
            length: command.length,
            data: segment,
        };
        let written = self
            .broker
            .transfer(self.io, self.place, CommandSlot { slot }, &transfer);
        match written {
            Ok(()) => self.gate.issue(slot),
            Err(_) => self.gate.withdraw(slot),
        }
        written
    }
}

/// What a command takes of a turn, whatever its entry says: at most all of one.
const fn weight(command: &Command) -> u16 {
    // Blocks without data take no longer, however many there are.
    if command.is_unbound() {
        return 1;
    }
    let more = command.length / STEP_BYTES;
    if more < STEP as u32 {
        1 + more as u16
    } else {
        STEP
    }
}

const fn bound(command: &Command) -> BoundSegment {
    BoundSegment {
        binding: command.binding(),
        offset: command.offset,
        length: command.length,
    }
}

fn segment<F: FrameRun>((direction, bound): (Direction, BoundSegment), frames: &F) -> Segment<'_> {
    Segment {
        pages: frames.pages(),
        offset: bound.offset,
        length: bound.length,
        direction,
    }
}
