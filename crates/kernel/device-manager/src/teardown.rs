//! The transaction that ends a claim, in the order that the ledger's tokens prescribe.

use audit_format::{Event, Kind};
use dma_ledger::{
    BusMasterCleared, Claim, DeviceReset, DrainProof, MayFail, Pages, QueuesQuiesced, ResetProof,
    ResetReceipt, ScrubDone, Teardown, TranslationsRemoved, Withdrawn,
};
use driver_core::{Poll, Step};
use ring_abi::Refusal;

use crate::ending::Stopping;
use crate::facts::about;
use crate::flr::{Flr, FlrPoll};
use crate::held::Held;
use crate::job::{Job, Stage};
use crate::stop::{DEADLINE_NS, Switch, proof_name};
use crate::turn::Turn;
use crate::views::Revoked;
use crate::{Platform, Reach, STEP_PAGES, Saying};

/// How long transactions may stay pending once bus mastering is off.
const DRAIN_NS: u64 = 2_000_000_000;
const POLL_NS: u64 = 100_000;
/// Pages that are wiped or freed in one go; a buffer counts as one at least. An interrupt for each costs as much as wiping
/// four pages.
const PAGES: usize = 24;
/// The same of a claim with a domain, at whose end the walk over its tables is in the same go.
const TRANSLATED_PAGES: usize = 16;
/// Up to so many buffers each stage of a teardown follows the one before at once: this takes no longer than a stage may.
const FEW_BUFFERS: u32 = 16;

impl<P: Platform> Turn<'_, P> {
    /// From here on every operation of the claim is refused.
    pub(crate) fn begin_teardown(
        &mut self,
        claim: &Claim,
        stopping: Stopping,
    ) -> Result<(), Refusal> {
        let token = self.function.record.begin_teardown(claim)?;
        let hopeless = stopping == Stopping::Hopeless;
        let held = self.function.held()?;
        held.unstoppable = hopeless;
        held.receipt = None;
        let unmapping = Job::Teardown(Stage::Unmapping(None));
        let job = core::mem::replace(&mut held.job, unmapping);
        let ending = Event::new(Kind::ClaimEnding).detail(hopeless.into());
        self.at.tell(Some(claim), ending);
        if let Job::Operation(operation) = job {
            let revoked = operation.asked.refused(Refusal::Revoked);
            self.effects.answer(revoked);
        }
        self.step_fact("begun");
        // The record refuses every operation of the claim from here on: the handles are dead.
        let Ok(token) = self.function.record.handles_revoked(token) else {
            self.stop_here();
            return Err(Refusal::Failed);
        };
        self.step_fact("handles-revoked");
        let Ok(token) = self.function.record.stop_submissions(token) else {
            self.stop_here();
            return Err(Refusal::Failed);
        };
        self.step_fact("submissions-stopped");
        self.enter(Stage::Unmapping(Some(token)));
        Ok(())
    }

    fn enter(&mut self, stage: Stage<P>) {
        if let Some(held) = &mut self.function.held {
            held.job = Job::Teardown(stage);
        }
    }

    /// A defect of this crate, not of a device: nothing goes on, and nothing is freed.
    fn stop_here(&mut self) {
        self.set_bus_master(Switch::Off);
        self.enter(Stage::Stuck);
        self.at.note_step("stuck", 0);
        let bdf = self.at.bdf();
        self.say_once(&|sink| {
            about(sink, "device.teardown", bdf)
                .stable("step", "stuck")
                .end()
        });
    }

    /// Looks at the teardown under way.
    pub(crate) fn poll_teardown(&mut self) {
        let now_ns = self.at.machine.platform.now_ns();
        let Some(held) = &mut self.function.held else {
            return;
        };
        let job = core::mem::replace(&mut held.job, Job::Idle);
        let Job::Teardown(stage) = job else {
            held.job = job;
            return;
        };
        match stage {
            Stage::Unmapping(token) => {
                self.enter(Stage::Unmapping(token));
                // Nothing of ours is mapped; the ledger knows whether somebody else still unmaps.
                self.unmapped(Revoked::of::<P::Mapping>([]));
            }
            Stage::Resetting { token, deadline_ns } => {
                self.poll_stop(token, deadline_ns);
            }
            Stage::FunctionReset { token, mut flr } => {
                let polled = flr.poll(
                    self.at.hardware,
                    &mut **self.at.machine.config.lock(),
                    now_ns,
                );
                match polled {
                    FlrPoll::Pending { after_ns } => {
                        self.enter(Stage::FunctionReset { token, flr });
                        self.effects.arm(now_ns, after_ns);
                    }
                    FlrPoll::Done => {
                        let proof = ResetProof::FlrCompleted;
                        self.proven(token, proof);
                    }
                    FlrPoll::Failed => self.quarantine(token, "no-answer"),
                }
            }
            Stage::Releasing {
                token,
                receipt,
                proof,
            } => self.release_some(token, receipt, proof),
            Stage::Draining { token, deadline_ns } => {
                self.drain(token, deadline_ns);
            }
            Stage::Scrubbing { token, begun } => self.scrub_some(token, begun),
            Stage::Freeing {
                token,
                begun,
                freed,
            } => self.free_some(token, begun, freed),
            Stage::Stuck => self.enter(Stage::Stuck),
        }
    }

    /// Every mapping that this teardown found is gone. The device is looked at in another turn: the caller's next one, or the
    /// timer's where the caller does not get to it.
    pub(crate) fn unmapped(&mut self, proof: Revoked) {
        let job = self.function.held.as_mut().map(|held| &mut held.job);
        let Some(Job::Teardown(Stage::Unmapping(place))) = job else {
            return;
        };
        let Some(token) = place.take() else { return };
        let now_ns = self.at.machine.platform.now_ns();
        let token = match self.function.record.mappings_removed(token, proof) {
            Ok(token) => token,
            Err((Refusal::Busy, token)) => {
                // An operation that had begun before revokes the rest, and then gives up its holds.
                self.enter(Stage::Unmapping(Some(token)));
                return self.effects.arm(now_ns, POLL_NS);
            }
            Err(_) => return self.stop_here(),
        };
        self.step_fact("mappings-removed");

        self.drop_routes();
        self.silence();
        let Ok(token) = self.function.record.interrupts_masked(token) else {
            return self.stop_here();
        };
        self.step_fact("interrupts-masked");
        let Ok(token) = self.function.record.queues_quiesced(token) else {
            return self.stop_here();
        };
        self.step_fact("queues-quiesced");

        if self
            .function
            .held
            .as_ref()
            .is_none_or(|held| held.unstoppable)
        {
            return self.reset_function(token);
        }
        if self.begin_stop().is_err() {
            return self.reset_function(token);
        }
        let deadline_ns = now_ns.saturating_add(DEADLINE_NS);
        self.enter(Stage::Resetting { token, deadline_ns });
        self.effects.arm(now_ns, POLL_NS);
    }

    /// First rung: the broker's own reset.
    fn poll_stop(&mut self, token: Teardown<QueuesQuiesced>, deadline_ns: u64) {
        let now_ns = self.at.machine.platform.now_ns();
        let polled = self.with_broker(|broker, io| broker.poll(io));
        match polled {
            Ok(Poll::Done(Step::Stopped(proof))) => {
                self.proven(token, proof);
            }
            Ok(Poll::Pending { after_ns }) if now_ns < deadline_ns => {
                self.enter(Stage::Resetting { token, deadline_ns });
                self.effects.arm(now_ns, after_ns);
            }
            _ => self.reset_function(token),
        }
    }

    /// Second rung: the function-level reset, where there is one.
    fn reset_function(&mut self, token: Teardown<QueuesQuiesced>) {
        let now_ns = self.at.machine.platform.now_ns();
        let flr = Flr::begin(
            self.at.hardware,
            &mut **self.at.machine.config.lock(),
            now_ns,
        );
        match flr {
            Some(flr) => {
                self.enter(Stage::FunctionReset { token, flr });
                self.effects.arm(now_ns, 0);
            }
            None => self.quarantine(token, "no-proof-of-reset"),
        }
    }

    fn proven(&mut self, token: Teardown<QueuesQuiesced>, proof: ResetProof) {
        let receipt = match self.function.record.prove_reset(proof) {
            Ok(receipt) => receipt,
            // The last reset generation is used up: no proof counts any more.
            Err(_) => return self.quarantine(token, "no-receipt"),
        };
        if self.is_little() {
            return self.release_some(token, receipt, proof);
        }
        self.enter(Stage::Releasing {
            token,
            receipt,
            proof,
        });
        self.effects.arm(self.at.machine.platform.now_ns(), 0);
    }

    /// Whether a stage may follow the one before in the same turn: with more buffers what came before has taken its time.
    fn is_little(&self) -> bool {
        self.function.record.buffers_there() <= FEW_BUFFERS
    }

    /// Pages that are wiped or freed in one go.
    fn pages_at_once(&self) -> usize {
        match &self.function.held {
            Some(held) if held.reach.is_translated() => TRANSLATED_PAGES,
            _ => PAGES,
        }
    }

    /// Releases a bounded number of the pages that the device could see.
    fn release_some(
        &mut self,
        token: Teardown<QueuesQuiesced>,
        receipt: ResetReceipt,
        proof: ResetProof,
    ) {
        match self.function.record.release_some(&receipt) {
            Ok(true) => {}
            Ok(false) => {
                self.enter(Stage::Releasing {
                    token,
                    receipt,
                    proof,
                });
                return self.effects.arm(self.at.machine.platform.now_ns(), 0);
            }
            Err(_) => return self.stop_here(),
        }
        let Ok((token, revoked)) = self.function.record.device_reset(token, receipt) else {
            return self.stop_here();
        };
        self.at.note_step("device-reset", u64::from(revoked));
        let bdf = self.at.bdf();
        self.say(&|sink| {
            about(sink, "device.teardown", bdf)
                .stable("step", "device-reset")
                .stable("proof", proof_name(proof))
                .stable("in-flight", revoked > 0)
                .volatile("revoked", revoked)
                .end()
        });
        let deadline_ns = self.at.machine.platform.now_ns().saturating_add(DRAIN_NS);
        self.drain(token, deadline_ns);
    }

    /// Bus mastering off, read back, and nothing pending.
    fn drain(&mut self, token: Teardown<DeviceReset>, deadline_ns: u64) {
        let now_ns = self.at.machine.platform.now_ns();
        let off = self.set_bus_master(Switch::Off);
        let pending = self
            .at
            .hardware
            .transactions_pending(&**self.at.machine.config.lock());
        let proof = match pending {
            Some(true) => None,
            Some(false) => Some(DrainProof::TransactionsPendingZero),
            None => Some(DrainProof::NoExpressCapability),
        };
        let Some(proof) = proof.filter(|_| off) else {
            if now_ns >= deadline_ns {
                return self.quarantine(token, "transactions-pending");
            }
            self.enter(Stage::Draining { token, deadline_ns });
            return self.effects.arm(now_ns, POLL_NS);
        };
        let Ok(token) = self.function.record.bus_master_cleared(token, proof) else {
            return self.stop_here();
        };
        self.step_fact("bus-master-cleared");
        self.close_ports();
        let Some(token) = self.remove_translations(token) else {
            return;
        };
        // It holds views of pages that are wiped and freed next.
        if let Some(held) = &mut self.function.held {
            held.driven.drop_broker();
        }
        if self.is_little() {
            return self.scrub_some(token, None);
        }
        self.enter(Stage::Scrubbing { token, begun: None });
        self.effects.arm(now_ns, 0);
    }

    /// Ends the function's domain, where it has one: no device reaches a page of the claim any more.
    fn remove_translations(
        &mut self,
        token: Teardown<BusMasterCleared>,
    ) -> Option<Teardown<TranslationsRemoved>> {
        let Some(reach) = self.function.held.as_ref().map(|held| held.reach.clone()) else {
            self.stop_here();
            return None;
        };
        let Ok(proof) = reach.end() else {
            self.quarantine(token, "unit-does-not-forget");
            return None;
        };
        let Ok(token) = self.function.record.translations_removed(token, proof) else {
            self.stop_here();
            return None;
        };
        if reach.is_translated() {
            self.step_fact("translations-removed");
        }
        Some(token)
    }

    /// Wipes a bounded number of pages. The lock is held, and nobody else gets the CPU meanwhile.
    fn scrub_some(
        &mut self,
        token: Teardown<TranslationsRemoved>,
        mut begun: Option<(Pages<Withdrawn, P::Frames>, usize)>,
    ) {
        use crate::FrameRun;
        let machine = self.at.machine;
        let mut left = self.pages_at_once();
        while left > 0 && self.function.record.pass_over() {
            let mut from = 0;
            let pages = match begun.take() {
                Some((pages, next)) => {
                    from = next;
                    pages
                }
                None => match self.function.record.next_to_scrub(&token) {
                    Ok(Some(pages)) => pages,
                    Ok(None) => return self.scrubbed(token),
                    Err(_) => return self.stop_here(),
                },
            };
            let count = pages.frames().pages().len();
            if let (0, Some(held)) = (from, &mut self.function.held) {
                held.left += count as u64;
            }
            let mut next = None;
            let wiped = pages.scrub_some(|frames| {
                next = machine.scrub(frames, from);
                next.is_none()
            });
            let done = next.unwrap_or(count).saturating_sub(from);
            left = left.saturating_sub(done.max(1));
            match wiped {
                Ok(pages) => {
                    if self.function.record.put_scrubbed(pages).is_err() {
                        return self.stop_here();
                    }
                }
                Err(pages) => begun = next.map(|next| (pages, next)),
            }
        }
        self.enter(Stage::Scrubbing { token, begun });
        self.effects.arm(machine.platform.now_ns(), 0);
    }

    /// Every page that was here is wiped.
    fn scrubbed(&mut self, token: Teardown<TranslationsRemoved>) {
        let token = match self.function.record.scrub_done(token) {
            Ok(token) => token,
            Err((Refusal::Busy, token)) => {
                // Pages that an operation took out before the teardown are on their way back.
                let begun = None;
                self.enter(Stage::Scrubbing { token, begun });
                return self.effects.arm(self.at.machine.platform.now_ns(), POLL_NS);
            }
            Err(_) => return self.stop_here(),
        };
        self.step_fact("scrubbed");
        if self.is_little() {
            return self.free_some(token, None, 0);
        }
        self.enter(Stage::Freeing {
            token,
            begun: None,
            freed: 0,
        });
        self.effects.arm(self.at.machine.platform.now_ns(), 0);
    }

    /// Gives a bounded number of pages back, and ends the claim after the last.
    fn free_some(
        &mut self,
        token: Teardown<ScrubDone>,
        mut begun: Option<P::Frames>,
        mut freed: u64,
    ) {
        use crate::FrameRun;
        let machine = self.at.machine;
        let mut left = self.pages_at_once();
        while left > 0 && self.function.record.pass_over() {
            let mut is_new = false;
            let frames = match begun.take() {
                Some(frames) => frames,
                None => match self.function.record.frames_to_free(&token) {
                    Ok(Some(frames)) => {
                        is_new = true;
                        frames
                    }
                    _ => return self.sweep_up(token, freed),
                },
            };
            let count = frames.pages().len();
            if is_new {
                freed += count as u64;
            }
            begun = machine.platform.free(frames);
            left = left.saturating_sub(count.clamp(1, STEP_PAGES));
        }
        self.enter(Stage::Freeing {
            token,
            begun,
            freed,
        });
        self.effects.arm(machine.platform.now_ns(), 0);
    }

    /// Drops a bounded part of what is known of the buffers; the end has a step of its own.
    fn sweep_up(&mut self, token: Teardown<ScrubDone>, freed: u64) {
        let held = self.function.held.as_mut();
        if held.is_some_and(|held| held.buffers.shed() || held.reach.shed()) {
            self.enter(Stage::Freeing {
                token,
                begun: None,
                freed,
            });
            self.effects.arm(self.at.machine.platform.now_ns(), 0);
        } else {
            self.finish(token, freed);
        }
    }

    fn finish(&mut self, token: Teardown<ScrubDone>, freed: u64) {
        let is_translated = |held: &Held<P>| held.reach.is_translated();
        let had_domain = self.function.held.as_ref().is_some_and(is_translated);
        if had_domain {
            self.state_books();
        }
        if self.function.record.finish(token).is_err() {
            return self.stop_here();
        }
        let released = Event::new(Kind::Released).value(freed);
        self.at.tell(self.function.claim(), released);
        self.function.held = None;
        let bdf = self.at.bdf();
        self.say(&|sink| {
            about(sink, "device.released", bdf)
                .volatile("pages", freed)
                .end()
        });
        if had_domain && self.function.is_wanted() {
            // The end of one domain and the beginning of the next would be long in one interrupt.
            self.effects.arm(self.at.machine.platform.now_ns(), 0);
        } else {
            self.serve_claimants();
        }
    }

    /// States how the books of the claim's domain compare. That they differ is a defect, which no holder may
    /// hide behind facts of no weight.
    fn state_books(&mut self) {
        let held = self.function.held.as_ref();
        let Some((reach, left)) = held.map(|held| (held.reach.clone(), held.left)) else {
            return;
        };
        if !reach.agrees(left) || self.may_say() == Saying::Aloud {
            reach.close(left);
        }
    }

    /// Last rung: the device never proved that it stopped. Its pages are never freed.
    fn quarantine<S: MayFail>(&mut self, token: Teardown<S>, reason: &str) {
        self.set_bus_master(Switch::Off);
        self.close_ports();
        if let Some(held) = &self.function.held {
            // Its pages stay out of use in any case; below a unit it does not even reach those.
            let _ = held.reach.end();
        }
        let Ok(lost) = self.function.record.quarantine(token) else {
            return self.stop_here();
        };
        let quarantined = Event::new(Kind::Quarantined).value(lost);
        self.at.tell(self.function.claim(), quarantined);
        self.function.held = None;
        let bdf = self.at.bdf();
        self.say_once(&|sink| {
            about(sink, "device.quarantined", bdf)
                .stable("reason", reason)
                .volatile("bytes", lost)
                .end()
        });
        self.serve_claimants();
    }

    /// Takes the broker's ports away, and with them the function's answer to them.
    fn close_ports(&mut self) {
        let held = self.function.held.as_mut();
        if held.is_some_and(|held| held.driven.take_ports()) {
            self.set_port_decoding(Switch::Off);
        }
    }

    fn step_fact(&mut self, step: &str) {
        self.at.note_step(step, 0);
        let bdf = self.at.bdf();
        self.say(&|sink| {
            about(sink, "device.teardown", bdf)
                .stable("step", step)
                .end()
        });
    }
}
