//! Which way devices reach memory, and what is missing for the other way.

use crate::{Discovery, Record, UnitFault, UnitRecord, UnitStatus};

/// The way devices reach memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// Pages that the kernel owns; a broker writes their addresses, and nobody else knows them.
    Bounce,
    /// Addresses inside a domain of a remapping unit.
    Direct,
}

impl Backend {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Direct => "direct",
        }
    }
}

/// The manifest's word. All but one can narrow the choice and never widen it; that one asks for what was verified besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// In domains where a unit is verified; brokers write all addresses.
    Auto,
    /// Bounce.
    Bounce,
    /// As [`Self::Auto`]; and a provider that asks may write addresses itself, where everything that this needs is there.
    Direct,
    /// A number that means nothing, or no manifest that can be read: bounce.
    Unknown,
}

impl Policy {
    /// Reads the number that a manifest has in its field `dma`.
    pub const fn from_ordinal(ordinal: Option<u16>) -> Self {
        match ordinal {
            Some(0) => Self::Auto,
            Some(1) => Self::Bounce,
            Some(2) => Self::Direct,
            _ => Self::Unknown,
        }
    }

    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Bounce => "bounce",
            Self::Direct => "direct",
            Self::Unknown => "unknown",
        }
    }
}

/// What the hardware was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// The search ended so, and not with [`Discovery::Listed`].
    Blocked(Discovery),
    /// A unit is not to be used, so the machine's units are not complete.
    Unit(UnitFault),
    /// Every unit that the table lists answers and makes sense.
    Verified,
}

impl Probe {
    /// Sums up a record.
    pub fn of(record: &Record) -> Self {
        if record.discovery != Discovery::Listed {
            return Self::Blocked(record.discovery);
        }
        for unit in &record.units {
            match unit.status {
                UnitStatus::Verified(_) => {}
                UnitStatus::Refused(fault) => return Self::Unit(fault),
                UnitStatus::Unread => return Self::Unit(UnitFault::Silent),
            }
        }
        match record.units.is_empty() {
            true => Self::Blocked(Discovery::Absent),
            false => Self::Verified,
        }
    }

    /// Returns the name used in evidence lines.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Blocked(discovery) => discovery.label(),
            Self::Unit(_) => "implausible-fail-closed",
            Self::Verified => "verified",
        }
    }
}

/// What becomes of a unit before any function may be bus master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// It is not touched: what is below it reaches memory untranslated, as below all others.
    Leave,
    /// It is turned on.
    TurnOn,
    /// Others are turned on, and it cannot be: what is below it is given to nobody.
    Distrust,
}

/// What becomes of each unit of a record, in its order.
pub fn plan(policy: Policy, record: &Record) -> impl Iterator<Item = Plan> + '_ {
    let is_verified = |unit: &UnitRecord| matches!(unit.status, UnitStatus::Verified(_));
    let wanted = matches!(policy, Policy::Auto | Policy::Direct);
    let listed = record.discovery == Discovery::Listed && wanted;
    let some = listed && record.units.iter().any(is_verified);
    record
        .units
        .iter()
        .map(move |unit| match (some, is_verified(unit)) {
            (false, _) => Plan::Leave,
            (true, true) => Plan::TurnOn,
            (true, false) => Plan::Distrust,
        })
}

/// One thing that direct DMA needs, for every function that is to use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prerequisite {
    /// The device manager owns the domain.
    ManagerOwnedDomain,
    /// The claim's pools are in the ledger.
    ActivePoolRecord,
    /// The domain is bound to the function's requester id.
    DeviceIdentityBound,
    /// No other device shares that requester id.
    SingleDeviceGroup,
    /// The unit's tables hold the domain and nothing else.
    TablesProgrammed,
    /// What leaves the kernel is addresses of the domain, never of memory.
    IovaOnlyExport,
    /// It is settled when the unit forgets a mapping.
    InvalidationPolicy,
    /// It is settled when the unit's translation cache is emptied, and waited for.
    IotlbFlushPolicy,
    /// Mappings of an earlier owner are gone.
    StaleMappingCleanup,
    /// What cannot be remapped falls back to bounce.
    BounceFallback,
}

impl Prerequisite {
    /// All of them, in the order in which the first missing one is named.
    pub const ALL: [Self; 10] = [
        Self::ManagerOwnedDomain,
        Self::ActivePoolRecord,
        Self::DeviceIdentityBound,
        Self::SingleDeviceGroup,
        Self::TablesProgrammed,
        Self::IovaOnlyExport,
        Self::InvalidationPolicy,
        Self::IotlbFlushPolicy,
        Self::StaleMappingCleanup,
        Self::BounceFallback,
    ];

    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ManagerOwnedDomain => "manager-owned-domain",
            Self::ActivePoolRecord => "active-pool-record",
            Self::DeviceIdentityBound => "device-identity-bound",
            Self::SingleDeviceGroup => "single-device-group",
            Self::TablesProgrammed => "tables-programmed",
            Self::IovaOnlyExport => "iova-only-export",
            Self::InvalidationPolicy => "invalidation-policy",
            Self::IotlbFlushPolicy => "iotlb-flush-policy",
            Self::StaleMappingCleanup => "stale-mapping-cleanup",
            Self::BounceFallback => "bounce-fallback",
        }
    }
}

/// Which prerequisites hold. Each is stated by whoever made it so; none holds by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Activation(u16);

impl Activation {
    /// Nothing holds.
    pub const NONE: Self = Self(0);

    /// States that one more holds.
    #[must_use]
    pub const fn with(self, one: Prerequisite) -> Self {
        Self(self.0 | 1 << one as u16)
    }

    /// Whether one holds.
    pub const fn holds(self, one: Prerequisite) -> bool {
        self.0 & 1 << one as u16 != 0
    }

    /// Returns the first that does not hold, in the order of [`Prerequisite::ALL`].
    pub fn first_missing(self) -> Option<Prerequisite> {
        Prerequisite::ALL.into_iter().find(|one| !self.holds(*one))
    }
}

/// The decision, with everything it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What was chosen.
    pub backend: Backend,
    /// The manifest's word.
    pub policy: Policy,
    /// What the hardware was found to be.
    pub probe: Probe,
    /// The first prerequisite that does not hold, whatever else stands against direct DMA.
    pub missing: Option<Prerequisite>,
}

impl Decision {
    /// Returns the name of the first thing that stands against direct DMA.
    pub const fn reason(&self) -> &'static str {
        match (self.probe, self.policy, self.missing) {
            (Probe::Blocked(_) | Probe::Unit(_), ..) => "no-verified-iommu",
            (Probe::Verified, Policy::Bounce, _) | (Probe::Verified, Policy::Auto, None) => {
                "manifest"
            }
            (Probe::Verified, Policy::Unknown, _) => "unknown-policy",
            (Probe::Verified, Policy::Auto | Policy::Direct, Some(_)) => "prerequisite",
            (Probe::Verified, Policy::Direct, None) => "complete",
        }
    }
}

/// Decides. Direct only if every unit is verified, the manifest asks for it, and every prerequisite holds.
pub fn decide(policy: Policy, probe: Probe, activation: Activation) -> Decision {
    let missing = activation.first_missing();
    let backend = match (probe, policy, missing) {
        (Probe::Verified, Policy::Direct, None) => Backend::Direct,
        _ => Backend::Bounce,
    };
    Decision {
        backend,
        policy,
        probe,
        missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Capabilities;

    fn complete() -> Activation {
        Prerequisite::ALL
            .into_iter()
            .fold(Activation::NONE, Activation::with)
    }

    #[test]
    fn direct_needs_everything_at_once() {
        let all = decide(Policy::Direct, Probe::Verified, complete());
        assert_eq!((all.backend, all.missing), (Backend::Direct, None));
        for policy in [Policy::Auto, Policy::Bounce, Policy::Unknown] {
            let decision = decide(policy, Probe::Verified, complete());
            assert_eq!(decision.backend, Backend::Bounce);
            assert_ne!(decision.reason(), "complete");
        }
        let probes = [
            Probe::Blocked(Discovery::Absent),
            Probe::Blocked(Discovery::Capped),
            Probe::Unit(UnitFault::Silent),
        ];
        for probe in probes {
            let decision = decide(Policy::Direct, probe, complete());
            assert_eq!(
                (decision.backend, decision.reason()),
                (Backend::Bounce, "no-verified-iommu")
            );
        }
    }

    #[test]
    fn every_set_of_facts_but_the_whole_one_is_bounce_and_names_the_first_missing() {
        for bits in 0..1u16 << 10 {
            let activation = Activation(bits);
            let decision = decide(Policy::Direct, Probe::Verified, activation);
            let first = (0..10).find(|bit| bits & 1 << bit == 0);
            assert_eq!(
                decision.missing,
                first.map(|bit| Prerequisite::ALL[bit as usize])
            );
            assert_eq!(decision.backend == Backend::Direct, bits == (1 << 10) - 1);
        }
    }

    #[test]
    fn only_three_numbers_are_policies() {
        assert_eq!(Policy::from_ordinal(Some(0)), Policy::Auto);
        assert_eq!(Policy::from_ordinal(Some(1)), Policy::Bounce);
        assert_eq!(Policy::from_ordinal(Some(2)), Policy::Direct);
        for other in 3..=u16::MAX {
            assert_eq!(Policy::from_ordinal(Some(other)), Policy::Unknown);
        }
        assert_eq!(Policy::from_ordinal(None), Policy::Unknown);
    }

    #[test]
    fn a_unit_beside_one_that_works_is_turned_on_or_distrusted() {
        let unit = |status| UnitRecord {
            vendor: crate::Vendor::Intel,
            segment: 0,
            base: 0xfed9_0000,
            register_bytes: 4096,
            include_all: false,
            status,
        };
        let good = unit(UnitStatus::Verified(Capabilities::default()));
        let silent = unit(UnitStatus::Refused(UnitFault::Silent));
        let of = |discovery, policy, units: &[UnitRecord]| -> std::vec::Vec<_> {
            let record = Record {
                discovery,
                units: units.to_vec(),
                ..Record::ABSENT
            };
            plan(policy, &record).collect()
        };
        let listed = |units: &[UnitRecord]| of(Discovery::Listed, Policy::Auto, units);
        assert_eq!(
            of(Discovery::Listed, Policy::Direct, &[good]),
            listed(&[good])
        );
        assert_eq!(listed(&[good, good]), [Plan::TurnOn, Plan::TurnOn]);
        let unread = unit(UnitStatus::Unread);
        let mixed = listed(&[silent, good, unread]);
        assert_eq!(mixed, [Plan::Distrust, Plan::TurnOn, Plan::Distrust]);
        // Where none works, and where nobody asked for it, all is as it was.
        assert_eq!(listed(&[silent, unread]), [Plan::Leave; 2]);
        assert_eq!(of(Discovery::Capped, Policy::Auto, &[good]), [Plan::Leave]);
        for policy in [Policy::Bounce, Policy::Unknown] {
            assert_eq!(of(Discovery::Listed, policy, &[good]), [Plan::Leave]);
        }
    }

    #[test]
    fn a_record_without_verified_units_is_never_verified() {
        let mut record = Record::ABSENT;
        assert_eq!(Probe::of(&record).label(), "absent-blocked");
        record.discovery = Discovery::Listed;
        assert_eq!(Probe::of(&record), Probe::Blocked(Discovery::Absent));
    }
}
