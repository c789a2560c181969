//! `enter`: an operation in registers, and the wait for it.

use alloc::sync::Arc;

use call_state::Ending;
use cpu::SyscallFrame;
use ring_abi::{Refusal, opcode, submission_flags};
use sabotage::sabotage;

use crate::answer::answer;
use crate::area::Span;
use crate::exit::End;
use crate::finished::{Finished, Route};
use crate::invoke::{call, called};
use crate::life::settle_thread;
use crate::object::Found;
use crate::operation::{Begun, Operation, Outcome, then};
use crate::pending::end_pending;
use crate::perform::{begin, receive};
use crate::records::{Entry, Facet, Object, Thread};
use crate::stop::{Misuse, Stop};
use crate::thread::current_shared;
use crate::woken::Woken;
use crate::{park, short, submissions};

/// Handles `enter`, and what is left to do on the way back to the program. A misuse ends the process, naming the rule.
#[inline]
pub fn enter(frame: &mut SyscallFrame) {
    let me = current_shared();
    let op = Operation::in_frame(frame);
    let result = if op.control >> 48 != 0 && !sabotage!(SKIP_CONTROL_CHECK) {
        Err(Misuse(&"reserved bits of the control word"))
    } else if op.opcode() == opcode::RING {
        let wanted = (op.control >> 32) as u16;
        submissions::take_and_wait(&me, wanted, op.deadline).map(|n| frame.rax = u64::from(n))
    } else {
        registers(&me, frame)
    };
    if let Err(Misuse(rule)) = result {
        me.process.end(End::Faulted, -1, rule);
    }
    sched::preempt_if_needed();
    settle_thread(&me, frame);
}

/// Performs the operation in registers and waits for it. What is asked most is answered here, without a frame for the rest.
#[inline(always)]
fn registers(me: &Arc<Thread>, frame: &mut SyscallFrame) -> Result<(), Misuse> {
    let op = Operation::in_frame(frame);
    let is_call = op.opcode() == opcode::CALL;
    // A call that somebody looks at goes the longer way.
    if !is_call || op.flags() != submission_flags::INLINE || me.process.marks.is_traced() {
        return others(me, frame);
    }
    // The checks of `call`, in its order, for a call without a message.
    let reply = me.area.span(op.reply)?;
    match me.process.find(op.handle, op.method(), &op.words) {
        Ok(Found::Answer(words)) => Finished::store_inline(words, frame),
        Ok(Found::Then(words, object)) => {
            object.finish();
            Finished::store_inline(words, frame);
        }
        Ok(Found::Facet(facet)) => return call_facet(me, frame, reply, facet),
        Ok(Found::Object(object)) => return call_object(me, frame, reply, object),
        Err(refusal) => Finished::refused(refusal).store(frame),
    }
    Ok(())
}

/// The operation that a thread waits for in registers.
#[inline(always)]
fn entry<'a>(me: &'a Arc<Thread>, frame: &'a SyscallFrame) -> Entry<'a> {
    Entry {
        me,
        route: Route::Register,
        op: Operation::in_frame(frame),
    }
}

#[inline(never)]
fn call_facet(
    me: &Arc<Thread>,
    frame: &mut SyscallFrame,
    reply: Span,
    facet: Arc<Facet>,
) -> Result<(), Misuse> {
    let outcome = short::call(&entry(me, frame), (reply, None), facet);
    finish(me, frame, outcome)
}

#[inline(never)]
fn call_object(
    me: &Arc<Thread>,
    frame: &mut SyscallFrame,
    reply: Span,
    object: Object,
) -> Result<(), Misuse> {
    let outcome = called(&entry(me, frame), reply, None, object);
    finish(me, frame, outcome)
}

#[inline(never)]
fn others(me: &Arc<Thread>, frame: &mut SyscallFrame) -> Result<(), Misuse> {
    let op = Operation::in_frame(frame);
    match (op.opcode(), op.flags()) {
        (opcode::RETURN_RECEIVE, submission_flags::INLINE) => {
            let outcome = short::return_receive(&entry(me, frame), None);
            finish(me, frame, outcome)
        }
        (opcode::RETURN_RECEIVE, 0) if op.transfers() == 0 => return_message(me, frame),
        (opcode::CALL, 0) if op.transfers() == 0 && !me.process.marks.is_traced() => {
            call_message(me, frame)
        }
        _ => perform_and_wait(me, frame),
    }
}

#[inline(never)]
fn return_message(me: &Arc<Thread>, frame: &mut SyscallFrame) -> Result<(), Misuse> {
    let message = me.area.span(Operation::in_frame(frame).words[0])?;
    let outcome = short::return_receive(&entry(me, frame), Some(message));
    finish(me, frame, outcome)
}

/// A call with a message that brings no capabilities: the checks of `call`, in its order.
#[inline(never)]
fn call_message(me: &Arc<Thread>, frame: &mut SyscallFrame) -> Result<(), Misuse> {
    let op = Operation::in_frame(frame);
    let reply = me.area.span(op.reply)?;
    let message = Some(me.area.span(op.words[0])?);
    let outcome = match me.process.lookup(op.handle) {
        Ok(Object::Facet(facet)) => short::call(&entry(me, frame), (reply, message), facet),
        Ok(object) => called(&entry(me, frame), reply, message, object),
        Err(refusal) => Err(refusal.into()),
    };
    finish(me, frame, outcome)
}

#[inline(never)]
fn perform_and_wait(me: &Arc<Thread>, frame: &mut SyscallFrame) -> Result<(), Misuse> {
    let outcome = perform(&entry(me, frame));
    finish(me, frame, outcome)
}

/// Waits for what is under way.
#[inline(always)]
fn finish(me: &Arc<Thread>, frame: &mut SyscallFrame, outcome: Outcome) -> Result<(), Misuse> {
    let deadline = Operation::in_frame(frame).deadline;
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
            op.check_flags()?;
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
    then(woken, receive(entry, entry.op.second))
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
        if end_pending(me, Route::Register, Ending::TimedOut) {
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
