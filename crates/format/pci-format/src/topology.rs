//! Which bus lies behind which bridge, and whether the bridges agree on it.
//!
//! A configuration request is routed by the bus numbers that firmware wrote into the bridges. Where two bridges claim
//! one bus, an address stands for no certain function, and neither does the requester id of its transactions.

use crate::{ConfigAccess, FunctionInfo, HeaderKind, reg};
use units::Bdf;

/// The bus numbers of one bridge, as they stand in its registers; nothing is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusNumbers {
    /// Where the bridge is.
    pub bdf: Bdf,
    /// The bus it says it is on.
    pub primary: u8,
    /// The bus right below it.
    pub secondary: u8,
    /// The highest bus anywhere below it.
    pub subordinate: u8,
}

/// What is wrong with a bridge's bus numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BridgeFault {
    /// It says that it is on another bus than it answers on.
    Primary,
    /// The bus below it is not above its own: the way down leads back up.
    Loop,
    /// Its highest bus is below its first.
    Range,
    /// Another bridge has the same bus right below it.
    Duplicate(Bdf),
    /// Its buses and those of another bridge overlap, and neither lies wholly below the other.
    Overlap(Bdf),
    /// It lies below another bridge, but its buses do not.
    Escape(Bdf),
}

impl BridgeFault {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Loop => "loop",
            Self::Range => "bus-range",
            Self::Duplicate(_) => "duplicate",
            Self::Overlap(_) => "overlap",
            Self::Escape(_) => "escape",
        }
    }
}

impl BusNumbers {
    /// Reads a bridge's bus numbers; `None` where the function is no bridge, or firmware left it without numbers.
    pub fn read<C: ConfigAccess + ?Sized>(cfg: &C, info: &FunctionInfo) -> Option<Self> {
        if !matches!(info.header, HeaderKind::Bridge | HeaderKind::CardBus) {
            return None;
        }
        let numbers = cfg.read32(info.bdf, reg::BUS_NUMBERS);
        let [primary, secondary, subordinate, _] = numbers.to_le_bytes();
        (secondary != 0 || subordinate != 0).then_some(Self {
            bdf: info.bdf,
            primary,
            secondary,
            subordinate,
        })
    }

    /// Returns what is wrong with the numbers, among all bridges of the machine; the bridge itself may be among them.
    pub fn fault(&self, all: &[Self]) -> Option<BridgeFault> {
        self.own_fault()
            .or_else(|| all.iter().find_map(|other| self.fault_with(other)))
    }

    /// Whether `bus` of the bridge's segment lies below it.
    pub fn leads_to(&self, bus: u8) -> bool {
        (self.secondary..=self.subordinate).contains(&bus)
    }

    fn own_fault(&self) -> Option<BridgeFault> {
        let bus = self.bdf.bus();
        if self.primary != bus {
            Some(BridgeFault::Primary)
        } else if self.secondary <= bus {
            Some(BridgeFault::Loop)
        } else if self.subordinate < self.secondary {
            Some(BridgeFault::Range)
        } else {
            None
        }
    }

    fn fault_with(&self, other: &Self) -> Option<BridgeFault> {
        // A bridge that contradicts itself has no range that could be compared.
        if other.bdf == self.bdf
            || other.bdf.segment() != self.bdf.segment()
            || other.own_fault().is_some()
        {
            return None;
        }
        let at = other.bdf;
        if other.secondary == self.secondary {
            return Some(BridgeFault::Duplicate(at));
        }
        let inside = other.leads_to(self.secondary) && other.leads_to(self.subordinate);
        let around = self.leads_to(other.secondary) && self.leads_to(other.subordinate);
        let apart = self.subordinate < other.secondary || other.subordinate < self.secondary;
        let below = other.leads_to(self.bdf.bus());
        match (inside, around, apart) {
            (true, false, _) if below => None,
            (false, true, _) if self.leads_to(other.bdf.bus()) => None,
            (_, _, true) if below => Some(BridgeFault::Escape(at)),
            (_, _, true) => None,
            _ => Some(BridgeFault::Overlap(at)),
        }
    }

    /// Whether the bridge may be the one that answers for `bus`, however its numbers are read.
    fn may_lead_to(&self, bus: u8) -> bool {
        let low = self.secondary.min(self.subordinate);
        let high = self.secondary.max(self.subordinate);
        bus > self.bdf.bus() && (low..=high).contains(&bus)
    }
}

/// Returns the bridge that makes it uncertain which function an address means; `None` where nothing does.
pub fn ambiguous(bdf: Bdf, bridges: &[BusNumbers]) -> Option<Bdf> {
    bridges
        .iter()
        .filter(|bridge| bridge.bdf.segment() == bdf.segment() && bridge.may_lead_to(bdf.bus()))
        .find(|bridge| bridge.fault(bridges).is_some())
        .map(|bridge| bridge.bdf)
}

/// Follows a path of devices and functions, each but the last a bridge, from a bus down. `None` where a step leads to
/// no sound bridge, or the path has no step.
pub fn follow(
    segment: u16,
    start_bus: u8,
    path: impl IntoIterator<Item = (u8, u8)>,
    bridges: &[BusNumbers],
) -> Option<Bdf> {
    let mut bus = start_bus;
    let mut reached: Option<Bdf> = None;
    for (device, function) in path {
        if let Some(bdf) = reached {
            let bridge = bridges.iter().find(|bridge| bridge.bdf == bdf)?;
            if bridge.fault(bridges).is_some() {
                return None;
            }
            bus = bridge.secondary;
        }
        reached = Some(Bdf::new(segment, bus, device, function).ok()?);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_function;
    use crate::testing::{BDF, Fake};

    fn at(bus: u8, device: u8) -> Bdf {
        Bdf::new(0, bus, device, 0).unwrap()
    }

    fn bridge(bus: u8, device: u8, secondary: u8, subordinate: u8) -> BusNumbers {
        BusNumbers {
            bdf: at(bus, device),
            primary: bus,
            secondary,
            subordinate,
        }
    }

    #[test]
    fn a_tree_has_no_fault() {
        let all = [
            bridge(0, 1, 1, 4),
            bridge(1, 0, 2, 4),
            bridge(2, 0, 3, 3),
            bridge(2, 1, 4, 4),
            bridge(0, 2, 5, 5),
        ];
        for one in &all {
            assert_eq!(one.fault(&all), None, "{one:?}");
        }
        assert_eq!(ambiguous(at(4, 0), &all), None);
    }

    #[test]
    fn each_contradiction_is_named() {
        let mut elsewhere = bridge(0, 1, 1, 2);
        elsewhere.primary = 7;
        assert_eq!(elsewhere.fault(&[]), Some(BridgeFault::Primary));
        assert_eq!(bridge(3, 0, 3, 5).fault(&[]), Some(BridgeFault::Loop));
        assert_eq!(bridge(3, 0, 0, 5).fault(&[]), Some(BridgeFault::Loop));
        assert_eq!(bridge(0, 1, 5, 4).fault(&[]), Some(BridgeFault::Range));
        let pair = [bridge(0, 1, 1, 3), bridge(0, 2, 1, 1)];
        assert_eq!(pair[0].fault(&pair), Some(BridgeFault::Duplicate(at(0, 2))));
        let pair = [bridge(0, 1, 1, 3), bridge(0, 2, 2, 4)];
        assert_eq!(pair[1].fault(&pair), Some(BridgeFault::Overlap(at(0, 1))));
        // Nested, but the inner one is not below the outer one.
        let pair = [bridge(0, 1, 1, 9), bridge(0, 2, 3, 4)];
        assert_eq!(pair[0].fault(&pair), Some(BridgeFault::Overlap(at(0, 2))));
        assert_eq!(pair[1].fault(&pair), Some(BridgeFault::Overlap(at(0, 1))));
        let pair = [bridge(0, 1, 1, 2), bridge(1, 0, 5, 5)];
        assert_eq!(pair[1].fault(&pair), Some(BridgeFault::Escape(at(0, 1))));
        assert_eq!(pair[0].fault(&pair), None);
    }

    #[test]
    fn what_lies_behind_a_faulty_bridge_is_ambiguous() {
        let all = [bridge(0, 1, 1, 3), bridge(0, 2, 3, 4), bridge(0, 3, 7, 7)];
        assert_eq!(ambiguous(at(0, 9), &all), None);
        assert_eq!(ambiguous(at(2, 0), &all), Some(at(0, 1)));
        assert_eq!(ambiguous(at(4, 0), &all), Some(at(0, 2)));
        assert_eq!(ambiguous(at(7, 0), &all), None);
        let other = Bdf::new(1, 2, 0, 0).unwrap();
        assert_eq!(ambiguous(other, &all), None);
        // Backwards, and a loop onto the root: the buses above the bridge's own are not to be trusted.
        let odd = [bridge(0, 1, 6, 2), bridge(1, 0, 0, 4)];
        assert_eq!(ambiguous(at(5, 0), &odd), Some(at(0, 1)));
        assert_eq!(ambiguous(at(0, 0), &odd), None);
        assert_eq!(ambiguous(at(2, 0), &odd), Some(at(0, 1)));
    }

    #[test]
    fn paths_go_through_sound_bridges_only() {
        let all = [bridge(0, 1, 1, 4), bridge(1, 0, 2, 4), bridge(0, 2, 9, 8)];
        let go = |bus, path: &[(u8, u8)]| follow(0, bus, path.iter().copied(), &all);
        assert_eq!(go(0, &[(5, 0)]), Some(at(0, 5)));
        assert_eq!(go(0, &[(1, 0), (0, 0), (3, 0)]), Some(at(2, 3)));
        assert_eq!(go(0, &[(4, 0), (0, 0)]), None);
        assert_eq!(go(0, &[(2, 0), (0, 0)]), None);
        assert_eq!(go(0, &[]), None);
        assert_eq!(go(0, &[(32, 0)]), None);
    }

    #[test]
    fn only_configured_bridges_have_numbers() {
        let mut fake = Fake::endpoint();
        let read = |fake: &Fake| BusNumbers::read(fake, &read_function(fake, BDF).unwrap());
        fake.set(reg::BUS_NUMBERS, 0x00_09_04_03);
        assert_eq!(read(&fake), None);
        fake.set(reg::HEADER_TYPE, 0x0001_0000);
        let numbers = read(&fake).unwrap();
        assert_eq!(
            (numbers.primary, numbers.secondary, numbers.subordinate),
            (3, 4, 9)
        );
        fake.set(reg::BUS_NUMBERS, 0);
        assert_eq!(read(&fake), None);
    }
}
