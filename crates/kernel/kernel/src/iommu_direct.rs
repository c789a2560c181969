//! Whether a provider may write device addresses itself, of one function at a time.

use device_manager::Saying;
use iommu::Domain;
use iommu_format::{Activation, Backend, Decision, Policy, Prerequisite, Probe, Requester, decide};
use sabotage::sabotage;
use stub::Refusal;
use units::Bdf;

/// What the machine and the manifest say, whatever function it is.
#[derive(Clone, Copy)]
pub struct Terms {
    /// The manifest's word.
    pub policy: Policy,
    /// What the hardware was found to be.
    pub probe: Probe,
    /// Whose id the function's requests carry.
    pub requester: Requester,
    /// Somebody holds another function that this one can reach around the units.
    pub peer_held: bool,
}

/// What can be said of the domain of a function.
#[derive(Clone, Copy)]
pub struct Confined<'d> {
    /// The domain, if it has one.
    pub domain: Option<&'d Domain>,
    /// Generation of the claim that asks.
    pub generation: u64,
    /// Its tables lead the pages that are asked about where they are.
    pub tables: Tables,
}

/// What was found in a domain's tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// What was mapped.
    AsMapped,
    /// Something else, or nothing.
    Otherwise,
}

/// Decides, and says so where that may be: each of the ten things is looked at now.
///
/// # Errors
/// `NotSupported`.
pub fn allow(
    function: Bdf,
    terms: Terms,
    confined: Confined<'_>,
    saying: Saying,
) -> Result<(), Refusal> {
    let decision = decide(terms.policy, terms.probe, activation(terms, confined));
    if saying == Saying::Aloud {
        crate::fact!(
            "dma.direct",
            function = format_args!("{function}"),
            chosen = decision.backend.name(),
            reason = decision.reason(),
            policy = decision.policy.name(),
            missing = decision.missing.map_or("none", Prerequisite::name)
        );
    }
    match decision.backend {
        Backend::Direct => Ok(()),
        Backend::Bounce if sabotage!(DIRECT_WITHOUT_DOMAIN) => Ok(()),
        Backend::Bounce => Err(Refusal::NotSupported),
    }
}

fn activation(terms: Terms, confined: Confined<'_>) -> Activation {
    // What the kernel does for every claim: its buffers are in the ledger, and what cannot be remapped bounces.
    let mut all = Activation::NONE
        .with(Prerequisite::ActivePoolRecord)
        .with(Prerequisite::BounceFallback);
    let Some(domain) = confined.domain.filter(|domain| domain.is_live()) else {
        return all;
    };
    let mut state = |holds, one| {
        if holds {
            all = all.with(one);
        }
    };
    state(true, Prerequisite::ManagerOwnedDomain);
    state(domain.confines(), Prerequisite::DeviceIdentityBound);
    let alone = terms.requester == Requester::Own && !terms.peer_held;
    state(alone, Prerequisite::SingleDeviceGroup);
    let programmed = confined.tables == Tables::AsMapped;
    state(programmed, Prerequisite::TablesProgrammed);
    // Runs in a domain have no other addresses to show.
    state(true, Prerequisite::IovaOnlyExport);
    // Every unmapping is flushed and waited for, as long as the unit answers.
    let answers = domain.unit().answers();
    state(answers, Prerequisite::InvalidationPolicy);
    state(answers, Prerequisite::IotlbFlushPolicy);
    // The domain began with this claim.
    let fresh = domain.generation() == confined.generation;
    state(fresh, Prerequisite::StaleMappingCleanup);
    all
}

/// What `@dma.posture` says of direct mode.
pub const fn posture(decision: &Decision) -> &'static str {
    match (decision.policy, decision.probe) {
        (Policy::Direct, Probe::Verified) => "where-asked",
        _ => "false",
    }
}
