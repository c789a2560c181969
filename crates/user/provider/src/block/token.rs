//! What is answered when a request is over.

use sdk::block::block_session;
use sdk::{Late, Refusal};

/// The answer of a request, by the method it was made with.
pub(super) enum Token {
    Read(Late<block_session::call::Read>),
    Write(Late<block_session::call::Write>),
    Flush(Late<block_session::call::Flush>),
    WriteDurable(Late<block_session::call::WriteDurable>),
    Zero(Late<block_session::call::Zero>),
    Discard(Late<block_session::call::Discard>),
}

impl Token {
    /// Answers with how many bytes were moved.
    pub(super) fn answer(self, bytes: Result<u32, Refusal>) {
        match self {
            Self::Read(late) => late.answer(bytes.map(|bytes| block_session::ReadReply { bytes })),
            Self::Write(late) => {
                late.answer(bytes.map(|bytes| block_session::WriteReply { bytes }));
            }
            Self::Flush(late) => late.answer(bytes.map(|_| ())),
            Self::WriteDurable(late) => {
                late.answer(bytes.map(|bytes| block_session::WriteDurableReply { bytes }));
            }
            Self::Zero(late) => late.answer(bytes.map(|_| ())),
            Self::Discard(late) => late.answer(bytes.map(|_| ())),
        }
    }
}
