//! Which unit translates for which function.

use pci_format::BusNumbers;
use units::Bdf;

use crate::{Record, ScopeTarget};

/// What is known of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cover {
    /// This unit serves it, by its place in [`Record::units`].
    Unit(u8),
    /// No unit serves it: it reaches memory untranslated whatever is programmed.
    None,
    /// Two units claim it, or an unresolved path leaves open which one serves it.
    Uncertain,
}

/// Counts over all functions that can do DMA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// Functions that were asked about.
    pub functions: u32,
    /// Served by one unit.
    pub covered: u32,
    /// Served by none.
    pub uncovered: u32,
    /// Not certain.
    pub uncertain: u32,
}

impl Record {
    /// Returns which unit serves a function, by the table's word alone. Bridges' bus numbers tell what lies below one.
    pub fn cover(&self, bdf: Bdf, bridges: &[BusNumbers]) -> Cover {
        let mut named: Option<u8> = None;
        let mut unresolved = false;
        for scope in &self.scopes {
            let Some(unit) = scope.unit else { continue };
            let segment = self.units.get(usize::from(unit)).map(|unit| unit.segment);
            if segment != Some(bdf.segment()) {
                continue;
            }
            let means_it = match scope.target {
                ScopeTarget::Function(one) => one == bdf,
                ScopeTarget::Below(bridge) => is_below(bdf, bridge, bridges),
                ScopeTarget::Requesters(first, last)
                | ScopeTarget::Aliased(first, last, _)
                | ScopeTarget::Endpoints(first, last, _) => {
                    (first..=last).contains(&bdf.requester_id())
                }
                ScopeTarget::IoApic(..) | ScopeTarget::Other => false,
                ScopeTarget::Unresolved => {
                    unresolved = true;
                    false
                }
            };
            if means_it && named.is_some_and(|other| other != unit) {
                return Cover::Uncertain;
            }
            if means_it {
                named = Some(unit);
            }
        }
        if let Some(unit) = named {
            return Cover::Unit(unit);
        }
        let mut rest = (0u8..).zip(&self.units).filter_map(|(number, unit)| {
            let serves = unit.include_all && unit.segment == bdf.segment();
            serves.then_some(number)
        });
        match (rest.next(), rest.next(), unresolved) {
            (None, ..) => Cover::None,
            (Some(unit), None, false) => Cover::Unit(unit),
            // Two would serve it; or a path that leads nowhere may have meant it, which then is not among the rest.
            (Some(_), Some(_), _) | (Some(_), _, true) => Cover::Uncertain,
        }
    }

    /// Counts over `functions`.
    pub fn coverage(
        &self,
        functions: impl IntoIterator<Item = Bdf>,
        bridges: &[BusNumbers],
    ) -> Coverage {
        let mut counts = Coverage::default();
        for bdf in functions {
            counts.functions += 1;
            *match self.cover(bdf, bridges) {
                Cover::Unit(_) => &mut counts.covered,
                Cover::None => &mut counts.uncovered,
                Cover::Uncertain => &mut counts.uncertain,
            } += 1;
        }
        counts
    }
}

pub(crate) fn is_below(bdf: Bdf, bridge: Bdf, bridges: &[BusNumbers]) -> bool {
    let numbers = bridges.iter().find(|one| one.bdf == bridge);
    bdf == bridge
        || numbers.is_some_and(|one| bdf.segment() == bridge.segment() && one.leads_to(bdf.bus()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Discovery, ScopeRecord, UnitRecord, UnitStatus, Vendor};
    use std::vec;

    fn at(segment: u16, bus: u8, device: u8) -> Bdf {
        Bdf::new(segment, bus, device, 0).unwrap()
    }

    fn unit(segment: u16) -> UnitRecord {
        UnitRecord {
            vendor: Vendor::Intel,
            segment,
            base: 0xfed9_0000,
            register_bytes: 4096,
            include_all: false,
            status: UnitStatus::Unread,
        }
    }

    fn record(scopes: &[(Option<u8>, ScopeTarget)]) -> Record {
        Record {
            discovery: Discovery::Listed,
            units: vec![
                unit(0),
                UnitRecord {
                    include_all: true,
                    ..unit(0)
                },
                unit(1),
            ],
            scopes: scopes
                .iter()
                .map(|(unit, target)| ScopeRecord {
                    unit: *unit,
                    target: *target,
                })
                .collect(),
            ..Record::ABSENT
        }
    }

    #[test]
    fn named_functions_come_before_the_rest() {
        let bridges = [BusNumbers {
            bdf: at(0, 0, 1),
            primary: 0,
            secondary: 4,
            subordinate: 6,
        }];
        let it = record(&[
            (Some(0), ScopeTarget::Function(at(0, 0, 2))),
            (Some(0), ScopeTarget::Below(at(0, 0, 1))),
            (Some(0), ScopeTarget::Requesters(0x700, 0x7ff)),
            (Some(2), ScopeTarget::Function(at(1, 0, 9))),
            // The scope of a reserved range serves nothing.
            (None, ScopeTarget::Function(at(1, 0, 3))),
        ]);
        let cover = |bdf| it.cover(bdf, &bridges);
        assert_eq!(cover(at(0, 0, 2)), Cover::Unit(0));
        assert_eq!(cover(at(0, 0, 1)), Cover::Unit(0));
        assert_eq!(cover(at(0, 5, 3)), Cover::Unit(0));
        assert_eq!(cover(at(0, 7, 3)), Cover::Unit(0));
        assert_eq!(cover(at(0, 8, 3)), Cover::Unit(1));
        assert_eq!(cover(at(1, 0, 9)), Cover::Unit(2));
        assert_eq!(cover(at(1, 0, 3)), Cover::None);
        let all = [at(0, 0, 2), at(0, 8, 0), at(1, 0, 3)];
        let counts = it.coverage(all, &bridges);
        assert_eq!(
            (counts.functions, counts.covered, counts.uncovered),
            (3, 2, 1)
        );
    }

    #[test]
    fn what_two_units_claim_or_nobody_can_tell_is_uncertain() {
        let twice = record(&[
            (Some(0), ScopeTarget::Function(at(0, 0, 2))),
            (Some(1), ScopeTarget::Function(at(0, 0, 2))),
        ]);
        assert_eq!(twice.cover(at(0, 0, 2), &[]), Cover::Uncertain);
        let lost = record(&[
            (Some(0), ScopeTarget::Unresolved),
            (Some(0), ScopeTarget::Function(at(0, 0, 2))),
        ]);
        assert_eq!(lost.cover(at(0, 0, 3), &[]), Cover::Uncertain);
        assert_eq!(lost.cover(at(0, 0, 2), &[]), Cover::Unit(0));
        assert_eq!(lost.cover(at(1, 0, 2), &[]), Cover::None);
        let mut both = record(&[]);
        both.units[0].include_all = true;
        assert_eq!(both.cover(at(0, 0, 2), &[]), Cover::Uncertain);
        both.units[0].segment = 2;
        assert_eq!(both.cover(at(0, 0, 2), &[]), Cover::Unit(1));
        assert_eq!(both.cover(at(2, 0, 2), &[]), Cover::Unit(0));
    }
}
