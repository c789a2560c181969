//! A handle and the way to call it.

use ring_abi::{NO_HANDLE, StatusWord, completion_flags, opcode, span};
use stub::{Answer, CapArg, Object, Outgoing, Payload, Refusal, Words, wire};

use crate::area::{self, Scratch};
use crate::sys::{self, Operation};

/// Bytes of a plain payload as a message: the root pointer and four words.
pub(crate) const PLAIN_MESSAGE_BYTES: u32 = 40;

/// A capability of this process. Dropping it drops the handle, unless it was given at the start.
#[derive(Debug)]
pub struct Cap {
    handle: u64,
    owned: bool,
}

impl Cap {
    /// Takes a handle, to be dropped with this value.
    pub const fn owned(handle: u64) -> Self {
        Self {
            handle,
            owned: true,
        }
    }

    /// Uses a handle that stays whatever happens to this value.
    pub const fn borrowed(handle: u64) -> Self {
        Self {
            handle,
            owned: false,
        }
    }

    /// Uses the same handle once more, without owning it.
    pub const fn share(&self) -> Self {
        Self::borrowed(self.handle)
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        if self.owned && self.handle != NO_HANDLE {
            sys::release(self.handle);
        }
    }
}

impl Object for Cap {
    type Owned = Cap;

    fn handle(&self) -> u64 {
        self.handle
    }

    fn into_handle(self) -> u64 {
        let handle = self.handle;
        core::mem::forget(self);
        handle
    }

    fn call<P: Outgoing<CapArg>, R>(
        &self,
        method: u16,
        deadline_ns: u64,
        params: P,
        reply_bytes: u32,
        read: impl FnOnce(Answer<'_, '_, Cap>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut operation = Operation {
            opcode: opcode::CALL,
            flags: sys::flags(P::PLAIN),
            method,
            handle: self.handle,
            deadline_ns,
            ..Operation::default()
        };
        let message = if P::PLAIN {
            operation.words = params.words();
            None
        } else {
            let built = area::build(params).map_err(|wire::Full| Refusal::BadMessage)?;
            operation.words = words(&built);
            Some(built)
        };
        if reply_bytes == 0 {
            // Plain results come in registers, however the server sent them.
            let outcome = sys::operate(&operation);
            drop(message);
            if let Some(refusal) = outcome.refused() {
                return Err(refusal);
            }
            return read(Answer::new(Payload::Plain(outcome.words), &mut |_| None));
        }
        let mut reply = Scratch::take(reply_bytes);
        operation.reply = reply.span();
        let outcome = sys::operate(&operation);
        if let Some(refusal) = outcome.refused() {
            return Err(refusal);
        }
        let kept = u32::from(outcome.status.words) * 8 + u32::from(outcome.status.caps) * 8;
        reply.shrink(kept);
        let result = answer(outcome.status, outcome.words, reply.bytes(), read);
        // The reply buffer goes first: the message area is a stack.
        drop(reply);
        drop(message);
        result
    }
}

/// The words that describe a message in registers.
pub(crate) fn words(message: &area::Message) -> Words {
    let at = span(message.scratch.offset(), message.bytes);
    [at, 0, 0, message.transfers]
}

/// The message and the handles behind it in a buffer that the kernel filled.
pub(crate) fn parts(status: StatusWord, buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    let (message, rest) = buffer.split_at_checked(usize::from(status.words) * wire::WORD)?;
    Some((message, rest.get(..usize::from(status.caps) * wire::WORD)?))
}

/// The handle at `index` of those behind a message.
pub(crate) fn handle_at(handles: &[u8], index: usize) -> Option<u64> {
    let bytes = handles.get(index.checked_mul(8)?..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Lets `read` look at what came back, then drops the handles it did not take.
pub(crate) fn answer<R>(
    status: StatusWord,
    words: Words,
    buffer: &[u8],
    read: impl FnOnce(Answer<'_, '_, Cap>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let (message, handles) = parts(status, buffer).ok_or(Refusal::BadMessage)?;
    let payload = if status.flags & completion_flags::INLINE != 0 {
        Payload::Plain(words)
    } else {
        Payload::Message(message)
    };
    let mut caps = Handles::new(handles);
    let mut take = |index| caps.take(index);
    read(Answer::new(payload, &mut take))
}

/// Handles behind a message, each to be taken once; those left are dropped.
pub(crate) struct Handles<'m> {
    handles: &'m [u8],
    taken: u32,
}

impl<'m> Handles<'m> {
    pub fn new(handles: &'m [u8]) -> Self {
        Self { handles, taken: 0 }
    }

    pub fn take(&mut self, index: usize) -> Option<Cap> {
        let bit = 1_u32.checked_shl(u32::try_from(index).ok()?)?;
        if self.taken & bit != 0 {
            return None;
        }
        let handle = handle_at(self.handles, index)?;
        self.taken |= bit;
        Some(Cap::owned(handle))
    }
}

impl Drop for Handles<'_> {
    fn drop(&mut self) {
        for index in 0..self.handles.len() / wire::WORD {
            drop(self.take(index));
        }
    }
}
