//! The transaction that ends a claim, in the order that the ledger's tokens prescribe.

use audit_format::{Event, Kind};
use dma_ledger::{
    BusMasterCleared, Claim, DeviceReset, DrainProof, MayFail, QueuesQuiesced, ResetProof,
    SubmissionsStopped, Teardown,
};
use driver_core::{Poll, Step};
use ring_abi::Refusal;

use crate::control::{DEADLINE_NS, proof_name};
use crate::dma::{Held, Revoked};
use crate::effects::Effects;
use crate::facts::about;
use crate::flr::{Flr, FlrPoll};
use crate::function::{Function, Job};
use crate::manager::At;
use crate::{DeviceManager, Platform};

/// How long transactions may stay pending once bus mastering is off.
const DRAIN_NS: u64 = 2_000_000_000;
const POLL_NS: u64 = 100_000;
/// Pages that are wiped before others get the CPU.
const SCRUB_PAGES: usize = 1024;

/// Where the teardown stands between two looks.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Objects are being revoked with the lock open, here or by an operation that had begun before.
    Unmapping(Option<Teardown<SubmissionsStopped>>),
    /// The broker stops the device.
    Resetting {
        token: Teardown<QueuesQuiesced>,
        deadline_ns: u64,
    },
    /// The broker could not: the function is being reset.
    FunctionReset {
        token: Teardown<QueuesQuiesced>,
        flr: Flr,
    },
    /// Bus mastering goes off, and what is under way ends.
    Draining {
        token: Teardown<DeviceReset>,
        deadline_ns: u64,
    },
    /// Pages are wiped.
    Scrubbing(Teardown<BusMasterCleared>),
    /// A step that cannot fail was refused. The function stays as it is, and nothing of it is ever freed.
    Stuck,
}

impl<P: Platform> DeviceManager<P> {
    /// Ends a claim: its holder dropped it, died or lost it. When it returns, every operation of the claim is refused and
    /// no process maps a page of the device; the rest goes on on the function's timer.
    ///
    /// # Errors
    /// Those of the claim: `Stale`, `WrongOwner`; `Revoked` if the teardown runs already; `Quarantined`.
    pub fn release(&self, claim: &Claim) -> Result<(), Refusal> {
        self.end_claim(claim, false)
    }

    /// As [`Self::release`]; `hopeless` if the broker's reset was tried just now and gave no proof.
    pub(crate) fn end_claim(&self, claim: &Claim, hopeless: bool) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut effects = Effects::new();
        let held: Held<P> = {
            let mut guard = at.lock();
            let function = &mut *guard;
            let token = function.record.begin_teardown(claim)?;
            function.unstoppable = hopeless;
            let ending = Event::new(Kind::ClaimEnding).detail(hopeless.into());
            self.tell(&at, Some(claim), ending);
            function.receipt = None;
            let job = core::mem::replace(&mut function.job, Job::Teardown(Stage::Stuck));
            if let Job::Operation(operation) = job {
                operation.revoke(&mut effects);
            }
            self.step_fact(&at, "begun");
            // The record refuses every operation of the claim from here on: the handles are dead.
            let Ok(token) = function.record.handles_revoked(token) else {
                return self.stuck(&at, function, effects);
            };
            self.step_fact(&at, "handles-revoked");
            let Ok(token) = function.record.stop_submissions(token) else {
                return self.stuck(&at, function, effects);
            };
            self.step_fact(&at, "submissions-stopped");
            function.job = Job::Teardown(Stage::Unmapping(Some(token)));
            take_mappings(function)
        };
        effects.run(&self.platform, at.index());

        let proof = Revoked::of(held.iter().map(|(_, mapping)| mapping.clone()));
        let mut effects = Effects::new();
        let mut guard = at.lock();
        for (id, _) in &held {
            let _ = guard.record.release_mapping(*id);
        }
        self.unmapped(&at, &mut guard, &mut effects, proof);
        drop(guard);
        effects.run(&self.platform, at.index());
        Ok(())
    }

    fn stuck(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: Effects<P>,
    ) -> Result<(), Refusal> {
        self.stop_here(at, function);
        drop(effects);
        Err(Refusal::Failed)
    }

    /// A defect of this crate, not of a device: nothing goes on, and nothing is freed.
    fn stop_here(&self, at: &At<'_, P>, function: &mut Function<P>) {
        self.set_bus_master(at, false);
        function.job = Job::Teardown(Stage::Stuck);
        self.step_fact(at, "stuck");
    }

    /// Looks at the teardown under way.
    pub(crate) fn poll_teardown(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
    ) {
        let now_ns = self.platform.now_ns();
        let Job::Teardown(stage) = core::mem::replace(&mut function.job, Job::Idle) else {
            return;
        };
        match stage {
            Stage::Unmapping(token) => {
                function.job = Job::Teardown(Stage::Unmapping(token));
                // Nothing of ours is mapped; the ledger knows whether somebody else still unmaps.
                self.unmapped(at, function, effects, Revoked::of::<P::Mapping>([]));
            }
            Stage::Resetting { token, deadline_ns } => {
                self.poll_stop(at, function, effects, token, deadline_ns);
            }
            Stage::FunctionReset { token, mut flr } => {
                let polled = flr.poll(at.hardware, &mut **self.config.lock(), now_ns);
                match polled {
                    FlrPoll::Pending { after_ns } => {
                        function.job = Job::Teardown(Stage::FunctionReset { token, flr });
                        effects.arm(now_ns, after_ns);
                    }
                    FlrPoll::Done => {
                        let proof = ResetProof::FlrCompleted;
                        self.proven(at, function, effects, token, proof);
                    }
                    FlrPoll::Failed => self.quarantine(at, function, effects, token, "no-answer"),
                }
            }
            Stage::Draining { token, deadline_ns } => {
                self.drain(at, function, effects, token, deadline_ns);
            }
            Stage::Scrubbing(token) => self.scrub_some(at, function, effects, token),
            Stage::Stuck => function.job = Job::Teardown(Stage::Stuck),
        }
    }

    /// Every mapping that this teardown found is gone.
    fn unmapped(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        proof: Revoked,
    ) {
        let Job::Teardown(Stage::Unmapping(place)) = &mut function.job else {
            return;
        };
        let Some(token) = place.take() else { return };
        let now_ns = self.platform.now_ns();
        let token = match function.record.mappings_removed(token, proof) {
            Ok(token) => token,
            Err((Refusal::Busy, token)) => {
                // An operation that had begun before revokes the rest, and then gives up its holds.
                function.job = Job::Teardown(Stage::Unmapping(Some(token)));
                return effects.arm(now_ns, POLL_NS);
            }
            Err(_) => return self.stop_here(at, function),
        };
        self.step_fact(at, "mappings-removed");

        self.drop_routes(at, function, effects);
        self.silence(at);
        let Ok(token) = function.record.interrupts_masked(token) else {
            return self.stop_here(at, function);
        };
        self.step_fact(at, "interrupts-masked");
        let Ok(token) = function.record.queues_quiesced(token) else {
            return self.stop_here(at, function);
        };
        self.step_fact(at, "queues-quiesced");

        if function.unstoppable {
            return self.reset_function(at, function, effects, token);
        }
        let begun = function.with_broker(&self.platform, |broker, io| broker.begin_reset(io));
        if begun.is_err() {
            return self.reset_function(at, function, effects, token);
        }
        let deadline_ns = now_ns.saturating_add(DEADLINE_NS);
        self.poll_stop(at, function, effects, token, deadline_ns);
    }

    /// First rung: the broker's own reset.
    fn poll_stop(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        token: Teardown<QueuesQuiesced>,
        deadline_ns: u64,
    ) {
        let now_ns = self.platform.now_ns();
        let polled = function.with_broker(&self.platform, |broker, io| broker.poll_reset(io));
        match polled {
            Ok(Poll::Done(Step::Stopped(proof))) => {
                self.proven(at, function, effects, token, proof);
            }
            Ok(Poll::Pending { after_ns }) if now_ns < deadline_ns => {
                function.job = Job::Teardown(Stage::Resetting { token, deadline_ns });
                effects.arm(now_ns, after_ns);
            }
            _ => self.reset_function(at, function, effects, token),
        }
    }

    /// Second rung: the function-level reset, where there is one.
    fn reset_function(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        token: Teardown<QueuesQuiesced>,
    ) {
        let now_ns = self.platform.now_ns();
        let flr = Flr::begin(at.hardware, &mut **self.config.lock(), now_ns);
        match flr {
            Some(flr) => {
                function.job = Job::Teardown(Stage::FunctionReset { token, flr });
                effects.arm(now_ns, 0);
            }
            None => self.quarantine(at, function, effects, token, "no-proof-of-reset"),
        }
    }

    fn proven(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        token: Teardown<QueuesQuiesced>,
        proof: ResetProof,
    ) {
        let receipt = match function.record.prove_reset(proof) {
            Ok(receipt) => receipt,
            // The last reset generation is used up: no proof counts any more.
            Err(_) => return self.quarantine(at, function, effects, token, "no-receipt"),
        };
        let Ok((token, revoked)) = function.record.device_reset(token, receipt) else {
            return self.stop_here(at, function);
        };
        self.note_step(at, "device-reset", u64::from(revoked));
        self.platform.fact(&|sink| {
            about(sink, "device.teardown", at.bdf())
                .stable("step", "device-reset")
                .stable("proof", proof_name(proof))
                .stable("in-flight", revoked > 0)
                .volatile("revoked", revoked)
                .end()
        });
        let deadline_ns = self.platform.now_ns().saturating_add(DRAIN_NS);
        self.drain(at, function, effects, token, deadline_ns);
    }

    /// Bus mastering off, read back, and nothing pending.
    fn drain(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        token: Teardown<DeviceReset>,
        deadline_ns: u64,
    ) {
        let now_ns = self.platform.now_ns();
        let off = self.set_bus_master(at, false);
        let pending = at.hardware.transactions_pending(&**self.config.lock());
        let proof = match pending {
            Some(true) => None,
            Some(false) => Some(DrainProof::TransactionsPendingZero),
            None => Some(DrainProof::NoExpressCapability),
        };
        let Some(proof) = proof.filter(|_| off) else {
            if now_ns >= deadline_ns {
                return self.quarantine(at, function, effects, token, "transactions-pending");
            }
            function.job = Job::Teardown(Stage::Draining { token, deadline_ns });
            return effects.arm(now_ns, POLL_NS);
        };
        let Ok(token) = function.record.bus_master_cleared(token, proof) else {
            return self.stop_here(at, function);
        };
        self.step_fact(at, "bus-master-cleared");
        self.close_ports(at, function);
        // It holds views of pages that are wiped and freed next.
        function.broker = None;
        function.shares.clear();
        self.scrub_some(at, function, effects, token);
    }

    /// Wipes a bounded number of pages, and ends the claim after the last.
    fn scrub_some(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        token: Teardown<BusMasterCleared>,
    ) {
        use crate::FrameRun;
        let mut budget = SCRUB_PAGES;
        loop {
            let Ok(next) = function.record.next_to_scrub(&token) else {
                return self.stop_here(at, function);
            };
            let Some(pages) = next else { break };
            let count = pages.frames().pages().len();
            let pages = pages.scrub(|frames| self.scrub(frames));
            if function.record.put_scrubbed(pages).is_err() {
                return self.stop_here(at, function);
            }
            if count >= budget {
                function.job = Job::Teardown(Stage::Scrubbing(token));
                return effects.arm(self.platform.now_ns(), 0);
            }
            budget -= count;
        }
        let token = match function.record.scrub_done(token) {
            Ok(token) => token,
            Err((Refusal::Busy, token)) => {
                // Pages that an operation took out before the teardown are on their way back.
                function.job = Job::Teardown(Stage::Scrubbing(token));
                return effects.arm(self.platform.now_ns(), POLL_NS);
            }
            Err(_) => return self.stop_here(at, function),
        };
        self.step_fact(at, "scrubbed");
        let mut freed = 0;
        while let Ok(Some(frames)) = function.record.frames_to_free(&token) {
            freed += frames.pages().len() as u64;
            self.platform.free(frames);
        }
        if function.record.finish(token).is_err() {
            return self.stop_here(at, function);
        }
        let released = Event::new(Kind::Released).value(freed);
        self.tell(at, function.claim.as_ref(), released);
        self.forget(function);
        self.platform.fact(&|sink| {
            about(sink, "device.released", at.bdf())
                .volatile("pages", freed)
                .end()
        });
        self.serve_claimants(at, function, effects);
    }

    /// Last rung: the device never proved that it stopped. Its pages are never freed.
    fn quarantine<S: MayFail>(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
        token: Teardown<S>,
        reason: &str,
    ) {
        self.set_bus_master(at, false);
        self.close_ports(at, function);
        let Ok(lost) = function.record.quarantine(token) else {
            return self.stop_here(at, function);
        };
        let quarantined = Event::new(Kind::Quarantined).value(lost);
        self.tell(at, function.claim.as_ref(), quarantined);
        self.forget(function);
        self.platform.fact(&|sink| {
            about(sink, "device.quarantined", at.bdf())
                .stable("reason", reason)
                .volatile("bytes", lost)
                .end()
        });
        self.serve_claimants(at, function, effects);
    }

    /// Takes the broker's ports away, and with them the function's answer to them.
    fn close_ports(&self, at: &At<'_, P>, function: &mut Function<P>) {
        if function.ports.take().is_some() {
            self.set_port_decoding(at, false);
        }
    }

    /// Drops what belonged to the claim that has ended.
    fn forget(&self, function: &mut Function<P>) {
        function.job = Job::Idle;
        function.claim = None;
        function.broker = None;
        function.receipt = None;
        function.unstoppable = false;
        function.shares.clear();
        function.register_views.clear();
        function.abandoned_queues.clear();
    }

    fn step_fact(&self, at: &At<'_, P>, step: &str) {
        self.note_step(at, step, 0);
        self.platform.fact(&|sink| {
            about(sink, "device.teardown", at.bdf())
                .stable("step", step)
                .end()
        });
    }
}

/// Takes every object through which a process may map a page of the device.
fn take_mappings<P: Platform>(function: &mut Function<P>) -> Held<P> {
    let mut held = core::mem::take(&mut function.register_views);
    for shares in function.shares.iter_mut().flatten() {
        held.extend(shares.mappings.iter_mut().filter_map(Option::take));
    }
    held
}
