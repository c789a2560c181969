//! A copy of what a `SystemGraph` tells: processes, and every capability of each.
//!
//! Owns the walk over the interface's pages. Invariant: it never asks anything but a `SystemGraph`, it never keeps more than it was
//! told to, and it says where it left something out.
#![no_std]
#![forbid(unsafe_code)]

use authority_graph::{Graph, Holding, Subject};
use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use sdk::diagnostics::system_graph::{About, Kind, Standing, Use};
use sdk::{Refusal, SystemGraph};

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Who started it, 0 for the kernel.
    pub started_by: u64,
    /// Its priority.
    pub priority: u8,
    /// It is ending.
    pub is_dying: bool,
    /// How often it was started anew.
    pub restarts: u32,
    /// What its account uses, gave away and has: bytes, then threads, places for capabilities, endpoints and facets.
    pub memory: Use,
    /// Threads.
    pub threads: Use,
    /// Places for capabilities.
    pub handles: Use,
    /// Endpoints.
    pub endpoints: Use,
    /// Facets.
    pub facets: Use,
    /// Processor time, in nanoseconds.
    pub cpu_ns: u64,
}

/// A capability of a process.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The process that has it.
    pub holder: u64,
    /// The number of the object.
    pub object: u64,
    /// The interface by which its holder was given it.
    pub interface_id: u64,
    /// What kind of object it is.
    pub kind: Kind,
    /// Whether it works.
    pub standing: Standing,
    /// What `subject` is.
    pub about: About,
    /// What stands behind it.
    pub subject: u64,
    /// Of memory, how much.
    pub bytes: u64,
}

/// What was there when it was read.
#[derive(Clone, Default, Debug)]
pub struct Snapshot {
    /// Every process, by ascending number.
    pub processes: Vec<Process>,
    /// What they hold, process by process.
    pub held: Vec<Seen>,
    /// Capabilities that were left out, because there are more than were to be kept.
    pub left_out: u64,
}

/// Reads everything, and keeps up to `most` capabilities. A process that ends meanwhile holds nothing.
///
/// # Errors
/// The kernel's.
pub fn read(graph: &SystemGraph, most: usize) -> Result<Snapshot, Refusal> {
    let mut snapshot = Snapshot::default();
    let mut from = 0;
    loop {
        let list = &mut snapshot.processes;
        from = graph.processes(from, |page| {
            for node in page.list()?.iter() {
                list.push(Process {
                    id: node.id(),
                    name: node.name()?.to_string(),
                    started_by: node.started_by(),
                    priority: node.priority(),
                    is_dying: node.dying(),
                    restarts: node.restarts(),
                    memory: node.memory()?.value()?,
                    threads: node.threads()?.value()?,
                    handles: node.handles()?.value()?,
                    endpoints: node.endpoints()?.value()?,
                    facets: node.facets()?.value()?,
                    cpu_ns: node.cpu_ns(),
                });
            }
            Ok::<_, Refusal>(page.next())
        })??;
        if from == 0 {
            break;
        }
    }
    let ids: Vec<u64> = snapshot.processes.iter().map(|p| p.id).collect();
    for id in ids {
        held(graph, id, most, &mut snapshot)?;
    }
    Ok(snapshot)
}

/// Reads what one process holds.
fn held(graph: &SystemGraph, id: u64, most: usize, into: &mut Snapshot) -> Result<(), Refusal> {
    let mut from = 0;
    loop {
        let page = graph.held(id, from, |page| {
            for seen in page.list()?.iter() {
                if into.held.len() >= most {
                    into.left_out += 1;
                    continue;
                }
                into.held.push(Seen {
                    holder: id,
                    object: seen.object(),
                    interface_id: seen.interface_id(),
                    kind: seen.kind()?,
                    standing: seen.standing()?,
                    about: seen.about()?,
                    subject: seen.subject(),
                    bytes: seen.bytes(),
                });
            }
            Ok::<_, Refusal>(page.next())
        });
        from = match page {
            Ok(next) => next?,
            Err(Refusal::NotFound) => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        if from == 0 {
            return Ok(());
        }
    }
}

impl Seen {
    /// What it stands for.
    pub fn subject(&self) -> Subject {
        let address = u32::try_from(self.subject).unwrap_or(u32::MAX);
        match (self.about, self.kind) {
            (About::Endpoint, Kind::Facet) => Subject::Calls(self.subject),
            (About::Endpoint, Kind::Endpoint) => Subject::Owns(self.subject),
            (About::Endpoint, _) => Subject::Serves(self.subject),
            (About::Claim, _) => Subject::Claim(address),
            (About::Device, _) => Subject::Device(address),
            (About::Process, _) => Subject::Process(self.subject),
            (About::Memory, _) => Subject::Memory(self.subject),
            (About::Itself, _) => Subject::Itself,
        }
    }
}

impl Snapshot {
    /// The graph of what works.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let working = self.held.iter().filter(|s| s.standing == Standing::Good);
        let holdings = working.map(|seen| Holding {
            holder: seen.holder,
            object: seen.object,
            subject: seen.subject(),
        });
        let started = self.processes.iter().map(|p| (p.id, p.started_by));
        Graph::new(holdings.collect(), started)
    }

    /// The process of a name, the first where there are some.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.name == name)
    }

    /// What one process holds.
    pub fn of(&self, id: u64) -> impl Iterator<Item = &Seen> {
        self.held.iter().filter(move |seen| seen.holder == id)
    }
}
