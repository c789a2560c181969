//! Which functions can reach each other around the units: bridges, and what they and devices of several functions do with requests
//! from one to another.

#![expect(clippy::disallowed_types, reason = "boot: names out of the manifest")]

use alloc::string::String;
use alloc::vec::Vec;

use iommu_format::{Around, Device, Group, Neighbours, Port, PortKind, Record, Trust, around};
use pci_format::{
    BusNumbers, HeaderKind, SEPARATES, SEPARATES_FUNCTIONS, cap_id, read_capabilities,
    read_extended, read_pcie, separate,
};
use sabotage::sabotage;
use units::Bdf;

/// What is known of it. Never changes.
pub struct Peers {
    ports: Vec<Port>,
    /// Functions whose devices turn requests from one function to another around.
    several: Vec<Bdf>,
    /// Names of groups that the manifest trusts to one holder.
    trusted: Vec<String>,
}

impl Peers {
    /// Has every bridge, and every device of several functions, send requests up that can, and notes which do.
    #[expect(clippy::disallowed_methods, reason = "boot: bridges are found once")]
    pub fn separate(
        config: &mut pci::Config,
        scanned: &pci::Scanned,
        trusted: Vec<String>,
    ) -> Self {
        let numbers = scanned.topology.numbers();
        let ports: Vec<_> = numbers
            .into_iter()
            .map(|numbers| {
                let kind = kind_of(config, numbers.bdf);
                Port {
                    numbers,
                    kind,
                    separates: turn_on(config, numbers.bdf, SEPARATES),
                }
            })
            .collect();
        let mut several = Vec::new();
        for one in scanned
            .functions
            .iter()
            .filter(|one| one.info.is_endpoint())
        {
            let bdf = one.info.bdf;
            let others = |other: &&pci::Found| same_device(bdf, other.info.bdf);
            let count = scanned.functions.iter().filter(others).count();
            if count > 1 && !turn_on(config, bdf, SEPARATES_FUNCTIONS) {
                several.push(bdf);
            }
        }
        Self {
            ports,
            several,
            trusted,
        }
    }

    /// How many bridges send every request up, and how many do not.
    pub fn counts(&self) -> (usize, usize) {
        let separating = self.ports.iter().filter(|port| port.separates).count();
        (separating, self.ports.len() - separating)
    }

    /// Whether one of two functions can reach the other around the units.
    pub fn meet(&self, one: Bdf, other: Bdf) -> bool {
        if sabotage!(IGNORE_PEERS) {
            return false;
        }
        let reaches = |from: Bdf, to| self.around(from).reaches(from, to);
        reaches(one, other) || reaches(other, one)
    }

    /// The group of functions that a function is in, because of bridges or of its device.
    pub fn group(&self, function: Bdf) -> Option<Group> {
        self.around(function).group(function)
    }

    /// Whether every group in which two functions meet is trusted.
    fn trust(&self, one: Bdf, other: Bdf) -> Trust {
        let reaches = |from: Bdf, to| self.around(from).reaches(from, to);
        let ways = [(one, other), (other, one)];
        let mut meeting = ways.into_iter().filter(|(from, to)| reaches(*from, *to));
        let trusted = meeting.all(|(from, _)| {
            let named = self.group(from).map(|group| self.is_trusted(group));
            named.unwrap_or(false)
        });
        match trusted {
            true => Trust::Trusted,
            false => Trust::None,
        }
    }

    /// What stands against a function that `asker` asks for: those that are held and that it meets, with their holders.
    pub fn neighbours<O: PartialEq + Copy>(
        &self,
        function: Bdf,
        asker: O,
        held: impl Iterator<Item = (Bdf, O)>,
    ) -> Neighbours {
        let met = held.map(|(other, holder)| {
            let holder = match sabotage!(TRUST_ANY_HOLDER) {
                true => asker,
                false => holder,
            };
            (holder, self.trust(function, other))
        });
        Neighbours::of(asker, met)
    }

    fn is_trusted(&self, group: Group) -> bool {
        let mut line = crate::line::Line::new();
        let written = core::fmt::Write::write_fmt(&mut line, format_args!("{group}"));
        written.is_ok() && self.trusted.iter().any(|name| name == line.text())
    }

    /// States every group of several functions that could be given out.
    pub fn state_groups(&self, record: &Record, functions: &[pci::Found]) {
        let endpoints = functions.iter().filter(|one| one.info.is_endpoint());
        let group = |one: &pci::Found| {
            let shared = record.shared_id(one.info.bdf).map(Group::Id);
            shared.or_else(|| self.group(one.info.bdf))
        };
        let Ok(groups) = frames::list(endpoints.filter_map(group)) else {
            return;
        };
        for (place, group) in groups.iter().enumerate() {
            let count = groups.iter().filter(|other| *other == group).count();
            let is_first = groups.iter().position(|other| other == group) == Some(place);
            if is_first && count > 1 {
                crate::fact!(
                    "iommu.group",
                    name = format_args!("{group}"),
                    functions = count,
                    trusted = self.is_trusted(*group)
                );
            }
        }
    }

    fn around(&self, function: Bdf) -> Around {
        let device = match self.several.contains(&function) {
            true => Device::Several,
            false => Device::Separate,
        };
        around(function, device, &self.ports)
    }
}

/// The bridges below which a function's requests do not carry its own id: those from PCI Express to conventional PCI.
pub fn concealing(config: &pci::Config, scanned: &pci::Scanned) -> Vec<BusNumbers> {
    let conceals = |numbers: &BusNumbers| {
        let list = read_capabilities(config, numbers.bdf, HeaderKind::Bridge).ok();
        let pcie = list.as_ref().and_then(|list| list.find(cap_id::PCIE));
        let port = pcie.and_then(|found| read_pcie(config, numbers.bdf, found).ok());
        // Root ports and both ends of a switch pass ids on.
        !port.is_some_and(|port| (4..=6).contains(&port.port_type))
    };
    let mut bridges = scanned.topology.numbers();
    bridges.retain(conceals);
    bridges
}

fn same_device(one: Bdf, other: Bdf) -> bool {
    let place = |one: Bdf| (one.segment(), one.bus(), one.device());
    place(one) == place(other)
}

fn kind_of(config: &pci::Config, bridge: Bdf) -> PortKind {
    let list = read_capabilities(config, bridge, HeaderKind::Bridge).ok();
    let pcie = list.as_ref().and_then(|list| list.find(cap_id::PCIE));
    let port = pcie.and_then(|found| read_pcie(config, bridge, found).ok());
    match port.map(|port| port.port_type) {
        Some(4) => PortKind::Root,
        Some(5) => PortKind::SwitchUp,
        Some(6) => PortKind::SwitchDown,
        _ => PortKind::Other,
    }
}

fn turn_on(config: &mut pci::Config, bdf: Bdf, wanted: u16) -> bool {
    read_extended(config, bdf).is_ok_and(|list| separate(config, bdf, &list, wanted))
}
