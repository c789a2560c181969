//! Why a drive failed, in its own numbers.

use core::fmt;

use crate::packet::SENSE_BYTES;

/// Sense key, additional code and its qualifier (SPC-2, 7.20.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// What kind of failure.
    pub key: u8,
    /// What it is about.
    pub code: u8,
    /// More about that.
    pub qualifier: u8,
}

impl Sense {
    /// The drive has something to say that the reader did not cause: a medium was changed, a reset was done.
    pub const UNIT_ATTENTION: u8 = 6;
    /// It cannot read now.
    pub const NOT_READY: u8 = 2;

    /// Reads an answer to REQUEST SENSE; `None` where it is none of the fixed format.
    #[must_use]
    pub fn parse(answer: &[u8; SENSE_BYTES]) -> Option<Self> {
        let fixed = matches!(answer[0] & 0x7f, 0x70 | 0x71);
        fixed.then(|| Self {
            key: answer[2] & 0x0f,
            code: answer[12],
            qualifier: answer[13],
        })
    }

    /// Whether the same command may succeed soon: a unit attention, or a drive that is becoming ready.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        self.key == Self::UNIT_ATTENTION
            || self.key == Self::NOT_READY && self.code == 0x04 && self.qualifier == 0x01
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.key {
            0x2 => "not ready",
            0x3 => "medium error",
            0x4 => "hardware error",
            0x5 => "illegal request",
            0x6 => "unit attention",
            0x8 => "blank",
            0xb => "aborted",
            _ => "failure",
        };
        let Self {
            key,
            code,
            qualifier,
        } = self;
        write!(f, "{name} (sense {key:x}/{code:02x}/{qualifier:02x})")
    }
}
