//! The calling side: an object that can be called, and what comes back.

use crate::{Method, Outgoing, Payload, Refusal, read, wire};

/// A capability that travels with a call or a reply, by the sender's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapArg {
    /// The handle in the sender's table.
    pub handle: u64,
    /// The sender loses it when the message is delivered; otherwise it keeps its own.
    pub moved: bool,
}

impl CapArg {
    /// Sends a copy.
    pub const fn copy(handle: u64) -> Self {
        Self {
            handle,
            moved: false,
        }
    }

    /// Gives it away.
    pub const fn moved(handle: u64) -> Self {
        Self {
            handle,
            moved: true,
        }
    }
}

/// Something that can be called: a handle together with the way to send a message.
///
/// Implementation safety: none; a wrong implementation can only send wrong messages, which receivers refuse.
pub trait Object: Sized {
    /// A capability received with an answer; it releases its handle when it is dropped.
    type Owned: Object<Owned = Self::Owned>;

    /// The handle.
    fn handle(&self) -> u64;

    /// Gives up the handle without releasing it, so that it can be moved into a message.
    fn into_handle(self) -> u64 {
        self.handle()
    }

    /// Sends `params` to method `method` and lets `read` look at the answer while its message is still there.
    /// `reply_bytes` is [`Method::REPLY_BYTES`]. `deadline_ns` is
    /// absolute; [`ring_abi::NEVER`] for none.
    ///
    /// # Errors
    /// The refusal of the object or of the transport, or what `read` returns.
    fn call<P: Outgoing<CapArg>, R>(
        &self,
        method: u16,
        deadline_ns: u64,
        params: P,
        reply_bytes: u32,
        read: impl FnOnce(Answer<'_, '_, Self::Owned>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal>;

    /// Calls method `M` and takes its results as they are.
    ///
    /// # Errors
    /// As [`Object::call`].
    fn invoke<M: Method, R>(
        &self,
        params: M::Params<'_>,
        read: impl FnOnce(M::Results<'_, Self::Owned>) -> R,
    ) -> Result<R, Refusal> {
        self.call(
            M::ORDINAL,
            ring_abi::NEVER,
            params,
            M::REPLY_BYTES,
            |mut answer| M::read(&mut answer, read),
        )
    }
}

impl<T: Object> Object for &T {
    type Owned = T::Owned;
    fn handle(&self) -> u64 {
        (**self).handle()
    }
    fn call<P: Outgoing<CapArg>, R>(
        &self,
        method: u16,
        deadline_ns: u64,
        params: P,
        reply_bytes: u32,
        read: impl FnOnce(Answer<'_, '_, Self::Owned>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        (**self).call(method, deadline_ns, params, reply_bytes, read)
    }
}

/// The same object, every call of which ends by a deadline.
#[derive(Clone, Copy, Debug)]
pub struct Deadline<'a, T> {
    object: &'a T,
    deadline_ns: u64,
}

impl<'a, T> Deadline<'a, T> {
    /// Calls `object`, each call ending at the absolute time `deadline_ns`.
    pub const fn new(object: &'a T, deadline_ns: u64) -> Self {
        Self {
            object,
            deadline_ns,
        }
    }
}

impl<T: Object> Object for Deadline<'_, T> {
    type Owned = T::Owned;
    fn handle(&self) -> u64 {
        self.object.handle()
    }
    fn call<P: Outgoing<CapArg>, R>(
        &self,
        method: u16,
        deadline_ns: u64,
        params: P,
        reply_bytes: u32,
        read: impl FnOnce(Answer<'_, '_, Self::Owned>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let deadline_ns = deadline_ns.min(self.deadline_ns);
        self.object
            .call(method, deadline_ns, params, reply_bytes, read)
    }
}

/// How often [`Retry`] tries again.
const RETRIES: u32 = 8;

/// The same object; a call to an idempotent method whose server died is made again, to its successor.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'a, T>(&'a T);

impl<'a, T> Retry<'a, T> {
    /// Calls `object`.
    pub const fn new(object: &'a T) -> Self {
        Self(object)
    }
}

impl<T: Object> Object for Retry<'_, T> {
    type Owned = T::Owned;
    fn handle(&self) -> u64 {
        self.0.handle()
    }
    fn call<P: Outgoing<CapArg>, R>(
        &self,
        method: u16,
        deadline_ns: u64,
        params: P,
        reply_bytes: u32,
        read: impl FnOnce(Answer<'_, '_, Self::Owned>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.0.call(method, deadline_ns, params, reply_bytes, read)
    }
    fn invoke<M: Method, R>(
        &self,
        params: M::Params<'_>,
        read: impl FnOnce(M::Results<'_, Self::Owned>) -> R,
    ) -> Result<R, Refusal> {
        let mut read = Some(read);
        let mut left = if M::IDEMPOTENT { RETRIES } else { 0 };
        loop {
            let call = self
                .0
                .invoke::<M, _>(params, |results| read.take().map(|read| read(results)));
            match call {
                Ok(Some(value)) => return Ok(value),
                Err(Refusal::ServerDied) if left > 0 => left -= 1,
                Err(refusal) => return Err(refusal),
                // Unreachable: a call that succeeds runs `read`, and none is made after it.
                Ok(None) => return Err(Refusal::Failed),
            }
        }
    }
}

/// A generated client type: one interface of an object.
pub trait Interface<O>: Sized {
    /// The interface's id.
    const INTERFACE_ID: u64;
    /// The interface's name.
    const NAME: &'static str;
    /// Takes the object to serve this interface. Nothing is checked here: the kernel and the server check each call.
    fn from_object(object: O) -> Self;
    /// The object below.
    fn object(&self) -> &O;
    /// The object below.
    fn into_object(self) -> O;
}

/// What came back: the payload, and the capabilities with it. One that nobody takes is released by the transport.
pub struct Answer<'m, 'c, O> {
    payload: Payload<'m>,
    caps: &'c mut dyn FnMut(usize) -> Option<O>,
}

impl<'m, 'c, O> Answer<'m, 'c, O> {
    /// An answer. `caps` gives the capability at an index, once.
    pub fn new(payload: Payload<'m>, caps: &'c mut dyn FnMut(usize) -> Option<O>) -> Self {
        Self { payload, caps }
    }

    /// The payload.
    pub fn payload(&self) -> Payload<'m> {
        self.payload
    }

    /// The message.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when the server sent four words instead.
    pub fn message(&self) -> Result<&'m [u8], Refusal> {
        match self.payload {
            Payload::Message(message) => Ok(message),
            Payload::Plain(_) => Err(Refusal::BadMessage),
        }
    }

    /// Takes the capability that slot `slot` of the root struct names.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when there is none.
    pub fn take_cap(&mut self, slot: u16) -> Result<O, Refusal> {
        let index = wire::cap_index(self.message()?, slot)?.ok_or(Refusal::BadMessage)?;
        (self.caps)(index).ok_or(Refusal::BadMessage)
    }

    /// Opens the message and lets `read` look at its root struct.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it is malformed, or what `read` returns.
    pub fn read<R>(
        &self,
        read: impl FnOnce(read::Fields<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let segment = [self.message()?];
        let message = read::Message::new(&segment);
        read(message.root()?)
    }
}
