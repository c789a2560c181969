//! Serving an endpoint: receive, dispatch, reply, and the next receive in the same system call.

use core::cell::Cell;

use ring_abi::{NEVER, NO_HANDLE, completion_flags, opcode};
use stub::{Answered, CapArg, Incoming, Object, Outgoing, Payload, Refusal, Respond, Words};

use crate::Cap;
use crate::area::{self, Scratch};
use crate::cap::{self, Handles};
use crate::sys::{self, Operation};

pub use stub::Received;

/// A program that answers calls. `call` hands each one to a generated `dispatch`, choosing by the cookie where it
/// serves several interfaces or objects.
pub trait Service {
    /// A call came in.
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered;

    /// When [`Service::due`] is to be called next, in nanoseconds since the start; never, unless a service says otherwise.
    fn deadline_ns(&self) -> u64 {
        NEVER
    }

    /// The deadline has come, and no call is waiting. It comes again at once until the deadline is another one. A service that
    /// is never without calls looks at the clock in them.
    fn due(&mut self) {}

    /// The last handle of the facet with this cookie is gone. The facet was minted since the endpoint was last renewed,
    /// so the cookie is one of this incarnation.
    fn dropped(&mut self, cookie: u64) {
        let _ = cookie;
    }

    /// The last handle of a durable facet is gone that was minted in an earlier `incarnation`. Only a service that gives
    /// such a cookie the same meaning in every incarnation has something to do.
    fn dropped_earlier(&mut self, cookie: u64, incarnation: u64) {
        let _ = (cookie, incarnation);
    }
}

/// A reply that is ready, to be sent together with the next receive.
struct Ready {
    reply: u64,
    words: Words,
    plain: bool,
}

/// A call that came in.
pub struct Call<'s> {
    cookie: u64,
    caps: Handles<'s>,
    reply: LateReply,
    ready: Option<&'s Cell<Option<Ready>>>,
}

impl Respond for Call<'_> {
    type Out = CapArg;

    fn respond<P: Outgoing<CapArg>>(self, results: P) {
        let Some(ready) = self.ready else {
            return self.reply.respond(results);
        };
        let words = if P::PLAIN {
            results.words()
        } else {
            let Ok(message) = area::build(results) else {
                return self.reply.refuse(Refusal::ReplyTooLarge);
            };
            let words = cap::words(&message);
            // The server loop frees it after the reply.
            message.scratch.leave();
            words
        };
        ready.set(Some(Ready {
            reply: self.reply.into_handle(),
            words,
            plain: P::PLAIN,
        }));
    }

    fn refuse(self, refusal: Refusal) {
        self.reply.refuse(refusal);
    }
}

impl Incoming for Call<'_> {
    type Cap = Cap;
    type Deferred = LateReply;

    fn cookie(&self) -> u64 {
        self.cookie
    }

    fn take_cap(&mut self, index: usize) -> Option<Cap> {
        self.caps.take(index)
    }

    fn defer(self) -> LateReply {
        self.reply
    }
}

/// The right to answer a call, kept for later. Dropping it completes the call `noReply`.
#[derive(Debug)]
pub struct LateReply {
    handle: u64,
}

impl LateReply {
    pub(crate) fn into_handle(self) -> u64 {
        let handle = self.handle;
        core::mem::forget(self);
        handle
    }
}

impl Respond for LateReply {
    type Out = CapArg;

    fn respond<P: Outgoing<CapArg>>(self, results: P) {
        let mut operation = Operation {
            opcode: opcode::RETURN,
            flags: sys::flags(P::PLAIN),
            handle: self.handle,
            deadline_ns: NEVER,
            ..Operation::default()
        };
        let message = if P::PLAIN {
            operation.words = results.words();
            None
        } else {
            let Ok(built) = area::build(results) else {
                return self.refuse(Refusal::ReplyTooLarge);
            };
            operation.words = cap::words(&built);
            Some(built)
        };
        if sys::operate(&operation).refused().is_none() {
            // The reply handle is used up; otherwise dropping it tells the caller that there is no reply.
            self.into_handle();
        }
        drop(message);
    }

    fn refuse(self, refusal: Refusal) {
        sys::refuse(self.into_handle(), refusal);
    }
}

impl Drop for LateReply {
    fn drop(&mut self) {
        if self.handle != NO_HANDLE {
            sys::release(self.handle);
        }
    }
}

/// One received call or notice, as the kernel described it.
pub(crate) struct Arrival<'s> {
    pub status: ring_abi::StatusWord,
    pub cookie: u64,
    pub reply: u64,
    pub words: Words,
    pub buffer: &'s [u8],
}

/// Gives what arrived to `service`. Without `ready`, replies are sent at once.
fn deliver<'s>(
    arrival: Arrival<'s>,
    ready: Option<&'s Cell<Option<Ready>>>,
    service: &mut (impl Service + ?Sized),
) {
    let status = arrival.status;
    if status.flags & completion_flags::DROPPED != 0 {
        if status.flags & completion_flags::EARLIER != 0 {
            return service.dropped_earlier(arrival.cookie, arrival.reply);
        }
        return service.dropped(arrival.cookie);
    }
    let reply = LateReply {
        handle: arrival.reply,
    };
    let Some((message, handles)) = cap::parts(status, arrival.buffer) else {
        return;
    };
    let payload = if status.flags & completion_flags::INLINE != 0 {
        Payload::Plain(arrival.words)
    } else {
        Payload::Message(message)
    };
    let call = Call {
        cookie: arrival.cookie,
        caps: Handles::new(handles),
        reply,
        ready,
    };
    let received = Received {
        method: status.method,
        payload,
    };
    let _: Answered = service.call(received, call);
}

/// Gives a call that came through a ring to `service`.
pub(crate) fn deliver_now(arrival: Arrival<'_>, service: &mut (impl Service + ?Sized)) {
    deliver(arrival, None, service);
}

/// Serves the endpoint until receiving from it is refused, and returns that refusal. Half of what is free of the
/// message area is for incoming messages, the rest for replies and for the service's own calls.
pub fn serve(endpoint: &impl Object, service: &mut impl Service) -> Refusal {
    let buffer = Scratch::take(crate::message_bytes_free() / 2);
    let ready: Cell<Option<Ready>> = Cell::new(None);
    loop {
        let mut operation = Operation {
            opcode: opcode::RECEIVE,
            handle: endpoint.handle(),
            deadline_ns: service.deadline_ns(),
            reply: buffer.span(),
            ..Operation::default()
        };
        let answering = ready.take();
        if let Some(ready) = &answering {
            operation.opcode = opcode::RETURN_RECEIVE;
            operation.handle = ready.reply;
            operation.second = endpoint.handle();
            operation.flags = sys::flags(ready.plain);
            operation.words = ready.words;
        }
        let outcome = sys::operate(&operation);
        area::reset(&buffer);
        match outcome.refused() {
            None => {}
            // Either half may have been refused; a plain receive tells which.
            Some(_) if answering.is_some() => continue,
            Some(Refusal::TimedOut) => {
                service.due();
                continue;
            }
            Some(refusal) => return refusal,
        }
        let arrival = Arrival {
            status: outcome.status,
            cookie: outcome.cookie,
            reply: outcome.reply,
            words: outcome.words,
            buffer: buffer.bytes(),
        };
        deliver(arrival, Some(&ready), service);
    }
}
