//! The thread that runs; how results reach a thread, and what it keeps from one operation to the next.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;

use account::Account;
use cpu::SyscallFrame;
use ring_abi::{Completion, Refusal};
use schema::process::thread_handle;
use stub::Deferred;

use crate::closing::Closing;
use crate::exit::Joins;
use crate::finished::{Finished, Route};
use crate::meeting::Waiting;
use crate::records::{Call, EndpointCore, Outbound, Pending, Receiver, Thread};
use crate::trace;
use crate::woken::Woken;

/// What a call takes, at most.
const CALL_BYTES: u64 = 1024;

/// Makes the process that runs pay for what is allocated on its CPU. Once, when every CPU has its idle task.
pub fn pay_by_running() {
    fn payer() -> *const Account {
        let owner = cpu::owner().cast::<Thread>();
        // SAFETY: as for `current`; a thread that runs has a process, and that its account.
        unsafe { owner.as_ref() }.map_or(core::ptr::null(), |t| Arc::as_ptr(t.process.account()))
    }
    // SAFETY: the process of the thread that runs lives at least as long as it runs.
    unsafe { frames::set_source(payer) };
}

/// The thread that runs.
pub fn current() -> Arc<Thread> {
    let owner = cpu::owner().cast::<Thread>();
    // SAFETY: `Thread::new` stored `Arc::as_ptr`, and the process holds the thread until it has exited.
    unsafe {
        Arc::increment_strong_count(owner);
        Arc::from_raw(owner)
    }
}

/// As [`current`], without counting: for the length of one entry of this very thread.
#[inline(always)]
pub(crate) fn current_shared() -> ManuallyDrop<Arc<Thread>> {
    let owner = cpu::owner().cast::<Thread>();
    // SAFETY: as for `current`; the count that this pointer stands for is the process', and is never given back here.
    ManuallyDrop::new(unsafe { Arc::from_raw(owner) })
}

/// What boot and idle tasks close.
static CLOSING: Closing<EndpointCore> = Closing::new();

/// What the task that runs, or that an interrupt came to, is closing.
pub(crate) fn current_closing() -> &'static Closing<EndpointCore> {
    let owner = cpu::owner().cast::<Thread>();
    if owner.is_null() {
        return &CLOSING;
    }
    // SAFETY: as for `current`; used by the thread itself, or by an interrupt that came to it.
    unsafe { &(*owner).closing }
}

/// The right to wait for the end of a thread.
#[derive(Debug)]
pub struct JoinRight(Arc<Joins<Pending>>);

impl JoinRight {
    /// Answers when the thread has ended.
    pub fn join(&self, later: Deferred<Pending, thread_handle::call::Join>) {
        self.0.join(later);
    }
}

impl Thread {
    /// Takes a call object for an operation. `None`: the thread has as many calls in flight as its ring allows.
    #[inline(always)]
    pub(crate) fn take_call(&self) -> Option<Arc<Call>> {
        if let Some(call) = self.calls.take() {
            return Some(call);
        }
        // SAFETY: this is the thread that runs.
        if let Some(call) = unsafe { self.own_call.take() } {
            return Some(call);
        }
        self.make_call()
    }

    /// As [`Self::take_call`], for the operation in registers, which mostly uses the same one.
    #[inline(always)]
    pub(crate) fn take_own_call(&self) -> Option<Arc<Call>> {
        // SAFETY: this is the thread that runs.
        match unsafe { self.own_call.take() } {
            Some(call) => Some(call),
            None => self.take_call(),
        }
    }

    #[inline(never)]
    fn make_call(&self) -> Option<Arc<Call>> {
        self.calls
            .make(self.area.completions() as usize, CALL_BYTES, Call::new)
    }

    #[inline(always)]
    pub(crate) fn recycle(&self, call: Arc<Call>) {
        self.calls.put(call);
    }

    /// As [`Self::recycle`], by whoever ended the call, for one that came by `route`.
    #[inline(always)]
    pub(crate) fn recycle_from(&self, route: Route, call: Arc<Call>) {
        let left = match route {
            Route::Register => self.own_call.put(call).err(),
            Route::Ring(_) => Some(call),
        };
        if let Some(call) = left {
            self.calls.put(call);
        }
    }

    /// A count of the thread that runs, which waits in registers next: the one that came back from its last operation there, if
    /// that is at hand.
    #[inline(always)]
    pub(crate) fn counted(self: &Arc<Self>) -> Arc<Self> {
        // SAFETY: this is the thread that runs.
        match unsafe { self.own_count.take() } {
            Some(count) => count,
            None => self.clone(),
        }
    }

    /// As [`Self::complete`], by who holds a count of the thread that was made for this operation: it goes back to the thread,
    /// where that was woken.
    #[inline(always)]
    pub(crate) fn complete_counted(self: Arc<Self>, route: Route, f: Finished) -> Woken {
        let woken = self.complete(route, f);
        // A thread that was woken runs when `woken` lets it, and not before: nobody else touches its place.
        if !woken.is_nobody() {
            let at = Arc::as_ptr(&self);
            // SAFETY: a thread that was woken and does not run has not ended, so that its process keeps it.
            let place = unsafe { &(*at).own_count };
            drop(place.put(self).err());
        }
        woken
    }

    /// An empty list for outgoing capabilities, to be given back with [`Thread::return_list`].
    pub(crate) fn take_list(&self) -> Vec<Outbound> {
        core::mem::take(&mut self.outbound.lock())
    }

    pub(crate) fn return_list(&self, mut list: Vec<Outbound>) {
        list.clear();
        *self.outbound.lock() = list;
    }

    /// The call objects that the thread has made, one by one from the one at `first`.
    pub(crate) fn calls(&self, first: usize) -> impl Iterator<Item = Arc<Call>> {
        self.calls.all(first)
    }

    /// Notes that a receive may be pending on an endpoint.
    ///
    /// # Errors
    /// `OverBudget`.
    #[inline(always)]
    pub(crate) fn note_receive(&self, core: &Arc<EndpointCore>) -> Result<(), Refusal> {
        if self.has_noted(core) {
            return Ok(());
        }
        self.receives.lock().note(core, EndpointCore::is_closed)?;
        self.noted
            .store(Arc::as_ptr(core).cast_mut(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether it is the endpoint that was noted last: then it is in `receives`, and only this thread takes it out there.
    #[inline(always)]
    pub(crate) fn has_noted(&self, core: &Arc<EndpointCore>) -> bool {
        core::ptr::eq(self.noted.load(Ordering::Relaxed), Arc::as_ptr(core))
    }

    /// Endpoints on which a receive may be pending, one after the other.
    pub(crate) fn receive_cores(&self) -> impl Iterator<Item = Arc<EndpointCore>> {
        core::iter::successors(self.receives.lock().next(None), |last| {
            self.receives.lock().next(Some(last))
        })
    }

    /// Hands a finished operation to this thread, and wakes it if it was waiting for that.
    #[inline(always)]
    pub(crate) fn complete(&self, route: Route, f: Finished) -> Woken {
        match route {
            Route::Register => self.register.put(f.to_words()),
            Route::Ring(user_data) => {
                if !self.post(user_data, f.status, f.cookie, f.reply) {
                    return Woken::NOBODY;
                }
            }
        }
        Woken::claim(&self.task)
    }

    /// Writes a completion. `true`: the thread has what it waits for.
    #[inline(never)]
    pub(crate) fn post(&self, user_data: u64, status: u64, cookie: u64, reply: u64) -> bool {
        let completion = Completion {
            user_data,
            status,
            cookie,
            reply,
        };
        let (has_all, traced) = {
            let mut ring = self.ring.lock();
            (ring.post(&self.area, completion), ring.traced)
        };
        if traced && !trace::posted(self, user_data, status) {
            self.ring.lock().traced = false;
        }
        has_all
    }

    /// Moves the result of the operation in registers to where the program gets it. `false`: it is not there yet.
    #[inline(always)]
    pub(crate) fn take_register(&self, frame: &mut SyscallFrame) -> bool {
        match self.register.take() {
            Some(words) => Finished::from_words(words).store(frame),
            None => return false,
        }
        true
    }

    /// As [`Thread::take_register`], before the thread waits.
    pub(crate) fn take_own(&self) -> Option<Finished> {
        self.register.take().map(Finished::from_words)
    }

    /// Whether it has begun to end.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// The right to wait for its end, which does not keep it.
    pub fn join_right(&self) -> JoinRight {
        JoinRight(self.joins.clone())
    }

    /// Copies an exit text out of the message area; how many bytes there were.
    pub fn exit_text(&self, offset: u32, bytes: u32, out: &mut [u8]) -> usize {
        self.area.read_text(offset, bytes, out)
    }
}

impl Waiting for Receiver {
    /// One whose process is ending waits for nothing any more.
    #[inline(always)]
    fn is_waiting(&self) -> bool {
        !self.thread.is_leaving() && !self.thread.process.is_dying()
    }
}
