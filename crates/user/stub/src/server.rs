//! The serving side: a call that came in, and the one answer it gets.

use core::fmt;
use core::marker::PhantomData;

use crate::{Method, Outgoing, Refusal, wire};

/// Proof that a call was answered or put aside. Only [`Reply`] makes one.
#[must_use = "a server method returns it"]
#[derive(Debug)]
pub struct Answered(());

/// The right to answer one call.
///
/// Implementation safety: none. Dropping it must complete the call `noReply`.
pub trait Respond: Sized {
    /// A capability in a reply.
    type Out;

    /// Answers. When the results do not fit, the call is refused [`Refusal::ReplyTooLarge`] instead.
    fn respond<P: Outgoing<Self::Out>>(self, results: P);

    /// Refuses.
    fn refuse(self, refusal: Refusal);
}

/// A call that came in. The message itself is apart from it, as [`crate::Received`], so that parameters can be read
/// while the reply is built.
pub trait Incoming: Respond {
    /// A capability received with the call.
    type Cap;
    /// The right to answer, in a form that can be kept.
    type Deferred: Respond<Out = Self::Out>;

    /// The cookie of the facet that was called.
    fn cookie(&self) -> u64;

    /// Takes the `index`th capability that came with the call; each can be taken once.
    fn take_cap(&mut self, index: usize) -> Option<Self::Cap>;

    /// Puts the call aside.
    fn defer(self) -> Self::Deferred;
}

/// Refuses a call that no method saw.
pub fn refuse<C: Respond>(call: C, refusal: Refusal) -> Answered {
    call.refuse(refusal);
    Answered(())
}

/// Takes the capability that slot `slot` of the root struct of `message` names. Generated code does this.
///
/// # Errors
/// [`Refusal::BadMessage`] when the slot is empty or no capability pointer, [`Refusal::BadTransfer`] when no such
/// capability came with the call or it was taken.
pub fn take_cap<C: Incoming>(call: &mut C, message: &[u8], slot: u16) -> Result<C::Cap, Refusal> {
    let index = wire::cap_index(message, slot)?.ok_or(Refusal::BadMessage)?;
    call.take_cap(index).ok_or(Refusal::BadTransfer)
}

/// The answer that method `M` of a call owes.
#[must_use = "the caller waits for it"]
pub struct Reply<C, M> {
    call: C,
    method: PhantomData<fn() -> M>,
}

impl<C: Incoming, M: Method> Reply<C, M> {
    /// Wraps a call whose method is `M`. Generated code does this.
    pub fn new(call: C) -> Self {
        Self {
            call,
            method: PhantomData,
        }
    }

    /// The cookie of the facet that was called.
    pub fn cookie(&self) -> u64 {
        self.call.cookie()
    }

    /// The call itself, for what else its transport knows of it.
    pub fn call(&self) -> &C {
        &self.call
    }

    /// The call itself.
    pub fn call_mut(&mut self) -> &mut C {
        &mut self.call
    }

    /// Takes the `index`th capability that came with the call, for a method whose parameters name capabilities by
    /// index; those of its own fields are taken already.
    ///
    /// # Errors
    /// [`Refusal::BadTransfer`] when there is none or it was taken.
    pub fn take_cap(&mut self, index: usize) -> Result<C::Cap, Refusal> {
        self.call.take_cap(index).ok_or(Refusal::BadTransfer)
    }

    /// Answers.
    pub fn send(self, results: M::Reply<'_, C::Out>) -> Answered {
        self.call.respond(results);
        Answered(())
    }

    /// Answers with results that are built in place, made by a `fill_METHOD` function of the generated module.
    pub fn send_with<P: Outgoing<C::Out> + Fills<M>>(self, results: P) -> Answered {
        self.call.respond(results);
        Answered(())
    }

    /// Refuses.
    pub fn refuse(self, refusal: Refusal) -> Answered {
        refuse(self.call, refusal)
    }

    /// Answers or refuses.
    pub fn answer(self, result: Result<M::Reply<'_, C::Out>, Refusal>) -> Answered {
        match result {
            Ok(results) => self.send(results),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Puts the call aside: the second value answers it later, from anywhere.
    pub fn defer(self) -> (Answered, Deferred<C::Deferred, M>) {
        let deferred = Deferred {
            call: self.call.defer(),
            method: PhantomData,
        };
        (Answered(()), deferred)
    }
}

/// Marks results built in place for method `M`.
pub trait Fills<M> {}

/// The answer that a call put aside still owes.
#[must_use = "the caller waits for it"]
pub struct Deferred<D, M> {
    call: D,
    method: PhantomData<fn() -> M>,
}

impl<D: fmt::Debug, M> fmt::Debug for Deferred<D, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deferred").field(&self.call).finish()
    }
}

/// The right to answer a call whose caller may be gone by then.
pub trait Late: Respond {
    /// Whether somebody still waits for the answer.
    fn is_live(&self) -> bool;

    /// Answers. `false`: nobody takes the answer any more.
    fn try_respond<P: Outgoing<Self::Out>>(self, results: P) -> bool;

    /// Refuses. `false`: nobody takes the answer any more.
    fn try_refuse(self, refusal: Refusal) -> bool;
}

impl<D: Late, M: Method> Deferred<D, M> {
    /// Whether somebody still waits for the answer.
    pub fn is_live(&self) -> bool {
        self.call.is_live()
    }

    /// Answers. `false`: nobody takes the answer any more.
    pub fn try_send(self, results: M::Reply<'_, D::Out>) -> bool {
        self.call.try_respond(results)
    }

    /// Refuses. `false`: nobody takes the answer any more.
    pub fn try_refuse(self, refusal: Refusal) -> bool {
        self.call.try_refuse(refusal)
    }

    /// Answers or refuses. `false`: nobody takes the answer any more.
    pub fn try_answer(self, result: Result<M::Reply<'_, D::Out>, Refusal>) -> bool {
        match result {
            Ok(results) => self.try_send(results),
            Err(refusal) => self.try_refuse(refusal),
        }
    }
}

impl<D: Respond, M: Method> Deferred<D, M> {
    /// The right to answer, for what else its transport knows of the call.
    pub fn call(&self) -> &D {
        &self.call
    }

    /// Answers by a way of the transport's own, which gets the results together with the right to send them.
    pub fn send_by<R>(
        self,
        results: M::Reply<'_, D::Out>,
        send: impl FnOnce(D, M::Reply<'_, D::Out>) -> R,
    ) -> R {
        send(self.call, results)
    }

    /// Answers.
    pub fn send(self, results: M::Reply<'_, D::Out>) {
        self.call.respond(results);
    }

    /// Refuses.
    pub fn refuse(self, refusal: Refusal) {
        self.call.refuse(refusal);
    }

    /// Answers or refuses.
    pub fn answer(self, result: Result<M::Reply<'_, D::Out>, Refusal>) {
        match result {
            Ok(results) => self.send(results),
            Err(refusal) => self.refuse(refusal),
        }
    }
}
