//! Endpoints: how calls meet threads that receive, and what becomes of both when an endpoint is closed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use call_state::Ending;
use ring_abi::{NEVER, Refusal};
use sabotage::sabotage;

use crate::call::{finish, win};
use crate::delivery::{Delivery, deliver, deliver_queued};
use crate::finished::{Finished, Route};
use crate::meeting::Ended;
use crate::notice::Notice;
use crate::queue::{PART, Place};
use crate::records::{Call, Endpoint, EndpointCore, Facet, Queued, Receiver, Thread};
use crate::thread::current_closing;
use crate::woken::Woken;

/// What a receiver does where nothing waits for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Polls,
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
        // A defect that nothing else would show until the notice finds many receivers of threads that are ending.
        #[cfg(sabotage)]
        assert!(!cpu::held::any(), "a facet goes with a lock held");
        self.core.tell(notice);
    }
}

/// Ends a call that never had a place in the queue.
#[cold]
fn refuse_call(call: &Arc<Call>, generation: u64, refusal: Refusal) -> Woken {
    let f = Finished::refused(refusal);
    finish(call, generation, Ending::NoReply, f)
}

impl Drop for Endpoint {
    /// Nobody will ever answer or receive: whoever waits is told. Where it was lent, its lender still may.
    fn drop(&mut self) {
        self.close();
    }
}

impl Endpoint {
    /// Closes it, unless it was lent. Has its effect once.
    pub(crate) fn close(&self) {
        if self.share.is_some() || !self.core.standing.close() {
            return;
        }
        // An interrupt in the middle of it leaves what it closes to the thread.
        current_closing().close(&self.core, EndpointCore::settle);
    }
}

impl EndpointCore {
    /// What is left to do in steps: the end of what waits at an endpoint that is closed, or notices that found receivers of
    /// threads that were ending.
    fn settle(self: &Arc<Self>) {
        if self.is_closed() {
            self.end_everything();
        } else {
            self.tell_waiting();
        }
    }

    /// Gives the notices that wait to threads that receive.
    #[cold]
    fn tell_waiting(self: &Arc<Self>) {
        loop {
            let next = {
                let mut q = self.queues.lock();
                if q.notices.is_empty() {
                    return;
                }
                q.next_receiver()
            };
            match next {
                Ok(None) => return,
                Ok(Some(receiver)) => {
                    if let Some(woken) = self.receive(receiver, Patience::Waits) {
                        woken.run();
                    }
                }
                Err(Ended) => {}
            }
            let _ = sched::point();
        }
    }

    /// Tells whoever waits here that the endpoint is closed.
    fn end_everything(&self) {
        let revoked = Finished::refused(Refusal::Revoked);
        loop {
            let next = self.queues.lock().next_call();
            let Some(Queued { call, generation }) = next else {
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
    fn tell(self: &Arc<Self>, notice: Box<Notice>) {
        let (receiver, message) = {
            let mut q = self.queues.lock();
            if self.is_closed() {
                return;
            }
            let incarnation = self.incarnation.load(Ordering::Relaxed);
            if !notice.is_for(incarnation) && !sabotage!(NOTICE_TO_SUCCESSOR) {
                return;
            }
            match q.next_receiver() {
                Ok(Some(r)) => (r, notice.message(incarnation)),
                Ok(None) => {
                    q.notices.push(notice);
                    return;
                }
                Err(Ended) => {
                    q.notices.push(notice);
                    drop(q);
                    // The rest takes looks, and facets that go meanwhile come behind it, not within it: a kernel stack is short.
                    return current_closing().close(self, Self::settle);
                }
            }
        };
        receiver.thread.complete(receiver.route, message).run();
    }

    /// Queues a call, or delivers it to a thread that waits. Returns who was woken.
    #[inline(always)]
    pub(crate) fn send(self: &Arc<Self>, call: &Arc<Call>, generation: u64) -> Woken {
        let (receiver, queued) = loop {
            let mut q = self.queues.lock();
            match q.next_receiver() {
                Ok(Some(receiver)) => break (Some(receiver), Ok(())),
                Ok(None) => {
                    let queued = q.queue_call(|| Queued {
                        call: call.clone(),
                        generation,
                    });
                    break (None, queued);
                }
                Err(Ended) => {
                    drop(q);
                    let _ = sched::point();
                }
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
                self.bring_back(receiver);
                woken
            }
        }
    }

    /// Queues a receiver again that was taken out for a call that is gone.
    #[cold]
    #[inline(never)]
    fn bring_back(self: &Arc<Self>, receiver: Receiver) {
        let due = (receiver.route != Route::Register && receiver.deadline != NEVER)
            .then(|| (receiver.thread.clone(), receiver.deadline));
        // Another call may have been queued meanwhile, because no receiver was to be seen.
        if let Some(receiver) = self.receive(receiver, Patience::Waits) {
            receiver.run();
        }
        // Its thread may have looked meanwhile for what is late, and seen nothing of it: it looks again.
        if let Some((thread, deadline)) = due {
            thread.ring.lock().lower_deadline(deadline);
            sched::wake(&thread.task);
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
            let Queued { call, generation } = {
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
                match q.next_call() {
                    Some(next) => next,
                    None if patience == Patience::Polls => {
                        drop(q);
                        let f = Finished::refused(Refusal::TimedOut);
                        return Some(receiver.thread.complete(receiver.route, f));
                    }
                    None => {
                        // One that was lent may be closed meanwhile: whoever closes looks for receivers behind this lock.
                        let (receiver, refusal) = if self.standing.is_plain() {
                            match q.receivers.push(receiver) {
                                Ok(()) => return None,
                                // Who receives pays for its place.
                                Err(receiver) => (receiver, Refusal::OverBudget),
                            }
                        } else if self.is_closed() {
                            (receiver, Refusal::Revoked)
                        } else {
                            drop(q);
                            return self.queue_and_look(receiver);
                        };
                        drop(q);
                        let f = Finished::refused(refusal);
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
    pub(crate) fn renew(self: &Arc<Self>) -> u64 {
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

    /// Takes the receivers of this thread out whose deadline has come, in a ring, and ends them. The earliest deadline of
    /// the others is lowered into `earliest`.
    pub(crate) fn expire(&self, thread: &Arc<Thread>, now: u64, earliest: &mut u64) {
        let mut late = ArrayVec::<Route, PART>::new();
        let mut from = Some(Place::FIRST);
        while let Some(at) = from {
            from = self.queues.lock().receivers.retain_part(at, |r| {
                if r.route == Route::Register || !Arc::ptr_eq(&r.thread, thread) {
                    return true;
                }
                // No step looks at more entries than there is room for.
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
        let mut from = Some(Place::FIRST);
        while let Some(at) = from {
            // The caller holds the thread, so that no entry is the last that does.
            from = self.queues.lock().receivers.retain_part(at, |r| {
                let hit = Arc::ptr_eq(&r.thread, thread) && route.is_none_or(|w| w == r.route);
                taken += usize::from(hit);
                !hit
            });
            let _ = sched::point();
        }
        taken
    }
}

/// Completes every pending call through a facet as `revoked`, queued or delivered.
pub(crate) fn revoke_calls(facet: &Arc<Facet>) {
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
