//! A call on its way from the endpoint to the thread that receives it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use call_state::Ending;
use ring_abi::{Refusal, StatusWord};
use sabotage::sabotage;

use crate::area::Span;
use crate::call::finish;
use crate::finished::Finished;
use crate::message::{Content, Place, place_message};
use crate::records::{Call, Object, Outbound, Receiver, ReplyRight, Slot, Thread};
use crate::woken::Woken;
use crate::{loan, transfer};

/// How an attempt to deliver went.
pub(crate) enum Delivery {
    /// The receiver has its call, and runs if it was waiting.
    Done(Woken),
    /// The call ended before or because of the delivery; the receiver still waits. Woken is the caller.
    CallGone(Woken),
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
        return Delivery::CallGone(Woken::NOBODY);
    }
    let (caller, payload, caps, method, cookie, usable) = {
        let mut body = call.body.lock();
        if body.generation != generation {
            return Delivery::CallGone(Woken::NOBODY);
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
        return Delivery::CallGone(Woken::NOBODY);
    };
    let fail = |refusal| {
        let f = Finished::refused(refusal);
        Delivery::CallGone(finish(call, generation, Ending::NoReply, f))
    };
    if let Err(refusal) = usable {
        return fail(refusal);
    }
    let count = caps.as_ref().map_or(0, Vec::len);
    let place = Place {
        area: &receiver.thread.area,
        route: receiver.route,
        buffer: receiver.buffer,
        too_long: Refusal::OutOfRange,
    };
    let content = Content::of(&caller.area, payload);
    let placed = place_message(&place, &content, count, |handles| {
        hand_over(call, generation, &caller, receiver, caps, handles)
    });
    let placed = match placed {
        Ok(placed) => placed,
        Err(_) if receiver.thread.process.is_dying() => return fail(Refusal::ServerDied),
        Err(refusal) => return fail(refusal),
    };
    let status = StatusWord {
        method,
        ..placed.status
    };
    let received = Finished {
        status: status.pack(),
        cookie,
        reply: placed.given,
        words: placed.words,
    };
    Delivery::Done(receiver.thread.complete(receiver.route, received))
}

/// Gives the receiver the right to reply, with the capabilities that the message brings. Returns its handle.
#[inline(always)]
fn hand_over(
    call: &Arc<Call>,
    generation: u64,
    caller: &Thread,
    receiver: &Receiver,
    caps: Option<Vec<Outbound>>,
    handles: Span,
) -> Result<u64, Refusal> {
    let right = Slot::new(Object::Reply(ReplyRight::new(call.clone(), generation)), 0);
    match caps {
        // One insertion is a transaction by itself.
        None => {
            let inserted = receiver.thread.process.insert(right);
            inserted.map_err(|(refusal, right)| {
                disown(right);
                refusal
            })
        }
        Some(mut caps) => {
            let given = give(caller, receiver, right, &mut caps, handles);
            call.keep_room(generation, caps);
            given
        }
    }
}

/// Drops a reply right that nobody got: the call is ended by whoever failed to hand it out.
fn disown(right: Slot) {
    if let Object::Reply(right) = right.into_object() {
        right.disown();
    }
}

/// Gives the receiver a reply right and the capabilities of a message, whose handles go to its area: all or none.
/// Returns the reply handle.
#[inline(never)]
fn give(
    caller: &Thread,
    receiver: &Receiver,
    right: Slot,
    caps: &mut Vec<Outbound>,
    handles: Span,
) -> Result<u64, Refusal> {
    let to = &receiver.thread;
    let mut reply = Err(Refusal::Failed);
    let given = |i: usize, handle| match i {
        0 => reply = Ok(handle),
        _ => to.area.set_word(handles, i - 1, handle),
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
