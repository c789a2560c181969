//! Calls: how each of them ends, and the right to answer.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use call_state::{Ending, LAST_GENERATION};
use cap::Epoch;
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::area::Span;
use crate::finished::{Finished, Route};
use crate::loan;
use crate::meeting::Waiting;
use crate::message::Place;
use crate::records::{Call, Outbound, Queued, ReplyRight, Thread};
use crate::woken::Woken;

impl Call {
    /// Keeps the room of a list of capabilities that were delivered, for the next call.
    pub(crate) fn keep_room(&self, generation: u64, mut caps: Vec<Outbound>) {
        caps.clear();
        let mut body = self.body.lock();
        if body.generation == generation && body.caps.is_empty() {
            body.caps = caps;
        }
    }
}

impl Waiting for Queued {
    /// A call that gave up waits no longer.
    fn is_waiting(&self) -> bool {
        self.call.word.load().0 == self.generation
    }
}

impl Clone for ReplyRight {
    fn clone(&self) -> Self {
        Self {
            call: self.call.clone(),
            named: self.generation(),
        }
    }
}

impl Drop for ReplyRight {
    fn drop(&mut self) {
        if self.is_owned() {
            self.drop_unanswered();
        }
    }
}

/// In [`ReplyRight::named`]: this is the right itself. No generation has the bit.
const OWNED: u64 = 1 << 63;
const _: () = assert!(LAST_GENERATION < OWNED);

impl ReplyRight {
    pub(crate) const fn new(call: Arc<Call>, generation: u64) -> Self {
        Self {
            call,
            named: generation | OWNED,
        }
    }

    /// The generation of the call that it answers.
    #[inline(always)]
    pub(crate) const fn generation(&self) -> u64 {
        self.named & !OWNED
    }

    #[inline(always)]
    const fn is_owned(&self) -> bool {
        self.named & OWNED != 0
    }

    /// Becomes a mere name of the call.
    pub(crate) fn disown(mut self) {
        self.named &= !OWNED;
    }

    /// The call that it is a mere name of.
    #[inline(always)]
    fn into_call(self) -> Arc<Call> {
        let right = ManuallyDrop::new(self);
        debug_assert!(!right.is_owned(), "an ending was won or lost");
        // SAFETY: the call is read once, out of what is never dropped.
        unsafe { core::ptr::read(&raw const right.call) }
    }

    /// Ends the call as answered. `None`: it was cancelled or timed out meanwhile.
    #[inline(always)]
    pub(crate) fn use_up(mut self) -> Option<Won> {
        self.named &= !OWNED;
        // The object is in no pool before its body is empty, so nobody begins the next call with it meanwhile.
        self.call.word.answer(self.generation()).ok()?;
        let won = empty(&self.call)?;
        won.caller.recycle_from(won.route, self.into_call());
        Some(won)
    }

    pub(crate) fn epoch(&self) -> &Epoch {
        &self.call.epoch
    }

    fn drop_unanswered(&self) {
        if sabotage!(SKIP_NO_REPLY) {
            return;
        }
        let f = Finished::refused(Refusal::NoReply);
        finish(&self.call, self.generation(), Ending::NoReply, f).run();
    }

    /// The right leaves the thread that got it with the call: what the call lends goes to `to`, or to nobody.
    pub(crate) fn pass_on(&self, to: Option<&Arc<Thread>>) {
        loan::pass_on(&self.call, self.generation(), to);
    }

    pub(crate) fn server_died(&self) {
        if sabotage!(SKIP_SERVER_DIED) {
            return;
        }
        let f = Finished::refused(Refusal::ServerDied);
        finish(&self.call, self.generation(), Ending::ServerDied, f).run();
    }
}

/// What the winner of an ending gets: the caller, and where its reply goes.
pub(crate) struct Won {
    pub(crate) caller: Arc<Thread>,
    pub(crate) route: Route,
    pub(crate) reply: Span,
}

impl Won {
    /// Where the reply goes.
    #[inline(always)]
    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            area: &self.caller.area,
            route: self.route,
            buffer: self.reply,
            too_long: Refusal::ReplyTooLarge,
        }
    }
}

/// Tries to end a call. `Some`: this ending won, and nobody else touches the call until it is consumed, which this
/// function has done; the caller of the call gets its result from the winner.
#[inline(always)]
pub(crate) fn win(call: &Arc<Call>, generation: u64, ending: Ending) -> Option<Won> {
    call.word.end(generation, ending).ok()?;
    let won = empty(call)?;
    // The generation rises here, so a late ending finds `Stale`.
    let _ = call.word.consume(generation);
    won.caller.recycle_from(won.route, call.clone());
    Some(won)
}

/// Empties the body of a call that has ended, for the winner.
#[inline(always)]
fn empty(call: &Call) -> Option<Won> {
    let (won, caps, facet, loan) = {
        let mut body = call.body.lock();
        let caller = body.caller.take()?;
        let won = Won {
            caller,
            route: body.route,
            reply: body.reply,
        };
        let caps = (!body.caps.is_empty()).then(|| core::mem::take(&mut body.caps));
        (won, caps, body.facet.take(), body.loan.take())
    };
    if let Some(loan) = loan {
        loan.give_back();
    }
    // Capabilities that never reached the receiver: copies go, moved ones were still the sender's.
    drop(caps);
    drop(facet);
    Some(won)
}

/// Ends a call with a result that needs no copying. Returns its caller, if that was waiting.
pub(crate) fn finish(call: &Arc<Call>, generation: u64, ending: Ending, f: Finished) -> Woken {
    match win(call, generation, ending) {
        Some(won) => won.caller.complete(won.route, f),
        None => Woken::NOBODY,
    }
}
