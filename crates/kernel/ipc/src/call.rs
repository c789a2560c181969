//! Calls: what is on its way, how its result travels, and the right to answer.

use alloc::sync::Arc;
use alloc::vec::Vec;

use call_state::{CallWord, Ending};
use cap::Epoch;
use cpu::{Lock, SyscallFrame};
use ring_abi::{Completion, Refusal, StatusWord, completion_flags};
use sabotage::sabotage;

use crate::area::Span;
use crate::loan::Loan;
use crate::message::Place;
use crate::through::Link;
use crate::transfer::Outbound;
use crate::woken::Woken;
use crate::{Facet, Thread};

/// How a finished operation reaches its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In registers: the thread waits inside `enter` for this very operation.
    Register,
    /// As a completion in the ring, with this user data.
    Ring(u64),
}

/// The status of success with four words.
pub(crate) const INLINE_WORDS: u64 = StatusWord {
    status: 0,
    flags: completion_flags::INLINE,
    caps: 0,
    method: 0,
    words: 4,
}
.pack();

/// What comes back from an operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// How it went: a packed [`StatusWord`].
    pub status: u64,
    /// Cookie of a received call.
    pub cookie: u64,
    /// Reply handle of a received call.
    pub reply: u64,
    /// Inline result.
    pub words: [u64; 4],
}

impl Finished {
    /// A refusal.
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            status: u64::from(refusal.code()),
            ..Self::default()
        }
    }

    /// The completion of the submission with this user data.
    #[inline(always)]
    pub(crate) const fn of(&self, user_data: u64) -> Completion {
        Completion {
            user_data,
            status: self.status,
            cookie: self.cookie,
            reply: self.reply,
        }
    }

    /// Writes it to the registers of the program.
    #[inline(always)]
    pub(crate) fn store(&self, frame: &mut SyscallFrame) {
        frame.rax = self.status;
        frame.rsi = self.cookie;
        frame.rdx = self.reply;
        [frame.r10, frame.r8, frame.r9, frame.r12] = self.words;
    }

    /// Writes success with four words to the registers of the program.
    #[inline(always)]
    pub(crate) fn store_inline(words: [u64; 4], frame: &mut SyscallFrame) {
        frame.rax = INLINE_WORDS;
        frame.rsi = 0;
        frame.rdx = 0;
        [frame.r10, frame.r8, frame.r9, frame.r12] = words;
    }

    /// Success with up to four words.
    pub fn inline(words: [u64; 4]) -> Self {
        Self {
            status: INLINE_WORDS,
            words,
            ..Self::default()
        }
    }
}

/// Parameters on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    Inline([u64; 4]),
    /// In the sender's message area.
    Message(Span),
}

#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) caller: Option<Arc<Thread>>,
    /// The generation this body belongs to: the call object is used again.
    pub(crate) generation: u64,
    pub(crate) route: Route,
    pub(crate) method: u16,
    pub(crate) payload: Payload,
    pub(crate) caps: Vec<Outbound>,
    /// Reply buffer in the caller's message area.
    pub(crate) reply: Span,
    pub(crate) facet: Option<Arc<Facet>>,
    pub(crate) deadline: u64,
    /// What the call lends the thread that serves it, until it ends.
    pub(crate) loan: Option<Loan>,
}

/// One call, used again and again by its thread. The state word decides every race; the body belongs to whoever made
/// the last transition.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) word: CallWord,
    pub(crate) body: Lock<Body>,
    /// Its place among the calls through a facet.
    pub(crate) link: Link,
    /// Never revoked; reply rights need an epoch like every object.
    epoch: Epoch,
}

impl Call {
    #[expect(clippy::disallowed_methods, reason = "room: its thread made it")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            word: CallWord::new(),
            body: Lock::new(Body {
                caller: None,
                generation: 0,
                route: Route::Register,
                method: 0,
                payload: Payload::Inline([0; 4]),
                caps: Vec::new(),
                reply: Span::EMPTY,
                facet: None,
                deadline: u64::MAX,
                loan: None,
            }),
            link: Link::new(),
            epoch: Epoch::default(),
        })
    }
}

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

/// The right to answer one call: the call and its generation. There is one; a clone, as a message on its way holds it,
/// only names it. When the right itself is dropped unused, wherever that is, the call completes `noReply`.
#[derive(Debug)]
pub struct ReplyRight {
    pub(crate) call: Arc<Call>,
    pub(crate) generation: u64,
    owned: bool,
}

impl Clone for ReplyRight {
    fn clone(&self) -> Self {
        Self {
            call: self.call.clone(),
            generation: self.generation,
            owned: false,
        }
    }
}

impl Drop for ReplyRight {
    fn drop(&mut self) {
        if self.owned {
            self.drop_unanswered();
        }
    }
}

impl ReplyRight {
    pub(crate) const fn new(call: Arc<Call>, generation: u64) -> Self {
        Self {
            call,
            generation,
            owned: true,
        }
    }

    /// Becomes a mere name of the call.
    pub(crate) fn disown(mut self) {
        self.owned = false;
    }

    /// Ends the call as answered. `None`: it was cancelled or timed out meanwhile.
    #[inline(always)]
    pub(crate) fn use_up(mut self) -> Option<Won> {
        self.owned = false;
        win(&self.call, self.generation, Ending::Replied)
    }

    pub(crate) fn epoch(&self) -> &Epoch {
        &self.call.epoch
    }

    fn drop_unanswered(&self) {
        if sabotage!(SKIP_NO_REPLY) {
            return;
        }
        let f = Finished::refused(Refusal::NoReply);
        finish(&self.call, self.generation, Ending::NoReply, f).run();
    }

    /// The right leaves the thread that got it with the call: what the call lends goes to `to`, or to nobody.
    pub(crate) fn pass_on(&self, to: Option<&Arc<Thread>>) {
        crate::loan::pass_on(&self.call, self.generation, to);
    }

    pub(crate) fn server_died(&self) {
        if sabotage!(SKIP_SERVER_DIED) {
            return;
        }
        let f = Finished::refused(Refusal::ServerDied);
        finish(&self.call, self.generation, Ending::ServerDied, f).run();
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
            thread: &self.caller,
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
    // The generation rises here, so a late ending finds `Stale`.
    let _ = call.word.consume(generation);
    won.caller.recycle(call.clone());
    Some(won)
}

/// Ends a call with a result that needs no copying. Returns its caller, if that was waiting.
pub(crate) fn finish(call: &Arc<Call>, generation: u64, ending: Ending, f: Finished) -> Woken {
    match win(call, generation, ending) {
        Some(won) => won.caller.complete(won.route, f),
        None => Woken::NOBODY,
    }
}
