//! Why an operation is not carried out.

use ring_abi::Refusal;

/// What a thread did that no correct program does. The process is ended, the rule is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse(pub &'static &'static str);

/// Why an operation is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its result is this refusal.
    Refused(Refusal),
    /// It has no result: the process is ended.
    Misuse(Misuse),
}

impl From<Refusal> for Stop {
    #[inline(always)]
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Misuse> for Stop {
    #[inline(always)]
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}
