//! Endpoints: where calls wait for a thread that receives, and threads for a call.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use account::{Account, Charge, Kind};
use arrayvec::ArrayVec;
use call_state::Ending;
use cap::Epoch;
use cpu::Lock;
use frames::Grow;
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::endpoint::Lifetime;
use stub::{Answered, Received, Reply};

use crate::area::Span;
use crate::call::{Call, finish, win};
use crate::delivery::{Delivery, deliver, deliver_queued};
use crate::kernel_call::KernelCall;
use crate::notice::{Notice, Notices};
use crate::queue::{BLOCK, Queue};
use crate::through::Through;
use crate::woken::Woken;
use crate::{Finished, KernelObject, Object, Route, Slot, Thread};

/// What a receiver does where nothing waits for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Polls,
}

/// A thread that waits for a call.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) thread: Arc<Thread>,
    pub(crate) route: Route,
    /// Where the message goes.
    pub(crate) buffer: Span,
    /// When it gives up, in a ring. In registers the wait itself ends.
    pub(crate) deadline: u64,
}

#[derive(Debug, Default)]
struct Queues {
    calls: Queue<(Arc<Call>, u64)>,
    /// With so many calls in the queue, those that ended while they waited are looked for.
    look_at: usize,
    receivers: Queue<Receiver>,
    /// Facets that are gone and of which the server has not heard.
    notices: Notices,
}

/// How many calls there are before it is worth to look for those that ended.
const LOOK_AT: usize = 64;

impl Queues {
    /// The receiver that has waited longest. One whose process is ending waits for nothing any more.
    fn next_receiver(&mut self) -> Option<Receiver> {
        loop {
            let receiver = self.receivers.pop()?;
            if !receiver.thread.is_leaving() && !receiver.thread.process.is_dying() {
                return Some(receiver);
            }
        }
    }

    /// Queues a call.
    ///
    /// # Errors
    /// `OverBudget` where its sender cannot pay for its place.
    #[inline(always)]
    fn queue_call(&mut self, call: &Arc<Call>, generation: u64) -> Result<(), Refusal> {
        if self.calls.is_full() && self.calls.len() >= self.look_at {
            self.forget_ended();
        }
        self.calls
            .push((call.clone(), generation))
            .map_err(|_| Refusal::OverBudget)
    }

    /// Drops entries of calls that ended while they waited, now and then: a call that gives up leaves its place.
    #[cold]
    #[inline(never)]
    fn forget_ended(&mut self) {
        self.calls.retain(|(c, g)| c.word.load().0 == *g);
        self.look_at = (self.calls.len() * 2).max(LOOK_AT);
    }
}

/// What an endpoint or a facet takes, at most: neither has a way to be refused.
const ENDPOINT_BYTES: u64 = 1024;
const FACET_BYTES: u64 = 512;

/// The meeting place of clients and server.
#[derive(Debug)]
pub struct EndpointCore {
    queues: Lock<Queues>,
    /// Raised by `renew`, under the lock of the queues; facets that are not durable belong to one incarnation.
    incarnation: AtomicU64,
    closed: AtomicBool,
}

/// The right to receive. When its last handle goes, nobody will ever answer, and every caller is told.
#[derive(Debug)]
pub struct Endpoint {
    core: Arc<EndpointCore>,
    epoch: Epoch,
    charge: Charge,
}

/// A client's end: what a call goes through.
#[derive(Debug)]
pub struct Facet {
    core: Arc<EndpointCore>,
    epoch: Epoch,
    pub(crate) cookie: u64,
    /// The incarnation that minted it.
    incarnation: u64,
    lifetime: Lifetime,
    interface: u64,
    /// Until it is told.
    notice: Option<Box<Notice>>,
    /// The calls that go through it.
    pub(crate) through: Arc<Through>,
}

impl Facet {
    pub(crate) const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Whether a call on its way through it may still arrive.
    pub(crate) fn usable(&self) -> Result<(), Refusal> {
        if self.epoch.is_raised() {
            if sabotage!(SKIP_EPOCH_CHECK) {
                return Ok(());
            }
            return Err(Refusal::Revoked);
        }
        self.live()
    }

    pub(crate) fn live(&self) -> Result<(), Refusal> {
        if self.core.closed.load(Ordering::Acquire) {
            return Err(Refusal::Revoked);
        }
        if self.lifetime == Lifetime::Incarnation
            && self.incarnation != self.core.incarnation.load(Ordering::Acquire)
            && !sabotage!(SKIP_INCARNATION_CHECK)
        {
            return Err(Refusal::Stale);
        }
        Ok(())
    }

    pub(crate) const fn core(&self) -> &Arc<EndpointCore> {
        &self.core
    }
}

impl Drop for Facet {
    /// The last handle is gone and no call is on its way: tells the server, whose place for the notice was reserved. A
    /// successor of the one that minted it hears nothing, unless the facet is durable.
    fn drop(&mut self) {
        let Some(notice) = self.notice.take() else {
            return;
        };
        if sabotage!(SKIP_DROP_NOTICE) {
            return;
        }
        self.core.tell(notice);
    }
}

/// Ends a call that never had a place in the queue.
#[cold]
fn refuse_call(call: &Arc<Call>, generation: u64, refusal: Refusal) -> Woken {
    let f = Finished::refused(refusal);
    finish(call, generation, Ending::NoReply, f)
}

/// Endpoints that a thread is closing. A call that ends may hold the last handle of another endpoint, and calls queued
/// there of a third: they are closed one after the other, because a kernel stack is short.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    pub(crate) busy: bool,
    pub(crate) next: Vec<Arc<EndpointCore>>,
}

impl Closing {
    /// Puts an endpoint among those to be closed, at the kernel's cost: whose it was may have ended.
    ///
    /// # Errors
    /// The endpoint, where there is no memory: it is closed where it stands then.
    fn put_off(&mut self, core: Arc<EndpointCore>) -> Result<(), Arc<EndpointCore>> {
        let _kernel = frames::paid_by_kernel();
        if self.next.len() == self.next.capacity() && self.next.grow(1).is_err() {
            return Err(core);
        }
        self.next.put(core)
    }
}

impl Drop for Endpoint {
    /// Nobody will ever answer or receive: whoever waits is told.
    fn drop(&mut self) {
        self.core.closed.store(true, Ordering::Release);
        // An interrupt in the middle of it leaves what it closes to the thread.
        let closing = crate::thread::current_closing();
        {
            let mut c = closing.lock();
            if let Err(core) = c.put_off(self.core.clone()) {
                drop(c);
                return core.end_everything();
            }
            if core::mem::replace(&mut c.busy, true) {
                return;
            }
        }
        loop {
            let next = {
                let mut c = closing.lock();
                let next = c.next.pop();
                c.busy = next.is_some();
                next
            };
            let Some(core) = next else { break };
            core.end_everything();
        }
    }
}

impl EndpointCore {
    /// Tells whoever waits here that the endpoint is closed.
    fn end_everything(&self) {
        let revoked = Finished::refused(Refusal::Revoked);
        loop {
            let next = self.queues.lock().calls.pop();
            let Some((call, generation)) = next else {
                break;
            };
            finish(&call, generation, Ending::Revoked, revoked).run();
            let _ = sched::point();
        }
        loop {
            let next = self.queues.lock().receivers.pop();
            let Some(receiver) = next else { break };
            receiver.thread.complete(receiver.route, revoked).run();
            let _ = sched::point();
        }
        loop {
            let next = self.queues.lock().notices.pop();
            let Some(notice) = next else { break };
            drop(notice);
            let _ = sched::point();
        }
    }

    /// Tells a receiver of a facet that is gone, or the next one that comes. One of an incarnation before hears nothing,
    /// unless the facet is durable.
    fn tell(&self, notice: Box<Notice>) {
        let (receiver, message) = {
            let mut q = self.queues.lock();
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            let incarnation = self.incarnation.load(Ordering::Relaxed);
            if !notice.is_for(incarnation) && !sabotage!(NOTICE_TO_SUCCESSOR) {
                return;
            }
            match q.next_receiver() {
                Some(r) => (r, notice.message(incarnation)),
                None => {
                    q.notices.push(notice);
                    return;
                }
            }
        };
        receiver.thread.complete(receiver.route, message).run();
    }

    /// Queues a call, or delivers it to a thread that waits. Returns who was woken.
    #[inline(always)]
    pub(crate) fn send(self: &Arc<Self>, call: &Arc<Call>, generation: u64) -> Woken {
        let (receiver, queued) = {
            let mut q = self.queues.lock();
            match q.next_receiver() {
                Some(receiver) => (Some(receiver), Ok(())),
                None => (None, q.queue_call(call, generation)),
            }
        };
        let Some(receiver) = receiver else {
            if let Err(refusal) = queued {
                return refuse_call(call, generation, refusal);
            }
            // A revocation raises the epoch, or closes the endpoint, before it looks for calls: what it did not find is
            // found here.
            let facet = call.body.lock().facet.clone();
            let Some(Err(refusal)) = facet.map(|facet| facet.usable()) else {
                return Woken::NOBODY;
            };
            let f = Finished::refused(refusal);
            return finish(call, generation, Ending::Revoked, f);
        };
        match deliver(call, generation, &receiver) {
            Delivery::Done(woken) => woken,
            Delivery::CallGone(woken) => {
                // Another call may have been queued meanwhile, because no receiver was to be seen.
                if let Some(receiver) = self.receive(receiver, Patience::Waits) {
                    receiver.run();
                }
                woken
            }
        }
    }

    /// Gives a receiver what waits, or queues it. `Some`: done, with who is to run (the receiver's thread, usually).
    #[inline(always)]
    pub(crate) fn receive(
        self: &Arc<Self>,
        receiver: Receiver,
        patience: Patience,
    ) -> Option<Woken> {
        loop {
            let (call, generation) = {
                let mut q = self.queues.lock();
                if receiver.thread.is_leaving() {
                    // Another CPU had taken it out while its thread cancelled what was pending.
                    drop(q);
                    return None;
                }
                if let Some(notice) = q.notices.pop() {
                    // Renewing left none that this incarnation must not hear.
                    let incarnation = self.incarnation.load(Ordering::Relaxed);
                    drop(q);
                    let message = notice.message(incarnation);
                    drop(notice);
                    return Some(receiver.thread.complete(receiver.route, message));
                }
                match q.calls.pop() {
                    Some(next) => next,
                    None if patience == Patience::Polls => {
                        drop(q);
                        let f = Finished::refused(Refusal::TimedOut);
                        return Some(receiver.thread.complete(receiver.route, f));
                    }
                    None => {
                        let Err(receiver) = q.receivers.push(receiver) else {
                            return None;
                        };
                        // Who receives pays for its place.
                        drop(q);
                        let f = Finished::refused(Refusal::OverBudget);
                        return Some(receiver.thread.complete(receiver.route, f));
                    }
                }
            };
            match deliver_queued(&call, generation, &receiver) {
                Delivery::Done(woken) => return Some(woken),
                Delivery::CallGone(woken) => woken.run(),
            }
        }
    }

    /// Begins the next incarnation and gives its number. Notices that were for the one before go unheard.
    fn renew(&self) -> u64 {
        let (incarnation, mut waiting) = {
            let mut q = self.queues.lock();
            let incarnation = self.incarnation.fetch_add(1, Ordering::AcqRel) + 1;
            (incarnation, core::mem::take(&mut q.notices))
        };
        while let Some(notice) = waiting.pop() {
            self.tell(notice);
            let _ = sched::point();
        }
        incarnation
    }

    /// Whether the right to receive is gone for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes the receivers of this thread out whose deadline has come, in a ring, and ends them. The earliest deadline of
    /// the others is lowered into `earliest`.
    pub(crate) fn expire(&self, thread: &Arc<Thread>, now: u64, earliest: &mut u64) {
        let mut late = ArrayVec::<Route, BLOCK>::new();
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.queues.lock().receivers.retain_some(at, |r| {
                if r.route == Route::Register || !Arc::ptr_eq(&r.thread, thread) {
                    return true;
                }
                // No block has more entries than there is room for.
                let ended = r.deadline <= now && late.try_push(r.route).is_ok();
                if !ended {
                    *earliest = r.deadline.min(*earliest);
                }
                !ended
            });
            for route in late.drain(..) {
                let _ = thread.complete(route, Finished::refused(Refusal::TimedOut));
            }
            let _ = sched::point();
        }
    }

    /// Takes waiting receivers of a thread out: all of them, or those of one route. Returns how many.
    pub(crate) fn forget(&self, thread: &Arc<Thread>, route: Option<Route>) -> usize {
        let mut taken = 0;
        let mut from = Some(0);
        while let Some(at) = from {
            // The caller holds the thread, so that no entry is the last that does.
            from = self.queues.lock().receivers.retain_some(at, |r| {
                let hit = Arc::ptr_eq(&r.thread, thread) && route.is_none_or(|w| w == r.route);
                taken += usize::from(hit);
                !hit
            });
            let _ = sched::point();
        }
        taken
    }
}

impl Endpoint {
    /// Makes an endpoint that `account` pays for.
    ///
    /// # Errors
    /// `OverBudget`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(account: &Arc<Account>) -> Result<Arc<Self>, Refusal> {
        let charge = account.charge(Kind::Endpoints, 1)?;
        frames::with_room(ENDPOINT_BYTES, || {
            let core = Arc::new(EndpointCore {
                queues: Lock::new(Queues::default()),
                incarnation: AtomicU64::new(1),
                closed: AtomicBool::new(false),
            });
            Arc::new(Self {
                core,
                epoch: Epoch::default(),
                charge,
            })
        })
    }

    pub(crate) const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    pub(crate) const fn core(&self) -> &Arc<EndpointCore> {
        &self.core
    }

    /// Makes a facet that `account` pays for, whose endpoint it may be or not.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    fn mint(
        &self,
        account: &Arc<Account>,
        cookie: u64,
        interface: u64,
        lifetime: Lifetime,
    ) -> Result<Slot, Refusal> {
        let payer = if sabotage!(MAKER_PAYS_FACETS) {
            self.charge.account()
        } else {
            account
        };
        let charge = payer.charge(Kind::Facets, 1)?;
        let incarnation = {
            // A renewal that comes meanwhile makes it stale.
            let _q = self.core.queues.lock();
            self.core.incarnation.load(Ordering::Relaxed)
        };
        let facet = frames::with_room(FACET_BYTES, || {
            Arc::new(Facet {
                core: self.core.clone(),
                epoch: Epoch::default(),
                cookie,
                incarnation,
                lifetime,
                interface,
                notice: Some(Notice::new(cookie, incarnation, lifetime, charge)),
                through: Through::new(),
            })
        })?;
        let interface = facet.interface;
        Ok(Slot::new(Object::Facet(facet), interface))
    }
}

impl KernelObject for Endpoint {
    fn interface(&self) -> u64 {
        wire::INTERFACE_ID
    }

    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    fn call(self: Arc<Self>, call: KernelCall<'_>, received: Received<'_>) -> Answered {
        wire::dispatch(&mut Methods(self), received, call)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

struct Methods(Arc<Endpoint>);

use schema::process::endpoint as wire;

impl<'a> wire::Server<KernelCall<'a>> for Methods {
    fn mint(
        &mut self,
        reply: Reply<KernelCall<'a>, wire::call::Mint>,
        cookie: u64,
        interface_id: u64,
        lifetime: Lifetime,
    ) -> Answered {
        let account = reply.call().process().account();
        let minted = self.0.mint(account, cookie, interface_id, lifetime);
        reply.answer(minted.map(|facet| wire::MintReply { facet }))
    }

    fn revoke_facet(
        &mut self,
        reply: Reply<KernelCall<'a>, wire::call::RevokeFacet>,
        facet: Slot,
    ) -> Answered {
        let result = match facet.object() {
            Object::Facet(f) if Arc::ptr_eq(&f.core, &self.0.core) => {
                f.epoch.revoke();
                revoke_calls(f);
                Ok(())
            }
            Object::Facet(_) => Err(Refusal::WrongOwner),
            _ => Err(Refusal::WrongKind),
        };
        reply.answer(result)
    }

    fn renew(&mut self, reply: Reply<KernelCall<'a>, wire::call::Renew>) -> Answered {
        let incarnation = self.0.core.renew();
        reply.answer(Ok(wire::RenewReply { incarnation }))
    }
}

/// Completes every pending call through a facet as `revoked`, queued or delivered.
fn revoke_calls(facet: &Arc<Facet>) {
    while let Some(call) = facet.through.pop() {
        let (generation, _) = call.word.load();
        let hit = call
            .body
            .lock()
            .facet
            .as_ref()
            .is_some_and(|f| Arc::ptr_eq(f, facet));
        if hit && let Some(won) = win(&call, generation, Ending::Revoked) {
            let f = Finished::refused(Refusal::Revoked);
            won.caller.complete(won.route, f).run();
        }
        let _ = sched::point();
    }
}
