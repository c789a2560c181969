//! Why stored audit data is refused.

use core::fmt;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The rule that stored data breaks.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Rule { $($(#[$doc])* $name,)* }
        impl Rule {
            /// The name that evidence uses.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $text,)* } }
        }
    };
}

rules! {
    /// It is no superblock or segment of this version, or its fields contradict each other.
    BadFormat = "bad-format";
    /// It names another key than the one at hand.
    WrongKey = "wrong-key";
    /// The seal does not match: somebody without the key changed or made it.
    BadSeal = "bad-seal";
    /// Records that the header counts are blank.
    Truncated = "truncated";
    /// The records are not those that were sealed.
    BadDigest = "bad-digest";
    /// A record is malformed, or its sequence number is not the next one.
    BadRecord = "bad-record";
    /// The chain over the records does not go from the header's start to its end, or not on from the segment before.
    BrokenChain = "broken-chain";
    /// A sealed segment lies where a newer one, or none, belongs.
    Replayed = "replayed";
    /// A sealed segment lies where an older one belongs.
    Reordered = "reordered";
    /// The segment does not name the one before it.
    BrokenLink = "broken-link";
    /// A segment that the superblock counts is not there.
    Missing = "missing";
    /// Superblock and segments are from different times.
    RolledBack = "rolled-back";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Rule {}
