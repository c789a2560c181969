//! One operation: what registers and ring submissions both become, and what becomes of it.

use cpu::SyscallFrame;
use ring_abi::{Refusal, Submission, submission_flags};

use crate::area::{Area, Span};
use crate::finished::Finished;
use crate::message::Payload;
use crate::stop::{Misuse, Stop};
use crate::woken::Woken;

/// One operation, private to the kernel.
///
/// Laid out as the registers of [`SyscallFrame`] from `rdi` on, so that one in registers is read where it was saved.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Operation {
    /// Opcode, flags and method, packed as in `ring_abi::Control`.
    pub(crate) control: u64,
    pub(crate) handle: u64,
    pub(crate) deadline: u64,
    /// Inline payload, if flagged; else the span of the message, two words, and the count of transfers.
    pub(crate) words: [u64; 4],
    pub(crate) second: u64,
    /// Where the answer goes.
    pub(crate) reply: u64,
}

const _: () = {
    use core::mem::offset_of;
    let first = offset_of!(SyscallFrame, rdi);
    assert!(offset_of!(SyscallFrame, rsi) - first == offset_of!(Operation, handle));
    assert!(offset_of!(SyscallFrame, rdx) - first == offset_of!(Operation, deadline));
    assert!(offset_of!(SyscallFrame, r10) - first == offset_of!(Operation, words));
    assert!(offset_of!(SyscallFrame, r8) - first == offset_of!(Operation, words) + 8);
    assert!(offset_of!(SyscallFrame, r9) - first == offset_of!(Operation, words) + 16);
    assert!(offset_of!(SyscallFrame, r12) - first == offset_of!(Operation, words) + 24);
    assert!(offset_of!(SyscallFrame, r13) - first == offset_of!(Operation, second));
    assert!(offset_of!(SyscallFrame, r14) - first == offset_of!(Operation, reply));
};

impl Operation {
    /// The operation in a frame.
    #[inline(always)]
    pub(crate) fn in_frame(frame: &SyscallFrame) -> &Self {
        // SAFETY: both are words of plain data in C layout; the assertions above place each field on its register.
        unsafe {
            &*(&raw const *frame)
                .byte_add(core::mem::offset_of!(SyscallFrame, rdi))
                .cast()
        }
    }

    /// The operation of a submission. Its reserved bits are the caller's to look at.
    #[inline(always)]
    pub(crate) const fn in_ring(submission: &Submission) -> Self {
        let message = submission.message();
        Self {
            control: submission.control(),
            handle: submission.handle,
            deadline: submission.deadline_ns,
            words: submission.words,
            second: message.second,
            reply: message.reply,
        }
    }

    #[inline(always)]
    pub(crate) const fn opcode(&self) -> u8 {
        self.control as u8
    }

    #[inline(always)]
    pub(crate) const fn flags(&self) -> u8 {
        (self.control >> 8) as u8
    }

    #[inline(always)]
    pub(crate) const fn method(&self) -> u16 {
        (self.control >> 16) as u16
    }

    /// The control word with another opcode.
    pub(crate) const fn with_opcode(&self, opcode: u8) -> u64 {
        self.control & !0xff | opcode as u64
    }

    #[inline(always)]
    const fn is_inline(&self) -> bool {
        self.flags() & submission_flags::INLINE != 0
    }

    /// What is sent, for a message at `message`.
    #[inline(always)]
    pub(crate) const fn payload(&self, message: Option<Span>) -> Payload {
        match message {
            Some(span) => Payload::Message(span),
            None => Payload::Inline(self.words),
        }
    }

    /// Count of outgoing transfers.
    #[inline(always)]
    pub(crate) const fn transfers(&self) -> u64 {
        if self.is_inline() { 0 } else { self.words[3] }
    }

    /// Where its message lies, checked against the area of its thread. `None`: it is in the words.
    ///
    /// # Errors
    /// It lies elsewhere.
    #[inline(always)]
    pub(crate) fn message(&self, area: &Area) -> Result<Option<Span>, Misuse> {
        if self.is_inline() {
            return Ok(None);
        }
        area.span(self.words[0]).map(Some)
    }

    /// Checks that it has no flag that means nothing.
    ///
    /// # Errors
    /// `BadArgument`.
    #[inline(always)]
    pub(crate) const fn check_flags(&self) -> Result<(), Refusal> {
        if self.flags() & !submission_flags::ALL == 0 {
            Ok(())
        } else {
            Err(Refusal::BadArgument)
        }
    }
}

/// How an operation went, before anybody waits.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is over, with this result.
    Done(Finished),
    /// It is under way; somebody to run while waiting.
    Waiting(Woken),
    /// An object of the kernel has put it aside.
    Deferred,
}

/// What becomes of an operation, before anybody waits.
pub(crate) type Outcome = Result<Begun, Stop>;

impl From<Finished> for Begun {
    #[inline(always)]
    fn from(finished: Finished) -> Self {
        Self::Done(finished)
    }
}

/// What comes of answering, which gave `woken`, and of receiving.
#[inline(always)]
pub(crate) fn then(woken: Woken, received: Outcome) -> Outcome {
    match received {
        Ok(Begun::Waiting(_)) => Ok(Begun::Waiting(woken)),
        // Whatever becomes of this thread, the caller has its answer.
        done => {
            woken.run();
            done
        }
    }
}
