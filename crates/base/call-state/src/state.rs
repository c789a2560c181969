//! The states, with their numbers.

/// How far a call has come. The numbers are ABI and never change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CallState {
    /// No call uses the object.
    Idle = 0,
    /// The call waits at the endpoint.
    Queued = 1,
    /// A server has it and holds the reply handle.
    Delivered = 2,
    /// The server answered.
    Replied = 3,
    /// The caller gave up.
    Cancelled = 4,
    /// The server died after the call was delivered.
    ServerDied = 5,
    /// The deadline passed.
    TimedOut = 6,
    /// The server dropped the reply handle.
    NoReply = 7,
    /// The object that was called is revoked.
    Revoked = 8,
    /// The object used up its last generation and takes no further call.
    Retired = 9,
}

impl CallState {
    /// Returns the ABI number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Reads a state from its low eight bits. Numbers that no transition writes read as `Retired`, which allows nothing.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        match bits & 0xff {
            0 => Self::Idle,
            1 => Self::Queued,
            2 => Self::Delivered,
            3 => Self::Replied,
            4 => Self::Cancelled,
            5 => Self::ServerDied,
            6 => Self::TimedOut,
            7 => Self::NoReply,
            8 => Self::Revoked,
            _ => Self::Retired,
        }
    }

    /// Returns the ending, if the call has ended and was not consumed yet.
    #[must_use]
    pub const fn ending(self) -> Option<Ending> {
        match self {
            Self::Replied => Some(Ending::Replied),
            Self::Cancelled => Some(Ending::Cancelled),
            Self::ServerDied => Some(Ending::ServerDied),
            Self::TimedOut => Some(Ending::TimedOut),
            Self::NoReply => Some(Ending::NoReply),
            Self::Revoked => Some(Ending::Revoked),
            Self::Idle | Self::Queued | Self::Delivered | Self::Retired => None,
        }
    }
}

/// How a call ended. The numbers are those of [`CallState`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Ending {
    /// The server answered.
    Replied = 3,
    /// The caller gave up.
    Cancelled = 4,
    /// The server died after the call was delivered.
    ServerDied = 5,
    /// The deadline passed.
    TimedOut = 6,
    /// The server dropped the reply handle.
    NoReply = 7,
    /// The object that was called is revoked.
    Revoked = 8,
}

impl Ending {
    /// Returns the ABI number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the state that a call with this ending is in.
    #[must_use]
    pub const fn state(self) -> CallState {
        CallState::from_bits(self as u64)
    }

    /// Whether a call in `state` may end this way.
    ///
    /// Only a server that has the call can answer it, drop it or die with it; a queued call outlives its server and
    /// waits for the successor.
    #[must_use]
    pub const fn may_follow(self, state: CallState) -> bool {
        match self {
            Self::Replied | Self::NoReply | Self::ServerDied => {
                matches!(state, CallState::Delivered)
            }
            Self::Cancelled | Self::TimedOut | Self::Revoked => {
                matches!(state, CallState::Queued | CallState::Delivered)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fixed_and_agree() {
        for number in 0..=9u8 {
            let state = CallState::from_bits(u64::from(number));
            assert_eq!(state.number(), number);
            if let Some(ending) = state.ending() {
                assert_eq!(ending.number(), number);
                assert_eq!(ending.state(), state);
            }
        }
        for number in 10..=255u64 {
            assert_eq!(CallState::from_bits(number), CallState::Retired);
        }
        assert_eq!(
            (0..=255u64)
                .filter(|n| CallState::from_bits(*n).ending().is_some())
                .count(),
            6
        );
    }
}
