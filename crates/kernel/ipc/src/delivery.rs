//! A call on its way from the endpoint to the thread that receives it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use call_state::Ending;
use ring_abi::{Refusal, StatusWord, completion_flags};
use sabotage::sabotage;
use sched::Task;

use crate::call::{Call, Payload, ReplyRight, finish};
use crate::endpoint::Receiver;
use crate::transfer::Outbound;
use crate::{Finished, Object, Route, Slot, Thread, loan, transfer};

/// How an attempt to deliver went.
pub(crate) enum Delivery {
    /// The receiver has its call; the task to run, if it was waiting.
    Done(Option<Arc<Task>>),
    /// The call ended before or because of the delivery; the receiver still waits. The task is the caller's.
    CallGone(Option<Arc<Task>>),
}

/// As [`deliver`], for a call that waited.
#[inline(never)]
pub(crate) fn deliver_queued(call: &Arc<Call>, generation: u64, receiver: &Receiver) -> Delivery {
    deliver(call, generation, receiver)
}

/// Moves a call to a receiver: message, capabilities, reply handle.
#[inline(always)]
pub(crate) fn deliver(call: &Arc<Call>, generation: u64, receiver: &Receiver) -> Delivery {
    if call.word.deliver(generation).is_err() {
        return Delivery::CallGone(None);
    }
    let (caller, payload, caps, method, cookie, usable) = {
        let mut body = call.body.lock();
        if body.generation != generation {
            return Delivery::CallGone(None);
        }
        let caps = (!body.caps.is_empty()).then(|| core::mem::take(&mut body.caps));
        if let Some(caller) = &body.caller
            && loan::is_due(caller, &receiver.thread)
        {
            loan::lend(call, &mut body, &receiver.thread);
        }
        (
            body.caller.clone(),
            body.payload,
            caps,
            body.method,
            body.facet.as_ref().map_or(0, |f| f.cookie),
            body.facet.as_ref().map_or(Ok(()), |f| f.usable()),
        )
    };
    // An ending may have won since: then the caller is gone from the body.
    let Some(caller) = caller else {
        return Delivery::CallGone(None);
    };
    let fail = |refusal| {
        let f = Finished::refused(refusal);
        Delivery::CallGone(finish(call, generation, Ending::NoReply, f))
    };
    if let Err(refusal) = usable {
        return fail(refusal);
    }
    let (offset, capacity) = receiver.buffer;
    let (bytes, inline) = match (payload, receiver.route) {
        (Payload::Inline(_), Route::Register) => (0, true),
        (Payload::Inline(_), Route::Ring(_)) => (40, false),
        (Payload::Message(_, bytes), _) => (bytes, false),
    };
    let count = caps.as_ref().map_or(0, Vec::len);
    if u64::from(bytes) + count as u64 * 8 > u64::from(capacity) {
        return fail(Refusal::OutOfRange);
    }
    let right = Slot::new(Object::Reply(ReplyRight::new(call.clone(), generation)), 0);
    let area = &receiver.thread.area;
    let given = match caps {
        // One insertion is a transaction by itself.
        None => {
            let inserted = receiver.thread.process.handles.lock().insert(right);
            inserted.map_err(|(refusal, right)| {
                disown(right);
                refusal
            })
        }
        Some(mut caps) => {
            let given = give(&caller, receiver, right, &mut caps, offset + bytes);
            call.keep_room(generation, caps);
            given
        }
    };
    let reply = match given {
        Ok(reply) => reply,
        Err(_) if receiver.thread.process.is_dying() => return fail(Refusal::ServerDied),
        Err(refusal) => return fail(refusal),
    };
    let mut words = [0; 4];
    match payload {
        Payload::Inline(w) if inline => words = w,
        Payload::Inline(w) => {
            // The same parameters as a message: a root struct of four data words.
            area.write_word(offset, 4 << 32);
            w.iter()
                .enumerate()
                .for_each(|(i, w)| area.write_word(offset + 8 + i as u32 * 8, *w));
        }
        Payload::Message(from, bytes) => area.copy_message(offset, &caller.area, from, bytes),
    }
    let status = StatusWord {
        status: 0,
        flags: if inline { completion_flags::INLINE } else { 0 },
        caps: count as u8,
        method,
        words: if inline { 4 } else { (bytes / 8) as u16 },
    }
    .pack();
    Delivery::Done(receiver.thread.complete(
        receiver.route,
        Finished {
            status,
            cookie,
            reply,
            words,
        },
    ))
}

/// Drops a reply right that nobody got: the call is ended by whoever failed to hand it out.
fn disown(right: Slot) {
    if let Object::Reply(right) = right.into_object() {
        right.disown();
    }
}

/// Gives the receiver a reply right and the capabilities of a message, whose handles go to `offset` of its area: all
/// or none. Returns the reply handle.
#[inline(never)]
fn give(
    caller: &Thread,
    receiver: &Receiver,
    right: Slot,
    caps: &mut Vec<Outbound>,
    offset: u32,
) -> Result<u64, Refusal> {
    let to = &receiver.thread;
    let mut reply = Err(Refusal::Failed);
    let given = |i: usize, handle| match i {
        0 => reply = Ok(handle),
        _ => to.area.write_word(offset + (i as u32 - 1) * 8, handle),
    };
    let mut places = transfer::Places::new();
    if sabotage!(SKIP_ROLLBACK) {
        transfer::detach(&caller.process, caps)?;
        transfer::reserve(&to.process, caps.len() + 1, &mut places)?;
        let all = core::iter::once(right).chain(transfer::slots(caps));
        transfer::commit(&to.process, &mut places, all, given);
        return reply;
    }
    if let Err(refusal) = transfer::reserve(&to.process, caps.len() + 1, &mut places) {
        disown(right);
        return Err(refusal);
    }
    if let Err(refusal) = transfer::detach(&caller.process, caps) {
        transfer::rollback(&to.process, &mut places);
        disown(right);
        return Err(refusal);
    }
    let rights = transfer::reply_rights(caps);
    let all = core::iter::once(right).chain(transfer::slots(caps));
    transfer::commit(&to.process, &mut places, all, given);
    rights.iter().for_each(|right| right.pass_on(Some(to)));
    reply
}
