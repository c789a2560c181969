//! A call to a kernel object: the kernel's side of the generated stubs.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use call_state::Ending;
use ring_abi::{MAX_TRANSFERS, Refusal};
use stub::wire::MessageWriter;
use stub::{Deferred, Incoming, Late as _, Outgoing, Respond};

use crate::call::{Won, finish, win};
use crate::finished::{Finished, Route};
use crate::message::{Content, Payload, Place, place_message};
use crate::operation::{Begun, Outcome};
use crate::records::{Call, Entry, KernelCall, Pending, Process, Slot, Thread};
use crate::{scratch, transfer};

impl KernelCall<'_> {
    /// The process that calls.
    pub fn process(&self) -> &Arc<Process> {
        &self.entry.me.process
    }

    /// The thread that calls.
    pub const fn thread(&self) -> &Arc<Thread> {
        self.entry.me
    }
}

/// Writes results where the caller wants them.
#[inline(always)]
fn write_reply<P: Outgoing<Slot>>(won: &Won, results: P) -> Result<Finished, Refusal> {
    if P::PLAIN && won.route == Route::Register {
        return Ok(Finished::inline(results.words()));
    }
    write_message(&won.caller, &won.place(), results)
}

#[inline(never)]
fn write_message<P: Outgoing<Slot>>(
    to: &Thread,
    place: &Place<'_>,
    results: P,
) -> Result<Finished, Refusal> {
    let mut caps = ArrayVec::<Slot, MAX_TRANSFERS>::new();
    let mut spilled = ArrayVec::<Slot, MAX_TRANSFERS>::new();
    // SAFETY: nothing else answers between here and the copy below, and `encode` makes messages only.
    let buffer = unsafe { scratch::outgoing() };
    let mut writer = MessageWriter::new(buffer);
    let encoded = writer
        .root(P::DATA_WORDS, P::POINTERS)
        .and_then(|mut root| {
            results.encode(&mut root, &mut |cap| {
                if let Err(e) = caps.try_push(cap) {
                    // More than twice as many as there may be: dropped here, where the answer is refused anyway.
                    let _ = spilled.try_push(e.element());
                }
            })
        });
    let bytes = writer.len();
    if encoded.is_err() || !spilled.is_empty() {
        return Err(Refusal::ReplyTooLarge);
    }
    let content = Content::Built(&buffer[..bytes]);
    let placed = place_message(place, &content, caps.len(), |handles| {
        if caps.is_empty() {
            return Ok(());
        }
        let (process, area) = (&to.process, place.area);
        let mut places = transfer::Places::new();
        transfer::reserve(process, caps.len(), &mut places)?;
        let given = |i, handle| area.set_word(handles, i, handle);
        transfer::commit(process, &mut places, caps.drain(..), given);
        Ok(())
    })?;
    Ok(placed.finished())
}

impl Respond for KernelCall<'_> {
    type Out = Slot;

    #[inline]
    fn respond<P: Outgoing<Slot>>(self, results: P) {
        if P::PLAIN && self.entry.route == Route::Register {
            // In place: by way of a `Result` it would be written twice.
            *self.outcome = Ok(Begun::Done(Finished::inline(results.words())));
        } else {
            *self.outcome = self.respond_message(results);
        }
    }

    fn refuse(self, refusal: Refusal) {
        *self.outcome = Err(refusal.into());
    }
}

impl Incoming for KernelCall<'_> {
    type Cap = Slot;
    type Deferred = Pending;

    fn cookie(&self) -> u64 {
        0
    }

    fn take_cap(&mut self, index: usize) -> Option<Slot> {
        self.caps.get_mut(index)?.take()
    }

    fn defer(self) -> Pending {
        let deferred = self.put_aside();
        match deferred {
            Ok((call, generation)) => {
                *self.outcome = Ok(Begun::Deferred);
                Pending(Some((call, generation)))
            }
            Err(refusal) => {
                self.refuse(refusal);
                Pending(None)
            }
        }
    }
}

impl KernelCall<'_> {
    #[inline(never)]
    fn respond_message<P: Outgoing<Slot>>(&self, results: P) -> Outcome {
        let place = Place {
            area: &self.entry.me.area,
            route: self.entry.route,
            buffer: self.reply,
            too_long: Refusal::ReplyTooLarge,
        };
        Ok(Begun::Done(write_message(self.entry.me, &place, results)?))
    }

    /// Makes a call that is under way of it.
    fn put_aside(&self) -> Result<(Arc<Call>, u64), Refusal> {
        let Entry { me, route, op } = *self.entry;
        let call = me.take_call().ok_or(Refusal::OverBudget)?;
        let (generation, _) = call.word.load();
        {
            let mut body = call.body.lock();
            body.caller = Some(me.clone());
            body.generation = generation;
            body.route = route;
            body.payload = Payload::Inline([0; 4]);
            body.reply = self.reply;
            body.facet = None;
            body.deadline = op.deadline;
        }
        // A call object in the pool is idle, and its own thread is the one that begins.
        call.word
            .begin(generation)
            .and_then(|()| call.word.deliver(generation))
            .map_err(|_| Refusal::Failed)?;
        Ok((call, generation))
    }
}

/// The answer that a call to a kernel object still owes, of method `M`.
pub type Late<M> = Deferred<Pending, M>;

impl Pending {
    /// Number of the process whose call it is; 0 once the call has ended.
    pub fn holder(&self) -> u64 {
        self.0.as_ref().map_or(0, |(call, generation)| {
            let body = call.body.lock();
            match &body.caller {
                Some(caller) if body.generation == *generation => caller.process.id,
                _ => 0,
            }
        })
    }

    /// Whose call it is; `None` once the call has ended.
    pub fn caller(&self) -> Option<Arc<Process>> {
        let (call, generation) = self.0.as_ref()?;
        let body = call.body.lock();
        let caller = body.caller.as_ref()?;
        (body.generation == *generation).then(|| caller.process.clone())
    }

    fn end(mut self, build: impl FnOnce(&Won) -> Result<Finished, Refusal>) -> bool {
        let Some((call, generation)) = self.0.take() else {
            return false;
        };
        let Some(won) = win(&call, generation, Ending::Replied) else {
            return false;
        };
        let f = build(&won).unwrap_or_else(Finished::refused);
        won.caller.complete(won.route, f).run();
        true
    }
}

impl Respond for Pending {
    type Out = Slot;

    fn respond<P: Outgoing<Slot>>(self, results: P) {
        self.try_respond(results);
    }

    fn refuse(self, refusal: Refusal) {
        self.try_refuse(refusal);
    }
}

impl stub::Late for Pending {
    fn is_live(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|(call, generation)| call.word.load().0 == *generation)
    }

    fn try_respond<P: Outgoing<Slot>>(self, results: P) -> bool {
        self.end(|won| write_reply(won, results))
    }

    fn try_refuse(self, refusal: Refusal) -> bool {
        self.end(|_| Err(refusal))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some((call, generation)) = self.0.take() {
            let f = Finished::refused(Refusal::NoReply);
            finish(&call, generation, Ending::NoReply, f).run();
        }
    }
}
