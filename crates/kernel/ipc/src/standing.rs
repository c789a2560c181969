//! Who may still receive: the end of a right to receive, and of what was begun with it.
//!
//! A receive that waits names no handle, and whoever lent the right may end. Then every receive of a process ends that has no
//! other right to the same endpoint. Invariant: a right is dead before the endpoint says that one has ended, and that is said
//! before the queue is looked through; so a receive that comes too late to be found there looks at its rights itself.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, Ordering};

use arrayvec::ArrayVec;
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::finished::{Finished, Route};
use crate::queue::{PART, Place};
use crate::records::{EndpointCore, Object, Process, Receiver, Thread};
use crate::woken::Woken;

/// Nobody will ever receive.
const CLOSED: u8 = 1;
/// A right to receive has ended that was lent, and the endpoint goes on.
const RIGHT_ENDED: u8 = 2;

/// How an endpoint stands. It only gets worse.
#[derive(Debug, Default)]
pub(crate) struct Standing(AtomicU8);

impl Standing {
    /// Nothing has ended.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    #[inline(always)]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Closes it. `false`: somebody did.
    pub(crate) fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }
}

impl EndpointCore {
    /// A right to receive here that was lent has ended, and is refused by now: ends what waits with no other right.
    pub(crate) fn end_of_right(&self) {
        if sabotage!(KEEP_LENT_RECEIVES) {
            return;
        }
        self.standing.0.fetch_or(RIGHT_ENDED, Ordering::SeqCst);
        let mut from = Some(Place::FIRST);
        while let Some(at) = from {
            let mut waiting = ArrayVec::<Arc<Thread>, PART>::new();
            from = self.queues.lock().receivers.retain_part(at, |receiver| {
                let process = &receiver.thread.process;
                let known = waiting
                    .last()
                    .is_some_and(|one| Arc::ptr_eq(&one.process, process));
                if !known {
                    // No step looks at more entries than there is room for.
                    let _ = waiting.try_push(receiver.thread.clone());
                }
                true
            });
            for thread in waiting {
                if !thread.process.may_receive(self) {
                    self.end_receives(&thread.process);
                }
            }
            let _ = sched::point();
        }
    }

    /// Ends every receive of a process that waits here.
    fn end_receives(&self, process: &Arc<Process>) {
        let mut from = Some(Place::FIRST);
        while let Some(at) = from {
            let mut ended = ArrayVec::<(Arc<Thread>, Route), PART>::new();
            from = self.queues.lock().receivers.retain_part(at, |receiver| {
                let hit = Arc::ptr_eq(&receiver.thread.process, process);
                let one = (receiver.thread.clone(), receiver.route);
                !(hit && ended.try_push(one).is_ok())
            });
            for (thread, route) in ended {
                let revoked = Finished::refused(Refusal::Revoked);
                thread.complete(route, revoked).run();
            }
            let _ = sched::point();
        }
    }

    /// Queues a receiver where some right has ended, and takes it out again where it was that one's.
    #[cold]
    #[inline(never)]
    pub(crate) fn queue_and_look(&self, receiver: Receiver) -> Option<Woken> {
        let (thread, route) = (receiver.thread.clone(), receiver.route);
        // No lock is held behind this line: what comes next takes looks.
        let queued = self.queues.lock().receivers.push(receiver);
        let refusal = match queued {
            Err(_) => Refusal::OverBudget,
            Ok(()) if self.is_closed() || !thread.process.may_receive(self) => Refusal::Revoked,
            Ok(()) => return None,
        };
        let was_there = refusal == Refusal::OverBudget || self.forget(&thread, Some(route)) > 0;
        // Otherwise somebody else has taken it out, and completes it.
        was_there.then(|| thread.complete(route, Finished::refused(refusal)))
    }
}

impl Process {
    /// Whether it has a right to receive at an endpoint.
    fn may_receive(&self, core: &EndpointCore) -> bool {
        let is_right = |object: &Object| match object {
            Object::Endpoint(endpoint) => {
                core::ptr::eq(Arc::as_ptr(endpoint.core()), core) && !endpoint.tie.has_ended()
            }
            _ => false,
        };
        self.handles.any_live(is_right)
    }
}
