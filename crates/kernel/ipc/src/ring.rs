//! The ring of a thread: the kernel's own indices, and the loop over submissions.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use call_state::Ending;
use ring_abi::{Completion, NEVER, Refusal, Submission, opcode, span_parts, submission_flags};
use sabotage::sabotage;

use crate::area::Area;
use crate::call::win;
use crate::operation::{Begun, Entry, Operation, Outcome, begin};
use crate::stop::{Misuse, Stop};
use crate::{Finished, Route, Thread};

/// What the kernel keeps of a ring. Shared indices are hints that are checked against it.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    taken: u32,
    posted: u32,
    /// Accepted submissions without a completion: each has a completion slot reserved.
    outstanding: u32,
    /// The thread waits until this many completions are there.
    wanted: Option<u32>,
    /// Earliest deadline among what is outstanding, or earlier.
    deadline: u64,
    /// Some of what is outstanding may be followed by a trace.
    pub(crate) traced: bool,
}

impl Ring {
    /// Writes a completion. `true`: the thread that waits has what it wants.
    pub(crate) fn post(&mut self, area: &Area, completion: Completion) -> bool {
        area.post(self.posted, completion);
        self.posted = self.posted.wrapping_add(1);
        self.outstanding = self.outstanding.saturating_sub(1);
        match self.wanted {
            Some(wanted) => self.posted.wrapping_sub(area.completion_head()) >= wanted,
            None => false,
        }
    }

    /// Completions the program has not consumed.
    fn available(&self, area: &Area) -> Result<u32, Misuse> {
        let n = self.posted.wrapping_sub(area.completion_head());
        if n <= area.completions() {
            Ok(n)
        } else {
            Err(Misuse(&"completion head beyond what was posted"))
        }
    }
}

/// Short submissions between two looks. A batch of requests to a server of a higher priority reaches it as a batch: it
/// would otherwise be woken for each, and each would cost two switches. Sending a short message is some 700 instructions.
const SHORT_PER_LOOK: u32 = 32;
/// Bytes of a short message.
const SHORT_BYTES: u32 = 256;

/// Whether what was just begun is known to have been little work: a message handed to a server, or nothing.
fn is_short(op: &Operation, outcome: &Outcome) -> bool {
    op.opcode() == opcode::NOP
        || matches!(outcome, Ok(Begun::Waiting(_)))
            && op.words[3] == 0
            && span_parts(op.words[0]).1 <= SHORT_BYTES
}

/// How many submissions are there, as far as completions for them fit.
fn batch(me: &Thread, tail: u32) -> Result<u32, Misuse> {
    let ring = me.ring.lock();
    let waiting = tail.wrapping_sub(ring.taken);
    if waiting > me.area.submissions() && !sabotage!(SKIP_TAIL_CHECK) {
        return Err(Misuse(&"submission tail beyond the ring"));
    }
    // What is outstanding completes meanwhile, which changes nothing; what the program consumes meanwhile makes room for
    // the next entry.
    let used = ring.outstanding + ring.available(&me.area)?;
    Ok(waiting.min(me.area.completions().saturating_sub(used)))
}

/// Takes the next submission, and posts what ended at once before it, which saves a lock.
fn take(me: &Thread, ended: Option<Completion>) -> Submission {
    let mut ring = me.ring.lock();
    if let Some(completion) = ended {
        ring.post(&me.area, completion);
    }
    let submission = me.area.submission(ring.taken);
    ring.taken = ring.taken.wrapping_add(1);
    ring.outstanding += 1;
    // 0 stands for no deadline yet.
    let deadline = submission.deadline_ns.max(1);
    if deadline < ring.deadline || ring.deadline == 0 {
        ring.deadline = deadline;
    }
    submission
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
/// The program, which does not run meanwhile, learns at the end how many were taken.
#[inline(never)]
pub(crate) fn enter(me: &Arc<Thread>, wanted: u16, deadline: u64) -> Result<u32, Misuse> {
    let left = batch(me, me.area.submission_tail())?;
    take_all(me, left)?;
    wait(me, u32::from(wanted), deadline)
}

fn take_all(me: &Arc<Thread>, mut left: u32) -> Result<(), Misuse> {
    if left == 0 {
        return Ok(());
    }
    let mut ended = None;
    let mut unlooked = 0;
    while left > 0 {
        left -= 1;
        let submission = take(me, ended.take());
        let op = Operation::in_ring(&submission);
        let outcome = start(me, &submission, &op);
        unlooked = if is_short(&op, &outcome) {
            unlooked + 1
        } else {
            SHORT_PER_LOOK
        };
        match outcome {
            Ok(Begun::Done(finished)) => ended = Some(finished.of(submission.user_data)),
            Ok(Begun::Waiting(woken)) => woken.run(),
            Err(Stop::Refused(refusal)) => {
                ended = Some(Finished::refused(refusal).of(submission.user_data));
            }
            Ok(Begun::Deferred) => {}
            Err(Stop::Misuse(misuse)) => return Err(misuse),
        }
        // A batch may be long, and each of its operations too.
        if unlooked >= SHORT_PER_LOOK {
            unlooked = 0;
            if sched::point() == sched::Look::Ending {
                break;
            }
        }
    }
    let mut ring = me.ring.lock();
    if let Some(completion) = ended {
        ring.post(&me.area, completion);
    }
    me.area.publish_submission_head(ring.taken);
    Ok(())
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

fn wait(me: &Arc<Thread>, wanted: u32, deadline: u64) -> Result<u32, Misuse> {
    let mut woken = false;
    loop {
        let until = {
            let mut ring = me.ring.lock();
            let n = ring.available(&me.area)?;
            let own = if ring.outstanding == 0 || ring.deadline == 0 {
                NEVER
            } else {
                ring.deadline
            };
            // A program that never waits is told of what is late, too.
            let late = own != NEVER && own <= sched::now_ns();
            if n >= wanted && !late || me.process.is_dying() {
                ring.wanted = None;
                return Ok(n);
            }
            ring.wanted = Some(wanted);
            own.min(deadline)
        };
        // Threads that are woken for nothing hand the CPU on to each other without a way out of the kernel.
        if core::mem::replace(&mut woken, true) {
            let _ = sched::point();
        }
        if until != NEVER && until <= sched::now_ns() || sched::block(until) {
            let now = sched::now_ns();
            expire(me, now);
            if deadline <= now {
                let mut ring = me.ring.lock();
                ring.wanted = None;
                return ring.available(&me.area);
            }
        }
    }
}

/// Calls of a thread that are looked at from one look to the next.
const CALLS_PER_LOOK: usize = 64;

fn look_sometimes(nth: usize) {
    if nth > 0 && nth.is_multiple_of(CALLS_PER_LOOK) {
        let _ = sched::point();
    }
}

/// Completes what is past its own deadline.
fn expire(me: &Arc<Thread>, now: u64) {
    let mut earliest = NEVER;
    if sabotage!(SKIP_DEADLINE) {
        me.ring.lock().deadline = NEVER;
        return;
    }
    for core in me.receive_cores() {
        core.expire(me, now, &mut earliest);
    }
    for (nth, call) in me.calls(0).enumerate() {
        look_sometimes(nth);
        let (generation, _) = call.word.load();
        let deadline = {
            let body = call.body.lock();
            if body.caller.is_none() || body.generation != generation {
                continue;
            }
            body.deadline
        };
        if deadline <= now {
            if let Some(won) = win(&call, generation, Ending::TimedOut) {
                let _ = me.complete(won.route, Finished::refused(Refusal::TimedOut));
            }
            let _ = sched::point();
        } else {
            earliest = earliest.min(deadline);
        }
    }
    me.ring.lock().deadline = earliest;
}

/// Cancels the pending operation with this user data.
pub(crate) fn cancel(me: &Arc<Thread>, user_data: u64) -> Result<(), Refusal> {
    let route = Route::Ring(user_data);
    if !end_pending(me, route, Ending::Cancelled) {
        return Err(Refusal::NotFound);
    }
    let _ = me.complete(route, Finished::refused(Refusal::Cancelled));
    Ok(())
}

/// Ends this thread's pending operation of a route, call or receive. `false`: there is none, or another ending won. Its
/// result is the caller's to hand over.
pub(crate) fn end_pending(me: &Arc<Thread>, route: Route, ending: Ending) -> bool {
    // Those that are cancelled one after the other mostly were called one after the other.
    let first = me.ended_last.load(Ordering::Relaxed);
    let around = (first..)
        .zip(me.calls(first))
        .chain((0..first).zip(me.calls(0)));
    for (nth, (at, call)) in around.enumerate() {
        look_sometimes(nth);
        let (generation, _) = call.word.load();
        let hit = {
            let body = call.body.lock();
            body.caller.is_some() && body.generation == generation && body.route == route
        };
        if hit && win(&call, generation, ending).is_some() {
            me.ended_last.store(at, Ordering::Relaxed);
            return true;
        }
    }
    me.receive_cores()
        .any(|core| core.forget(me, Some(route)) > 0)
}
