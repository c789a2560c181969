//! Who holds what, as a graph: what ends with a process, and who can reach a device.
//!
//! Owns two answers, [`Graph::losses`] and [`Graph::reach`], over a copy of what a `SystemGraph` told. Invariant: it never asks
//! anybody, and it never calls a device out of reach that a chain of held capabilities leads to.
//!
//! A process reaches a device where it holds a capability that works and derives from a claim on it, or where it may call somebody who
//! reaches it. What that one does for its callers is not looked at: the answer is an upper bound, and the number of steps says how far
//! away it is.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// What a capability stands for beyond its own object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// Nothing else.
    Itself,
    /// Calls of this endpoint go through it.
    Calls(u64),
    /// Calls of this endpoint are received with it, and all that was lent of it derives from this: the endpoint ends with the last one.
    Owns(u64),
    /// Calls of this endpoint are received with it, which was lent.
    Serves(u64),
    /// The claim on the function at this address; it ends with its last handle.
    Claim(u32),
    /// The function at this address, by what derives from a claim.
    Device(u32),
    /// A process.
    Process(u64),
    /// Pages, by the number of the object that was made of them first.
    Memory(u64),
}

/// One capability that works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// The process that has it.
    pub holder: u64,
    /// The number of the object.
    pub object: u64,
    /// What it stands for.
    pub subject: Subject,
}

/// What would end, or stand still, with a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loss {
    /// A process that it started, or that such a one did: their accounts came out of its own.
    Process(u64),
    /// The claim on this function: the device is stopped, and whatever derives from the claim ends.
    Claim(u32),
    /// An endpoint, for good: calls of these processes are refused from then on.
    Endpoint(u64, Vec<u64>),
    /// Whoever answers at this endpoint: these processes wait until somebody is started in its place.
    Server(u64, Vec<u64>),
    /// Pages that nobody else holds.
    Memory(u64),
}

/// A process that can reach something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// The process.
    pub process: u64,
    /// How many calls lie between: 0 for who holds a capability of the device itself.
    pub steps: u32,
    /// Whom it calls for that, itself for 0 steps.
    pub through: u64,
}

/// The graph.
#[derive(Clone, Default, Debug)]
pub struct Graph {
    held: Vec<Holding>,
    /// Who holds each object.
    holders: BTreeMap<u64, BTreeSet<u64>>,
    /// Who may call each endpoint.
    callers: BTreeMap<u64, BTreeSet<u64>>,
    /// Who holds each endpoint, and who was lent it.
    owners: BTreeMap<u64, BTreeSet<u64>>,
    lent: BTreeMap<u64, BTreeSet<u64>>,
    /// Whom each process has started.
    started: BTreeMap<u64, BTreeSet<u64>>,
}

impl Graph {
    /// The graph of what is held, and of who started whom: pairs of a process and its starter. What does not work any more is left out
    /// by the caller.
    #[must_use]
    pub fn new(held: Vec<Holding>, started: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut graph = Self::default();
        for (process, starter) in started {
            graph.started.entry(starter).or_default().insert(process);
        }
        for holding in &held {
            let holder = holding.holder;
            graph
                .holders
                .entry(holding.object)
                .or_default()
                .insert(holder);
            let (map, endpoint) = match holding.subject {
                Subject::Calls(endpoint) => (&mut graph.callers, endpoint),
                Subject::Owns(endpoint) => (&mut graph.owners, endpoint),
                Subject::Serves(endpoint) => (&mut graph.lent, endpoint),
                _ => continue,
            };
            map.entry(endpoint).or_default().insert(holder);
        }
        graph.held = held;
        graph
    }

    /// Who may call an endpoint, by ascending number.
    pub fn callers(&self, endpoint: u64) -> impl Iterator<Item = u64> {
        self.callers.get(&endpoint).into_iter().flatten().copied()
    }

    /// Who answers at an endpoint: those to whom it was lent, or where there are none, who holds it.
    pub fn servers(&self, endpoint: u64) -> impl Iterator<Item = u64> {
        let lent = self.lent.get(&endpoint);
        let them = lent.or_else(|| self.owners.get(&endpoint));
        them.into_iter().flatten().copied()
    }

    /// The process, and all that it started, and those did.
    fn family(&self, process: u64) -> BTreeSet<u64> {
        let mut family = BTreeSet::from([process]);
        let mut open = Vec::from([process]);
        while let Some(one) = open.pop() {
            for child in self.started.get(&one).into_iter().flatten() {
                if family.insert(*child) {
                    open.push(*child);
                }
            }
        }
        family
    }

    /// What would end, or stand still, if this process ended now, as far as those hold it who end. What its account paid for and others
    /// hold ends, too, and is not told: nobody knows who pays.
    #[must_use]
    pub fn losses(&self, process: u64) -> Vec<Loss> {
        let family = self.family(process);
        let mut seen = BTreeSet::new();
        let children = family.iter().filter(|one| **one != process);
        let mut losses: Vec<Loss> = children.map(|child| Loss::Process(*child)).collect();
        let is_alone =
            |them: Option<&BTreeSet<u64>>| them.is_some_and(|them| them.is_subset(&family));
        for holding in self
            .held
            .iter()
            .filter(|held| family.contains(&held.holder))
        {
            if !seen.insert(holding.subject) {
                continue;
            }
            let others = |endpoint| {
                let others = self
                    .callers(endpoint)
                    .filter(|caller| !family.contains(caller));
                others.collect::<Vec<_>>()
            };
            match holding.subject {
                Subject::Claim(address) if is_alone(self.holders.get(&holding.object)) => {
                    losses.push(Loss::Claim(address));
                }
                Subject::Owns(endpoint) if is_alone(self.owners.get(&endpoint)) => {
                    losses.push(Loss::Endpoint(endpoint, others(endpoint)));
                }
                Subject::Serves(endpoint) if is_alone(self.lent.get(&endpoint)) => {
                    losses.push(Loss::Server(endpoint, others(endpoint)));
                }
                Subject::Memory(pages) if self.holds_alone(&family, pages) => {
                    losses.push(Loss::Memory(pages));
                }
                _ => {}
            }
        }
        losses
    }

    fn holds_alone(&self, family: &BTreeSet<u64>, pages: u64) -> bool {
        let holds = |held: &&Holding| held.subject == Subject::Memory(pages);
        let mut holders = self.held.iter().filter(holds);
        holders.all(|held| family.contains(&held.holder))
    }

    /// Who can reach the function at this address, the nearest first, and each by a shortest way.
    #[must_use]
    pub fn reach(&self, address: u32) -> Vec<Reach> {
        let is_of = |held: &&Holding| matches!(held.subject, Subject::Claim(at) | Subject::Device(at) if at == address);
        let mut found = BTreeSet::new();
        let mut reach = Vec::new();
        for held in self.held.iter().filter(is_of) {
            if found.insert(held.holder) {
                reach.push(Reach {
                    process: held.holder,
                    steps: 0,
                    through: held.holder,
                });
            }
        }
        let served = self.endpoints_by_server();
        let mut at = 0;
        while let Some(server) = reach.get(at).copied() {
            at += 1;
            for endpoint in served.get(&server.process).into_iter().flatten() {
                for caller in self.callers(*endpoint) {
                    if found.insert(caller) {
                        reach.push(Reach {
                            process: caller,
                            steps: server.steps + 1,
                            through: server.process,
                        });
                    }
                }
            }
        }
        reach
    }

    fn endpoints_by_server(&self) -> BTreeMap<u64, BTreeSet<u64>> {
        let mut served: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for endpoint in self.callers.keys() {
            for server in self.servers(*endpoint) {
                served.entry(server).or_default().insert(*endpoint);
            }
        }
        served
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, Holding, Loss, Reach, Subject};
    use alloc::vec;
    use alloc::vec::Vec;

    const INIT: u64 = 1;
    const DRIVER: u64 = 2;
    const VOLUME: u64 = 3;
    const SHELL: u64 = 4;
    const STRANGER: u64 = 5;
    const HELPER: u64 = 6;
    const DISK: u32 = 0x0018;

    fn holding(holder: u64, object: u64, subject: Subject) -> Holding {
        Holding {
            holder,
            object,
            subject,
        }
    }

    /// A driver with a disk, a volume over it, a shell over that, and somebody who holds nothing of it; init made the endpoints.
    fn system() -> Vec<Holding> {
        vec![
            holding(INIT, 10, Subject::Owns(100)),
            holding(INIT, 11, Subject::Owns(101)),
            holding(INIT, 20, Subject::Calls(100)),
            holding(INIT, 21, Subject::Calls(101)),
            holding(DRIVER, 12, Subject::Serves(100)),
            holding(DRIVER, 30, Subject::Claim(DISK)),
            holding(DRIVER, 31, Subject::Device(DISK)),
            holding(VOLUME, 13, Subject::Serves(101)),
            holding(VOLUME, 20, Subject::Calls(100)),
            holding(VOLUME, 40, Subject::Memory(40)),
            holding(DRIVER, 41, Subject::Memory(40)),
            holding(SHELL, 21, Subject::Calls(101)),
            holding(SHELL, 50, Subject::Memory(50)),
            holding(STRANGER, 60, Subject::Itself),
        ]
    }

    /// Nobody but init has started anybody, and the driver one more.
    fn graph(held: Vec<Holding>) -> Graph {
        Graph::new(held, [(INIT, 0), (HELPER, DRIVER)])
    }

    #[test]
    fn a_device_is_reached_by_who_calls_who_holds_it_and_by_nobody_else() {
        let reach = graph(system()).reach(DISK);
        let of = |process, steps, through| Reach {
            process,
            steps,
            through,
        };
        let expected = [
            of(DRIVER, 0, DRIVER),
            of(INIT, 1, DRIVER),
            of(VOLUME, 1, DRIVER),
            of(SHELL, 2, VOLUME),
        ];
        assert_eq!(reach, expected);
        assert!(graph(system()).reach(DISK + 1).is_empty());
    }

    #[test]
    fn with_a_server_its_device_stops_and_its_callers_wait() {
        let graph = graph(system());
        let expected = [
            Loss::Process(HELPER),
            Loss::Server(100, vec![INIT, VOLUME]),
            Loss::Claim(DISK),
        ];
        assert_eq!(graph.losses(DRIVER), expected);
        assert_eq!(graph.losses(SHELL), [Loss::Memory(50)]);
        assert_eq!(graph.losses(STRANGER), []);
    }

    #[test]
    fn with_who_owns_an_endpoint_it_ends_for_all_callers() {
        let expected = [
            Loss::Endpoint(100, vec![VOLUME]),
            Loss::Endpoint(101, vec![SHELL]),
        ];
        assert_eq!(graph(system()).losses(INIT), expected);
    }

    #[test]
    fn what_two_hold_does_not_end_with_one() {
        let mut held = system();
        held.push(holding(INIT, 30, Subject::Claim(DISK)));
        held.push(holding(STRANGER, 14, Subject::Serves(100)));
        let losses = graph(held).losses(DRIVER);
        assert_eq!(losses, [Loss::Process(HELPER)]);
    }

    #[test]
    fn a_circle_of_callers_ends() {
        let mut held = system();
        held.push(holding(DRIVER, 21, Subject::Calls(101)));
        assert_eq!(graph(held).reach(DISK).len(), 4);
    }

    #[test]
    fn where_nobody_was_lent_an_endpoint_its_owner_answers() {
        let held = vec![
            holding(INIT, 10, Subject::Owns(100)),
            holding(SHELL, 20, Subject::Calls(100)),
        ];
        let graph = graph(held);
        assert!(graph.servers(100).eq([INIT]));
        assert!(graph.callers(100).eq([SHELL]));
    }

    #[test]
    fn what_those_hold_that_it_started_goes_with_them() {
        let mut held = system();
        held.push(holding(HELPER, 30, Subject::Claim(DISK)));
        held.push(holding(HELPER, 42, Subject::Memory(42)));
        let expected = [
            Loss::Process(HELPER),
            Loss::Server(100, vec![INIT, VOLUME]),
            Loss::Claim(DISK),
            Loss::Memory(42),
        ];
        assert_eq!(graph(held).losses(DRIVER), expected);
        let all = Graph::new(system(), [(VOLUME, INIT), (DRIVER, INIT), (SHELL, VOLUME)]);
        let ended = all.losses(INIT);
        assert!(ended.starts_with(&[
            Loss::Process(DRIVER),
            Loss::Process(VOLUME),
            Loss::Process(SHELL)
        ]));
        // Who would notice ends, too.
        assert!(ended.contains(&Loss::Endpoint(100, vec![])));
    }
}
