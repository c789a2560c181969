//! How much may be saved.

use crate::{Kind, Refusal};

/// Bounds of a facet, as data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The longest payload of a profile record.
    pub profile_bytes: u32,
    /// The longest payload of a checkpoint.
    pub checkpoint_bytes: u32,
    /// The longest payload of a ledger's line.
    pub entry_bytes: u32,
    /// How many earlier versions of a record are kept.
    pub kept_versions: u32,
    /// The most records or lines in one answer.
    pub page: u32,
}

impl Limits {
    /// What a facet has unless told otherwise.
    pub const USUAL: Self = Self {
        profile_bytes: 4 << 10,
        checkpoint_bytes: 8 << 10,
        entry_bytes: 2 << 10,
        kept_versions: 16,
        page: 64,
    };

    /// How long a payload of that kind may be.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Profile => self.profile_bytes,
            Kind::Checkpoint => self.checkpoint_bytes,
            Kind::Entry => self.entry_bytes,
            Kind::Length => 0,
        }
    }

    /// Whether a payload of that kind fits.
    pub(crate) fn check(&self, kind: Kind, payload: &[u8]) -> Result<(), Refusal> {
        let limit = self.of(kind);
        let fits = u32::try_from(payload.len()).is_ok_and(|bytes| bytes <= limit);
        fits.then_some(()).ok_or(Refusal::TooLarge { limit })
    }
}

/// What a facet says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// Its bounds.
    pub limits: Limits,
    /// The schema version that it writes, and the newest that it reads.
    pub schema: u32,
}
