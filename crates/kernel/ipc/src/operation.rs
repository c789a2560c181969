//! Every operation, whether it came in registers or from the ring.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use call_state::Ending;
use cpu::SyscallFrame;
use ring_abi::{
    MAX_MESSAGE_BYTES, MAX_TRANSFERS, NEVER, Refusal, opcode, span_parts, submission_flags,
};
use sabotage::sabotage;
use sched::Task;
use stub::{Answered, Received};

use crate::answer::{answer, refuse};
use crate::area::Misuse;
use crate::call::Payload;
use crate::endpoint::Receiver;
use crate::kernel_call::KernelCall;
use crate::thread::current_shared;
use crate::transfer::{self, Outbound, collect};
use crate::{
    Endpoint, Facet, Finished, KernelObject, Object, Route, Slot, Thread, park, release, ring,
    scratch,
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

    /// Count of outgoing transfers.
    #[inline(always)]
    pub(crate) const fn transfers(&self) -> u64 {
        if self.is_inline() { 0 } else { self.words[3] }
    }
}

/// How an operation went, before anybody waits.
pub(crate) enum Begun {
    /// It is over, and its result is written.
    Done,
    /// It is under way; a task to run while waiting.
    Waiting(Option<Arc<Task>>),
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
    let mut finished = Finished::default();
    match perform(me, op, &mut finished)? {
        Begun::Done => finished.store(frame),
        Begun::Waiting(next) => wait(me, next, deadline, frame),
    }
    Ok(())
}

#[inline(always)]
fn perform(me: &Arc<Thread>, op: &Operation, f: &mut Finished) -> Result<Begun, Misuse> {
    match op.opcode() {
        opcode::CALL => begin_call(me, Route::Register, op, f),
        opcode::RETURN_RECEIVE => return_receive(me, op, f),
        opcode::PARK => {
            *f = park::park(me, op.handle, op.words[0] as u32, op.deadline);
            Ok(Begun::Done)
        }
        _ => begin(me, Route::Register, op, f),
    }
}

/// Answers, then waits; the caller of the answered call runs while this thread does.
#[inline(never)]
fn return_receive(me: &Arc<Thread>, op: &Operation, f: &mut Finished) -> Result<Begun, Misuse> {
    let woken = match answer(me, op)? {
        Ok(woken) => woken,
        Err(refusal) => {
            f.refuse(refusal);
            return Ok(Begun::Done);
        }
    };
    match receive(me, Route::Register, op.second, op, f) {
        Ok(Begun::Waiting(_)) => Ok(Begun::Waiting(woken)),
        // Whatever becomes of this thread, the caller has its answer.
        done => {
            woken.into_iter().for_each(sched::make_ready);
            done
        }
    }
}

/// Waits for the operation in registers; its result goes to the frame.
#[inline(always)]
fn wait(me: &Arc<Thread>, next: Option<Arc<Task>>, deadline: u64, frame: &mut SyscallFrame) {
    if me.process.is_dying() {
        Finished::refused(Refusal::Cancelled).store(frame);
        return next.into_iter().for_each(sched::make_ready);
    }
    // A result that came meanwhile came with a wake-up, and that ends the first block at once.
    let timed_out = match next {
        Some(task) => sched::block_and_switch(task, deadline),
        None => sched::block(deadline),
    };
    if !me.take_register(frame) {
        wait_on(me, timed_out, deadline, frame);
    }
}

/// After a wake-up without a result.
#[cold]
#[inline(never)]
fn wait_on(me: &Arc<Thread>, mut timed_out: bool, deadline: u64, frame: &mut SyscallFrame) {
    loop {
        if me.process.is_dying() {
            return Finished::refused(Refusal::Cancelled).store(frame);
        }
        if timed_out {
            if ring::end_pending(me, Route::Register, Ending::TimedOut) {
                return Finished::refused(Refusal::TimedOut).store(frame);
            }
            // Something else won, and its result is about to be there; or another CPU has this receiver in its hands for
            // a delivery that may yet fail, and then puts it back: one look is not enough.
            cpu::relax();
            if me.take_register(frame) {
                return;
            }
            continue;
        }
        timed_out = sched::block(deadline);
        if me.take_register(frame) {
            return;
        }
    }
}

/// Starts an operation that both forms share. A result is written to `f`, which came in as plain success.
#[inline(never)]
pub(crate) fn begin(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    if op.flags() & !submission_flags::ALL != 0 {
        f.refuse(Refusal::BadArgument);
        return Ok(Begun::Done);
    }
    let result = match op.opcode() {
        opcode::NOP => Ok(()),
        opcode::CALL => return call(me, route, op, f),
        opcode::RECEIVE => return receive(me, route, op.handle, op, f),
        opcode::RETURN => {
            answer(me, op)?.map(|woken| woken.into_iter().for_each(sched::make_ready))
        }
        opcode::REFUSE => refuse(me, op),
        opcode::RELEASE => me.process.remove(op.handle).map(release),
        opcode::UNPARK => {
            let n = park::unpark(me, op.handle, op.words[0]);
            *f = Finished::inline([n, 0, 0, 0]);
            Ok(())
        }
        opcode::CANCEL => ring::cancel(me, op.handle),
        _ => Err(Refusal::BadArgument),
    };
    if let Err(refusal) = result {
        f.refuse(refusal);
    }
    Ok(Begun::Done)
}

/// As [`begin`], for what is known to be a call.
#[inline(always)]
fn begin_call(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    if op.flags() & !submission_flags::ALL != 0 {
        f.refuse(Refusal::BadArgument);
        return Ok(Begun::Done);
    }
    call(me, route, op, f)
}

/// Reads where a message lies, checked against the area.
#[inline(always)]
pub(crate) fn payload(me: &Thread, op: &Operation) -> Result<Payload, Misuse> {
    if op.is_inline() {
        return Ok(Payload::Inline(op.words));
    }
    let (offset, bytes) = message_span(me, op)?;
    Ok(Payload::Message(offset, bytes))
}

#[inline(always)]
fn message_span(me: &Thread, op: &Operation) -> Result<(u32, u32), Misuse> {
    let (offset, bytes) = span_parts(op.words[0]);
    me.area.check_span(offset, bytes)?;
    Ok((offset, bytes))
}

#[inline(always)]
fn reply_span(me: &Thread, op: &Operation) -> Result<(u32, u32), Misuse> {
    let (offset, bytes) = span_parts(op.reply);
    me.area.check_span(offset, bytes)?;
    Ok((offset, bytes))
}

/// Collects the capabilities behind an operation's message, which [`message_span`] has checked.
#[inline(never)]
pub(crate) fn outbound(
    me: &Thread,
    op: &Operation,
    out: &mut Vec<Outbound>,
) -> Result<Result<(), Refusal>, Misuse> {
    let (offset, bytes) = span_parts(op.words[0]);
    collect(&me.process, &me.area, offset + bytes, op.words[3], out)
}

#[inline(always)]
fn call(me: &Arc<Thread>, route: Route, op: &Operation, f: &mut Finished) -> Result<Begun, Misuse> {
    let reply = reply_span(me, op)?;
    if !op.is_inline() {
        message_span(me, op)?;
    }
    let refusal = match me.process.lookup(op.handle) {
        Ok(Object::Kernel(object)) => return call_object(me, route, op, reply, object, f),
        Ok(Object::Facet(facet)) => return call_facet(me, route, op, reply, facet, f),
        Ok(Object::Endpoint(endpoint)) => {
            return call_endpoint(me, route, op, reply, endpoint, f);
        }
        Ok(Object::Reply(_)) => Refusal::WrongKind,
        Err(refusal) => refusal,
    };
    f.refuse(refusal);
    Ok(Begun::Done)
}

#[inline(never)]
fn call_object(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    reply: (u32, u32),
    object: Arc<dyn KernelObject>,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    call_kernel(
        me,
        route,
        op,
        reply,
        object.is_long(op.method()),
        |call, received| object.call(call, received),
        f,
    )
}

#[inline(never)]
fn call_endpoint(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    reply: (u32, u32),
    endpoint: Arc<Endpoint>,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    call_kernel(
        me,
        route,
        op,
        reply,
        false,
        |call, received| endpoint.dispatch(call, received),
        f,
    )
}

#[inline(never)]
fn call_facet(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    reply: (u32, u32),
    facet: Arc<Facet>,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    let Some(call) = me.take_call() else {
        f.refuse(Refusal::OverBudget);
        return Ok(Begun::Done);
    };
    let (generation, _) = call.word.load();
    facet.through.enter(&call);
    let core = facet.core().clone();
    if op.transfers() != 0 {
        let mut caps = core::mem::take(&mut call.body.lock().caps);
        caps.clear();
        if let Err(refusal) = outbound(me, op, &mut caps)? {
            me.recycle(call);
            f.refuse(refusal);
            return Ok(Begun::Done);
        }
        call.body.lock().caps = caps;
    }
    {
        let mut body = call.body.lock();
        body.caller = Some(me.clone());
        body.generation = generation;
        body.route = route;
        body.method = op.method();
        body.payload = if op.is_inline() {
            Payload::Inline(op.words)
        } else {
            let (offset, bytes) = span_parts(op.words[0]);
            Payload::Message(offset, bytes)
        };
        body.reply = reply;
        body.facet = Some(facet);
        body.deadline = op.deadline;
    }
    if call.word.begin(generation).is_err() {
        f.refuse(Refusal::Failed);
        return Ok(Begun::Done);
    }
    Ok(Begun::Waiting(core.send(&call, generation)))
}

#[inline(always)]
fn call_kernel(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    reply: (u32, u32),
    is_long: bool,
    serve: impl FnOnce(KernelCall<'_>, Received<'_>) -> Answered,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    let mut caps = ArrayVec::new();
    let mut message = scratch::Message::default();
    let payload = if op.is_inline() {
        stub::Payload::Plain(op.words)
    } else {
        if op.transfers() != 0
            && let Err(refusal) = take_caps(me, op, &mut caps)?
        {
            f.refuse(refusal);
            return Ok(Begun::Done);
        }
        match scratch::read(me, op.words[0], is_long, &mut message) {
            Ok(message) => stub::Payload::Message(message),
            Err(refusal) => {
                f.refuse(refusal);
                return Ok(Begun::Done);
            }
        }
    };
    f.status = u64::from(Refusal::NoReply.code());
    let mut deferred = false;
    let kernel_call = KernelCall {
        thread: me,
        route,
        reply,
        deadline: op.deadline,
        caps: &mut caps,
        finished: f,
        deferred: &mut deferred,
    };
    let method = op.method();
    let _: Answered = serve(kernel_call, Received { method, payload });
    // Not by value: the array is long, and mostly empty.
    while let Some(left) = caps.pop() {
        left.into_iter().for_each(release);
    }
    Ok(if deferred {
        Begun::Waiting(None)
    } else {
        Begun::Done
    })
}

/// Takes the capabilities of a call to the kernel out of the caller's hands.
#[inline(never)]
fn take_caps(
    me: &Thread,
    op: &Operation,
    caps: &mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
) -> Result<Result<(), Refusal>, Misuse> {
    let mut out = me.take_list();
    let taken = outbound(me, op, &mut out)?
        .and_then(|()| transfer::detach(&me.process, &mut out))
        .map(|()| caps.extend(transfer::slots(&mut out).map(Some)));
    me.return_list(out);
    Ok(taken)
}

#[inline(always)]
fn receive(
    me: &Arc<Thread>,
    route: Route,
    handle: u64,
    op: &Operation,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    let buffer = reply_span(me, op)?;
    let endpoint = match me.process.lookup(handle) {
        Ok(Object::Endpoint(endpoint)) => endpoint,
        Ok(_) => {
            f.refuse(Refusal::WrongKind);
            return Ok(Begun::Done);
        }
        Err(refusal) => {
            f.refuse(refusal);
            return Ok(Begun::Done);
        }
    };
    if let Err(refusal) = me.note_receive(endpoint.core()) {
        f.refuse(refusal);
        return Ok(Begun::Done);
    }
    let receiver = Receiver {
        thread: me.clone(),
        route,
        buffer,
        deadline: op.deadline,
    };
    let poll = op.flags() & submission_flags::POLL != 0;
    if let Some(own) = endpoint.core().receive(receiver, poll) {
        // The result is this thread's own: in `register`, or in the ring already.
        debug_assert!(own.is_none(), "a running thread was claimed");
        // Waking oneself leaves a note that the next block would take for a wake-up; that is harmless.
        if route == Route::Register && me.take_own(f) {
            return Ok(Begun::Done);
        }
    }
    Ok(Begun::Waiting(None))
}

const _: () =
    assert!(MAX_MESSAGE_BYTES.is_multiple_of(8) && MAX_TRANSFERS <= 16 && NEVER == u64::MAX);
