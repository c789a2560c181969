//! What generated stubs, the programs that call them and the objects that serve them agree on.
//!
//! Owns the traits between a stub and its transport ([`Object`] on the calling side, [`Incoming`] on the serving
//! side), the writer that builds a message in place ([`wire`]), the reader that takes one apart ([`read`]) and the macros
//! that generated modules consist of.
//! Invariant: it never allocates, never panics on a message, and never makes a system call.
//!
//! A payload travels in one of two forms. *Plain* ones, at most 32 bytes of data and no pointer, are four words, in
//! registers. Everything else is one Cap'n Proto segment without framing, whose first word is the root pointer. A
//! receiver accepts a plain payload in either form, because a ring carries messages only.
#![no_std]
#![forbid(unsafe_code)]

mod client;
pub mod field;
#[macro_use]
mod macros;
pub mod read;
mod server;
pub mod wire;
pub mod words;

pub use client::{Answer, CapArg, Deadline, Interface, Object, Retry};
pub use ring_abi::Refusal;
pub use server::{Answered, Deferred, Fills, Incoming, Late, Reply, Respond, refuse, take_cap};

/// The four words of a plain payload.
pub type Words = [u64; 4];

/// A payload as it arrived.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'m> {
    /// Four words, from registers.
    Plain(Words),
    /// One segment: 8-byte aligned, a multiple of 8 bytes long, and nobody else's to write any more.
    Message(&'m [u8]),
}

impl Payload<'_> {
    /// The data section of a plain payload, in whichever form it came.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when it came as a message without a well-formed root struct.
    pub fn words(&self) -> Result<Words, Refusal> {
        match *self {
            Payload::Plain(words) => Ok(words),
            Payload::Message(message) => wire::data_words(message),
        }
    }
}

/// A call as it arrived: which method, and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Received<'m> {
    /// The method number.
    pub method: u16,
    /// The parameters.
    pub payload: Payload<'m>,
}

/// Something that can be sent: parameters or results. `K` is how the sender names a capability.
pub trait Outgoing<K> {
    /// It fits into four words and bears no pointer.
    const PLAIN: bool;
    /// Words of the root struct's data section.
    const DATA_WORDS: u16;
    /// Slots of the root struct's pointer section.
    const POINTERS: u16;

    /// The data section of a plain payload; zeroes for any other.
    fn words(&self) -> Words {
        [0; 4]
    }

    /// Fills in the root struct and hands over the capabilities, in the order in which the message counts them.
    ///
    /// # Errors
    /// [`wire::Full`] when the buffer is too small.
    fn encode(
        self,
        root: &mut wire::StructWriter<'_, '_>,
        caps: &mut dyn FnMut(K),
    ) -> Result<(), wire::Full>
    where
        Self: Sized,
    {
        let _ = caps;
        root.set_words(&self.words());
        Ok(())
    }
}

/// A payload of at most four words and no pointer.
pub trait Plain: Sized {
    /// Reads the data section.
    ///
    /// # Errors
    /// [`Refusal::BadArgument`] for a number that no variant of an enum has.
    fn from_words(words: &Words) -> Result<Self, Refusal>;
}

/// Results that a client takes out of an answer and keeps.
pub trait FromAnswer<O>: Sized {
    /// Reads them; capabilities are taken from the answer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when the server sent something else.
    fn from_answer(answer: &mut Answer<'_, '_, O>) -> Result<Self, Refusal>;
}

impl<O> FromAnswer<O> for () {
    fn from_answer(_: &mut Answer<'_, '_, O>) -> Result<Self, Refusal> {
        Ok(())
    }
}

/// Nothing at all: the parameters or results of a method that has none.
impl<K> Outgoing<K> for () {
    const PLAIN: bool = true;
    const DATA_WORDS: u16 = 0;
    const POINTERS: u16 = 0;
}

/// One method of an interface.
pub trait Method {
    /// The interface it belongs to.
    const INTERFACE_ID: u64;
    /// Its number.
    const ORDINAL: u16;
    /// `Interface.method`, for messages to people.
    const NAME: &'static str;
    /// Doing it twice is the same as doing it once: a stub may retry it.
    const IDEMPOTENT: bool;
    /// Bytes a reply buffer needs: 0 when the results are plain, `u32::MAX` (all there is) when they may be any length.
    const REPLY_BYTES: u32;
    /// The parameters, as a client sends them.
    type Params<'a>: Outgoing<CapArg> + Copy;
    /// The results, as a server sends them.
    type Reply<'a, K>: Outgoing<K>;
    /// The results, as a client gets them: owned values and handles, or a reader of the message.
    type Results<'m, O: Object>;

    /// Lets `read` look at the results in an answer.
    ///
    /// # Errors
    /// [`Refusal::BadMessage`] when the server sent something else.
    fn read<O: Object, R>(
        answer: &mut Answer<'_, '_, O>,
        read: impl FnOnce(Self::Results<'_, O>) -> R,
    ) -> Result<R, Refusal>;
}
