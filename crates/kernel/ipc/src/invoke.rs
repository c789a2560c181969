//! A call begins: what its handle names, and what becomes of the call there.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use ring_abi::{MAX_MESSAGE_BYTES, MAX_TRANSFERS, NEVER, Refusal, StatusWord};
use stub::{Answered, Received};

use crate::area::Span;
use crate::object::release;
use crate::operation::{Begun, Operation, Outcome};
use crate::records::{Call, Entry, Facet, KernelCall, KernelObject, Object, Slot, Thread};
use crate::stop::Stop;
use crate::{scratch, trace, transfer};

/// Every call begins here; one that somebody looks at goes another way.
#[inline(always)]
pub(crate) fn call(entry: &Entry<'_>) -> Outcome {
    if entry.me.process.marks.is_traced() {
        return call_traced(entry);
    }
    call_untraced(entry)
}

/// A call of a traced process.
#[cold]
#[inline(never)]
fn call_traced(entry: &Entry<'_>) -> Outcome {
    let Entry { me, route, op } = *entry;
    let Some(following) = trace::begin(me, route, op.handle, op.method()) else {
        return call_untraced(entry);
    };
    let outcome = call_untraced(entry);
    let status = match &outcome {
        Ok(Begun::Waiting(_) | Begun::Deferred) => return outcome,
        Ok(Begun::Done(finished)) => StatusWord::unpack(finished.status).status,
        Err(Stop::Refused(refusal)) => refusal.code(),
        Err(Stop::Misuse(_)) => Refusal::BadArgument.code(),
    };
    following.ended(me, status);
    outcome
}

/// The head of every call: where its message and its reply lie, and what its handle names.
#[inline(always)]
fn call_untraced(entry: &Entry<'_>) -> Outcome {
    let Entry { me, op, .. } = *entry;
    let reply = me.area.span(op.reply)?;
    let message = op.message(&me.area)?;
    called(entry, reply, message, me.process.lookup(op.handle)?)
}

/// A call whose handle names `object`.
#[inline(always)]
pub(crate) fn called(
    entry: &Entry<'_>,
    reply: Span,
    message: Option<Span>,
    object: Object,
) -> Outcome {
    match (object, message) {
        (object, Some(message)) => called_with(entry, reply, message, object),
        (Object::Kernel(object), None) => call_plain(entry, reply, object),
        (Object::Endpoint(endpoint), None) => call_plain(entry, reply, endpoint),
        (Object::Facet(facet), None) => call_facet(entry, reply, None, facet),
        (Object::Reply(_), None) => Err(Refusal::WrongKind.into()),
    }
}

/// As [`called`], with a message.
#[inline(always)]
fn called_with(entry: &Entry<'_>, reply: Span, message: Span, object: Object) -> Outcome {
    match object {
        Object::Kernel(object) => call_object(entry, reply, message, object),
        Object::Endpoint(endpoint) => call_object(entry, reply, message, endpoint),
        Object::Facet(facet) => call_facet(entry, reply, Some(message), facet),
        Object::Reply(_) => Err(Refusal::WrongKind.into()),
    }
}

/// Sends a call through a facet.
#[inline(never)]
fn call_facet(entry: &Entry<'_>, reply: Span, message: Option<Span>, facet: Arc<Facet>) -> Outcome {
    let call = entry.me.take_call().ok_or(Refusal::OverBudget)?;
    facet.through.enter(&call);
    send(entry, (reply, message), facet, &call)
}

/// Sends `call`, which is idle and in the list of `facet`.
#[inline(always)]
pub(crate) fn send(
    entry: &Entry<'_>,
    (reply, message): (Span, Option<Span>),
    facet: Arc<Facet>,
    call: &Arc<Call>,
) -> Outcome {
    let Entry { me, route, op } = *entry;
    let (generation, _) = call.word.load();
    let core = facet.core().clone();
    if let Some(message) = message
        && op.transfers() != 0
    {
        let mut caps = core::mem::take(&mut call.body.lock().caps);
        caps.clear();
        if let Err(stop) = transfer::collect(me, op, message, &mut caps) {
            me.recycle(call.clone());
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
    Ok(Begun::Waiting(core.send(call, generation)))
}

/// Lets an object of the kernel serve a call of four words: nothing is copied, and nothing was brought along.
#[inline(never)]
fn call_plain(entry: &Entry<'_>, reply: Span, object: Arc<dyn KernelObject>) -> Outcome {
    // What an object does not answer.
    let mut outcome = Err(Refusal::NoReply.into());
    let call = KernelCall {
        entry,
        reply,
        caps: &mut ArrayVec::new(),
        outcome: &mut outcome,
    };
    let received = Received {
        method: entry.op.method(),
        payload: stub::Payload::Plain(entry.op.words),
    };
    let _: Answered = object.call(call, received);
    outcome
}

/// Lets an object of the kernel serve a call with a message.
#[inline(never)]
fn call_object(
    entry: &Entry<'_>,
    reply: Span,
    message: Span,
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
    message: Span,
    object: &dyn KernelObject,
    room: &'m mut scratch::Message,
    caps: &mut ArrayVec<Option<Slot>, MAX_TRANSFERS>,
) -> Result<stub::Payload<'m>, Stop> {
    let Entry { me, op, .. } = *entry;
    if op.transfers() != 0 {
        take_caps(me, op, message, caps)?;
    }
    let place = match message.bytes() as usize >= object.long_from() {
        true => scratch::Place::Own,
        false => scratch::Place::OfCpu,
    };
    let message = scratch::read(&me.area, message, place, room)?;
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
    let taken = transfer::collect(me, op, message, &mut out)
        .and_then(|()| Ok(transfer::detach(&me.process, &mut out)?))
        .map(|()| caps.extend(transfer::slots(&mut out).map(Some)));
    me.return_list(out);
    taken
}

const _: () =
    assert!(MAX_MESSAGE_BYTES.is_multiple_of(8) && MAX_TRANSFERS <= 24 && NEVER == u64::MAX);
