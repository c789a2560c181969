//! `Bell` and `BellRinger`: bits that one process rings and another waits for.
//!
//! Invariant: nobody waits for a bit that was rung. Waiting takes one of a bell's few places and no memory; ringing where
//! nobody waits takes no lock.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use bell_word::{BellWord, Rung};
use cap::Epoch;
use cpu::Lock;
use ipc::{KernelCall, KernelObject, Late, Process, Quick, Slot, Tie};
use schema::process::{bell, bell_ringer};
use stub::{Answered, Outgoing, Refusal};

use super::served::{self, Owed, Served};

/// How many may wait at one bell.
const WAITERS: usize = 8;

/// Who waits, and for which bits.
struct Waiter {
    mask: u64,
    later: Late<bell::call::Wait>,
}

/// What a bell and its ringers share.
#[derive(Default)]
struct Core {
    word: BellWord,
    waiters: Lock<ArrayVec<Waiter, WAITERS>>,
    /// The epoch of every ringer.
    ringers: Epoch,
}

fn wanted(waiters: &ArrayVec<Waiter, WAITERS>) -> u64 {
    waiters.iter().fold(0, |all, waiter| all | waiter.mask)
}

impl Core {
    fn ring(&self, bits: u64) {
        if self.word.ring(bits) == Rung::Awaited {
            self.wake();
        }
    }

    /// Gives what was rung to those who wait for it, in the order in which they came.
    #[inline(never)]
    fn wake(&self) {
        // Until nobody is left who waits for what is there: one turn takes one out.
        loop {
            let next = {
                let mut waiters = self.waiters.lock();
                let mut taken = 0;
                let at = waiters.iter().position(|waiter| {
                    taken = self.word.take(waiter.mask);
                    taken != 0
                });
                at.map(|at| {
                    let waiter = waiters.remove(at);
                    self.word.leave(wanted(&waiters));
                    (waiter, taken)
                })
            };
            let Some((waiter, bits)) = next else {
                return;
            };
            if !waiter.later.try_send(bell::WaitReply { bits }) {
                // It had given up: what it would have taken is the next one's, who is looked for in the next turn.
                let _ = self.word.ring(bits);
            }
            let _ = sched::point();
        }
    }

    /// Waits. What is answered, and dropped, is so outside of the lock.
    fn wait(&self, mask: u64, later: Late<bell::call::Wait>) {
        let mut gone = ArrayVec::<Waiter, WAITERS>::new();
        let answer = {
            let mut waiters = self.waiters.lock();
            if waiters.is_full() {
                let mut at = 0;
                while at < waiters.len() {
                    if waiters[at].later.is_live() {
                        at += 1;
                    } else {
                        gone.push(waiters.remove(at));
                    }
                }
            }
            let bits = self.word.ask(wanted(&waiters), mask);
            if bits != 0 || waiters.is_full() {
                self.word.leave(wanted(&waiters));
                Some((later, bits))
            } else {
                waiters.push(Waiter { mask, later });
                None
            }
        };
        drop(gone);
        let Some((later, bits)) = answer else {
            return;
        };
        if bits == 0 {
            later.refuse(Refusal::Busy);
        } else if !later.try_send(bell::WaitReply { bits }) {
            // It has given up meanwhile.
            self.ring(bits);
        }
    }

    fn narrow(self: &Arc<Self>, process: &Process, bits: u64) -> Result<Slot, Refusal> {
        process.bank.object(|tie| Ringer {
            core: self.clone(),
            bits,
            tie,
        })
    }

    /// Rings where nobody is known to wait. It rings once: who came to wait meanwhile is woken later, not rung for again.
    #[inline]
    fn ring_quickly(&self, allowed: u64, bits: u64) -> Option<Quick> {
        if bits & !allowed != 0 || self.word.is_awaited(bits) {
            return None;
        }
        Some(match self.word.ring(bits) {
            Rung::Unheard => Quick::Answer([0; 4]),
            Rung::Awaited => Quick::Then([0; 4]),
        })
    }
}

/// The right to wait, and to give out rights to ring.
pub struct Bell {
    epoch: Epoch,
    core: Arc<Core>,
    tie: Arc<Tie>,
}

impl Bell {
    /// A bell that nobody has rung, and that `process` pays for, which runs.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn make(process: &Process) -> Result<Slot, Refusal> {
        let core = frames::arc(Core::default())?;
        process.bank.object(|tie| Self {
            epoch: Epoch::default(),
            core,
            tie,
        })
    }

    #[inline]
    fn quick(&self, method: u16, words: &[u64; 4]) -> Option<Quick> {
        match method {
            bell::method::RING => self.core.ring_quickly(u64::MAX, words[0]),
            bell::method::WAIT => {
                let bits = self.core.word.take(words[0]);
                let words = || Outgoing::<Slot>::words(&bell::WaitReply { bits });
                (bits != 0).then(|| Quick::Answer(words()))
            }
            _ => None,
        }
    }

    fn finish(&self) {
        self.core.wake();
    }

    /// Whoever paid for it has ended: nobody waits for it any more, and nobody rings it.
    fn end(&self) {
        self.epoch.revoke();
        self.core.ringers.revoke();
        loop {
            let waiter = self.core.waiters.lock().pop();
            let Some(waiter) = waiter else { break };
            waiter.later.refuse(Refusal::Revoked);
            let _ = sched::point();
        }
    }
}

served::kernel_object!(Bell, bell, quick, tie);

impl<'a> bell::Server<KernelCall<'a>> for Served<Bell> {
    fn ring(&mut self, reply: Owed<'a, bell::call::Ring>, bits: u64) -> Answered {
        self.0.core.ring(bits);
        reply.send(())
    }

    fn wait(&mut self, reply: Owed<'a, bell::call::Wait>, mask: u64) -> Answered {
        if mask == 0 {
            return reply.refuse(Refusal::BadArgument);
        }
        let (answered, later) = reply.defer();
        self.0.core.wait(mask, later);
        answered
    }

    fn narrow(&mut self, reply: Owed<'a, bell::call::Narrow>, bits: u64) -> Answered {
        let ringer = self.0.core.narrow(reply.call().process(), bits);
        reply.answer(ringer.map(|ringer| bell::NarrowReply { ringer }))
    }

    fn silence(&mut self, reply: Owed<'a, bell::call::Silence>) -> Answered {
        self.0.core.ringers.revoke();
        reply.send(())
    }
}

/// The right to ring some bits.
pub struct Ringer {
    core: Arc<Core>,
    bits: u64,
    tie: Arc<Tie>,
}

impl KernelObject for Ringer {
    fn interface(&self) -> u64 {
        bell_ringer::INTERFACE_ID
    }

    fn epoch(&self) -> &Epoch {
        &self.core.ringers
    }

    #[inline]
    fn live(&self) -> Result<(), Refusal> {
        if self.tie.has_ended() {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.tie.has_ended()
    }

    /// The bell's other ringers are somebody else's.
    fn end(&self) {}

    #[inline]
    fn quick(&self, granted: u64, method: u16, words: &[u64; 4]) -> Option<Quick> {
        self.core.ringers.check(granted).ok()?;
        self.live().ok()?;
        if method != bell_ringer::method::RING {
            return None;
        }
        self.core.ring_quickly(self.bits, words[0])
    }

    fn finish(&self) {
        self.core.wake();
    }

    fn call(self: Arc<Self>, call: KernelCall<'_>, received: stub::Received<'_>) -> Answered {
        bell_ringer::dispatch(&mut Served(self), received, call)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn core::any::Any + Send + Sync> {
        self
    }
}

impl Ringer {
    /// # Errors
    /// `OutOfRange`: there are bits among them that it was not given.
    fn own(&self, bits: u64) -> Result<u64, Refusal> {
        if bits & !self.bits != 0 && !sabotage::sabotage!(BELL_RING_ANY) {
            return Err(Refusal::OutOfRange);
        }
        Ok(bits)
    }
}

impl<'a> bell_ringer::Server<KernelCall<'a>> for Served<Ringer> {
    fn ring(&mut self, reply: Owed<'a, bell_ringer::call::Ring>, bits: u64) -> Answered {
        let own = self.0.own(bits);
        reply.answer(own.map(|bits| self.0.core.ring(bits)))
    }

    fn narrow(&mut self, reply: Owed<'a, bell_ringer::call::Narrow>, bits: u64) -> Answered {
        let process = reply.call().process();
        let own = self.0.own(bits);
        let ringer = own.and_then(|bits| self.0.core.narrow(process, bits));
        reply.answer(ringer.map(|ringer| bell_ringer::NarrowReply { ringer }))
    }
}
