//! The end of a claim, up to where nothing of it is mapped any more: by a thread in one go, or by the function's timer bit by
//! bit where an interrupt has begun it.

use dma_ledger::Claim;
use ring_abi::Refusal;
use units::Bdf;

use crate::buffers::Next;
use crate::held::Held;
use crate::job::{Job, Stage};
use crate::turn::{At, Turn};
use crate::views::{Revoked, SomeObjects};
use crate::{DeviceManager, Mapping, Platform, Saying};

/// Steps of revocations in one interrupt: each unmaps 64 pages at most, or finds that nothing maps the object.
const OBJECT_STEPS: usize = 4;

/// Whether the device is asked to stop before the function is reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stopping {
    /// By its broker first.
    Polite,
    /// The broker's reset was tried just now and gave no proof.
    Hopeless,
}

impl<P: Platform> DeviceManager<P> {
    /// Ends a claim: its holder dropped it, died or lost it. When it returns, every operation of the claim is refused and
    /// no process maps a page of the device; the rest goes on on the function's timer.
    ///
    /// # Errors
    /// Those of the claim: `Stale`, `WrongOwner`; `Revoked` if the teardown runs already; `Quarantined`.
    pub fn release(&self, claim: &Claim) -> Result<(), Refusal> {
        self.of(claim)?.end_claim(claim, Stopping::Polite)
    }
}

impl<P: Platform> DeviceManager<P> {
    /// Ends the claim of this generation of a function that asked for what it may not have. Its own word that it stopped is
    /// worth nothing: it is reset as a function, or else quarantined. Returns whether that may be said; `None` where no claim
    /// was there to be ended.
    pub fn distrust(&self, function: Bdf, generation: u64) -> Option<Saying> {
        let mut all = self.hardware.iter();
        let found = all.find(|(_, hardware)| hardware.info.bdf == function);
        let at = self.at(found?.0).ok()?;
        let claim = at.turn().function.claim().copied();
        // Those who came after it have done nothing.
        let claim = claim.filter(|claim| claim.generation() == generation)?;
        at.begin_end(&claim).ok()?;
        Some(at.turn().may_say_later())
    }
}

impl<P: Platform> At<'_, P> {
    /// Ends the claim of a device that is not to be trusted, out of an interrupt: every operation of it is refused from here
    /// on, and the function's timer does all the rest.
    pub(crate) fn begin_end(self, claim: &Claim) -> Result<(), Refusal> {
        let mut turn = self.turn();
        turn.begin_teardown(claim, Stopping::Hopeless)?;
        let now_ns = self.machine.platform.now_ns();
        turn.effects.arm(now_ns, 0);
        turn.leave();
        Ok(())
    }

    /// Revokes a bounded part of what a claim that ends has mapped, and waits for nobody: in the timer's interrupt nothing else
    /// runs. `false`: there is more to do, for which the timer is armed. Whoever ends the claim may be doing the same.
    pub(crate) fn unmap_some(self) -> bool {
        let Some(claim) = self.turn().unmapping() else {
            return true;
        };
        for _ in 0..OBJECT_STEPS {
            let mut turn = self.turn();
            let Some(held) = turn.held_ending(&claim) else {
                return true;
            };
            let found = match held.buffers.next_object() {
                Next::Found(object) => Some(object),
                Next::Later => continue,
                Next::None => held.views.last(),
            };
            let Some((id, object)) = found else {
                if turn.drop_some_routes() {
                    break;
                }
                return true;
            };
            turn.leave();
            if object.revoke_some().is_none() {
                continue;
            }
            let mut turn = self.turn();
            let held = turn.held_ending(&claim);
            if held.is_some_and(|held| held.buffers.take_found(id) || held.views.take(id).is_some())
            {
                let _ = turn.function.record.release_mapping(id);
            }
        }
        let now_ns = self.machine.platform.now_ns();
        let mut turn = self.turn();
        turn.effects.arm(now_ns, 0);
        turn.leave();
        false
    }

    /// As [`DeviceManager::release`].
    fn end_claim(self, claim: &Claim, stopping: Stopping) -> Result<(), Refusal> {
        let mut turn = self.turn();
        turn.begin_teardown(claim, stopping)?;
        turn.leave();

        // The claim's operations are refused by now, so nothing is added to what is taken out here bit by bit.
        let mut proof = Revoked::of::<P::Mapping>([]);
        let mut from = Some(0);
        loop {
            let buffers = from;
            let mut some = SomeObjects::<P>::new();
            {
                let mut turn = self.turn();
                // The timer may have got further, and the next claim have begun.
                let Some(held) = turn.held_ending(claim) else {
                    break;
                };
                match buffers {
                    Some(at) => from = held.buffers.take_some(at, &mut some),
                    None => some = held.views.take_some(),
                }
            }
            if buffers.is_none() && some.is_empty() {
                break;
            }
            proof = proof.and(&some);
            let mut turn = self.turn();
            for (id, _) in &some {
                let _ = turn.function.record.release_mapping(*id);
            }
            turn.leave();
            drop(some);
            self.machine.platform.look();
        }
        while self.turn().drop_some_routes_of(claim) {
            self.machine.platform.look();
        }
        let mut turn = self.turn();
        turn.unmapped(proof);
        turn.leave();
        // What follows takes as long as all before. A device that has stopped by now is let go of before this returns.
        self.machine.platform.look();
        let mut turn = self.turn();
        turn.poll_teardown();
        turn.leave();
        Ok(())
    }
}

impl<P: Platform> Turn<'_, P> {
    /// The claim whose mappings are being revoked.
    fn unmapping(&self) -> Option<Claim> {
        let held = self.function.held.as_ref()?;
        matches!(held.job, Job::Teardown(Stage::Unmapping(_))).then_some(held.claim)
    }

    /// What the claim has, while its mappings are being revoked.
    fn held_ending(&mut self, claim: &Claim) -> Option<&mut Held<P>> {
        let is_it = self.unmapping().as_ref() == Some(claim);
        self.function.held.as_mut().filter(|_| is_it)
    }

    fn drop_some_routes_of(&mut self, claim: &Claim) -> bool {
        self.unmapping().as_ref() == Some(claim) && self.drop_some_routes()
    }
}
