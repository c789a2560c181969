//! What can be wrong with a region.

use core::fmt;

use crate::rule::Rule;

/// Why a region cannot be worked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<E> {
    /// The device refused an access.
    Device(E),
    /// The region is too small, or smaller than it was.
    TooSmall,
    /// Nothing was ever written to it, or not yet by this format.
    Blank,
    /// What it holds breaks a rule.
    Refused(Refused),
    /// A batch has no record, or more than a segment holds, or half a one.
    BadBatch,
}

/// What was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The slot; `None` for the superblocks.
    pub slot: Option<u64>,
    /// The rule it breaks.
    pub rule: Rule,
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Device(error)
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "the device refused: {error:?}"),
            Self::TooSmall => f.write_str("the region is too small"),
            Self::Blank => f.write_str("the region is blank"),
            Self::Refused(Refused { slot: None, rule }) => write!(f, "superblock: {rule}"),
            Self::Refused(Refused {
                slot: Some(slot),
                rule,
            }) => write!(f, "slot {slot}: {rule}"),
            Self::BadBatch => f.write_str("the batch is empty or too large"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}
