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
use stub::Received;

use crate::area::Misuse;
use crate::call::{Call, Payload, win};
use crate::endpoint::Receiver;
use crate::kernel_call::{KernelCall, Outcome, into_options};
use crate::thread::current_ref;
use crate::transfer::{Outbound, collect, detach};
use crate::{
    Endpoint, Facet, Finished, KernelObject, Object, Process, Route, Thread, park, release, ring,
    scratch,
};

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
    /// It is over.
    Done(Finished),
    /// It is under way; what to undo at its deadline, and a task to run while waiting.
    Waiting(Undo, Option<Arc<Task>>),
}

/// What a deadline or a cancellation ends.
pub(crate) enum Undo {
    Call(Arc<Call>, u64),
    Receive(Arc<Endpoint>),
}

/// Handles `enter`. A misuse ends the process, naming the rule.
pub fn enter(frame: &mut SyscallFrame) {
    let me = current_ref();
    let result = match Control::unpack(frame.rdi) {
        None => Err(Misuse("reserved bits of the control word")),
        Some(control) if control.opcode == opcode::RING => {
            let me = crate::current();
            ring::enter(&me, control.min_complete, frame.rdx).map(|n| frame.rax = u64::from(n))
        }
        Some(control) => registers(frame, control),
    };
    if let Err(Misuse(rule)) = result {
        me.process.end(crate::End::Faulted, -1, rule);
    }
}

fn registers(frame: &mut SyscallFrame, control: Control) -> Result<(), Misuse> {
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
    let me = crate::current();
    let finished = perform_and_wait(&me, &operation)?;
    frame.rax = finished.status.pack();
    frame.rsi = finished.cookie;
    frame.rdx = finished.reply;
    [frame.r10, frame.r8, frame.r9, frame.r12] = finished.words;
    Ok(())
}

fn perform_and_wait(me: &Arc<Thread>, op: &Operation) -> Result<Finished, Misuse> {
    match op.opcode {
        opcode::PARK => return Ok(park::park(me, op.handle, op.words[0] as u32, op.deadline)),
        opcode::RETURN_RECEIVE => {
            // Answer, then wait; the caller of the answered call runs while this thread does.
            let woken = match answer(me, op)? {
                Ok(woken) => woken,
                Err(refusal) => return Ok(Finished::refused(refusal)),
            };
            me.task.disinherit();
            return match receive(me, Route::Register, op.second, op)? {
                Begun::Done(f) => {
                    woken.into_iter().for_each(sched::make_ready);
                    Ok(f)
                }
                Begun::Waiting(undo, _) => Ok(wait(me, undo, woken, op.deadline)),
            };
        }
        _ => {}
    }
    match begin(me, Route::Register, op)? {
        Begun::Done(f) => Ok(f),
        Begun::Waiting(undo, next) => Ok(wait(me, undo, next, op.deadline)),
    }
}

/// Waits for the operation in registers.
fn wait(me: &Arc<Thread>, undo: Undo, mut next: Option<Arc<Task>>, deadline: u64) -> Finished {
    loop {
        if let Some(f) = me.register.lock().take() {
            next.into_iter().for_each(sched::make_ready);
            return f;
        }
        if me.process.is_dying() {
            next.into_iter().for_each(sched::make_ready);
            return Finished::refused(Refusal::Cancelled);
        }
        let timed_out = match next.take() {
            Some(task) => sched::block_and_switch(task, deadline),
            None => sched::block(deadline),
        };
        if timed_out {
            let ended = match &undo {
                Undo::Call(call, generation) => win(call, *generation, Ending::TimedOut).is_some(),
                Undo::Receive(endpoint) => endpoint.core().forget(me, Some(Route::Register)) > 0,
            };
            if ended {
                return Finished::refused(Refusal::TimedOut);
            }
            // Something else won: its result is there, or about to be.
            while me.register.lock().is_none() {
                cpu::relax();
            }
        }
    }
}

/// Starts an operation that both forms share.
pub(crate) fn begin(me: &Arc<Thread>, route: Route, op: &Operation) -> Result<Begun, Misuse> {
    if op.flags & !submission_flags::ALL != 0 {
        return Ok(Begun::Done(Finished::refused(Refusal::BadArgument)));
    }
    let done = |result: Result<(), Refusal>| {
        Begun::Done(match result {
            Ok(()) => Finished::default(),
            Err(refusal) => Finished::refused(refusal),
        })
    };
    Ok(match op.opcode {
        opcode::NOP => Begun::Done(Finished::default()),
        opcode::CALL => call(me, route, op)?,
        opcode::RECEIVE => receive(me, route, op.handle, op)?,
        opcode::RETURN => match answer(me, op)? {
            Ok(woken) => {
                me.task.disinherit();
                woken.into_iter().for_each(sched::make_ready);
                done(Ok(()))
            }
            Err(refusal) => done(Err(refusal)),
        },
        opcode::REFUSE => done(refuse(me, op)),
        opcode::RELEASE => done(me.process.remove(op.handle).map(release)),
        opcode::UNPARK => {
            let n = park::unpark(me, op.handle, op.words[0]);
            Begun::Done(Finished::inline([n, 0, 0, 0]))
        }
        opcode::CANCEL => done(ring::cancel(me, op.handle)),
        _ => done(Err(Refusal::BadArgument)),
    })
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
    payload: Payload,
    out: &mut Vec<Outbound>,
) -> Result<Result<(), Refusal>, Misuse> {
    match payload {
        Payload::Inline(_) => Ok(Ok(())),
        Payload::Message(offset, bytes) => {
            collect(&me.process, &me.area, offset + bytes, op.transfers, out)
        }
    }
}

fn call(me: &Arc<Thread>, route: Route, op: &Operation) -> Result<Begun, Misuse> {
    let payload = payload(me, op)?;
    let reply = reply_span(me, op)?;
    match me.process.lookup(op.handle) {
        Err(refusal) => Ok(Begun::Done(Finished::refused(refusal))),
        Ok(Object::Facet(facet)) => call_facet(me, route, op, payload, reply, facet),
        Ok(Object::Kernel(object)) => {
            call_kernel(me, route, op, payload, reply, Served::Object(object))
        }
        Ok(Object::Endpoint(e)) => call_kernel(me, route, op, payload, reply, Served::Endpoint(e)),
        Ok(Object::Reply(_)) => Ok(Begun::Done(Finished::refused(Refusal::WrongKind))),
    }
}

fn call_facet(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    payload: Payload,
    reply: (u32, u32),
    facet: Arc<Facet>,
) -> Result<Begun, Misuse> {
    let refused = |refusal| Ok(Begun::Done(Finished::refused(refusal)));
    let Some(call) = me.take_call() else {
        return refused(Refusal::OverBudget);
    };
    let (generation, _) = call.word.load();
    let core = facet.core().clone();
    {
        let mut caps = core::mem::take(&mut call.body.lock().caps);
        caps.clear();
        if let Err(refusal) = outbound(me, op, payload, &mut caps)? {
            me.recycle(call);
            return refused(refusal);
        }
        let mut body = call.body.lock();
        body.caller = Some(me.clone());
        body.generation = generation;
        body.route = route;
        body.method = op.method;
        body.payload = payload;
        body.caps = caps;
        body.reply = reply;
        body.facet = Some(facet);
        body.deadline = op.deadline;
    }
    if call.word.begin(generation).is_err() {
        return refused(Refusal::Failed);
    }
    let next = core.send(&call, generation);
    Ok(Begun::Waiting(Undo::Call(call, generation), next))
}

enum Served {
    Object(Arc<dyn KernelObject>),
    Endpoint(Arc<Endpoint>),
}

fn call_kernel(
    me: &Arc<Thread>,
    route: Route,
    op: &Operation,
    payload: Payload,
    reply: (u32, u32),
    served: Served,
) -> Result<Begun, Misuse> {
    let mut caps = ArrayVec::new();
    if op.transfers != 0 && op.flags & submission_flags::INLINE == 0 {
        let mut out = Vec::new();
        let collected = outbound(me, op, payload, &mut out)?;
        match collected.and_then(|()| detach(&me.process, out)) {
            Ok(slots) => caps = into_options(slots),
            Err(refusal) => return Ok(Begun::Done(Finished::refused(refusal))),
        }
    }
    let payload = match payload {
        Payload::Inline(words) => stub::Payload::Plain(words),
        Payload::Message(offset, bytes) => {
            // SAFETY: this is the one dispatch that runs on this CPU, and it ends before this function returns.
            let buffer = unsafe { scratch::incoming() };
            let Some(buffer) = buffer.get_mut(..bytes as usize) else {
                return Ok(Begun::Done(Finished::refused(Refusal::BadMessage)));
            };
            me.area.read(offset, buffer);
            stub::Payload::Message(buffer)
        }
    };
    let received = Received {
        method: op.method,
        payload,
    };
    let mut outcome = Outcome::Finished(Finished::refused(Refusal::NoReply));
    let mut deferred = None;
    let kernel_call = KernelCall {
        thread: me,
        route,
        reply,
        deadline: op.deadline,
        caps: &mut caps,
        outcome: &mut outcome,
        deferred: &mut deferred,
    };
    let answered = match served {
        Served::Object(object) => object.call(kernel_call, received),
        Served::Endpoint(endpoint) => endpoint.dispatch(kernel_call, received),
    };
    let _ = answered;
    caps.into_iter().flatten().for_each(release);
    Ok(match (outcome, deferred) {
        (Outcome::Finished(f), _) => Begun::Done(f),
        (Outcome::Deferred, Some((call, generation))) => {
            Begun::Waiting(Undo::Call(call, generation), None)
        }
        (Outcome::Deferred, None) => Begun::Done(Finished::refused(Refusal::Failed)),
    })
}

fn receive(me: &Arc<Thread>, route: Route, handle: u64, op: &Operation) -> Result<Begun, Misuse> {
    let buffer = reply_span(me, op)?;
    let endpoint = match me.process.lookup(handle) {
        Ok(Object::Endpoint(endpoint)) => endpoint,
        Ok(_) => return Ok(Begun::Done(Finished::refused(Refusal::WrongKind))),
        Err(refusal) => return Ok(Begun::Done(Finished::refused(refusal))),
    };
    me.note_receive(endpoint.core());
    let receiver = Receiver {
        thread: me.clone(),
        route,
        buffer,
    };
    let poll = op.flags & submission_flags::POLL != 0;
    match endpoint.core().receive(receiver, poll) {
        // The result is this thread's own: in `register`, or in the ring already.
        Some(own) => {
            debug_assert!(own.is_none(), "a running thread was claimed");
            let f = match route {
                Route::Register => me.register.lock().take(),
                Route::Ring(_) => None,
            };
            // Waking oneself leaves a note that the next block would take for a wake-up; that is harmless.
            Ok(f.map_or(Begun::Waiting(Undo::Receive(endpoint), None), Begun::Done))
        }
        None => Ok(Begun::Waiting(Undo::Receive(endpoint), None)),
    }
}

/// Answers the call that a reply handle stands for. Returns the caller's task, if it was waiting.
fn answer(me: &Arc<Thread>, op: &Operation) -> Result<Result<Option<Arc<Task>>, Refusal>, Misuse> {
    let payload = payload(me, op)?;
    let right = match take_right(&me.process, op.handle) {
        Ok(right) => right,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut caps = Vec::new();
    if op.transfers != 0 {
        if let Err(refusal) = outbound(me, op, payload, &mut caps)? {
            right.drop_unanswered();
            return Ok(Err(refusal));
        }
    }
    let Some(won) = win(&right.call, right.generation, Ending::Replied) else {
        // Cancelled or timed out meanwhile: the result is discarded.
        return Ok(Ok(None));
    };
    let f = write_answer(me, &won.caller, won.route, won.reply, payload, caps);
    Ok(Ok(won.caller.complete(won.route, f)))
}

fn write_answer(
    me: &Thread,
    caller: &Thread,
    route: Route,
    (offset, capacity): (u32, u32),
    payload: Payload,
    caps: Vec<Outbound>,
) -> Finished {
    let count = caps.len();
    let bytes = match (payload, route) {
        (Payload::Inline(words), Route::Register) => return Finished::inline(words),
        (Payload::Inline(_), Route::Ring(_)) => 40,
        (Payload::Message(_, bytes), _) => bytes,
    };
    if u64::from(bytes) + count as u64 * 8 > u64::from(capacity) {
        return Finished::refused(Refusal::ReplyTooLarge);
    }
    if count > 0 {
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
        },
        ..Finished::default()
    }
}

fn take_right(process: &Process, handle: u64) -> Result<crate::call::ReplyRight, Refusal> {
    let mut table = process.handles.lock();
    match table.slot(handle)?.object() {
        Object::Reply(_) => {}
        _ => return Err(Refusal::WrongKind),
    }
    let slot = table.remove(handle)?;
    match slot.object() {
        Object::Reply(right) => Ok(right.clone()),
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
