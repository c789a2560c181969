//! What a program asks for: ring submissions, and the same operation in registers.

/// Bytes of one submission.
pub const SUBMISSION_BYTES: usize = 64;
/// Bytes of one transfer descriptor.
pub const TRANSFER_BYTES: usize = 16;

/// Operation codes; equal in the ring and in registers.
pub mod opcode {
    /// Does nothing and completes.
    pub const NOP: u8 = 0;
    /// Calls method `method` on `handle`.
    pub const CALL: u8 = 1;
    /// Answers the call that reply handle `handle` stands for. Never blocks.
    pub const RETURN: u8 = 2;
    /// Waits for a call on endpoint `handle`.
    pub const RECEIVE: u8 = 3;
    /// Answers `handle`, then receives on the second handle.
    pub const RETURN_RECEIVE: u8 = 4;
    /// Drops `handle`.
    pub const RELEASE: u8 = 5;
    /// Cancels the pending ring operation whose user data is `handle`.
    pub const CANCEL: u8 = 6;
    /// Waits until the 32-bit word at address `handle` differs from word 0, is unparked, or the deadline comes.
    pub const PARK: u8 = 7;
    /// Wakes up to word 0 threads of this process parked on address `handle`.
    pub const UNPARK: u8 = 8;
    /// Refuses the call that reply handle `handle` stands for, with the refusal code in word 0.
    pub const REFUSE: u8 = 9;
    /// Registers only: takes submissions from the ring and waits for completions.
    pub const RING: u8 = 255;
}

/// Submission flags.
pub mod submission_flags {
    /// The payload is the four words themselves: the data section of the parameter struct. Registers only.
    pub const INLINE: u8 = 1;
    /// Do not wait: for RECEIVE, complete `timedOut` when no call is queued.
    pub const POLL: u8 = 2;
    /// Every flag that exists; others must be zero.
    pub const ALL: u8 = INLINE | POLL;
}

/// Packs an offset and a length in the message area, both in bytes.
pub const fn span(offset: u32, bytes: u32) -> u64 {
    (offset as u64) | ((bytes as u64) << 32)
}

/// Unpacks [`span`].
pub const fn span_parts(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// What the words of a submission that is not inline mean.
///
/// A message is `bytes` long, at `offset` in the message area, both multiples of 8. Directly behind it lie
/// `transfers` descriptors of [`TRANSFER_BYTES`] each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageWords {
    /// Where the outgoing message lies: [`span`].
    pub message: u64,
    /// Where the reply or the received call goes: [`span`].
    pub reply: u64,
    /// The endpoint to receive on, for RETURN_RECEIVE in the ring.
    pub second: u64,
    /// Count of outgoing transfers.
    pub transfers: u64,
}

/// One outgoing capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Transfer {
    /// The handle in the sender's table.
    pub handle: u64,
    /// 0 copies; 1 moves: the sender loses it when the message is delivered.
    pub mode: u64,
}

/// One ring submission, 64 bytes, little-endian. Fields an opcode does not use must be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Submission {
    /// An [`opcode`].
    pub opcode: u8,
    /// [`submission_flags`].
    pub flags: u8,
    /// The method number of a CALL.
    pub method: u16,
    /// Must be zero.
    pub reserved: u32,
    /// The handle the operation is about.
    pub handle: u64,
    /// Comes back with the completion.
    pub user_data: u64,
    /// Absolute deadline of this operation, or [`crate::NEVER`].
    pub deadline_ns: u64,
    /// Payload words, or [`MessageWords`].
    pub words: [u64; 4],
}

impl Submission {
    /// Reads a submission from its 64 bytes.
    pub fn from_words(w: [u64; 8]) -> Self {
        Self {
            opcode: w[0] as u8,
            flags: (w[0] >> 8) as u8,
            method: (w[0] >> 16) as u16,
            reserved: (w[0] >> 32) as u32,
            handle: w[1],
            user_data: w[2],
            deadline_ns: w[3],
            words: [w[4], w[5], w[6], w[7]],
        }
    }

    /// The eight words of the submission as it lies in the ring.
    pub fn to_words(self) -> [u64; 8] {
        let head = u64::from(self.opcode)
            | u64::from(self.flags) << 8
            | u64::from(self.method) << 16
            | u64::from(self.reserved) << 32;
        [
            head,
            self.handle,
            self.user_data,
            self.deadline_ns,
            self.words[0],
            self.words[1],
            self.words[2],
            self.words[3],
        ]
    }

    /// The control word of the same operation in registers.
    pub const fn control(&self) -> u64 {
        let control = Control {
            opcode: self.opcode,
            flags: self.flags,
            method: self.method,
            min_complete: 0,
        };
        control.pack()
    }

    /// The words as a message description.
    pub const fn message(&self) -> MessageWords {
        MessageWords {
            message: self.words[0],
            reply: self.words[1],
            second: self.words[2],
            transfers: self.words[3],
        }
    }
}

/// The control word of `enter`, in `rdi`.
///
/// | bits | meaning |
/// |---|---|
/// | 0..8 | opcode |
/// | 8..16 | flags |
/// | 16..32 | method |
/// | 32..48 | in ring mode: completions to wait for |
/// | 48..64 | must be zero |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// An [`opcode`].
    pub opcode: u8,
    /// [`submission_flags`].
    pub flags: u8,
    /// The method number of a CALL.
    pub method: u16,
    /// In ring mode: completions to wait for.
    pub min_complete: u16,
}

impl Control {
    /// Unpacks the word; `None` when a reserved bit is set.
    pub const fn unpack(word: u64) -> Option<Self> {
        if word >> 48 != 0 {
            return None;
        }
        Some(Self {
            opcode: word as u8,
            flags: (word >> 8) as u8,
            method: (word >> 16) as u16,
            min_complete: (word >> 32) as u16,
        })
    }

    /// Packs the word.
    pub const fn pack(self) -> u64 {
        self.opcode as u64
            | (self.flags as u64) << 8
            | (self.method as u64) << 16
            | (self.min_complete as u64) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submission_is_64_bytes_and_round_trips() {
        assert_eq!(core::mem::size_of::<Submission>(), SUBMISSION_BYTES);
        assert_eq!(core::mem::offset_of!(Submission, handle), 8);
        assert_eq!(core::mem::offset_of!(Submission, words), 32);
        assert_eq!(core::mem::size_of::<Transfer>(), TRANSFER_BYTES);
        let s = Submission {
            opcode: 3,
            flags: 1,
            method: 513,
            reserved: 7,
            handle: 1,
            user_data: 2,
            deadline_ns: 3,
            words: [4, 5, 6, 7],
        };
        assert_eq!(Submission::from_words(s.to_words()), s);
    }

    #[test]
    fn control_refuses_reserved_bits() {
        let c = Control {
            opcode: 1,
            flags: 2,
            method: 3,
            min_complete: 4,
        };
        assert_eq!(Control::unpack(c.pack()), Some(c));
        assert_eq!(Control::unpack(1 << 48), None);
    }
}
