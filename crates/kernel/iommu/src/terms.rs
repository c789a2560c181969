//! What is said to units and of them, whoever made them.

use core::sync::atomic::AtomicU64;

use iommu_tables::vtd::Unusable;
use iommu_tables::{DomainId, Table};

use crate::queue::NoAnswer;

/// Why a unit is not on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotOn {
    /// It cannot do what it would need to.
    Unusable(Unusable),
    /// It cannot be told to forget everything at once, so what firmware had it remember could stay.
    RemembersFirmware,
    /// There is no memory for its tables.
    NoMemory,
    /// It does not follow a command.
    NoAnswer,
    /// A register does not read back as it was written.
    ReadsBack,
    /// It is not one that was looked at and believed, or it is on already.
    Unseen,
}

impl NotOn {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unusable(why) => why.name(),
            Self::RemembersFirmware => "remembers-firmware",
            Self::NoMemory => "no-memory",
            Self::NoAnswer => "no-answer",
            Self::ReadsBack => "reads-back",
            Self::Unseen => "unseen",
        }
    }
}

impl From<NoAnswer> for NotOn {
    fn from(_: NoAnswer) -> Self {
        Self::NoAnswer
    }
}

/// What a unit has refused.
#[derive(Debug, Default)]
pub struct FaultCounts {
    /// Requests of which it told.
    pub told: AtomicU64,
    /// Times at which it had to leave some out.
    pub overflows: AtomicU64,
}

/// Whether a unit tells of faults by message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hush {
    /// It does not.
    Silent,
    /// It does.
    Telling,
}

/// How it is learned that a unit has refused something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tells {
    /// It sends a message, see [`Unit::tell_faults`](crate::Unit::tell_faults).
    ByMessage,
    /// Its log is looked at now and then.
    WhenAsked,
}

/// Where a function's requests are led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Led {
    /// First table of its domain.
    pub root: Table,
    /// The domain.
    pub domain: DomainId,
}

/// What a unit is to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Forget {
    /// Where a function's requests were led.
    Function {
        /// Requester id.
        source: u16,
        /// The domain that it had.
        domain: DomainId,
    },
    /// That a function's requests were led nowhere.
    Blocked(u16),
    /// Every translation of a domain.
    Domain(DomainId),
    /// At least the translations of a run of pages of a domain.
    Run {
        /// The domain.
        domain: DomainId,
        /// First device address.
        iova: u64,
        /// Count of pages of 4 KiB.
        pages: u64,
    },
    /// Whatever the unit keeps of a requester id's own tables; a VT-d unit has none for interrupts.
    Source(u16),
    /// An entry for interrupts.
    Entry {
        /// Requester id of what raises it.
        source: u16,
        /// Its number.
        index: u16,
    },
}

/// Whether a unit may remember that nothing was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// It may: a new entry takes a flush too.
    Remembered,
    /// It looks again.
    LookedUp,
}
