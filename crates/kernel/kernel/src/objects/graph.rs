//! `SystemGraph`: who holds what, for whoever was given the right to look.
//!
//! A record is a copy of one capability, made with the lock of its table held and described without it; what the copy keeps
//! alive meanwhile goes with it, as if its holder had let go that much later.

use alloc::sync::Arc;
use alloc::vec::Vec;

use account::{Kind, Use};
use arrayvec::ArrayVec;
use cap::{Epoch, Target as _};
use frames::Grow;
use ipc::{About, Held, KernelCall, Object, Process, Slot};
use sabotage::sabotage;
use schema::diagnostics::system_graph as wire;
use schema::diagnostics::system_graph::{self, Server};
use stub::{Answered, Refusal};

use super::served::{self, Owed, Served, kernel_object, or_refuse};

/// Reads everything, changes nothing.
pub struct Graph {
    epoch: Epoch,
}

impl Graph {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Graph, system_graph);

/// Processes per answer, at most: what the schema promises.
const NODES: usize = 16;
/// Capabilities per answer, at most: what the schema promises.
const HOLDINGS: usize = 32;

fn used(usage: Use) -> wire::Use {
    wire::Use {
        own: usage.own(),
        given: usage.given,
        limit: usage.limit,
    }
}

fn node(p: &Process) -> wire::Node<'_> {
    let of = |kind| used(p.account().usage(kind));
    wire::Node {
        id: p.id,
        name: &p.name,
        started_by: p.started_by,
        priority: p.account().priority(),
        dying: p.is_dying(),
        restarts: p.restarts,
        memory: of(Kind::Memory),
        threads: of(Kind::Threads),
        handles: of(Kind::Handles),
        endpoints: of(Kind::Endpoints),
        facets: of(Kind::Facets),
        cpu_ns: p.cpu_ns(),
    }
}

/// What stands behind a capability, and how much of it.
fn subject(about: About) -> (wire::About, u64, u64) {
    match about {
        About::Itself => (wire::About::Itself, 0, 0),
        About::Endpoint(number) => (wire::About::Endpoint, number, 0),
        About::Claim(address, _) => (wire::About::Claim, address.into(), 0),
        About::Function(address, _) => (wire::About::Device, address.into(), 0),
        About::Process(id) => (wire::About::Process, id, 0),
        About::Pages(number, bytes) => (wire::About::Memory, number, bytes),
    }
}

fn holding(slot: &Slot) -> wire::Holding {
    let object = slot.object();
    let about = match object.about() {
        About::Function(..) | About::Claim(..) if sabotage!(GRAPH_HIDES_DEVICES) => About::Itself,
        about => about,
    };
    let standing = match (slot.check(), about) {
        (Err(Refusal::Stale), _) => wire::Standing::Stale,
        (Err(_), _) => wire::Standing::Revoked,
        (Ok(_), About::Function(_, Held::NoMore) | About::Claim(_, Held::NoMore)) => {
            wire::Standing::Ended
        }
        (Ok(_), _) => wire::Standing::Good,
    };
    let kind = match object {
        Object::Facet(_) => wire::Kind::Facet,
        Object::Endpoint(_) if object.is_own_endpoint() => wire::Kind::Endpoint,
        Object::Endpoint(_) => wire::Kind::LentEndpoint,
        Object::Reply(_) => wire::Kind::Reply,
        Object::Kernel(_) => wire::Kind::Kernel,
    };
    let (about, subject, bytes) = subject(about);
    wire::Holding {
        object: object.epoch().number().get(),
        interface_id: slot.interface(),
        kind,
        standing,
        about,
        subject,
        bytes,
    }
}

/// A page of what a process holds, from a place of its table on, and the place to go on from; 0 at the end.
fn held(process: &Process, from: u32) -> Result<(u32, Vec<wire::Holding>), Refusal> {
    let mut list = Vec::new();
    list.grow(HOLDINGS)?;
    let mut place = Some(from);
    while let Some(at) = place {
        if list.len() >= HOLDINGS {
            return Ok((at, list));
        }
        let (slot, next) = process.held_from(at);
        if let Some(slot) = slot {
            let put = list.put(holding(&slot));
            ipc::release(slot);
            put.map_err(|_| Refusal::OverBudget)?;
        }
        place = next;
        if sched::point() == sched::Look::Ending {
            return Err(Refusal::Cancelled);
        }
    }
    Ok((0, list))
}

impl<'a> Server<KernelCall<'a>> for Served<Graph> {
    fn processes(&mut self, reply: Owed<'a, wire::call::Processes>, from: u64) -> Answered {
        let mut found = ArrayVec::<Arc<Process>, NODES>::new();
        let mut next = 0;
        ipc::for_each_process(|p| {
            if p.id < from || p.is_finished() {
                return;
            }
            if found.try_push(p.clone()).is_err() && next == 0 {
                next = p.id;
            }
        });
        let list = or_refuse!(reply, frames::list(found.iter().map(|p| node(p))));
        reply.send(wire::ProcessesReply { next, list: &list })
    }

    fn held(&mut self, reply: Owed<'a, wire::call::Held>, process: u64, from: u32) -> Answered {
        let process = ipc::process_by_id(process).filter(|p| !p.is_finished());
        let process = or_refuse!(reply, process.ok_or(Refusal::NotFound));
        let (next, list) = or_refuse!(reply, held(&process, from));
        reply.send(wire::HeldReply { next, list: &list })
    }
}
