//! Every operation, whether it came in registers or from the ring.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use call_state::Ending;
use cpu::SyscallFrame;
use ring_abi::{
    MAX_MESSAGE_BYTES, MAX_TRANSFERS, NEVER, Refusal, Submission, opcode, submission_flags,
};
use sabotage::sabotage;
use stub::{Answered, Received};

use crate::answer::{answer, refuse};
use crate::area::Span;
use crate::call::Payload;
use crate::endpoint::{Patience, Receiver};
use crate::kernel_call::KernelCall;
use crate::object::Found;
use crate::stop::{Misuse, Stop};
use crate::thread::current_shared;
use crate::transfer::{self, Outbound, collect};
use crate::woken::Woken;
use crate::{
    Facet, Finished, KernelObject, Object, Route, Slot, Thread, park, release, ring, scratch, trace,
};

/// One operation, private to the kernel: what registers and ring submissions both become.
///
/// Laid out as the registers of [`SyscallFrame`] from `rdi` on, so that one in registers is read where it was saved.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Operation {
    /// Opcode, flags and method, packed as in `ring_abi::Control`.
    pub(crate) control: u64,
    pub(crate) handle: u64,
    pub(crate) deadline: u64,
    /// Inline payload, if flagged; else the span of the message, two words, and the count of transfers.
    pub(crate) words: [u64; 4],
    pub(crate) second: u64,
    /// Where the answer goes.
    pub(crate) reply: u64,
}

const _: () = {
    use core::mem::offset_of;
    let first = offset_of!(SyscallFrame, rdi);
    assert!(offset_of!(SyscallFrame, rsi) - first == offset_of!(Operation, handle));
    assert!(offset_of!(SyscallFrame, rdx) - first == offset_of!(Operation, deadline));
    assert!(offset_of!(SyscallFrame, r10) - first == offset_of!(Operation, words));
    assert!(offset_of!(SyscallFrame, r8) - first == offset_of!(Operation, words) + 8);
    assert!(offset_of!(SyscallFrame, r9) - first == offset_of!(Operation, words) + 16);
    assert!(offset_of!(SyscallFrame, r12) - first == offset_of!(Operation, words) + 24);
    assert!(offset_of!(SyscallFrame, r13) - first == offset_of!(Operation, second));
    assert!(offset_of!(SyscallFrame, r14) - first == offset_of!(Operation, reply));
};

impl Operation {
    /// The operation in a frame.
    #[inline(always)]
    fn in_frame(frame: &SyscallFrame) -> &Self {
        // SAFETY: both are words of plain data in C layout; the assertions above place each field on its register.
        unsafe {
            &*(&raw const *frame)
                .byte_add(core::mem::offset_of!(SyscallFrame, rdi))
                .cast()
        }
    }

    /// The operation of a submission. Its reserved bits are the caller's to look at.
    #[inline(always)]
    pub(crate) const fn in_ring(submission: &Submission) -> Self {
        let message = submission.message();
        Self {
            control: submission.control(),
            handle: submission.handle,
            deadline: submission.deadline_ns,
            words: submission.words,
            second: message.second,
            reply: message.reply,
        }
    }

    #[inline(always)]
    pub(crate) const fn opcode(&self) -> u8 {
        self.control as u8
    }

    #[inline(always)]
    pub(crate) const fn flags(&self) -> u8 {
        (self.control >> 8) as u8
    }

    #[inline(always)]
    pub(crate) const fn method(&self) -> u16 {
        (self.control >> 16) as u16
    }

    /// The control word with another opcode.
    pub(crate) const fn with_opcode(&self, opcode: u8) -> u64 {
        self.control & !0xff | opcode as u64
    }

    #[inline(always)]
    const fn is_inline(&self) -> bool {
        self.flags() & submission_flags::INLINE != 0
    }

    /// What is sent, for a message at `message`.
    #[inline(always)]
    pub(crate) const fn payload(&self, message: Option<Span>) -> Payload {
        match message {
            Some(span) => Payload::Message(span),
            None => Payload::Inline(self.words),
        }
    }

    /// Count of outgoing transfers.
    #[inline(always)]
    pub(crate) const fn transfers(&self) -> u64 {
        if self.is_inline() { 0 } else { self.words[3] }
    }
}

/// One operation on its way: who performs it, how its result travels, what it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) me: &'a Arc<Thread>,
    pub(crate) route: Route,
    pub(crate) op: &'a Operation,
}

/// How an operation went, before anybody waits.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is over, with this result.
    Done(Finished),
    /// It is under way; somebody to run while waiting.
    Waiting(Woken),
    /// An object of the kernel has put it aside.
    Deferred,
}

/// What becomes of an operation, before anybody waits.
pub(crate) type Outcome = Result<Begun, Stop>;

impl From<Finished> for Begun {
    #[inline(always)]
    fn from(finished: Finished) -> Self {
        Self::Done(finished)
    }
}

/// Handles `enter`. A misuse ends the process, naming the rule.
#[inline]
pub fn enter(frame: &mut SyscallFrame) {
    let me = current_shared();
    let op = Operation::in_frame(frame);
    let result = if op.control >> 48 != 0 && !sabotage!(SKIP_CONTROL_CHECK) {
        Err(Misuse(&"reserved bits of the control word"))
    } else if op.opcode() == opcode::RING {
        let wanted = (op.control >> 32) as u16;
        ring::enter(&me, wanted, op.deadline).map(|n| frame.rax = u64::from(n))
    } else {
        registers(&me, frame)
    };
    if let Err(Misuse(rule)) = result {
        me.process.end(crate::End::Faulted, -1, rule);
    }
}

/// Performs the operation in registers and waits for it.
#[inline(always)]
fn registers(me: &Arc<Thread>, frame: &mut SyscallFrame) -> Result<(), Misuse> {
    let op = Operation::in_frame(frame);
    let deadline = op.deadline;
    let entry = Entry {
        me,
        route: Route::Register,
        op,
    };
    // A call that somebody looks at goes the longer way.
    let is_plain = op.opcode() == opcode::CALL && op.flags() == submission_flags::INLINE;
    let outcome = if is_plain && !me.process.is_traced() {
        // The checks of `call`, in its order, for a call without a message.
        let reply = me.area.span(op.reply)?;
        match me.process.find(op.handle, op.method(), &op.words) {
            Ok(Found::Answer(words)) => {
                Finished::store_inline(words, frame);
                return Ok(());
            }
            Ok(Found::Then(words, object)) => {
                object.finish();
                Finished::store_inline(words, frame);
                return Ok(());
            }
            Ok(Found::Object(object)) => called(&entry, reply, None, object),
            Err(refusal) => Err(refusal.into()),
        }
    } else {
        perform(&entry)
    };
    match outcome {
        Ok(Begun::Done(finished)) => finished.store(frame),
        Ok(Begun::Waiting(woken)) => wait(me, woken, deadline, frame),
        Ok(Begun::Deferred) => wait(me, Woken::NOBODY, deadline, frame),
        Err(Stop::Refused(refusal)) => Finished::refused(refusal).store(frame),
        Err(Stop::Misuse(misuse)) => return Err(misuse),
    }
    Ok(())
}

#[inline(always)]
fn perform(entry: &Entry<'_>) -> Outcome {
    let Entry { me, op, .. } = entry;
    match op.opcode() {
        opcode::CALL => {
            check_flags(op)?;
            call(entry)
        }
        opcode::RETURN_RECEIVE => return_receive(entry),
        opcode::PARK => Ok(park::park(me, op.handle, op.words[0] as u32, op.deadline).into()),
        _ => begin(entry),
    }
}

/// Answers, then waits; the caller of the answered call runs while this thread does.
#[inline(never)]
fn return_receive(entry: &Entry<'_>) -> Outcome {
    let woken = answer(entry.me, entry.op)?;
    match receive(entry, entry.op.second) {
        Ok(Begun::Waiting(_)) => Ok(Begun::Waiting(woken)),
        // Whatever becomes of this thread, the caller has its answer.
        done => {
            woken.run();
            done
        }
    }
}

/// Waits for the operation in registers; its result goes to the frame.
#[inline(always)]
fn wait(me: &Arc<Thread>, woken: Woken, deadline: u64, frame: &mut SyscallFrame) {
    if me.process.is_dying() {
        Finished::refused(Refusal::Cancelled).store(frame);
        return woken.run();
    }
    // A result that came meanwhile came with a wake-up, and that ends the first block at once.
    let timed_out = woken.switch(deadline);
    if !me.take_register(frame) {
        if timed_out {
            time_out(me, frame);
        } else {
            wait_on(me, deadline, frame);
        }
    }
}

/// After a wake-up without a result.
#[cold]
#[inline(never)]
fn wait_on(me: &Arc<Thread>, deadline: u64, frame: &mut SyscallFrame) {
    loop {
        // Threads that are woken for nothing hand the CPU on to each other without a way out of the kernel.
        let _ = sched::point();
        if me.process.is_dying() {
            return Finished::refused(Refusal::Cancelled).store(frame);
        }
        let timed_out = sched::block(deadline);
        if me.take_register(frame) {
            return;
        }
        if timed_out {
            return time_out(me, frame);
        }
    }
}

/// Ends an operation whose deadline came, unless something else ends it first.
#[cold]
#[inline(never)]
fn time_out(me: &Arc<Thread>, frame: &mut SyscallFrame) {
    loop {
        let _ = sched::point();
        if me.process.is_dying() {
            return Finished::refused(Refusal::Cancelled).store(frame);
        }
        if ring::end_pending(me, Route::Register, Ending::TimedOut) {
            return Finished::refused(Refusal::TimedOut).store(frame);
        }
        // Something else won, and its result is about to be there; or another CPU has this receiver in its hands for a
        // delivery that may yet fail, and then puts it back: one look is not enough.
        cpu::relax();
        if me.take_register(frame) {
            return;
        }
    }
}

/// Starts an operation that both forms share.
///
/// # Errors
/// Those of the operation.
#[inline(never)]
pub(crate) fn begin(entry: &Entry<'_>) -> Outcome {
    let Entry { me, op, .. } = *entry;
    check_flags(op)?;
    match op.opcode() {
        opcode::NOP => sabotage!(FAIL_ALLOC => {
            let left = frames::armed::arm(op.handle);
            return Ok(Finished::inline([left, 0, 0, 0]).into());
        }),
        opcode::CALL => return call(entry),
        opcode::RECEIVE => return receive(entry, op.handle),
        opcode::RETURN => answer(me, op)?.run(),
        opcode::REFUSE => refuse(me, op)?,
        opcode::RELEASE => release(me.process.remove(op.handle)?),
        opcode::UNPARK => {
            let n = park::unpark(me, op.handle, op.words[0]);
            return Ok(Finished::inline([n, 0, 0, 0]).into());
        }
        opcode::CANCEL => ring::cancel(me, op.handle)?,
        _ => return Err(Refusal::BadArgument.into()),
    }
    Ok(Finished::default().into())
}

#[inline(always)]
fn check_flags(op: &Operation) -> Result<(), Refusal> {
    if op.flags() & !submission_flags::ALL == 0 {
        Ok(())
    } else {
        Err(Refusal::BadArgument)
    }
}

/// Where the message of an operation lies, checked against the area. `None`: it is in the words.
///
/// # Errors
/// It lies elsewhere.
#[inline(always)]
pub(crate) fn message(me: &Thread, op: &Operation) -> Result<Option<Span>, Misuse> {
    if op.is_inline() {
        return Ok(None);
    }
    me.area.span(op.words[0]).map(Some)
}

/// Collects the capabilities behind an operation's message.
///
/// # Errors
/// Those of [`collect`].
#[inline(never)]
pub(crate) fn outbound(
    me: &Thread,
    op: &Operation,
    message: Span,
    out: &mut Vec<Outbound>,
) -> Result<(), Stop> {
    collect(&me.process, &me.area, message, op.words[3], out)
}

/// Every call begins here; one that somebody looks at goes another way.
#[inline(always)]
fn call(entry: &Entry<'_>) -> Outcome {
    if entry.me.process.is_traced() {
        return trace::call(entry);
    }
    call_untraced(entry)
}

/// The head of every call: where its message and its reply lie, and what its handle names.
#[inline(always)]
pub(crate) fn call_untraced(entry: &Entry<'_>) -> Outcome {
    let Entry { me, op, .. } = *entry;
    let reply = me.area.span(op.reply)?;
    let message = message(me, op)?;
    called(entry, reply, message, me.process.lookup(op.handle)?)
}

/// A call whose handle names `object`.
#[inline(always)]
fn called(entry: &Entry<'_>, reply: Span, message: Option<Span>, object: Object) -> Outcome {
    match object {
        Object::Kernel(object) => call_object(entry, reply, message, object),
        Object::Endpoint(endpoint) => call_object(entry, reply, message, endpoint),
        Object::Facet(facet) => call_facet(entry, reply, message, facet),
        Object::Reply(_) => Err(Refusal::WrongKind.into()),
    }
}

/// Sends a call through a facet.
#[inline(never)]
fn call_facet(entry: &Entry<'_>, reply: Span, message: Option<Span>, facet: Arc<Facet>) -> Outcome {
    let Entry { me, route, op } = *entry;
    let call = me.take_call().ok_or(Refusal::OverBudget)?;
    let (generation, _) = call.word.load();
    facet.through.enter(&call);
    let core = facet.core().clone();
    if let Some(message) = message
        && op.transfers() != 0
    {
        let mut caps = core::mem::take(&mut call.body.lock().caps);
        caps.clear();
        if let Err(stop) = outbound(me, op, message, &mut caps) {
            me.recycle(call);
            return Err(stop);
        }
        call.body.lock().caps = caps;
    }
    {
        let mut body = call.body.lock();
        body.caller = Some(me.clone());
        body.generation = generation;
        body.route = route;
        body.method = op.method();
        body.payload = op.payload(message);
        body.reply = reply;
        body.facet = Some(facet);
        body.deadline = op.deadline;
    }
    call.word.begin(generation).map_err(|_| Refusal::Failed)?;
    Ok(Begun::Waiting(core.send(&call, generation)))
}

/// Lets an object of the kernel serve a call.
#[inline(never)]
fn call_object(
    entry: &Entry<'_>,
    reply: Span,
    message: Option<Span>,
    object: Arc<dyn KernelObject>,
) -> Outcome {
    let method = entry.op.method();
    let mut caps = ArrayVec::new();
    let mut room = scratch::Message::default();
    // What an object does not answer.
    let mut outcome = Err(Refusal::NoReply.into());
    match incoming(entry, message, &*object, &mut room, &mut caps) {
        Ok(payload) => {
            let call = KernelCall {
                entry,
                reply,
                caps: &mut caps,
                outcome: &mut outcome,
            };
            let _: Answered = object.call(call, Received { method, payload });
        }
        Err(stop) => outcome = Err(stop),
    }
    // Not by value: the array is long, and mostly empty.
    while let Some(left) = caps.pop() {
        left.into_iter().for_each(release);
    }
    outcome
}

/// Parameters of a call to the kernel: the message copied, its capabilities taken out of the caller's hands.
#[inline(always)]
fn incoming<'m>(
    entry: &Entry<'_>,
    message: Option<Span>,
    object: &dyn KernelObject,
    room: &'m mut scratch::Message,
    caps: &mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
) -> Result<stub::Payload<'m>, Stop> {
    let Entry { me, op, .. } = *entry;
    let Some(message) = message else {
        return Ok(stub::Payload::Plain(op.words));
    };
    if op.transfers() != 0 {
        take_caps(me, op, message, caps)?;
    }
    // Asked only here: words are the call's own anyway.
    let place = match message.bytes() as usize >= object.long_from() {
        true => scratch::Place::Own,
        false => scratch::Place::OfCpu,
    };
    let message = scratch::read(me, message, place, room)?;
    Ok(stub::Payload::Message(message))
}

/// Takes the capabilities of a call to the kernel out of the caller's hands.
#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "stack: into an array")]
fn take_caps(
    me: &Thread,
    op: &Operation,
    message: Span,
    caps: &mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
) -> Result<(), Stop> {
    let mut out = me.take_list();
    let taken = outbound(me, op, message, &mut out)
        .and_then(|()| Ok(transfer::detach(&me.process, &mut out)?))
        .map(|()| caps.extend(transfer::slots(&mut out).map(Some)));
    me.return_list(out);
    taken
}

/// Waits for a call on the endpoint that `handle` names.
#[inline(always)]
fn receive(entry: &Entry<'_>, handle: u64) -> Outcome {
    let Entry { me, route, op } = *entry;
    let buffer = me.area.span(op.reply)?;
    let Object::Endpoint(endpoint) = me.process.lookup(handle)? else {
        return Err(Refusal::WrongKind.into());
    };
    me.note_receive(endpoint.core())?;
    let receiver = Receiver {
        thread: me.clone(),
        route,
        buffer,
        deadline: op.deadline,
    };
    let patience = match op.flags() & submission_flags::POLL {
        0 => Patience::Waits,
        _ => Patience::Polls,
    };
    if let Some(own) = endpoint.core().receive(receiver, patience) {
        // The result is this thread's own: in `register`, or in the ring already.
        debug_assert!(own.is_nobody(), "a running thread was claimed");
        // Waking oneself leaves a note that the next block would take for a wake-up; that is harmless.
        if route == Route::Register
            && let Some(own) = me.take_own()
        {
            return Ok(own.into());
        }
    }
    Ok(Begun::Waiting(Woken::NOBODY))
}

const _: () =
    assert!(MAX_MESSAGE_BYTES.is_multiple_of(8) && MAX_TRANSFERS <= 16 && NEVER == u64::MAX);
