//! How one function reaches memory while somebody holds it.

use pci_format::BusNumbers;
use units::Bdf;

use crate::{Cover, Policy, Record, ScopeTarget, coverage::is_below};

/// How far the requests of a function can be told from those of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requester {
    /// Its requests carry its own id, and nobody else's do.
    Own,
    /// A bridge on the way puts its own id in the place of the function's.
    Shared,
}

/// What became of the unit that serves a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitState {
    /// It translates.
    On,
    /// It was left off: it is not to be used at all.
    Off,
    /// It was to be turned on and did not follow, or stopped answering.
    Failed,
}

/// Whether a device's requests can be seen by a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// They go over the bus.
    Bus,
    /// They go around every unit, as those of a virtio device without `VIRTIO_F_ACCESS_PLATFORM` do.
    AroundUnits,
}

/// Why a function reaches memory untranslated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BounceReason {
    /// No unit serves it.
    NoUnit,
    /// The unit that serves it is off.
    UnitOff,
    /// The manifest says so, and the unit is off.
    Manifest,
    /// Its requests go around the unit that is on. What it uses are physical addresses.
    BypassesUnit,
}

/// Why a function is not given out at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedReason {
    /// It is not certain which unit serves it.
    Uncertain,
    /// Its unit was to be turned on, and cannot be trusted to block anything.
    UnitFailed,
    /// Firmware reserved memory for it, which a domain of its own would have to map.
    ReservedRange,
    /// Its requests cannot be told from those of others.
    SharedRequester,
    /// Somebody holds a function that it can reach around the unit, or that can reach it.
    PeerHeld,
}

/// How one function reaches memory while somebody holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Posture {
    /// Through a domain of its own, below this unit.
    Remapped(u8),
    /// Untranslated: the kernel owns the pages, and the broker alone writes their addresses.
    Bounce(BounceReason),
    /// Not at all: nobody gets it.
    Refused(RefusedReason),
}

impl Posture {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remapped(_) => "remapped",
            Self::Bounce(_) => "bounce",
            Self::Refused(_) => "refused",
        }
    }

    /// Returns the name of the reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Remapped(_) => "own-domain",
            Self::Bounce(why) => match why {
                BounceReason::NoUnit => "no-unit",
                BounceReason::UnitOff => "unit-off",
                BounceReason::Manifest => "manifest",
                BounceReason::BypassesUnit => "bypasses-iommu",
            },
            Self::Refused(why) => match why {
                RefusedReason::Uncertain => "uncertain-unit",
                RefusedReason::UnitFailed => "unit-failed",
                RefusedReason::ReservedRange => "reserved-range",
                RefusedReason::SharedRequester => "shared-requester",
                RefusedReason::PeerHeld => "peer-held",
            },
        }
    }

    /// Decides for one function.
    ///
    /// Below a unit that is on it gets a domain of its own or is refused, because the unit would block it otherwise;
    /// around it goes only what is known to, with addresses that are physical in any case.
    pub const fn decide(of: Situation) -> Self {
        let unit = match (of.cover, of.unit) {
            (Cover::None, _) => return Self::Bounce(BounceReason::NoUnit),
            // One that is off translates for nobody, whichever it is.
            (_, UnitState::Off) => return Self::Bounce(off_reason(of.policy)),
            (Cover::Uncertain, _) => return Self::Refused(RefusedReason::Uncertain),
            (Cover::Unit(unit), _) => unit,
        };
        match (of.unit, of.path, of.requester, of.reserved) {
            (_, Path::AroundUnits, ..) => Self::Bounce(BounceReason::BypassesUnit),
            (UnitState::On, _, Requester::Own, Reserved::Nothing) => match of.neighbours {
                Neighbours::NoneHeld => Self::Remapped(unit),
                Neighbours::Held => Self::Refused(RefusedReason::PeerHeld),
            },
            (UnitState::On, _, _, Reserved::Memory) => Self::Refused(RefusedReason::ReservedRange),
            (UnitState::On, _, Requester::Shared, _) => {
                Self::Refused(RefusedReason::SharedRequester)
            }
            (UnitState::Failed | UnitState::Off, ..) => Self::Refused(RefusedReason::UnitFailed),
        }
    }
}

/// Whether a function that another can reach around the unit is in hands that must not meet those which ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Neighbours {
    /// None is.
    NoneHeld,
    /// One is, in a domain of its own.
    Held,
}

impl Neighbours {
    /// What stands against a function that `asker` asks for: each function that is held and that it meets around its unit, by
    /// its holder and whether their group is trusted. A trusted group is for one holder.
    pub fn of<O: PartialEq>(asker: O, held: impl IntoIterator<Item = (O, Trust)>) -> Self {
        let mut held = held.into_iter();
        let fine = |(holder, trust): (O, Trust)| trust == Trust::Trusted && holder == asker;
        match held.all(fine) {
            true => Self::NoneHeld,
            false => Self::Held,
        }
    }
}

/// Whether the manifest trusts a group of functions to one holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// It names the group.
    Trusted,
    /// It does not.
    None,
}

/// What the decision for one function rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Situation {
    /// The manifest's word.
    pub policy: Policy,
    /// Which unit serves it.
    pub cover: Cover,
    /// What became of that unit; where it is not certain which one it is, of any that is not off.
    pub unit: UnitState,
    /// Where its requests go.
    pub path: Path,
    /// Whose id they carry.
    pub requester: Requester,
    /// Whether firmware reserved memory for it.
    pub reserved: Reserved,
    /// Whether somebody holds one that it can reach otherwise.
    pub neighbours: Neighbours,
}

const fn off_reason(policy: Policy) -> BounceReason {
    match policy {
        Policy::Auto | Policy::Direct => BounceReason::UnitOff,
        Policy::Bounce | Policy::Unknown => BounceReason::Manifest,
    }
}

/// Whether firmware reserved memory for a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// None, by the table's word.
    Nothing,
    /// Some range, or it is not certain for whom one is.
    Memory,
}

impl Record {
    /// Whose id a function's requests carry, by the table's word: another's where the table has an alias for it, and not its
    /// alone where it is the alias of others or an I/O APIC's. A table's aliases count for every segment.
    pub fn requester(&self, bdf: Bdf) -> Requester {
        match self.shared_id(bdf) {
            Some(_) => Requester::Shared,
            None => Requester::Own,
        }
    }

    /// The id that a function's requests share with those of others, by the table's word.
    pub fn shared_id(&self, bdf: Bdf) -> Option<Bdf> {
        let id = bdf.requester_id();
        let shared = |target| match target {
            ScopeTarget::Aliased(first, last, alias) => {
                let alone = (first, last, alias) == (id, id, id);
                let shares = !alone && (alias == id || (first..=last).contains(&id));
                shares.then_some(alias)
            }
            ScopeTarget::IoApic(_, other) => (other == id).then_some(id),
            _ => None,
        };
        let found = self.scopes.iter().find_map(|scope| shared(scope.target))?;
        Some(Bdf::from_u32(
            u32::from(bdf.segment()) << 16 | u32::from(found),
        ))
    }

    /// The unit that the I/O APIC of an id sends its messages through, and the requester id they carry; `None` where no table
    /// says, or more than one thing.
    pub fn io_apic(&self, id: u8) -> Option<(u8, u16)> {
        let mut found = self.scopes.iter().filter_map(|scope| match scope.target {
            ScopeTarget::IoApic(one, source) if one == id => Some((scope.unit?, source)),
            _ => None,
        });
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// Whether every interrupt can be made to name an entry of some unit: those of I/O APICs with these ids too. Where one
    /// could not, messages in the old format would have to pass.
    pub fn remaps_interrupts(&self, io_apics: impl IntoIterator<Item = u8>) -> bool {
        let mut io_apics = io_apics.into_iter();
        self.interrupts && io_apics.all(|id| self.io_apic(id).is_some())
    }

    /// Whether a reserved range is, or may be, for a function.
    pub fn reserved(&self, bdf: Bdf, bridges: &[BusNumbers]) -> Reserved {
        let mut scopes = self.scopes.iter().filter(|scope| scope.unit.is_none());
        let may_mean = |target| match target {
            ScopeTarget::Function(one) => one == bdf,
            ScopeTarget::Below(bridge) => is_below(bdf, bridge, bridges),
            ScopeTarget::Requesters(first, last)
            | ScopeTarget::Aliased(first, last, _)
            | ScopeTarget::Endpoints(first, last, _) => {
                (first..=last).contains(&bdf.requester_id())
            }
            ScopeTarget::IoApic(..) | ScopeTarget::Other => false,
            ScopeTarget::Unresolved => true,
        };
        let unnamed = !self.ranges.is_empty() && !self.scopes.iter().any(|one| one.unit.is_none());
        match unnamed || scopes.any(|scope| may_mean(scope.target)) {
            true => Reserved::Memory,
            false => Reserved::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Discovery, RangeRecord, ScopeRecord};
    use std::vec;

    const FINE: Situation = Situation {
        policy: Policy::Auto,
        cover: Cover::Unit(3),
        unit: UnitState::On,
        path: Path::Bus,
        requester: Requester::Own,
        reserved: Reserved::Nothing,
        neighbours: Neighbours::NoneHeld,
    };

    fn all() -> impl Iterator<Item = Situation> {
        let covers = [Cover::Unit(3), Cover::None, Cover::Uncertain];
        let units = [UnitState::On, UnitState::Off, UnitState::Failed];
        (0..144).map(move |n| Situation {
            cover: covers[n % 3],
            unit: units[n / 3 % 3],
            path: [Path::Bus, Path::AroundUnits][n / 9 % 2],
            requester: [Requester::Own, Requester::Shared][n / 18 % 2],
            reserved: [Reserved::Nothing, Reserved::Memory][n / 36 % 2],
            neighbours: [Neighbours::NoneHeld, Neighbours::Held][n / 72],
            ..FINE
        })
    }

    #[test]
    fn only_a_function_that_is_certain_in_all_ways_is_remapped() {
        for of in all() {
            let posture = Posture::decide(of);
            assert_eq!(posture == Posture::Remapped(3), of == FINE);
            // Untranslated is only what no unit reaches, or none that is on.
            let around = of.cover == Cover::Unit(3) && of.path == Path::AroundUnits;
            let beyond = of.cover == Cover::None || of.unit == UnitState::Off || around;
            assert_eq!(
                matches!(posture, Posture::Bounce(_)),
                beyond,
                "{of:?} {posture:?}"
            );
        }
    }

    #[test]
    fn a_trusted_group_is_for_one_holder() {
        use Neighbours::{Held, NoneHeld};
        let (mine, others) = (7, 8);
        assert_eq!(Neighbours::of(mine, []), NoneHeld);
        assert_eq!(Neighbours::of(mine, [(mine, Trust::Trusted); 2]), NoneHeld);
        assert_eq!(Neighbours::of(mine, [(mine, Trust::None)]), Held);
        assert_eq!(Neighbours::of(mine, [(others, Trust::Trusted)]), Held);
        for last in [(others, Trust::Trusted), (mine, Trust::None)] {
            let mixed = [(mine, Trust::Trusted), last];
            assert_eq!(Neighbours::of(mine, mixed), Held);
        }
    }

    #[test]
    fn the_reason_is_the_first_that_holds() {
        let reason = |change: fn(&mut Situation)| {
            let mut of = FINE;
            change(&mut of);
            Posture::decide(of).reason()
        };
        assert_eq!(reason(|_| ()), "own-domain");
        assert_eq!(reason(|of| of.cover = Cover::None), "no-unit");
        assert_eq!(reason(|of| of.cover = Cover::Uncertain), "uncertain-unit");
        assert_eq!(reason(|of| of.path = Path::AroundUnits), "bypasses-iommu");
        assert_eq!(
            reason(|of| of.reserved = Reserved::Memory),
            "reserved-range"
        );
        assert_eq!(
            reason(|of| of.requester = Requester::Shared),
            "shared-requester"
        );
        assert_eq!(reason(|of| of.neighbours = Neighbours::Held), "peer-held");
        assert_eq!(reason(|of| of.unit = UnitState::Failed), "unit-failed");
        assert_eq!(reason(|of| of.unit = UnitState::Off), "unit-off");
        assert_eq!(
            reason(|of| (of.unit, of.policy) = (UnitState::Off, Policy::Bounce)),
            "manifest"
        );
    }

    #[test]
    fn an_alias_is_shared_by_whom_it_stands_for_and_by_whose_id_it_is() {
        let scope = |first, last, alias| ScopeRecord {
            unit: Some(0),
            target: ScopeTarget::Aliased(first, last, alias),
        };
        let record = Record {
            scopes: vec![scope(0x100, 0x1ff, 0x20), scope(0x28, 0x28, 0x28)],
            ..Record::ABSENT
        };
        let of = |id| record.requester(Bdf::from_u32(id));
        for id in [0x100, 0x1ff, 0x20] {
            assert_eq!(of(id), Requester::Shared, "{id:#x}");
            let shared = record.shared_id(Bdf::from_u32(id));
            assert_eq!(shared, Some(Bdf::from_u32(0x20)), "{id:#x}");
        }
        for id in [0x28, 0x200, 0x21, 0xff] {
            assert_eq!(of(id), Requester::Own, "{id:#x}");
        }
    }

    #[test]
    fn interrupts_are_remapped_where_every_io_apic_is_listed_once() {
        let scope = |unit, id, source| ScopeRecord {
            unit: Some(unit),
            target: ScopeTarget::IoApic(id, source),
        };
        let mut record = Record {
            scopes: vec![scope(0, 0, 0xf0f8), scope(1, 8, 0xff00)],
            interrupts: true,
            ..Record::ABSENT
        };
        assert_eq!(record.io_apic(8), Some((1, 0xff00)));
        assert_eq!(record.io_apic(1), None);
        assert!(record.remaps_interrupts([0, 8]) && !record.remaps_interrupts([0, 1]));
        // Its id is nobody else's.
        let of = |record: &Record, id| record.requester(Bdf::from_u32(id));
        assert_eq!(of(&record, 0xff00), Requester::Shared);
        assert_eq!(of(&record, 0xff01), Requester::Own);
        record.scopes.push(scope(1, 8, 0xff00));
        assert_eq!(record.io_apic(8), Some((1, 0xff00)));
        record.scopes.push(scope(0, 8, 0xff00));
        assert_eq!(record.io_apic(8), None);
        assert!(record.remaps_interrupts([0]));
        record.interrupts = false;
        assert!(!record.remaps_interrupts([0]));
    }

    #[test]
    fn a_range_is_for_whom_its_scope_names_and_for_all_where_none_does() {
        let at = |device| Bdf::new(0, 0, device, 0).unwrap();
        let range = RangeRecord {
            start: 0x1000,
            last: 0x1fff,
        };
        let scope = |target| ScopeRecord { unit: None, target };
        let mut record = Record {
            discovery: Discovery::Listed,
            ranges: vec![range],
            scopes: vec![scope(ScopeTarget::Function(at(3)))],
            ..Record::ABSENT
        };
        assert_eq!(record.reserved(at(3), &[]), Reserved::Memory);
        assert_eq!(record.reserved(at(4), &[]), Reserved::Nothing);
        record.scopes = vec![scope(ScopeTarget::Unresolved)];
        assert_eq!(record.reserved(at(4), &[]), Reserved::Memory);
        record.scopes.clear();
        assert_eq!(record.reserved(at(4), &[]), Reserved::Memory);
        record.ranges.clear();
        assert_eq!(record.reserved(at(4), &[]), Reserved::Nothing);
    }
}
