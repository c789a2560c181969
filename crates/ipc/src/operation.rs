//! Every operation, whether it came in registers or from the ring.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use call_state::Ending;
use cpu::SyscallFrame;
use ring_abi::{
    Control, MAX_MESSAGE_BYTES, MAX_TRANSFERS, NEVER, Refusal, StatusWord, opcode, span_parts,
    submission_flags,
};
use sched::Task;
use stub::{Answered, Received};

use crate::area::Misuse;
use crate::call::{Payload, win};
use crate::endpoint::Receiver;
use crate::kernel_call::KernelCall;
use crate::thread::current_shared;
use crate::transfer::{Outbound, collect, detach};
use crate::{Facet, Finished, Object, Process, Route, Slot, Thread, park, release, ring, scratch};

/// One operation in a private copy: what registers and ring submissions both become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) method: u16,
    pub(crate) handle: u64,
    pub(crate) deadline: u64,
    /// Inline payload, if flagged.
    pub(crate) words: [u64; 4],
    /// Outgoing message.
    pub(crate) message: u64,
    pub(crate) transfers: u64,
    /// Where the answer goes.
    pub(crate) reply: u64,
    pub(crate) second: u64,
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
    let result = match Control::unpack(frame.rdi) {
        None => Err(Misuse(&"reserved bits of the control word")),
        Some(control) if control.opcode == opcode::RING => {
            ring::enter(&me, control.min_complete, frame.rdx).map(|n| frame.rax = u64::from(n))
        }
        Some(control) => registers(&me, frame, control),
    };
    if let Err(Misuse(rule)) = result {
        me.process.end(crate::End::Faulted, -1, rule);
    }
}

#[inline(always)]
fn registers(me: &Arc<Thread>, frame: &mut SyscallFrame, control: Control) -> Result<(), Misuse> {
    let inline = control.flags & submission_flags::INLINE != 0;
    let words = [frame.r10, frame.r8, frame.r9, frame.r12];
    let operation = Operation {
        opcode: control.opcode,
        flags: control.flags,
        method: control.method,
        handle: frame.rsi,
        deadline: frame.rdx,
        words,
        message: if inline { 0 } else { words[0] },
        transfers: if inline { 0 } else { words[3] },
        reply: frame.r14,
        second: frame.r13,
    };
    let mut finished = Finished::default();
    perform_and_wait(me, &operation, &mut finished)?;
    frame.rax = finished.status;
    frame.rsi = finished.cookie;
    frame.rdx = finished.reply;
    [frame.r10, frame.r8, frame.r9, frame.r12] = finished.words;
    Ok(())
}

#[inline(always)]
fn perform_and_wait(me: &Arc<Thread>, op: &Operation, f: &mut Finished) -> Result<(), Misuse> {
    let begun = match op.opcode {
        opcode::CALL => begin_call(me, Route::Register, op, f)?,
        opcode::RETURN_RECEIVE => {
            // Answer, then wait; the caller of the answered call runs while this thread does.
            let woken = match answer(me, op)? {
                Ok(woken) => woken,
                Err(refusal) => {
                    f.refuse(refusal);
                    return Ok(());
                }
            };
            me.task.disinherit();
            match receive(me, Route::Register, op.second, op, f)? {
                Begun::Done => {
                    woken.into_iter().for_each(sched::make_ready);
                    Begun::Done
                }
                Begun::Waiting(_) => Begun::Waiting(woken),
            }
        }
        opcode::PARK => {
            *f = park::park(me, op.handle, op.words[0] as u32, op.deadline);
            Begun::Done
        }
        _ => begin(me, Route::Register, op, f)?,
    };
    if let Begun::Waiting(next) = begun {
        wait(me, next, op.deadline, f);
    }
    Ok(())
}

/// Waits for the operation in registers.
fn wait(me: &Arc<Thread>, next: Option<Arc<Task>>, deadline: u64, f: &mut Finished) {
    if me.process.is_dying() {
        f.refuse(Refusal::Cancelled);
        return next.into_iter().for_each(sched::make_ready);
    }
    // A result that came meanwhile came with a wake-up, and that ends the first block at once.
    let mut timed_out = match next {
        Some(task) => sched::block_and_switch(task, deadline),
        None => sched::block(deadline),
    };
    loop {
        if me.take_register(f) {
            return;
        }
        if me.process.is_dying() {
            return f.refuse(Refusal::Cancelled);
        }
        if timed_out {
            if ring::end_pending(me, Route::Register, Ending::TimedOut) {
                return f.refuse(Refusal::TimedOut);
            }
            // Something else won: its result is there, or about to be.
            while !me.take_register(f) {
                cpu::relax();
            }
            return;
        }
        timed_out = sched::block(deadline);
    }
}

/// Starts an operation that both forms share. A result is written to `f`, which came in as plain success.
pub(crate) fn begin(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    if op.flags & !submission_flags::ALL != 0 {
        f.refuse(Refusal::BadArgument);
        return Ok(Begun::Done);
    }
    let result = match op.opcode {
        opcode::NOP => Ok(()),
        opcode::CALL => return call(me, route, op, f),
        opcode::RECEIVE => return receive(me, route, op.handle, op, f),
        opcode::RETURN => answer(me, op)?.map(|woken| {
            me.task.disinherit();
            woken.into_iter().for_each(sched::make_ready);
        }),
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
    if op.flags & !submission_flags::ALL != 0 {
        f.refuse(Refusal::BadArgument);
        return Ok(Begun::Done);
    }
    call(me, route, op, f)
}

/// Reads where a message lies, checked against the area.
fn payload(me: &Thread, op: &Operation) -> Result<Payload, Misuse> {
    if op.flags & submission_flags::INLINE != 0 {
        return Ok(Payload::Inline(op.words));
    }
    let (offset, bytes) = span_parts(op.message);
    me.area.check_span(offset, bytes)?;
    Ok(Payload::Message(offset, bytes))
}

fn reply_span(me: &Thread, op: &Operation) -> Result<(u32, u32), Misuse> {
    let (offset, bytes) = span_parts(op.reply);
    me.area.check_span(offset, bytes)?;
    Ok((offset, bytes))
}

fn outbound(
    me: &Thread,
    op: &Operation,
    payload: &Payload,
    out: &mut Vec<Outbound>,
) -> Result<Result<(), Refusal>, Misuse> {
    match *payload {
        Payload::Inline(_) => Ok(Ok(())),
        Payload::Message(offset, bytes) => {
            collect(&me.process, &me.area, offset + bytes, op.transfers, out)
        }
    }
}

fn call(me: &Arc<Thread>, route: Route, op: &Operation, f: &mut Finished) -> Result<Begun, Misuse> {
    let payload = payload(me, op)?;
    let reply = reply_span(me, op)?;
    let refusal = match me.process.lookup(op.handle) {
        Ok(Object::Facet(facet)) => return call_facet(me, route, op, &payload, reply, facet, f),
        Ok(Object::Kernel(object)) => {
            let serve = |call: KernelCall<'_>, received: Received<'_>| object.call(call, received);
            return call_kernel(me, route, op, &payload, reply, serve, f);
        }
        Ok(Object::Endpoint(endpoint)) => {
            let serve =
                |call: KernelCall<'_>, received: Received<'_>| endpoint.dispatch(call, received);
            return call_kernel(me, route, op, &payload, reply, serve, f);
        }
        Ok(Object::Reply(_)) => Refusal::WrongKind,
        Err(refusal) => refusal,
    };
    f.refuse(refusal);
    Ok(Begun::Done)
}

fn call_facet(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    payload: &Payload,
    reply: (u32, u32),
    facet: Arc<Facet>,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    let Some(call) = me.take_call() else {
        f.refuse(Refusal::OverBudget);
        return Ok(Begun::Done);
    };
    let (generation, _) = call.word.load();
    let core = facet.core().clone();
    if op.transfers != 0 {
        let mut caps = core::mem::take(&mut call.body.lock().caps);
        caps.clear();
        if let Err(refusal) = outbound(me, op, payload, &mut caps)? {
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
        body.method = op.method;
        body.payload = *payload;
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
    payload: &Payload,
    reply: (u32, u32),
    serve: impl FnOnce(KernelCall<'_>, Received<'_>) -> Answered,
    f: &mut Finished,
) -> Result<Begun, Misuse> {
    let mut caps = ArrayVec::new();
    if op.transfers != 0 && op.flags & submission_flags::INLINE == 0 {
        if let Err(refusal) = take_caps(me, op, payload, &mut caps)? {
            f.refuse(refusal);
            return Ok(Begun::Done);
        }
    }
    let payload = match *payload {
        Payload::Inline(words) => stub::Payload::Plain(words),
        Payload::Message(offset, bytes) => {
            // SAFETY: this is the one dispatch that runs on this CPU, and it ends before this function returns.
            let buffer = unsafe { scratch::incoming() };
            let Some(buffer) = buffer.get_mut(..bytes as usize) else {
                f.refuse(Refusal::BadMessage);
                return Ok(Begun::Done);
            };
            me.area.read(offset, buffer);
            stub::Payload::Message(buffer)
        }
    };
    f.refuse(Refusal::NoReply);
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
    let method = op.method;
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
    payload: &Payload,
    caps: &mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
) -> Result<Result<(), Refusal>, Misuse> {
    let mut out = Vec::new();
    let collected = outbound(me, op, payload, &mut out)?;
    Ok(collected
        .and_then(|()| detach(&me.process, out))
        .map(|slots| caps.extend(slots.into_iter().map(Some))))
}

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
    me.note_receive(endpoint.core());
    let receiver = Receiver {
        thread: me.clone(),
        route,
        buffer,
    };
    let poll = op.flags & submission_flags::POLL != 0;
    if let Some(own) = endpoint.core().receive(receiver, poll) {
        // The result is this thread's own: in `register`, or in the ring already.
        debug_assert!(own.is_none(), "a running thread was claimed");
        // Waking oneself leaves a note that the next block would take for a wake-up; that is harmless.
        if route == Route::Register && me.take_register(f) {
            return Ok(Begun::Done);
        }
    }
    Ok(Begun::Waiting(None))
}

/// Answers the call that a reply handle stands for. Returns the caller's task, if it was waiting.
fn answer(me: &Arc<Thread>, op: &Operation) -> Result<Result<Option<Arc<Task>>, Refusal>, Misuse> {
    let payload = payload(me, op)?;
    let right = match take_right(&me.process, op.handle) {
        Ok(right) => right,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut caps = None;
    if op.transfers != 0 {
        let mut out = Vec::new();
        if let Err(refusal) = outbound(me, op, &payload, &mut out)? {
            right.drop_unanswered();
            return Ok(Err(refusal));
        }
        caps = (!out.is_empty()).then_some(out);
    }
    let Some(won) = win(&right.call, right.generation, Ending::Replied) else {
        // Cancelled or timed out meanwhile: the result is discarded.
        return Ok(Ok(None));
    };
    let f = write_answer(me, &won.caller, won.route, won.reply, payload, caps);
    Ok(Ok(won.caller.complete(won.route, f)))
}

#[inline(always)]
fn write_answer(
    me: &Thread,
    caller: &Thread,
    route: Route,
    (offset, capacity): (u32, u32),
    payload: Payload,
    caps: Option<Vec<Outbound>>,
) -> Finished {
    let count = caps.as_ref().map_or(0, Vec::len);
    let bytes = match (payload, route) {
        (Payload::Inline(words), Route::Register) => return Finished::inline(words),
        (Payload::Inline(_), Route::Ring(_)) => 40,
        (Payload::Message(_, bytes), _) => bytes,
    };
    if u64::from(bytes) + count as u64 * 8 > u64::from(capacity) {
        return Finished::refused(Refusal::ReplyTooLarge);
    }
    if let Some(caps) = caps {
        let places = match crate::transfer::reserve(&caller.process, count) {
            Ok(places) => places,
            Err(refusal) => return Finished::refused(refusal),
        };
        let slots = match detach(&me.process, caps) {
            Ok(slots) => slots,
            Err(refusal) => {
                crate::transfer::rollback(&caller.process, places);
                return Finished::refused(refusal);
            }
        };
        let handles = crate::transfer::commit(&caller.process, places, slots.into_iter());
        for (i, handle) in handles.iter().enumerate() {
            caller
                .area
                .write_word(offset + bytes + i as u32 * 8, *handle);
        }
    }
    match payload {
        Payload::Inline(words) => {
            caller.area.write_word(offset, 4 << 32);
            words
                .iter()
                .enumerate()
                .for_each(|(i, w)| caller.area.write_word(offset + 8 + i as u32 * 8, *w));
        }
        Payload::Message(from, bytes) => caller.area.copy_message(offset, &me.area, from, bytes),
    }
    Finished {
        status: StatusWord {
            caps: count as u8,
            words: (bytes / 8) as u16,
            ..StatusWord::default()
        }
        .pack(),
        ..Finished::default()
    }
}

#[inline(always)]
fn take_right(process: &Process, handle: u64) -> Result<crate::call::ReplyRight, Refusal> {
    let mut table = process.handles.lock();
    match table.slot(handle)?.object() {
        Object::Reply(_) => {}
        _ => return Err(Refusal::WrongKind),
    }
    match table.remove(handle)?.into_object() {
        Object::Reply(right) => Ok(right),
        _ => Err(Refusal::WrongKind),
    }
}

fn refuse(me: &Arc<Thread>, op: &Operation) -> Result<(), Refusal> {
    let right = take_right(&me.process, op.handle)?;
    let refusal = Refusal::from_code(op.words[0] as u8).unwrap_or(Refusal::Failed);
    me.task.disinherit();
    let f = Finished::refused(refusal);
    if let Some(won) = win(&right.call, right.generation, Ending::Replied) {
        won.caller
            .complete(won.route, f)
            .into_iter()
            .for_each(sched::make_ready);
    }
    Ok(())
}

/// Reserved for a shorter path of register calls; today it is [`enter`].
pub fn invoke_fast(frame: &mut SyscallFrame) {
    enter(frame);
}

const _: () = assert!(MAX_MESSAGE_BYTES % 8 == 0 && MAX_TRANSFERS <= 16 && NEVER == u64::MAX);
