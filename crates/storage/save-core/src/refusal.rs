//! Why a save or a load did not happen.

use core::fmt;

/// Each names who can cause it. A refusal leaves what was saved as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Another writer, or the caller's own earlier call, made the version that is there now.
    Conflict {
        /// That version, or the length of a ledger; 0 if there is nothing.
        current: u64,
    },
    /// The caller's payload is longer than its kind may be.
    TooLarge {
        /// How long it may be.
        limit: u32,
    },
    /// The store gave out a record of another tenant, profile, kind or name.
    WrongProfile,
    /// A newer application wrote the record.
    WrongSchema {
        /// Its schema version.
        found: u32,
    },
    /// The store changed or lost a line of a ledger that was there.
    LedgerRewrite {
        /// Which.
        index: u64,
    },
    /// The store gave out less than it has shown before: an older version, another one of the same number, or nothing.
    Rollback {
        /// The version that was seen.
        seen: u64,
        /// The one that is there now.
        found: u64,
    },
    /// The tenant has used what it may.
    OverQuota,
    /// The store or the way to it does not answer; the same call with the same retry key may be made again.
    Unavailable {
        /// How long to wait before.
        retry_after_ms: u32,
    },
    /// A later writer has taken over from this one.
    Fenced {
        /// The later writer's epoch.
        epoch: u64,
    },
    /// The store gave out what is no record: cut short, altered, or not ours.
    Damaged,
    /// The caller's name is none.
    BadName,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { current } => write!(f, "version {current} is there now"),
            Self::TooLarge { limit } => write!(f, "longer than {limit} bytes"),
            Self::WrongProfile => f.write_str("a record of another profile or name"),
            Self::WrongSchema { found } => write!(f, "written with schema {found}"),
            Self::LedgerRewrite { index } => write!(f, "line {index} was changed or lost"),
            Self::Rollback { seen, found } => {
                write!(f, "version {seen} was seen, and {found} is there now")
            }
            Self::OverQuota => f.write_str("the allowance is used up"),
            Self::Unavailable { retry_after_ms } => {
                write!(f, "not available; again in {retry_after_ms} ms")
            }
            Self::Fenced { epoch } => write!(f, "writer {epoch} has taken over"),
            Self::Damaged => f.write_str("what is stored is no record"),
            Self::BadName => f.write_str("no name"),
        }
    }
}

impl core::error::Error for Refusal {}
