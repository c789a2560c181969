//! Operations that the device needs time for: at most one per function, started once and polled on one-shot timers.

use audit_format::{Event, Kind as Noted};
use dma_ledger::{
    Claim, FunctionState, Phase, QueueId, QueueProof, QueueShape, ResetProof, ResetReceipt,
};
use driver_core::{Operation as Begin, Poll, QueueSpec, Settings, Step};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::effects::Answer;
use crate::facts::about;
use crate::flr::{Flr, FlrPoll};
use crate::job::{Act, Asked, Job, Operation, Stage};
use crate::stop::{DEADLINE_NS, Switch, proof_name};
use crate::turn::Turn;
use crate::{DeviceManager, Platform, Waiter};

/// How long a controller may take to read as stopped after its function was reset.
const AFTER_FLR_NS: u64 = 5_000_000_000;
/// Bytes in flight of one queue.
const QUEUE_BYTES: u64 = 1 << 30;
/// Segments in flight of one queue, for each command that it can have in flight; and at least so many in all.
const QUEUE_SEGMENTS: u32 = 4;
const MIN_QUEUE_SEGMENTS: u32 = 128;

/// How an operation that gives a `T` stands after a look; `S` is its stage.
enum Outcome<S, T> {
    /// Look again after so many nanoseconds.
    Again(S, u64),
    /// Another stage begins, with so many nanoseconds to its deadline.
    Next(S, u64),
    Done(T),
    Failed(Refusal),
}

/// What is left of an outcome once it is known to whom the operation is answered.
enum Left<P: Platform> {
    /// When to look again, and whether another stage has begun, with so many nanoseconds to its deadline.
    Goes(Asked<P>, u64, Option<u64>),
    Ends(Answer<P>, Result<(), Refusal>),
}

impl<S, T> Outcome<S, T> {
    fn of<P: Platform, W>(
        self,
        waiter: W,
        asked: fn(S, W) -> Asked<P>,
        answer: fn(W, Result<T, Refusal>) -> Answer<P>,
    ) -> Left<P> {
        match self {
            Self::Again(stage, after_ns) => Left::Goes(asked(stage, waiter), after_ns, None),
            Self::Next(stage, left_ns) => Left::Goes(asked(stage, waiter), 0, Some(left_ns)),
            Self::Done(done) => Left::Ends(answer(waiter, Ok(done)), Ok(())),
            Self::Failed(refusal) => Left::Ends(answer(waiter, Err(refusal)), Err(refusal)),
        }
    }
}

/// The time of a look.
#[derive(Clone, Copy)]
struct Now {
    ns: u64,
    /// The operation's deadline is over.
    is_late: bool,
}

/// Why a look found no end.
enum Unfinished {
    /// Look again after so many nanoseconds.
    Again(u64),
    Failed(Refusal),
}

impl<P: Platform> DeviceManager<P> {
    /// Stops the device and proves it: queues end, what is in flight ends `revoked`, interrupt routes end. Answers
    /// `Finished` once the ledger holds the receipt.
    ///
    /// Refused with those of the claim; `Busy` while another operation runs; `Quarantined` if no proof came in time,
    /// which ends the claim.
    pub fn reset(&self, claim: &Claim, waiter: P::Acting) {
        // Many of them go bit by bit, where nothing refuses the reset.
        while self.turn(claim).is_ok_and(|mut turn| {
            turn.may_begin(claim).is_ok()
                && !sabotage!(RESET_FORGETS_ROUTES)
                && turn.drop_some_routes()
        }) {
            self.machine.platform.look();
        }
        self.act(claim, waiter, |turn| {
            turn.function.record.begin_reset(claim)?;
            turn.function.held()?.receipt = None;
            turn.at.tell(Some(claim), Event::new(Noted::ResetBegun));
            if !sabotage!(RESET_FORGETS_ROUTES) {
                turn.drop_routes();
            }
            turn.begin_stop()?;
            Ok(Act::Reset { after_flr: false })
        });
    }

    /// Chooses sizes and features; what was agreed on takes the place of what was asked for.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` unless the device has stopped; `Busy` while an operation runs; what the broker says.
    pub fn configure(&self, claim: &Claim, settings: Settings<'_>) -> Result<(), Refusal> {
        let mut turn = self.turn(claim)?;
        match turn.function.record.check(claim)? {
            Phase::Stopped | Phase::Configured => {}
            _ => return Err(Refusal::WrongState),
        }
        if !matches!(turn.function.held()?.job, Job::Idle) {
            return Err(Refusal::Busy);
        }
        turn.with_broker(|broker, io| broker.configure(io, settings))??;
        turn.function.record.configured(claim)?;
        turn.at.tell(Some(claim), Event::new(Noted::Configured));
        Ok(())
    }

    /// Spends the reset receipt on bus mastering and enables the device. Answers `Finished` when it is ready.
    ///
    /// Refused with those of the claim; `WrongState` before `configure`; `Busy`; `TimedOut`; what the broker says. After a
    /// refusal of the device only a reset goes on.
    pub fn enable(&self, claim: &Claim, waiter: P::Acting) {
        self.act(claim, waiter, |turn| {
            turn.function.record.check(claim)?;
            let receipt = turn.function.held()?.receipt.take();
            let receipt = receipt.ok_or(Refusal::WrongState)?;
            let set = turn.function.record.set_bus_master(claim, receipt);
            if let Err((refusal, receipt)) = set {
                turn.function.held()?.receipt = Some(receipt);
                return Err(refusal);
            }
            if !turn.set_bus_master(Switch::On) {
                turn.set_bus_master(Switch::Off);
                return Err(Refusal::DeviceError);
            }
            turn.at.tell(Some(claim), Event::new(Noted::BusMasterOn));
            if let Err(refusal) = turn.begin(Begin::Enable) {
                turn.set_bus_master(Switch::Off);
                return Err(refusal);
            }
            Ok(Act::Enable)
        });
    }

    /// Opens a queue at the device. Answers with the queue.
    ///
    /// Refused with those of the claim; `WrongState` unless the device is enabled; `OutOfRange` for a queue or a depth that
    /// the broker does not have, or a vector the function does not have; `Busy`; `OverBudget`, `NoMemory`; `TimedOut`.
    pub fn queue_open(&self, claim: &Claim, spec: QueueSpec, waiter: P::Opening) {
        let prepared = self.prepare(claim, spec);
        self.start(claim, waiter, Asked::Open, Answer::Open, |turn| {
            prepared?;
            turn.may_open(claim, spec)?;
            let queue = turn.function.record.create_queue(claim, shape_of(spec))?;
            if let Err(refusal) = turn.begin(Begin::Open(spec)) {
                let _ = turn.function.record.stop_queue(claim, queue);
                let _ = turn.function.record.close_queue(claim, queue);
                return Err(refusal);
            }
            turn.function.held()?.queues.put(queue, spec.place());
            Ok(queue)
        });
    }

    /// Has the broker take what the queue needs, a bounded part in each turn. Whoever asks pays for it.
    fn prepare(&self, claim: &Claim, spec: QueueSpec) -> Result<(), Refusal> {
        loop {
            let mut turn = self.turn(claim)?;
            turn.may_begin(claim)?;
            turn.may_open(claim, spec)?;
            if turn.with_broker(|broker, io| broker.prepare(io, spec))?? {
                return Ok(());
            }
            turn.leave();
            self.machine.platform.look();
        }
    }

    /// Tears one queue down and up again while the device runs on. What was in flight ends `revoked` once the device has
    /// proven that it let go of the queue; the queue takes commands again when those cookies were taken. Answers
    /// `Finished`.
    ///
    /// Refused with those of the claim; `WrongOwner`, `Stale` or `BadHandle` for the queue; `WrongState` unless it is open;
    /// `NotSupported` where the broker can prove nothing for this queue alone; `Busy`. After `TimedOut` or `DeviceError`
    /// the pages stay pinned and only a reset of the device goes on.
    pub fn queue_reset(&self, claim: &Claim, queue: QueueId, waiter: P::Acting) {
        self.act(claim, waiter, |turn| {
            turn.function.record.may_reset_queue(claim, queue)?;
            let place = turn.function.held()?.queues.place(queue)?;
            turn.begin(Begin::Stop(place))?;
            turn.function.record.begin_queue_reset(claim, queue)?;
            turn.at.note_queue(claim, Noted::QueueReset, queue);
            Ok(Act::QueueReset(queue))
        });
    }

    /// Starts what is answered with nothing.
    fn act(
        &self,
        claim: &Claim,
        waiter: P::Acting,
        begin: impl FnOnce(&mut Turn<'_, P>) -> Result<Act, Refusal>,
    ) {
        self.start(claim, waiter, Asked::Act, Answer::Act, begin);
    }

    /// Starts an operation if none runs, and looks at it once.
    pub(crate) fn start<S, T, W: Waiter<T>>(
        &self,
        claim: &Claim,
        waiter: W,
        asked: fn(S, W) -> Asked<P>,
        answer: fn(W, Result<T, Refusal>) -> Answer<P>,
        begin: impl FnOnce(&mut Turn<'_, P>) -> Result<S, Refusal>,
    ) {
        let mut turn = match self.turn(claim) {
            Ok(turn) => turn,
            Err(refusal) => {
                waiter.answer(Err(refusal));
                return;
            }
        };
        let begun = turn.may_begin(claim).and_then(|()| begin(&mut turn));
        let held = turn.function.held.as_mut();
        match begun.and_then(|stage| held.ok_or(Refusal::WrongState).map(|held| (stage, held))) {
            Ok((stage, held)) => {
                let deadline_ns = self.machine.platform.now_ns().saturating_add(DEADLINE_NS);
                held.job = Job::Operation(Operation {
                    asked: asked(stage, waiter),
                    deadline_ns,
                });
                turn.poll_operation();
            }
            Err(refusal) => {
                turn.at.note_refused(claim, refusal);
                turn.effects.answer(answer(waiter, Err(refusal)));
            }
        }
        turn.leave_operation();
    }

    /// Looks at what is under way at a function: its timer has fired.
    pub fn poll(&self, function: u32) {
        let Some(at) = self.at_index(function) else {
            return;
        };
        if !at.unmap_some() {
            return;
        }
        let mut turn = at.turn();
        let mut was_ending = false;
        match turn.function.held.as_ref().map(|held| &held.job) {
            None | Some(Job::Idle | Job::Teardown(Stage::Stuck)) => turn.tell_unsaid(),
            Some(Job::Operation(_)) => turn.poll_operation(),
            Some(Job::Teardown(_)) => {
                was_ending = true;
                turn.poll_teardown();
            }
        }
        let ending = matches!(turn.function.record.state(), FunctionState::Revoking(_));
        // The last step of an end has served them, or armed the timer for it.
        if turn.function.is_wanted() && !ending && !was_ending {
            turn.serve_claimants();
        }
        turn.leave_operation();
    }
}

impl<P: Platform> Turn<'_, P> {
    /// Whether an operation of the claim may begin.
    fn may_begin(&mut self, claim: &Claim) -> Result<(), Refusal> {
        self.function.record.check(claim)?;
        match self.function.held()?.job {
            Job::Idle => Ok(()),
            Job::Operation(_) | Job::Teardown(_) => Err(Refusal::Busy),
        }
    }

    /// Gives the turn back, and ends the claim of a device that did not stop.
    fn leave_operation(self) {
        let at = self.at;
        let doomed = self.function.held.as_ref();
        let doomed = doomed.and_then(|held| held.doomed());
        self.leave();
        if let Some(claim) = doomed {
            // Whoever was first has begun it; then there is nothing left to do.
            let begun = at.begin_end(&claim);
            // What is little is done at once: whoever hears that the device did not stop finds it quarantined.
            if begun.is_ok() && at.unmap_some() {
                let mut turn = at.turn();
                turn.poll_teardown();
                turn.leave();
            }
        }
    }

    /// Looks at the operation under way.
    fn poll_operation(&mut self) {
        let now_ns = self.at.machine.platform.now_ns();
        let Some(held) = &mut self.function.held else {
            return;
        };
        let claim = held.claim;
        let job = core::mem::replace(&mut held.job, Job::Idle);
        let Job::Operation(operation) = job else {
            held.job = job;
            return;
        };
        let Operation { asked, deadline_ns } = operation;
        let now = Now {
            ns: now_ns,
            is_late: now_ns >= deadline_ns,
        };
        let left = match asked {
            Asked::Act(act, waiter) => {
                let outcome = self.look_act(&claim, act, now);
                outcome.of(waiter, Asked::Act, Answer::Act)
            }
            Asked::Open(queue, waiter) => {
                let outcome = self.look_open(&claim, queue, now);
                outcome.of(waiter, Asked::Open, Answer::Open)
            }
        };
        match left {
            Left::Goes(asked, after_ns, left_ns) => {
                let next_ns = left_ns.map(|left_ns| now_ns.saturating_add(left_ns));
                if let Some(held) = &mut self.function.held {
                    held.job = Job::Operation(Operation {
                        asked,
                        deadline_ns: next_ns.unwrap_or(deadline_ns),
                    });
                }
                self.effects.arm(now_ns, after_ns);
            }
            Left::Ends(answer, outcome) => {
                if let Err(refusal) = outcome {
                    self.at.note_failed(&claim, refusal);
                }
                self.effects.answer(answer);
                self.see_to_unsaid();
            }
        }
    }

    /// What the broker says of the operation under way.
    fn look_broker(&mut self, now: Now) -> Result<Step, Unfinished> {
        match self.with_broker(|broker, io| broker.poll(io)) {
            Ok(Poll::Pending { after_ns }) if !now.is_late => Err(Unfinished::Again(after_ns)),
            Ok(Poll::Pending { .. }) => Err(Unfinished::Failed(Refusal::TimedOut)),
            Ok(Poll::Done(step)) => Ok(step),
            Ok(Poll::Failed(refusal)) | Err(refusal) => Err(Unfinished::Failed(refusal)),
        }
    }

    fn look_open(&mut self, claim: &Claim, queue: QueueId, now: Now) -> Outcome<QueueId, QueueId> {
        let opened = match self.look_broker(now) {
            Err(Unfinished::Again(after_ns)) => return Outcome::Again(queue, after_ns),
            Err(Unfinished::Failed(refusal)) => Err(refusal),
            Ok(Step::QueueOpen) => self.function.record.queue_opened(claim, queue),
            Ok(_) => Err(Refusal::DeviceError),
        };
        match opened {
            Ok(()) => {
                let info = self.function.record.queue_info(claim, queue);
                let direct = info.is_ok_and(|info| info.direct);
                self.at.note_opened(claim, queue, direct.into());
                Outcome::Done(queue)
            }
            Err(refusal) => {
                // Half of it may exist at the device, so its number stays taken until a reset.
                let _ = self.function.record.stop_queue(claim, queue);
                if let Some(held) = &mut self.function.held {
                    held.queues.abandon(queue);
                }
                Outcome::Failed(refusal)
            }
        }
    }

    fn look_act(&mut self, claim: &Claim, act: Act, now: Now) -> Outcome<Act, ()> {
        let act = match act {
            Act::FunctionReset(flr) => return self.look_flr(flr, now.ns),
            Act::Releasing(receipt, proof) => return self.release_some_of(claim, receipt, proof),
            act => act,
        };
        let ended = match self.look_broker(now) {
            Err(Unfinished::Again(after_ns)) => return Outcome::Again(act, after_ns),
            Err(Unfinished::Failed(refusal)) => Err(refusal),
            Ok(step) => Ok(step),
        };
        match (act, ended) {
            (Act::Reset { .. }, Ok(Step::Stopped(proof))) => {
                let stopped = self.stopped(claim, proof);
                stopped.unwrap_or_else(|_| self.unstoppable())
            }
            (Act::Enable, Ok(Step::Ready)) => self.enabled(claim),
            (Act::QueueReset(queue), Ok(Step::QueueStopped(proof))) => {
                let stopped = self.queue_stopped(claim, queue, proof);
                stopped.unwrap_or_else(Outcome::Failed)
            }
            (Act::Reopen(queue), Ok(Step::QueueOpen)) => {
                let reopened = self.function.record.queue_reopened(claim, queue);
                // Its holder may have gone meanwhile: then it must take nothing.
                self.close_ended(claim);
                reopened.map_or_else(Outcome::Failed, Outcome::Done)
            }
            (act, ended) => {
                let refusal = ended.err().unwrap_or(Refusal::DeviceError);
                self.failed(act, refusal, now.ns)
            }
        }
    }

    /// The broker's part of an operation came to nothing.
    fn failed(&mut self, act: Act, refusal: Refusal, now_ns: u64) -> Outcome<Act, ()> {
        match act {
            Act::Reset { after_flr: false } => {
                let mut config = self.at.machine.config.lock();
                let flr = Flr::begin(self.at.hardware, &mut **config, now_ns);
                drop(config);
                return match flr {
                    Some(flr) => Outcome::Next(Act::FunctionReset(flr), DEADLINE_NS),
                    None => self.unstoppable(),
                };
            }
            Act::Reset { after_flr: true } | Act::FunctionReset(_) | Act::Releasing(..) => {
                return self.unstoppable();
            }
            // Whatever state it is in, it must not reach memory; only a reset goes on from here.
            Act::Enable => {
                self.set_bus_master(Switch::Off);
            }
            Act::QueueReset(_) | Act::Reopen(_) => {}
        }
        Outcome::Failed(refusal)
    }

    fn look_flr(&mut self, mut flr: Flr, now_ns: u64) -> Outcome<Act, ()> {
        let polled = flr.poll(
            self.at.hardware,
            &mut **self.at.machine.config.lock(),
            now_ns,
        );
        match polled {
            FlrPoll::Pending { after_ns } => Outcome::Again(Act::FunctionReset(flr), after_ns),
            FlrPoll::Failed => self.unstoppable(),
            FlrPoll::Done => {
                self.prepare_signals();
                // The broker must see for itself that its device is in its first state.
                match self.begin_stop() {
                    Ok(()) => Outcome::Next(Act::Reset { after_flr: true }, AFTER_FLR_NS),
                    Err(_) => self.unstoppable(),
                }
            }
        }
    }

    fn enabled(&mut self, claim: &Claim) -> Outcome<Act, ()> {
        if let Err(refusal) = self.function.record.enabled(claim) {
            self.set_bus_master(Switch::Off);
            return Outcome::Failed(refusal);
        }
        self.at.tell(Some(claim), Event::new(Noted::Enabled));
        let bdf = self.at.bdf();
        self.say(&|sink| about(sink, "device.enabled", bdf).end());
        Outcome::Done(())
    }

    /// The device has let go of one queue, which is made again.
    fn queue_stopped(
        &mut self,
        claim: &Claim,
        queue: QueueId,
        proof: QueueProof,
    ) -> Result<Outcome<Act, ()>, Refusal> {
        let record = &mut self.function.record;
        let receipt = record.prove_queue_stopped(claim, queue, proof)?;
        let revoked = record.finish_queue_reset(receipt)?;
        let bdf = self.at.bdf();
        self.say(&|sink| {
            about(sink, "device.queue-reset", bdf)
                .stable("proof", queue_proof_name(proof))
                .volatile("revoked", revoked)
                .end()
        });
        let place = self.function.held()?.queues.place(queue)?;
        self.begin(Begin::Reopen(place))?;
        Ok(Outcome::Next(Act::Reopen(queue), DEADLINE_NS))
    }

    /// The device has proven that it stopped.
    fn stopped(&mut self, claim: &Claim, proof: ResetProof) -> Result<Outcome<Act, ()>, Refusal> {
        let receipt = self.function.record.prove_reset(proof)?;
        if !self.set_bus_master(Switch::Off) {
            return Err(Refusal::DeviceError);
        }
        Ok(self.release_some_of(claim, receipt, proof))
    }

    /// Releases a bounded number of the pages that the device could see; after the last the reset is over.
    fn release_some_of(
        &mut self,
        claim: &Claim,
        receipt: ResetReceipt,
        proof: ResetProof,
    ) -> Outcome<Act, ()> {
        match self.function.record.release_some(&receipt) {
            Ok(false) => Outcome::Next(Act::Releasing(receipt, proof), DEADLINE_NS),
            Ok(true) => match self.released(claim, receipt, proof) {
                Ok(()) => Outcome::Done(()),
                Err(_) => self.unstoppable(),
            },
            Err(_) => self.unstoppable(),
        }
    }

    fn released(
        &mut self,
        claim: &Claim,
        receipt: ResetReceipt,
        proof: ResetProof,
    ) -> Result<(), Refusal> {
        let revoked = self.function.record.finish_reset(&receipt)?;
        self.function.held()?.receipt = Some(receipt);
        self.close_ended(claim);
        self.at.note_reset(Some(*claim), proof, u64::from(revoked));
        let bdf = self.at.bdf();
        self.say(&|sink| {
            about(sink, "device.reset", bdf)
                .stable("proof", proof_name(proof))
                .volatile("revoked", revoked)
                .end()
        });
        Ok(())
    }

    /// Nothing shows that the device has stopped: the claim ends, and the teardown takes the stronger means.
    fn unstoppable(&mut self) -> Outcome<Act, ()> {
        if let Some(held) = &mut self.function.held {
            held.unstoppable = true;
        }
        Outcome::Failed(Refusal::Quarantined)
    }
}

/// What the ledger keeps for a queue.
fn shape_of(spec: QueueSpec) -> QueueShape {
    QueueShape {
        depth: spec.depth,
        segments: (u32::from(spec.depth) * QUEUE_SEGMENTS).max(MIN_QUEUE_SEGMENTS),
        bytes: QUEUE_BYTES,
    }
}

/// The name of a queue's proof in facts.
const fn queue_proof_name(proof: QueueProof) -> &'static str {
    match proof {
        QueueProof::SubmissionQueueDeleted => "submission-queue-deleted",
        QueueProof::VirtqueueReset => "virtqueue-reset",
    }
}
