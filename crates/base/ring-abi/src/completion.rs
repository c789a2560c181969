//! What comes back: ring completions, and the same in registers.

/// Bytes of one completion.
pub const COMPLETION_BYTES: usize = 32;

/// Completion flags.
pub mod completion_flags {
    /// The result is in the four words, not in the reply buffer. Registers only.
    pub const INLINE: u8 = 1;
    /// A received message is the notice that the last handle of the facet named by the cookie is gone. The reply field
    /// carries the incarnation of the endpoint that minted the facet, and no handle.
    pub const DROPPED: u8 = 2;
    /// With [`DROPPED`]: the facet was minted in an earlier incarnation, and is durable.
    pub const EARLIER: u8 = 4;
}

/// The first word of a completion; also `rax` of a register operation.
///
/// | bits | meaning |
/// |---|---|
/// | 0..8 | 0, or the code of a [`crate::Refusal`] |
/// | 8..16 | [`completion_flags`] |
/// | 16..24 | capabilities received: as many handles follow the message in the reply buffer, 8 bytes each |
/// | 24..32 | zero |
/// | 32..48 | method of a received call |
/// | 48..64 | length of the message in 8-byte words |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusWord {
    /// 0 or a refusal code.
    pub status: u8,
    /// [`completion_flags`].
    pub flags: u8,
    /// Capabilities received.
    pub caps: u8,
    /// Method of a received call.
    pub method: u16,
    /// Message length in 8-byte words.
    pub words: u16,
}

impl StatusWord {
    /// Unpacks the word.
    pub const fn unpack(w: u64) -> Self {
        Self {
            status: w as u8,
            flags: (w >> 8) as u8,
            caps: (w >> 16) as u8,
            method: (w >> 32) as u16,
            words: (w >> 48) as u16,
        }
    }

    /// Packs the word.
    pub const fn pack(self) -> u64 {
        self.status as u64
            | (self.flags as u64) << 8
            | (self.caps as u64) << 16
            | (self.method as u64) << 32
            | (self.words as u64) << 48
    }
}

/// One ring completion, 32 bytes, little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Completion {
    /// From the submission.
    pub user_data: u64,
    /// How it went: a packed [`StatusWord`].
    pub status: u64,
    /// Cookie of the facet a received call came through.
    pub cookie: u64,
    /// Reply handle of a received call; of a notice, the incarnation that minted the facet.
    pub reply: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        assert_eq!(core::mem::size_of::<Completion>(), COMPLETION_BYTES);
        let s = StatusWord {
            status: 1,
            flags: 2,
            caps: 3,
            method: 4,
            words: 5,
        };
        assert_eq!(StatusWord::unpack(s.pack()), s);
    }
}
