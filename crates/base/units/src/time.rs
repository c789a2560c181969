//! Monotonic time.

use core::fmt;

/// Nanoseconds on the monotonic clock: a point in time (a deadline) or a span, as the name of the value says.
///
/// Printed as a number followed by `ns`, or `never`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Nanoseconds(u64);

impl Nanoseconds {
    /// The start of the clock; as a deadline it has always passed.
    pub const ZERO: Self = Self(0);

    /// A deadline that never passes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Wraps a number of nanoseconds; `u64::MAX` is [`Self::NEVER`].
    pub const fn new(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Converts microseconds; a product that does not fit is [`Self::NEVER`].
    pub const fn from_micros(microseconds: u64) -> Self {
        Self(microseconds.saturating_mul(1_000))
    }

    /// Converts milliseconds; a product that does not fit is [`Self::NEVER`].
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// Converts seconds; a product that does not fit is [`Self::NEVER`].
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Returns the number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether this is [`Self::NEVER`].
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }

    /// Adds a span; a sum that does not fit is [`Self::NEVER`], and `NEVER` stays `NEVER`.
    pub const fn saturating_add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Returns the span from `earlier` until here: zero where `earlier` is later, `NEVER` where this is `NEVER`.
    pub const fn since(self, earlier: Self) -> Self {
        if self.is_never() {
            return Self::NEVER;
        }
        Self(self.0.saturating_sub(earlier.0))
    }

    /// Whether this deadline has passed at time `now`; [`Self::NEVER`] has not, whatever `now` is.
    pub const fn has_passed(self, now: Self) -> bool {
        !self.is_never() && self.0 <= now.0
    }
}

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            f.write_str("never")
        } else {
            write!(f, "{}ns", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn never_is_absorbing_and_never_passes() {
        assert!(!Nanoseconds::NEVER.has_passed(Nanoseconds::NEVER));
        assert!(
            Nanoseconds::NEVER
                .saturating_add(Nanoseconds::new(1))
                .is_never()
        );
        assert!(
            Nanoseconds::new(u64::MAX - 1)
                .saturating_add(Nanoseconds::new(5))
                .is_never()
        );
        assert!(Nanoseconds::NEVER.since(Nanoseconds::new(7)).is_never());
        assert_eq!(Nanoseconds::NEVER.to_string(), "never");
    }

    #[test]
    fn a_deadline_passes_at_its_own_instant() {
        let deadline = Nanoseconds::from_micros(2);
        assert!(!deadline.has_passed(Nanoseconds::new(1_999)));
        assert!(deadline.has_passed(Nanoseconds::new(2_000)));
        assert!(Nanoseconds::ZERO.has_passed(Nanoseconds::ZERO));
        assert!(deadline.has_passed(Nanoseconds::NEVER));
    }

    #[test]
    fn conversions_saturate() {
        assert_eq!(Nanoseconds::from_millis(3).as_u64(), 3_000_000);
        assert_eq!(Nanoseconds::from_secs(3).to_string(), "3000000000ns");
        assert!(Nanoseconds::from_secs(u64::MAX).is_never());
        assert!(Nanoseconds::from_micros(u64::MAX / 2).is_never());
        assert_eq!(
            Nanoseconds::new(3).since(Nanoseconds::new(9)),
            Nanoseconds::ZERO
        );
    }
}
