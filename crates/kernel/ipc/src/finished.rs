//! What comes back from an operation, and by which way.

use call_state::RESULT_WORDS;
use cpu::SyscallFrame;
use ring_abi::{Completion, Refusal, StatusWord, completion_flags};

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

    /// As the words of a thread's mailbox.
    #[inline(always)]
    pub(crate) const fn to_words(self) -> [u64; RESULT_WORDS] {
        let [a, b, c, d] = self.words;
        [self.status, self.cookie, self.reply, a, b, c, d]
    }

    /// What [`Self::to_words`] gave.
    #[inline(always)]
    pub(crate) const fn from_words(from: [u64; RESULT_WORDS]) -> Self {
        let [status, cookie, reply, a, b, c, d] = from;
        Self {
            status,
            cookie,
            reply,
            words: [a, b, c, d],
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
