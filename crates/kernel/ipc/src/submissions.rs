//! The submissions of a ring: the loop over them, and the wait for their completions.

use alloc::sync::Arc;

use cpu::Guard;
use ring_abi::{Completion, NEVER, Refusal, Submission, opcode, span_parts, submission_flags};

use crate::finished::{Finished, Route};
use crate::operation::{Begun, Operation, Outcome};
use crate::pending::expire;
use crate::perform::begin;
use crate::records::{Entry, Thread};
use crate::ring::Ring;
use crate::stop::{Misuse, Stop};

/// Short submissions between two looks. A batch of requests to a server of a higher priority reaches it as a batch: it
/// would otherwise be woken for each, and each would cost two switches. Sending a short message is some 700 instructions.
const SHORT_PER_LOOK: u32 = 32;
/// Bytes of a message that a short submission brings; one with up to twice as many is two of them.
const SHORT_BYTES: u32 = 128;

/// As how many short submissions what was just begun counts: a message handed to a server, or nothing, is known to have been
/// little work.
fn weight(op: &Operation, outcome: &Outcome) -> u32 {
    if op.opcode() == opcode::NOP {
        return 1;
    }
    let bytes = span_parts(op.words[0]).1;
    match outcome {
        Ok(Begun::Waiting(_)) if op.words[3] == 0 && bytes <= SHORT_BYTES => 1,
        Ok(Begun::Waiting(_)) if op.words[3] == 0 && bytes <= 2 * SHORT_BYTES => 2,
        _ => SHORT_PER_LOOK,
    }
}

/// Begins what a submission asks for.
fn start(me: &Arc<Thread>, submission: &Submission, op: &Operation) -> Outcome {
    if submission.reserved != 0
        || submission.flags & submission_flags::INLINE != 0
        || matches!(submission.opcode, opcode::PARK | opcode::RING)
    {
        return Err(Refusal::BadArgument.into());
    }
    let route = Route::Ring(submission.user_data);
    let entry = Entry { me, route, op };
    if submission.opcode == opcode::RETURN_RECEIVE {
        linked(&entry)
    } else {
        begin(&entry)
    }
}

/// Takes every submission that fits, then waits for `wanted` completions or the deadline. Returns how many are there.
///
/// The program, which does not run meanwhile, learns at the end how many were taken. What needs nothing but the ring is done
/// under one lock of it, however many there are of that between two looks; what needs more leaves it for as long as it begins.
#[inline(never)]
pub(crate) fn take_and_wait(me: &Arc<Thread>, wanted: u16, deadline: u64) -> Result<u32, Misuse> {
    let tail = me.area.submission_tail();
    let mut ring = me.ring.lock();
    let mut left = ring.batch(&me.area, tail)?;
    let mut unlooked = 0;
    loop {
        let nops = ring.take_nops(&me.area, left.min(SHORT_PER_LOOK));
        left -= nops;
        if left == 0 {
            break;
        }
        left -= 1;
        let submission = ring.take(&me.area);
        drop(ring);
        let (ended, weight) = begin_one(me, &submission)?;
        unlooked += nops + weight;
        // A batch may be long, and each of its operations too.
        if unlooked >= SHORT_PER_LOOK {
            unlooked = 0;
            if sched::point() == sched::Look::Ending {
                left = 0;
            }
        }
        ring = me.ring.lock();
        if let Some(completion) = ended {
            ring.post(&me.area, completion);
        }
    }
    ring.publish(&me.area);
    wait(me, ring, u32::from(wanted), deadline)
}

/// Begins what a submission asks for: its completion, if it ended at once, and its [`weight`].
#[inline(always)]
fn begin_one(
    me: &Arc<Thread>,
    submission: &Submission,
) -> Result<(Option<Completion>, u32), Misuse> {
    let op = Operation::in_ring(submission);
    let outcome = start(me, submission, &op);
    let weight = weight(&op, &outcome);
    let ended = match outcome {
        Ok(Begun::Done(finished)) => Some(finished.of(submission.user_data)),
        Ok(Begun::Waiting(woken)) => {
            woken.run();
            None
        }
        Ok(Begun::Deferred) => None,
        Err(Stop::Refused(refusal)) => Some(Finished::refused(refusal).of(submission.user_data)),
        Err(Stop::Misuse(misuse)) => return Err(misuse),
    };
    Ok((ended, weight))
}

/// How many completions are there, if that is all that the thread waits for, or if it is to wait for nothing any more.
#[inline(always)]
fn has_all(me: &Thread, ring: &mut Ring, wanted: u32) -> Result<Option<u32>, Misuse> {
    let n = ring.available(&me.area)?;
    let own = ring.deadline();
    // A program that never waits is told of what is late, too.
    let late = own != NEVER && own <= sched::now_ns();
    if n >= wanted && !late || me.process.is_dying() {
        ring.wait_for(None);
        return Ok(Some(n));
    }
    Ok(None)
}

/// Return and receive in one entry: a refused answer ends the pair, else the receive completes it.
fn linked(entry: &Entry<'_>) -> Outcome {
    let op = entry.op;
    let first = Operation {
        control: op.with_opcode(opcode::RETURN),
        reply: 0,
        ..*op
    };
    begin(&Entry {
        op: &first,
        ..*entry
    })?;
    let second = Operation {
        control: op.with_opcode(opcode::RECEIVE),
        handle: op.second,
        ..*op
    };
    begin(&Entry {
        op: &second,
        ..*entry
    })
}

/// Waits for `wanted` completions or the deadline; `ring` is the thread's own, and locked.
#[inline(always)]
fn wait<'a>(
    me: &'a Arc<Thread>,
    mut ring: Guard<'a, Ring>,
    wanted: u32,
    deadline: u64,
) -> Result<u32, Misuse> {
    if let Some(n) = has_all(me, &mut ring, wanted)? {
        return Ok(n);
    }
    wait_on(me, ring, wanted, deadline)
}

#[inline(never)]
fn wait_on<'a>(
    me: &'a Arc<Thread>,
    mut ring: Guard<'a, Ring>,
    wanted: u32,
    deadline: u64,
) -> Result<u32, Misuse> {
    let mut woken = false;
    loop {
        ring.wait_for(Some(wanted));
        let until = ring.deadline().min(deadline);
        drop(ring);
        // Threads that are woken for nothing hand the CPU on to each other without a way out of the kernel.
        if core::mem::replace(&mut woken, true) {
            let _ = sched::point();
        }
        if until != NEVER && until <= sched::now_ns() || sched::block(until) {
            let now = sched::now_ns();
            expire(me, now);
            if deadline <= now {
                let mut ring = me.ring.lock();
                ring.wait_for(None);
                return ring.available(&me.area);
            }
        }
        ring = me.ring.lock();
        if let Some(n) = has_all(me, &mut ring, wanted)? {
            return Ok(n);
        }
    }
}
