//! Operations that take the device time: at most one per function, started once and polled on one-shot timers.

use audit_format::{Event, Kind as Noted};
use cpu::Guard;
use dma_ledger::{Claim, Phase, QueueId, QueueProof, QueueShape, ResetProof};
use driver_core::{Poll, QueueSpec, Step};
use pci_format::{Command, update_command};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::effects::Effects;
use crate::facts::about;
use crate::flr::{Flr, FlrPoll};
use crate::function::{Function, Job};
use crate::manager::At;
use crate::queue::{close_abandoned, number};
use crate::{DeviceManager, Done, Platform, Waiter};

/// How long an operation may take, whatever the broker says.
pub(crate) const DEADLINE_NS: u64 = 30_000_000_000;
/// How long a controller may take to read as stopped after its function was reset.
const AFTER_FLR_NS: u64 = 5_000_000_000;
/// Bytes in flight of one queue.
const QUEUE_BYTES: u64 = 1 << 30;
/// Segments in flight of one queue, for each command that it can have in flight; and at least so many in all.
const QUEUE_SEGMENTS: u32 = 4;
const MIN_QUEUE_SEGMENTS: u32 = 128;

/// An operation under way.
pub(crate) struct Operation<P: Platform> {
    kind: Kind,
    waiter: P::Waiter,
    deadline_ns: u64,
}

enum Kind {
    /// The broker stops the device.
    Reset {
        /// The function was reset before, so there is nothing stronger left.
        after_flr: bool,
    },
    /// The broker could not; the function is being reset.
    FunctionReset(Flr),
    /// The broker enables the device.
    Enable,
    /// The broker opens a queue.
    Open(QueueId),
    /// The broker makes the device let go of one queue.
    QueueReset(QueueId),
    /// The broker makes that queue again.
    Reopen(QueueId),
}

/// How an operation stands after a look.
enum Outcome {
    /// Look again after so many nanoseconds.
    Again(Kind, u64),
    /// Another stage begins, with so many nanoseconds to its deadline.
    Next(Kind, u64),
    Done(Done),
    Failed(Refusal),
}

impl<P: Platform> Operation<P> {
    /// Ends it because its claim ends.
    pub(crate) fn revoke(self, effects: &mut Effects<P>) {
        effects.answer(self.waiter, Err(Refusal::Revoked));
    }
}

impl<P: Platform> DeviceManager<P> {
    /// Stops the device and proves it: queues end, what is in flight ends `revoked`, interrupt routes end. Answers
    /// `Finished` once the ledger holds the receipt.
    ///
    /// Refused with those of the claim; `Busy` while another operation runs; `Quarantined` if no proof came in time,
    /// which ends the claim.
    pub fn reset(&self, claim: &Claim, waiter: P::Waiter) {
        self.start(claim, waiter, |at, function, effects| {
            function.record.begin_reset(claim)?;
            function.receipt = None;
            self.tell(at, Some(claim), Event::new(Noted::ResetBegun));
            if !sabotage!(RESET_FORGETS_ROUTES) {
                self.drop_routes(at, function, effects);
            }
            function.with_broker(&self.platform, |broker, io| broker.begin_reset(io))?;
            Ok(Kind::Reset { after_flr: false })
        });
    }

    /// Chooses sizes and features; the meaning of the words is the broker's.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` unless the device has stopped; `Busy` while an operation runs; what the broker says.
    pub fn configure(&self, claim: &Claim, request: [u64; 3]) -> Result<[u64; 3], Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let function = &mut *guard;
        match function.record.check(claim)? {
            Phase::Stopped | Phase::Configured => {}
            _ => return Err(Refusal::WrongState),
        }
        if !matches!(function.job, Job::Idle) {
            return Err(Refusal::Busy);
        }
        let agreed =
            function.with_broker(&self.platform, |broker, io| broker.configure(io, request))??;
        function.record.configured(claim)?;
        self.tell(&at, Some(claim), Event::new(Noted::Configured));
        Ok(agreed.0)
    }

    /// Spends the reset receipt on bus mastering and enables the device. Answers `Finished` when it is ready.
    ///
    /// Refused with those of the claim; `WrongState` before `configure`; `Busy`; `TimedOut`; what the broker says. After a
    /// refusal of the device only a reset goes on.
    pub fn enable(&self, claim: &Claim, waiter: P::Waiter) {
        self.start(claim, waiter, |at, function, _| {
            function.record.check(claim)?;
            let receipt = function.receipt.take().ok_or(Refusal::WrongState)?;
            if let Err((refusal, receipt)) = function.record.set_bus_master(claim, receipt) {
                function.receipt = Some(receipt);
                return Err(refusal);
            }
            self.set_bus_master(at, true);
            self.tell(at, Some(claim), Event::new(Noted::BusMasterOn));
            let begun = function.with_broker(&self.platform, |broker, io| broker.begin_enable(io));
            if let Err(refusal) = begun.and_then(|begun| begun) {
                self.set_bus_master(at, false);
                return Err(refusal);
            }
            Ok(Kind::Enable)
        });
    }

    /// Opens a queue at the device. Answers with the queue.
    ///
    /// Refused with those of the claim; `WrongState` unless the device is enabled; `OutOfRange` for a queue or a depth that
    /// the broker does not have, or a vector the function does not have; `Busy`; `OverBudget`, `NoMemory`; `TimedOut`.
    pub fn queue_open(&self, claim: &Claim, spec: QueueSpec, waiter: P::Waiter) {
        self.start(claim, waiter, |at, function, _| {
            if function.record.check(claim)? != Phase::Running {
                return Err(Refusal::WrongState);
            }
            let messages = at.hardware.messages().max(1);
            if spec.vector.is_some_and(|vector| vector >= messages) {
                return Err(Refusal::OutOfRange);
            }
            let limit = function.with_broker(&self.platform, |broker, _| {
                broker.queue_limit(spec.kind, spec.index)
            })?;
            if spec.depth == 0 || limit.is_none_or(|limit| spec.depth > limit) {
                return Err(Refusal::OutOfRange);
            }
            let queue = function.record.create_queue(claim, shape_of(spec))?;
            let begun = function.with_broker(&self.platform, |broker, io| {
                broker.begin_open(io, number(queue), spec)
            });
            if let Err(refusal) = begun.and_then(|begun| begun) {
                let _ = function.record.stop_queue(claim, queue);
                let _ = function.record.close_queue(claim, queue);
                return Err(refusal);
            }
            Ok(Kind::Open(queue))
        });
    }

    /// Tears one queue down and up again while the device runs on. What was in flight ends `revoked` once the device has
    /// proven that it let go of the queue; the queue takes commands again when those cookies were taken. Answers
    /// `Finished`.
    ///
    /// Refused with those of the claim; `WrongOwner`, `Stale` or `BadHandle` for the queue; `WrongState` unless it is open;
    /// `NotSupported` where the broker can prove nothing for this queue alone; `Busy`. After `TimedOut` or `DeviceError`
    /// the pages stay pinned and only a reset of the device goes on.
    pub fn queue_reset(&self, claim: &Claim, queue: QueueId, waiter: P::Waiter) {
        self.start(claim, waiter, |at, function, _| {
            function.record.may_reset_queue(claim, queue)?;
            function.with_broker(&self.platform, |broker, io| {
                broker.begin_queue_reset(io, number(queue))
            })??;
            function.record.begin_queue_reset(claim, queue)?;
            self.note_queue(at, claim, Noted::QueueReset, queue);
            Ok(Kind::QueueReset(queue))
        });
    }

    /// Starts an operation if none runs, and looks at it once.
    fn start(
        &self,
        claim: &Claim,
        waiter: P::Waiter,
        begin: impl FnOnce(&At<'_, P>, &mut Function<P>, &mut Effects<P>) -> Result<Kind, Refusal>,
    ) {
        let at = match self.of(claim) {
            Ok(at) => at,
            Err(refusal) => {
                waiter.answer(Err(refusal));
                return;
            }
        };
        let mut effects = Effects::new();
        let mut guard = at.lock();
        let begun = guard.record.check(claim).and_then(|_| match guard.job {
            Job::Idle => begin(&at, &mut guard, &mut effects),
            Job::Operation(_) | Job::Teardown(_) => Err(Refusal::Busy),
        });
        match begun {
            Ok(kind) => {
                let deadline_ns = self.platform.now_ns().saturating_add(DEADLINE_NS);
                guard.job = Job::Operation(Operation {
                    kind,
                    waiter,
                    deadline_ns,
                });
                self.poll_operation(&at, &mut guard, &mut effects);
            }
            Err(refusal) => {
                self.note_refused(&at, claim, refusal);
                effects.answer(waiter, Err(refusal));
            }
        }
        self.leave(&at, guard, effects);
    }

    /// Opens the lock, does what was left to do, and ends the claim of a device that did not stop.
    pub(crate) fn leave(&self, at: &At<'_, P>, guard: Guard<'_, Function<P>>, effects: Effects<P>) {
        let doomed = guard.doomed();
        drop(guard);
        effects.run(&self.platform, at.index());
        if let Some(claim) = doomed {
            // Whoever was first has begun it; then there is nothing left to do.
            let _ = self.end_claim(&claim, true);
        }
    }

    /// Looks at the operation under way.
    pub(crate) fn poll_operation(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
    ) {
        let now_ns = self.platform.now_ns();
        let Job::Operation(operation) = core::mem::replace(&mut function.job, Job::Idle) else {
            return;
        };
        let Operation {
            kind,
            waiter,
            deadline_ns,
        } = operation;
        let late = now_ns >= deadline_ns;
        let (kind, deadline_ns, after_ns) = match self.look(at, function, kind, now_ns, late) {
            Outcome::Done(done) => {
                return effects.answer(waiter, self.note_end(at, function.claim, Ok(done)));
            }
            Outcome::Failed(refusal) => {
                return effects.answer(waiter, self.note_end(at, function.claim, Err(refusal)));
            }
            Outcome::Again(kind, after_ns) => (kind, deadline_ns, after_ns),
            Outcome::Next(kind, left_ns) => (kind, now_ns.saturating_add(left_ns), 0),
        };
        function.job = Job::Operation(Operation {
            kind,
            waiter,
            deadline_ns,
        });
        effects.arm(now_ns, after_ns);
    }

    fn look(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        kind: Kind,
        now_ns: u64,
        late: bool,
    ) -> Outcome {
        match kind {
            Kind::Reset { after_flr } => self.look_reset(at, function, after_flr, now_ns, late),
            Kind::FunctionReset(flr) => self.look_flr(at, function, flr, now_ns),
            Kind::Enable => self.look_enable(at, function, late),
            Kind::Open(queue) => self.look_open(function, queue, late),
            Kind::QueueReset(queue) => self.look_queue_reset(at, function, queue, late),
            Kind::Reopen(queue) => self.look_reopen(function, queue, late),
        }
    }

    fn look_reset(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        after_flr: bool,
        now_ns: u64,
        late: bool,
    ) -> Outcome {
        let polled = function.with_broker(&self.platform, |broker, io| broker.poll_reset(io));
        match polled {
            Ok(Poll::Done(Step::Stopped(proof))) => {
                return match self.stopped(at, function, proof) {
                    Ok(()) => Outcome::Done(Done::Finished),
                    Err(_) => self.unstoppable(function),
                };
            }
            Ok(Poll::Pending { after_ns }) if !late => {
                return Outcome::Again(Kind::Reset { after_flr }, after_ns);
            }
            _ => {}
        }
        if after_flr {
            return self.unstoppable(function);
        }
        let flr = Flr::begin(at.hardware, &mut **self.config.lock(), now_ns);
        match flr {
            Some(flr) => Outcome::Next(Kind::FunctionReset(flr), DEADLINE_NS),
            None => self.unstoppable(function),
        }
    }

    fn look_flr(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        mut flr: Flr,
        now_ns: u64,
    ) -> Outcome {
        let polled = flr.poll(at.hardware, &mut **self.config.lock(), now_ns);
        match polled {
            FlrPoll::Pending { after_ns } => Outcome::Again(Kind::FunctionReset(flr), after_ns),
            FlrPoll::Failed => self.unstoppable(function),
            FlrPoll::Done => {
                self.prepare_signals(at, function);
                // The broker must see for itself that its device is in its first state.
                let begun =
                    function.with_broker(&self.platform, |broker, io| broker.begin_reset(io));
                match begun {
                    Ok(()) => Outcome::Next(Kind::Reset { after_flr: true }, AFTER_FLR_NS),
                    Err(_) => self.unstoppable(function),
                }
            }
        }
    }

    /// The device has proven that it stopped.
    fn stopped(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        proof: ResetProof,
    ) -> Result<(), Refusal> {
        let receipt = function.record.prove_reset(proof)?;
        if !self.set_bus_master(at, false) {
            return Err(Refusal::DeviceError);
        }
        let revoked = function.record.finish_reset(&receipt)?;
        function.receipt = Some(receipt);
        if let Some(claim) = function.claim {
            close_abandoned(function, &claim);
        }
        self.note_reset(at, function.claim, proof, u64::from(revoked));
        self.platform.fact(&|sink| {
            about(sink, "device.reset", at.bdf())
                .stable("proof", proof_name(proof))
                .volatile("revoked", revoked)
                .end()
        });
        Ok(())
    }

    /// Nothing shows that the device has stopped: the claim ends, and the teardown takes the stronger means.
    fn unstoppable(&self, function: &mut Function<P>) -> Outcome {
        function.unstoppable = true;
        Outcome::Failed(Refusal::Quarantined)
    }

    fn look_enable(&self, at: &At<'_, P>, function: &mut Function<P>, late: bool) -> Outcome {
        let polled = function.with_broker(&self.platform, |broker, io| broker.poll_enable(io));
        let refusal = match (polled, function.claim) {
            (Ok(Poll::Pending { after_ns }), _) if !late => {
                return Outcome::Again(Kind::Enable, after_ns);
            }
            (Ok(Poll::Done(Step::Ready)), Some(claim)) => match function.record.enabled(&claim) {
                Ok(()) => {
                    self.tell(at, Some(&claim), Event::new(Noted::Enabled));
                    self.platform
                        .fact(&|sink| about(sink, "device.enabled", at.bdf()).end());
                    return Outcome::Done(Done::Finished);
                }
                Err(refusal) => refusal,
            },
            (Ok(Poll::Pending { .. }), _) => Refusal::TimedOut,
            (Ok(Poll::Failed(refusal)), _) | (Err(refusal), _) => refusal,
            (Ok(Poll::Done(_)), _) => Refusal::DeviceError,
        };
        // Whatever state it is in, it shall not reach memory; only a reset goes on from here.
        self.set_bus_master(at, false);
        Outcome::Failed(refusal)
    }

    fn look_open(&self, function: &mut Function<P>, queue: QueueId, late: bool) -> Outcome {
        let polled = function.with_broker(&self.platform, |broker, io| {
            broker.poll_open(io, number(queue))
        });
        let refusal = match (polled, function.claim) {
            (Ok(Poll::Pending { after_ns }), _) if !late => {
                return Outcome::Again(Kind::Open(queue), after_ns);
            }
            (Ok(Poll::Done(Step::QueueOpen)), Some(claim)) => {
                match function.record.queue_opened(&claim, queue) {
                    Ok(()) => return Outcome::Done(Done::Queue(queue)),
                    Err(refusal) => refusal,
                }
            }
            (Ok(Poll::Pending { .. }), _) => Refusal::TimedOut,
            (Ok(Poll::Failed(refusal)), _) | (Err(refusal), _) => refusal,
            (Ok(Poll::Done(_)), _) => Refusal::DeviceError,
        };
        // Half of it may exist at the device, so its number stays taken until a reset.
        if let Some(claim) = function.claim {
            let _ = function.record.stop_queue(&claim, queue);
            function.abandoned_queues.push(queue);
        }
        Outcome::Failed(refusal)
    }

    fn look_queue_reset(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        queue: QueueId,
        late: bool,
    ) -> Outcome {
        let polled = function.with_broker(&self.platform, |broker, io| {
            broker.poll_queue_reset(io, number(queue))
        });
        let (proof, claim) = match (polled, function.claim) {
            (Ok(Poll::Pending { after_ns }), _) if !late => {
                return Outcome::Again(Kind::QueueReset(queue), after_ns);
            }
            (Ok(Poll::Done(Step::QueueStopped(proof))), Some(claim)) => (proof, claim),
            (Ok(Poll::Pending { .. }), _) => return Outcome::Failed(Refusal::TimedOut),
            (Ok(Poll::Failed(refusal)), _) | (Err(refusal), _) => return Outcome::Failed(refusal),
            (Ok(Poll::Done(_)), _) => return Outcome::Failed(Refusal::DeviceError),
        };
        let record = &mut function.record;
        let revoked = record
            .prove_queue_stopped(&claim, queue, proof)
            .and_then(|receipt| record.finish_queue_reset(receipt));
        let revoked = match revoked {
            Ok(revoked) => revoked,
            Err(refusal) => return Outcome::Failed(refusal),
        };
        self.platform.fact(&|sink| {
            about(sink, "device.queue-reset", at.bdf())
                .stable("proof", queue_proof_name(proof))
                .volatile("revoked", revoked)
                .end()
        });
        let begun = function.with_broker(&self.platform, |broker, io| {
            broker.begin_reopen(io, number(queue))
        });
        match begun.and_then(|begun| begun) {
            Ok(()) => Outcome::Next(Kind::Reopen(queue), DEADLINE_NS),
            Err(refusal) => Outcome::Failed(refusal),
        }
    }

    fn look_reopen(&self, function: &mut Function<P>, queue: QueueId, late: bool) -> Outcome {
        let polled = function.with_broker(&self.platform, |broker, io| {
            broker.poll_open(io, number(queue))
        });
        match (polled, function.claim) {
            (Ok(Poll::Pending { after_ns }), _) if !late => {
                Outcome::Again(Kind::Reopen(queue), after_ns)
            }
            (Ok(Poll::Done(Step::QueueOpen)), Some(claim)) => {
                let reopened = function.record.queue_reopened(&claim, queue);
                // Its holder may have gone meanwhile: then it shall take nothing.
                close_abandoned(function, &claim);
                reopened.map_or_else(Outcome::Failed, |()| Outcome::Done(Done::Finished))
            }
            (Ok(Poll::Pending { .. }), _) => Outcome::Failed(Refusal::TimedOut),
            (Ok(Poll::Failed(refusal)), _) | (Err(refusal), _) => Outcome::Failed(refusal),
            (Ok(Poll::Done(_)), _) => Outcome::Failed(Refusal::DeviceError),
        }
    }

    /// Turns bus mastering on or off at the function. Returns whether it reads back so.
    pub(crate) fn set_bus_master(&self, at: &At<'_, P>, on: bool) -> bool {
        if !on && sabotage!(KEEP_BUS_MASTER) {
            return true;
        }
        let (set, clear) = if on {
            (Command::BUS_MASTER, Command::empty())
        } else {
            (Command::empty(), Command::BUS_MASTER)
        };
        let mut config = self.config.lock();
        let now = update_command(&mut **config, at.bdf(), set, clear);
        now.contains(Command::BUS_MASTER) == on
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

/// The name of a proof in facts.
pub(crate) const fn proof_name(proof: ResetProof) -> &'static str {
    match proof {
        ResetProof::CstsRdyZero => "csts-rdy-zero",
        ResetProof::VirtioStatusZero => "virtio-status-zero",
        ResetProof::FlrCompleted => "flr-completed",
        ResetProof::EngineIdle => "engine-idle",
        ResetProof::ResetBitClear => "reset-bit-clear",
    }
}
