//! What came of one operation of a ring.

use ring_abi::{StatusWord, completion_flags};
use stub::{Method, Refusal};

use super::Ring;
use crate::server::{Arrival, Service, deliver_now};
use crate::{cap, sys};

/// One completed operation. Its slot is free again when this is dropped.
pub struct Completion<'r> {
    pub(super) ring: &'r mut Ring,
    pub(super) index: u16,
    /// A packed [`StatusWord`].
    pub(super) status: u64,
    pub(super) cookie: u64,
    pub(super) reply: u64,
    pub(super) user: u64,
    pub(super) consumed: bool,
}

impl Completion<'_> {
    /// The `user` value of its submission.
    #[inline]
    pub fn user(&self) -> u64 {
        self.user
    }

    /// Why it was refused, if it was.
    #[inline]
    pub fn refused(&self) -> Option<Refusal> {
        match self.status().status {
            0 => None,
            code => Refusal::from_code(code),
        }
    }

    /// Looks at the results of a call to method `M`.
    ///
    /// # Errors
    /// The refusal, or [`Refusal::BadMessage`] when the results are not those of `M`.
    pub fn read<M: Method, R>(
        mut self,
        read: impl FnOnce(M::Results<'_, crate::Cap>) -> R,
    ) -> Result<R, Refusal> {
        if let Some(refusal) = self.refused() {
            return Err(refusal);
        }
        self.consumed = true;
        let (status, buffer) = (self.status(), self.buffer());
        cap::answer(status, [0; 4], buffer, |mut answer| {
            M::read(&mut answer, read)
        })
    }

    /// Gives a received call, or the notice that a facet is gone, to `service`. Replies go out at once.
    ///
    /// # Errors
    /// The refusal of the receive.
    pub fn serve(mut self, service: &mut impl Service) -> Result<(), Refusal> {
        if let Some(refusal) = self.refused() {
            return Err(refusal);
        }
        self.consumed = true;
        let arrival = Arrival {
            status: self.status(),
            cookie: self.cookie,
            reply: self.reply,
            words: [0; 4],
            buffer: self.buffer(),
        };
        deliver_now(arrival, service);
        Ok(())
    }

    const fn status(&self) -> StatusWord {
        StatusWord::unpack(self.status)
    }

    fn buffer(&self) -> &[u8] {
        let (start, end) = self.ring.place(self.index);
        let sent = self.ring.slots[usize::from(self.index)].sent as usize;
        let bytes = self.ring.region.bytes();
        bytes.get(start + sent..end).unwrap_or_default()
    }
}

impl Completion<'_> {
    /// Drops the handles that nobody looked at.
    #[inline(never)]
    fn discard(&self) {
        let status = self.status();
        if status.caps > 0
            && let Some((_, handles)) = cap::parts(status, self.buffer())
        {
            drop(cap::Handles::new(handles));
        }
        // A notice carries a number there.
        let is_notice = status.flags & completion_flags::DROPPED != 0;
        if !is_notice && self.reply != ring_abi::NO_HANDLE {
            sys::release(self.reply);
        }
    }
}

impl Drop for Completion<'_> {
    #[inline]
    fn drop(&mut self) {
        let status = self.status();
        let brought = status.caps > 0 || self.reply != ring_abi::NO_HANDLE;
        if brought && !self.consumed && status.status == 0 {
            self.discard();
        }
        self.ring.release(self.index);
    }
}
