//! The short way of what is asked most: a call in registers of a thread that waits for one there, and the answer to it; in words,
//! or with a message that brings no capabilities.
//!
//! The order of checks is that of the long way, which `invoke`, `endpoint`, `delivery` and `answer` describe; nothing is
//! looked at twice here, and nothing is kept for somebody who looks later. What is not as plain as that goes the long way from
//! where it is found out, with nothing changed that the long way would not have changed.

use alloc::sync::Arc;
use core::mem::ManuallyDrop;

use call_state::{CallState, Ending};
use ring_abi::{Refusal, StatusWord, completion_flags};
use sabotage::sabotage;

use crate::answer::{answer_with, take_out};
use crate::area::Span;
use crate::call::finish;
use crate::endpoint::Patience;
use crate::finished::{Finished, Route};
use crate::message::fit;
use crate::operation::{Begun, Outcome, then};
use crate::perform::receive_on;
use crate::records::{
    Call, EndpointCore, Entry, Facet, Object, Receiver, ReplyRight, Slot, Thread,
};
use crate::{invoke, loan};

/// Calls through a facet, with words or a message without capabilities, and waits for the answer in registers.
#[inline(always)]
pub(crate) fn call(
    entry: &Entry<'_>,
    (reply, message): (Span, Option<Span>),
    facet: Arc<Facet>,
) -> Outcome {
    let Entry { me, op, .. } = *entry;
    let call = me.take_own_call().ok_or(Refusal::OverBudget)?;
    facet.through.enter(&call);
    let suits = |r: &Receiver| r.route == Route::Register || sabotage!(TAKE_ANY_RECEIVER);
    let (generation, CallState::Idle) = call.word.load() else {
        // The call object takes no further call.
        return Err(Refusal::Failed.into());
    };
    let receiver = {
        let mut queues = facet.core().queues.lock();
        queues.next_receiver_if(suits)
    };
    let Some(receiver) = receiver else {
        return long(entry, (reply, message), facet, &call);
    };
    let (cookie, usable) = start((entry, reply), &call, generation, facet, &receiver);
    if let Err(refusal) = usable {
        return undelivered(&call, generation, receiver, refusal);
    }
    let place = match message.map(|message| fit(receiver.buffer, message.bytes() as usize, 0)) {
        None => Span::EMPTY,
        Some(Some((place, _))) => place,
        Some(None) => return unplaced(&call, generation, receiver, Refusal::OutOfRange),
    };
    let right = Slot::new(Object::Reply(ReplyRight::new(call, generation)), 0);
    let handle = match receiver.thread.process.insert(right) {
        Ok(handle) => handle,
        Err((refusal, right)) => return not_given(right, receiver, refusal),
    };
    let received = match message {
        None => Finished {
            status: status(op.method(), completion_flags::INLINE, 4),
            cookie,
            reply: handle,
            words: op.words,
        },
        Some(message) => {
            receiver.thread.area.copy_message(place, &me.area, message);
            Finished {
                status: status(op.method(), 0, (message.bytes() / 8) as u16),
                cookie,
                reply: handle,
                words: [0; 4],
            }
        }
    };
    let woken = receiver.thread.complete_counted(Route::Register, received);
    Ok(Begun::Waiting(woken))
}

/// Begins a call that its receiver is about to have. Returns its facet's cookie, and whether that may still be used.
#[inline(always)]
fn start(
    (entry, reply): (&Entry<'_>, Span),
    call: &Arc<Call>,
    generation: u64,
    facet: Arc<Facet>,
    receiver: &Receiver,
) -> (u64, Result<(), Refusal>) {
    let Entry { me, op, .. } = *entry;
    let mut body = call.body.lock();
    body.caller = Some(me.counted());
    body.generation = generation;
    body.route = Route::Register;
    body.method = op.method();
    body.reply = reply;
    body.deadline = op.deadline;
    // It was idle, and this thread alone has it.
    let _ = call.word.begin_delivered(generation);
    let facet = body.facet.insert(facet);
    // A revocation raises the epoch, or closes the endpoint, before it looks into this body: what it did not find is
    // found here.
    let seen = (facet.cookie, facet.usable());
    if loan::is_due(me, &receiver.thread) {
        loan::lend(call, &mut body, &receiver.thread);
    }
    seen
}

/// What a receiver learns of a call.
#[inline(always)]
const fn status(method: u16, flags: u8, words: u16) -> u64 {
    let status = StatusWord {
        status: 0,
        flags,
        caps: 0,
        method,
        words,
    };
    status.pack()
}

/// The long way, from where nobody waits in registers.
#[inline(never)]
fn long(
    entry: &Entry<'_>,
    spans: (Span, Option<Span>),
    facet: Arc<Facet>,
    call: &Arc<Call>,
) -> Outcome {
    invoke::send(entry, spans, facet, call)
}

/// The call ends before its receiver has it, and that goes on waiting.
#[cold]
#[inline(never)]
fn undelivered(call: &Arc<Call>, generation: u64, receiver: Receiver, refusal: Refusal) -> Outcome {
    let core = call.body.lock().facet.as_ref().map(|f| f.core().clone());
    let f = Finished::refused(refusal);
    let woken = finish(call, generation, Ending::NoReply, f);
    if let Some(core) = core {
        wait_again(receiver, &core);
    }
    Ok(Begun::Waiting(woken))
}

/// The receiver has no place for the right to reply.
#[cold]
#[inline(never)]
fn not_given(right: Slot, receiver: Receiver, refusal: Refusal) -> Outcome {
    let Object::Reply(right) = right.into_object() else {
        return Err(Refusal::Failed.into());
    };
    let (call, generation) = (right.call.clone(), right.generation());
    right.disown();
    unplaced(&call, generation, receiver, refusal)
}

/// The receiver has no place for the message or the right to reply.
#[cold]
#[inline(never)]
fn unplaced(call: &Arc<Call>, generation: u64, receiver: Receiver, refusal: Refusal) -> Outcome {
    let refusal = if receiver.thread.process.is_dying() {
        Refusal::ServerDied
    } else {
        refusal
    };
    undelivered(call, generation, receiver, refusal)
}

/// Another call may have been queued meanwhile, because no receiver was to be seen.
#[cold]
fn wait_again(receiver: Receiver, core: &Arc<EndpointCore>) {
    if let Some(receiver) = core.receive(receiver, Patience::Waits) {
        receiver.run();
    }
}

/// The endpoint to receive on: the one that the thread has noted, which keeps it, or one that is counted here.
enum At {
    Noted(ManuallyDrop<Arc<EndpointCore>>),
    Counted(Arc<EndpointCore>),
}

impl At {
    #[inline(always)]
    fn of(me: &Thread, core: &Arc<EndpointCore>) -> Self {
        if me.has_noted(core) {
            // SAFETY: a count that stays where it is, and is not given back here.
            Self::Noted(ManuallyDrop::new(unsafe {
                Arc::from_raw(Arc::as_ptr(core))
            }))
        } else {
            Self::Counted(core.clone())
        }
    }

    #[inline(always)]
    fn core(&self) -> &Arc<EndpointCore> {
        match self {
            Self::Noted(core) => core,
            Self::Counted(core) => core,
        }
    }
}

/// What the handles of a return and receive name.
#[inline(always)]
fn taken(
    me: &Thread,
    (handle, endpoint): (u64, u64),
) -> Result<(ReplyRight, Result<At, Refusal>), Refusal> {
    let mut table = me.process.handles.lock();
    let right = take_out(&mut table, handle)?;
    let core = match table.get(endpoint) {
        Ok(Object::Endpoint(endpoint)) => Ok(At::of(me, endpoint.core())),
        Ok(_) => Err(Refusal::WrongKind),
        Err(refusal) => Err(refusal),
    };
    Ok((right, core))
}

/// Answers with words or a message without capabilities, then waits in registers.
#[inline(always)]
pub(crate) fn return_receive(entry: &Entry<'_>, message: Option<Span>) -> Outcome {
    let Entry { me, op, .. } = *entry;
    let (right, core) = taken(me, (op.handle, op.second))?;
    let woken = answer_with(me, right, op.payload(message));
    let buffer = match me.area.span(op.reply) {
        Ok(buffer) => buffer,
        Err(misuse) => return then(woken, Err(misuse.into())),
    };
    match core {
        Ok(core) => then(woken, receive_on(entry, core.core(), buffer)),
        Err(refusal) => then(woken, Err(refusal.into())),
    }
}
