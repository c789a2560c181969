//! Endpoints: where calls wait for a thread that receives, and threads for a call.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use call_state::Ending;
use cap::Epoch;
use cpu::Lock;
use memory::{Charge, Quota};
use ring_abi::{Refusal, StatusWord, completion_flags};
use sabotage::sabotage;
use stub::{Answered, Received, Reply};

use crate::area::Span;
use crate::call::{Call, finish, win};
use crate::delivery::{Delivery, deliver, deliver_queued};
use crate::kernel_call::KernelCall;
use crate::queue::Queue;
use crate::through::Through;
use crate::woken::Woken;
use crate::{Finished, KernelObject, Object, Route, Slot, Thread};

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
    notices: VecDeque<Notice>,
    /// Facets that may still send a notice; as many places are reserved.
    facets: usize,
}

/// What a server is told of a facet that is gone.
#[derive(Debug)]
struct Notice {
    cookie: u64,
    /// What minted the cookie: to a later incarnation it may mean another client.
    minted: u64,
    durable: bool,
    /// What the facet cost: it is paid for until the server has heard.
    charge: Option<Charge>,
}

impl Notice {
    /// Whether the server of `incarnation` is to hear it: a cookie of its own, or one that means the same to all.
    fn is_for(&self, incarnation: u64) -> bool {
        self.durable || self.minted == incarnation
    }

    /// What the receiver gets.
    fn message(&self, incarnation: u64) -> Finished {
        let earlier = if self.minted == incarnation || sabotage!(NOTICE_TO_SUCCESSOR) {
            0
        } else {
            completion_flags::EARLIER
        };
        Finished {
            status: StatusWord {
                flags: completion_flags::DROPPED | earlier,
                ..StatusWord::default()
            }
            .pack(),
            cookie: self.cookie,
            reply: self.minted,
            ..Finished::default()
        }
    }
}

/// How many calls there are before it is worth to look for those that ended.
const LOOK_AT: usize = 64;

impl Queues {
    /// Queues a call.
    ///
    /// # Errors
    /// `NoMemory`.
    #[inline(always)]
    fn queue_call(&mut self, call: &Arc<Call>, generation: u64) -> Result<(), Refusal> {
        if self.calls.is_full() && self.calls.len() >= self.look_at {
            self.forget_ended();
        }
        self.calls
            .push((call.clone(), generation))
            .map_err(|_| Refusal::NoMemory)
    }

    /// Drops entries of calls that ended while they waited, now and then: a call that gives up leaves its place.
    #[cold]
    #[inline(never)]
    fn forget_ended(&mut self) {
        self.calls.retain(|(c, g)| c.word.load().0 == *g);
        self.look_at = (self.calls.len() * 2).max(LOOK_AT);
    }

    /// The receiver that has waited longest. One whose process is ending waits for nothing any more.
    fn next_receiver(&mut self) -> Option<Receiver> {
        loop {
            let receiver = self.receivers.pop()?;
            if !receiver.thread.is_leaving() && !receiver.thread.process.is_dying() {
                return Some(receiver);
            }
        }
    }
}

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
    facet_quota: Arc<Quota>,
    _charge: Option<Charge>,
}

/// A client's end: what a call goes through.
#[derive(Debug)]
pub struct Facet {
    core: Arc<EndpointCore>,
    epoch: Epoch,
    pub(crate) cookie: u64,
    /// The incarnation that minted it.
    incarnation: u64,
    /// It outlives its incarnation.
    durable: bool,
    interface: u64,
    charge: Option<Charge>,
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
        if !self.durable
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
        let mut notice = Notice {
            cookie: self.cookie,
            minted: self.incarnation,
            durable: self.durable,
            charge: None,
        };
        let (receiver, message) = {
            let mut q = self.core.queues.lock();
            q.facets = q.facets.saturating_sub(1);
            if self.core.closed.load(Ordering::Relaxed) {
                return;
            }
            if sabotage!(SKIP_DROP_NOTICE) {
                return;
            }
            let incarnation = self.core.incarnation.load(Ordering::Relaxed);
            if !notice.is_for(incarnation) && !sabotage!(NOTICE_TO_SUCCESSOR) {
                return;
            }
            match q.next_receiver() {
                Some(r) => (r, notice.message(incarnation)),
                None => {
                    notice.charge = self.charge.take();
                    q.notices.push_back(notice);
                    return;
                }
            }
        };
        receiver.thread.complete(receiver.route, message).run();
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

impl Drop for Endpoint {
    /// Nobody will ever answer or receive: whoever waits is told.
    fn drop(&mut self) {
        self.core.closed.store(true, Ordering::Release);
        // An interrupt in the middle of it leaves what it closes to the thread.
        let closing = crate::thread::current_closing();
        {
            let mut c = closing.lock();
            c.next.push(self.core.clone());
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
        let notices = core::mem::take(&mut self.queues.lock().notices);
        drop(notices);
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
                if let Some(receiver) = self.receive(receiver, false) {
                    receiver.run();
                }
                woken
            }
        }
    }

    /// Gives a receiver what waits, or queues it. `Some`: done, with who is to run (the receiver's thread, usually).
    #[inline(always)]
    pub(crate) fn receive(self: &Arc<Self>, receiver: Receiver, poll: bool) -> Option<Woken> {
        loop {
            let (call, generation) = {
                let mut q = self.queues.lock();
                if receiver.thread.is_leaving() {
                    // Another CPU had taken it out while its thread cancelled what was pending.
                    drop(q);
                    return None;
                }
                if let Some(notice) = q.notices.pop_front() {
                    // Renewing left none that this incarnation must not hear.
                    let incarnation = self.incarnation.load(Ordering::Relaxed);
                    drop(q);
                    let message = notice.message(incarnation);
                    drop(notice);
                    return Some(receiver.thread.complete(receiver.route, message));
                }
                match q.calls.pop() {
                    Some(next) => next,
                    None if poll => {
                        drop(q);
                        let f = Finished::refused(Refusal::TimedOut);
                        return Some(receiver.thread.complete(receiver.route, f));
                    }
                    None => {
                        let Err(receiver) = q.receivers.push(receiver) else {
                            return None;
                        };
                        drop(q);
                        let f = Finished::refused(Refusal::NoMemory);
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
        let mut q = self.queues.lock();
        let incarnation = self.incarnation.fetch_add(1, Ordering::AcqRel) + 1;
        if !sabotage!(NOTICE_TO_SUCCESSOR) {
            q.notices.retain(|notice| notice.is_for(incarnation));
        }
        incarnation
    }

    /// Whether the right to receive is gone for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes a receiver of this thread out whose deadline has come, in a ring. Without one, the earliest deadline to
    /// come is lowered into `earliest`.
    pub(crate) fn expired(
        &self,
        thread: &Arc<Thread>,
        now: u64,
        earliest: &mut u64,
    ) -> Option<Route> {
        let gone = {
            let mut q = self.queues.lock();
            let own = |r: &Receiver| r.route != Route::Register && Arc::ptr_eq(&r.thread, thread);
            match q.receivers.take(|r| own(r) && r.deadline <= now) {
                Some(late) => Some(late),
                None => {
                    let ahead = q.receivers.iter().filter(|r| own(r)).map(|r| r.deadline);
                    *earliest = ahead.min().map_or(*earliest, |d| d.min(*earliest));
                    None
                }
            }
        };
        gone.map(|receiver| receiver.route)
    }

    /// Takes waiting receivers of a thread out: all of them, or those of one route. Returns how many.
    pub(crate) fn forget(&self, thread: &Arc<Thread>, route: Option<Route>) -> usize {
        let mut taken = 0;
        // The caller holds the thread, so that no entry is the last that does.
        self.queues.lock().receivers.retain(|r| {
            let hit = Arc::ptr_eq(&r.thread, thread) && route.is_none_or(|w| w == r.route);
            taken += usize::from(hit);
            !hit
        });
        taken
    }
}

impl Endpoint {
    /// Makes an endpoint whose facets `facet_quota` pays for.
    pub fn new(facet_quota: Arc<Quota>, charge: Option<Charge>) -> Arc<Self> {
        let core = Arc::new(EndpointCore {
            queues: Lock::new(Queues::default()),
            incarnation: AtomicU64::new(1),
            closed: AtomicBool::new(false),
        });
        Arc::new(Self {
            core,
            epoch: Epoch::default(),
            facet_quota,
            _charge: charge,
        })
    }

    pub(crate) const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    pub(crate) const fn core(&self) -> &Arc<EndpointCore> {
        &self.core
    }

    fn mint(&self, cookie: u64, interface: u64, durable: bool) -> Result<Slot, Refusal> {
        let charge = self.facet_quota.reserve(1)?;
        let incarnation = {
            let mut q = self.core.queues.lock();
            let wanted = q.facets + 1;
            // Beside the notices that wait already.
            q.notices
                .try_reserve(wanted)
                .map_err(|_| Refusal::NoMemory)?;
            q.facets = wanted;
            self.core.incarnation.load(Ordering::Relaxed)
        };
        let facet = Arc::new(Facet {
            core: self.core.clone(),
            epoch: Epoch::default(),
            cookie,
            incarnation,
            durable,
            interface,
            charge: Some(charge),
            through: Through::new(),
        });
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
        durable: bool,
    ) -> Answered {
        let minted = self.0.mint(cookie, interface_id, durable);
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
