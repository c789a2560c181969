//! How a claimed function reaches memory: in a domain, or without translation.

use alloc::sync::Arc;

use device_manager::{Access, Reach, Saying};
use dma_ledger::TranslationProof;
use iommu::{Domain, Forgotten};
use sabotage::sabotage;
use stub::Refusal;
use units::Bdf;

use super::run::Run;
use crate::iommu_direct::Tables;

/// How a claimed function reaches memory.
#[derive(Clone, Debug)]
pub enum Reached {
    /// No unit that is on serves it, or it goes around all of them.
    Untranslated,
    /// Through a domain of its own.
    Domain(Arc<Domain>),
}

/// Shows that no unit leads a device to some pages.
pub enum NoTranslation {
    /// None ever did.
    Never,
    /// The one that did has forgotten them.
    Forgotten(#[allow(dead_code, reason = "kept as what it proves")] Forgotten),
}

impl TranslationProof for NoTranslation {}

impl Reach<Run> for Reached {
    type Proof = NoTranslation;

    fn map(&self, run: &mut Run, access: Access) -> Result<(), Refusal> {
        let access = match access {
            Access::Read if sabotage!(LET_COMMANDS_BE_WRITTEN) => iommu::Access::ReadWrite,
            Access::Read => iommu::Access::Read,
            Access::ReadWrite => iommu::Access::ReadWrite,
        };
        match self {
            Self::Untranslated => Ok(()),
            Self::Domain(domain) => run.map_into(domain, access),
        }
    }

    fn unmap(&self, run: &Run) -> Result<NoTranslation, Refusal> {
        sabotage!(SKIP_IOTLB_RECEIPT => return Ok(NoTranslation::Never));
        match self {
            Self::Untranslated => Ok(NoTranslation::Never),
            Self::Domain(domain) => Ok(match run.unmap_from(domain)? {
                Some(forgotten) => NoTranslation::Forgotten(forgotten),
                None => NoTranslation::Never,
            }),
        }
    }

    fn end(&self) -> Result<NoTranslation, Refusal> {
        match self {
            Self::Untranslated => Ok(NoTranslation::Never),
            Self::Domain(domain) => domain.end().map(NoTranslation::Forgotten),
        }
    }

    fn confines(&self, claim: (Bdf, u64), runs: [&Run; 2], saying: Saying) -> Result<(), Refusal> {
        let domain = match self {
            Self::Untranslated => None,
            Self::Domain(domain) => Some(&**domain),
        };
        let as_mapped = domain.is_some_and(|domain| runs.iter().all(|run| run.is_in(domain)));
        let tables = match as_mapped {
            true => Tables::AsMapped,
            false => Tables::Otherwise,
        };
        crate::iommu::allow_direct(claim, domain, tables, saying)
    }

    fn is_translated(&self) -> bool {
        matches!(self, Self::Domain(_))
    }

    fn shed(&self) -> bool {
        match self {
            Self::Untranslated => false,
            Self::Domain(domain) => domain.shed(),
        }
    }

    fn agrees(&self, pages: u64) -> bool {
        match self {
            Self::Untranslated => true,
            Self::Domain(domain) => domain.books().agree(pages),
        }
    }

    fn close(&self, pages: u64) {
        if let Self::Domain(domain) = self {
            crate::iommu::state_books(domain, pages);
        }
    }
}
