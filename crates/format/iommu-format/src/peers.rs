//! Which functions can reach each other around the unit that serves them.

use core::fmt;

use pci_format::BusNumbers;
use units::Bdf;

/// What a bridge is to the requests of what is below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// A root port.
    Root,
    /// The upper end of a switch: its lower ends decide.
    SwitchUp,
    /// A lower end of a switch.
    SwitchDown,
    /// Any other bridge.
    Other,
}

/// A bridge, and whether it sends every request from below on towards the root complex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port {
    /// Where it is and what is below it.
    pub numbers: BusNumbers,
    /// What it is.
    pub kind: PortKind,
    /// Access control services are on.
    pub separates: bool,
}

/// Which functions may get a function's requests without a unit's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Around {
    /// None.
    Nobody,
    /// The others of its device.
    Device,
    /// Everything below this bridge.
    Below(BusNumbers),
}

/// Whether other functions share a function's device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// It is alone, or the device sends requests of one function to another of its own up first.
    Separate,
    /// There are others, and the device may turn requests around.
    Several,
}

/// Which functions may get the requests of one: those below the highest bridge on its way that does not separate; of a switch's
/// lower end, what is below any of them.
pub fn around(function: Bdf, device: Device, ports: &[Port]) -> Around {
    let leads = |port: &&Port| {
        port.numbers.bdf.segment() == function.segment() && port.numbers.leads_to(function.bus())
    };
    let turns = |port: &&Port| !port.separates && port.kind != PortKind::SwitchUp;
    let highest = ports.iter().filter(leads).filter(turns);
    let Some(highest) = highest.min_by_key(|port| port.numbers.secondary) else {
        return match device {
            Device::Separate => Around::Nobody,
            Device::Several => Around::Device,
        };
    };
    let above = |port: &&Port| {
        port.numbers.bdf.segment() == function.segment()
            && port.numbers.secondary == highest.numbers.bdf.bus()
    };
    match highest.kind {
        PortKind::SwitchDown => {
            let up = ports.iter().find(above);
            Around::Below(up.map_or(highest.numbers, |up| up.numbers))
        }
        _ => Around::Below(highest.numbers),
    }
}

/// Functions that units cannot keep apart, so that at most one of them is given out at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Those below a bridge.
    Below(Bdf),
    /// Those of a device, by its first function.
    Device(Bdf),
    /// Those whose requests carry this id.
    Id(Bdf),
}

/// Its name in evidence lines: `below-0000:00:06.0`, `device-0000:00:04.0`, `id-0000:00:06.0`.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(bridge) => write!(f, "below-{bridge}"),
            Self::Device(first) => write!(f, "device-{first}"),
            Self::Id(id) => write!(f, "id-{id}"),
        }
    }
}

impl Around {
    /// The group that a function is in by it.
    pub const fn group(self, function: Bdf) -> Option<Group> {
        match self {
            Self::Nobody => None,
            Self::Device => {
                let first = function.as_u32() & !7;
                Some(Group::Device(Bdf::from_u32(first)))
            }
            Self::Below(bridge) => Some(Group::Below(bridge.bdf)),
        }
    }

    /// Whether another function is among them.
    pub fn reaches(self, function: Bdf, other: Bdf) -> bool {
        let segment = function.segment() == other.segment();
        match self {
            Self::Nobody => false,
            Self::Device => {
                let place = |one: Bdf| (one.bus(), one.device());
                segment && function != other && place(function) == place(other)
            }
            Self::Below(bridge) => segment && function != other && bridge.leads_to(other.bus()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bus: u8, device: u8, function: u8) -> Bdf {
        Bdf::new(0, bus, device, function).unwrap()
    }

    const fn port(bdf: Bdf, secondary: u8, subordinate: u8, kind: PortKind) -> Port {
        Port {
            numbers: BusNumbers {
                bdf,
                primary: bdf.bus(),
                secondary,
                subordinate,
            },
            kind,
            separates: true,
        }
    }

    /// A root port with a switch of two lower ends, and one with a card.
    fn tree() -> [Port; 5] {
        [
            port(at(0, 1, 0), 1, 4, PortKind::Root),
            port(at(1, 0, 0), 2, 4, PortKind::SwitchUp),
            port(at(2, 0, 0), 3, 3, PortKind::SwitchDown),
            port(at(2, 1, 0), 4, 4, PortKind::SwitchDown),
            port(at(0, 2, 0), 5, 5, PortKind::Root),
        ]
    }

    #[test]
    fn ports_that_separate_leave_nobody() {
        let all = tree();
        let one = at(3, 0, 0);
        assert_eq!(around(one, Device::Separate, &all), Around::Nobody);
        let several = around(one, Device::Several, &all);
        assert!(several.reaches(one, at(3, 0, 1)) && !several.reaches(one, at(3, 1, 0)));
        assert!(!several.reaches(one, one) && !several.reaches(one, at(4, 0, 0)));
    }

    #[test]
    fn a_lower_end_that_turns_around_reaches_the_whole_switch() {
        let mut all = tree();
        all[2].separates = false;
        let (one, other, far) = (at(3, 0, 0), at(4, 0, 0), at(5, 0, 0));
        let group = around(one, Device::Separate, &all);
        assert!(group.reaches(one, other) && !group.reaches(one, far));
        // The other cannot, and can be reached all the same.
        assert_eq!(around(other, Device::Separate, &all), Around::Nobody);
        all[0].separates = false;
        let group = around(other, Device::Separate, &all);
        assert_eq!(group, Around::Below(all[0].numbers));
        assert!(group.reaches(other, one) && !group.reaches(other, far));
    }

    #[test]
    fn a_group_is_named_by_what_makes_it_one() {
        let name = |group: Option<Group>| group.map(|group| std::format!("{group}"));
        let mut all = tree();
        let one = at(3, 0, 2);
        assert_eq!(around(one, Device::Separate, &all).group(one), None);
        let device = around(one, Device::Several, &all).group(one);
        assert_eq!(name(device).as_deref(), Some("device-0000:03:00.0"));
        all[2].separates = false;
        let switch = around(one, Device::Several, &all).group(one);
        assert_eq!(name(switch).as_deref(), Some("below-0000:01:00.0"));
    }

    #[test]
    fn a_root_port_keeps_to_what_is_below_it_and_to_its_segment() {
        let mut all = tree();
        all[4].separates = false;
        let one = at(5, 0, 0);
        let group = around(one, Device::Separate, &all);
        assert!(group.reaches(one, at(5, 0, 1)));
        assert!(!group.reaches(one, at(3, 0, 0)));
        let elsewhere = Bdf::new(1, 5, 0, 1).unwrap();
        assert!(!group.reaches(one, elsewhere));
        assert_eq!(around(elsewhere, Device::Separate, &all), Around::Nobody);
    }
}
