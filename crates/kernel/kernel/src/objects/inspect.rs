//! `MachineInspector`: the state of the machine as records, for a person who looks for a fault.

use alloc::sync::Arc;
use alloc::vec::Vec;

use frames::Grow;

use account::Kind;
use apic::vector;
use cap::Epoch;
use device_manager::{Books, Inspection, LineView, RouteView, Signal};
use dma_ledger::{FunctionState, Phase, QueueState};
use ipc::{KernelCall, Process};
use sabotage::sabotage;
use schema::diagnostics::machine_inspector as wire;
use schema::diagnostics::machine_inspector::{self, Server};
use stub::{Answered, Refusal};

use super::inspect_firmware;
use super::served::{self, Owed, Served, kernel_object, or_refuse};
use crate::devices::manager;

/// Reads everything, changes nothing.
pub struct Inspector {
    epoch: Epoch,
}

impl Inspector {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Inspector, machine_inspector);

/// Records per answer, at most: what the schema promises.
const PAGE: usize = 16;

fn page() -> usize {
    if sabotage!(DROP_PAGE_BOUND) {
        return usize::MAX;
    }
    PAGE
}

/// A page of `all` from place `from` on, and where to go on.
fn cut<T>(mut all: Vec<T>, from: u32) -> (u32, Vec<T>) {
    let start = (from as usize).min(all.len());
    let end = start.saturating_add(page()).min(all.len());
    let next = if end < all.len() { end as u32 } else { 0 };
    all.truncate(end);
    all.drain(..start);
    (next, all)
}

fn cpus() -> Result<Vec<wire::Cpu>, Refusal> {
    let runs = (0..sched::cpu_count()).map(|index| {
        let s = sched::summary(index);
        let f = crate::smp::offered(index).unwrap_or_default();
        let came = crate::arrivals::at(index);
        let came = came.unwrap_or_default();
        wire::Cpu {
            apic_id: s.apic_id,
            state: wire::CpuState::Online,
            idle_ns: s.idle_ns,
            busy_ns: s.busy_ns,
            switches: s.switches,
            barriers: s.barriers,
            next_deadline_ns: s.next_deadline_ns,
            interrupts: came.device,
            spurious: came.spurious,
            unowned: came.unowned,
            vectors: apic::vector_load(index as u16).unwrap_or(0),
            nx: f.nx,
            smep: f.smep,
            smap: f.smap,
            umip: f.umip,
            gib_pages: f.gib_pages,
            x2apic: f.x2apic,
            tsc_deadline: f.tsc_deadline,
            invariant_tsc: f.invariant_tsc,
            rdrand: f.rdrand,
        }
    });
    let absent = crate::smp::absent().into_iter().map(|a| wire::Cpu {
        apic_id: a.apic_id,
        state: if a.silent {
            wire::CpuState::Silent
        } else {
            wire::CpuState::LeftOut
        },
        next_deadline_ns: sched::NEVER,
        ..wire::Cpu::default()
    });
    frames::list(runs.chain(absent))
}

fn charge(p: &Process) -> wire::Charge<'_> {
    let (handles, handles_reserved, handles_retired) = p.handle_places();
    let of = |kind| p.account().usage(kind);
    let count = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    let memory = of(Kind::Memory);
    wire::Charge {
        id: p.id,
        name: &p.name,
        pages: super::process::pages(p),
        pages_limit: count(memory.limit / frames::FRAME_BYTES),
        threads: p.threads_charged(),
        threads_limit: count(of(Kind::Threads).limit),
        endpoints: count(of(Kind::Endpoints).own()),
        endpoints_limit: count(of(Kind::Endpoints).limit),
        facets: count(of(Kind::Facets).own()),
        facets_limit: count(of(Kind::Facets).limit),
        handles,
        handles_limit: count(of(Kind::Handles).limit),
        handles_reserved,
        handles_retired,
    }
}

/// One function, copied out of the manager.
struct Row {
    listed: super::device::Row,
    subsystem: (u16, u16),
    revision: u8,
    pin: u8,
    sound: bool,
    capabilities: Vec<wire::Capability>,
}

fn function(r: &Row) -> wire::Function<'_> {
    wire::Function {
        listed: r.listed.told(),
        subsystem_vendor: r.subsystem.0,
        subsystem_device: r.subsystem.1,
        revision: r.revision,
        interrupt_pin: r.pin,
        sound: r.sound,
        capabilities: &r.capabilities,
    }
}

/// One claim, copied out of the ledger.
struct Record {
    seen: Inspection,
    pools: Vec<wire::Pool>,
    queues: Vec<wire::Queue>,
}

fn record(seen: Inspection) -> Result<Record, Refusal> {
    let pools = seen.pools.iter().take(PAGE).map(|p| wire::Pool {
        budget_bytes: p.budget,
        used_bytes: p.used,
        buffers: p.buffers,
    });
    let queues = seen.queues.iter().take(4 * PAGE).map(|q| wire::Queue {
        depth: q.depth,
        in_flight: q.in_flight,
        bytes_in_flight: q.bytes_in_flight,
        segments: q.pinned,
        revoked: q.revoked,
        state: match q.state {
            QueueState::Opening => wire::QueueState::Opening,
            QueueState::Open => wire::QueueState::Open,
            QueueState::Stopped => wire::QueueState::Stopped,
            QueueState::Ended => wire::QueueState::Ended,
            QueueState::Resetting => wire::QueueState::Resetting,
        },
    });
    Ok(Record {
        pools: frames::list(pools)?,
        queues: frames::list(queues)?,
        seen,
    })
}

fn state(state: FunctionState) -> (wire::ClaimState, u8) {
    use wire::ClaimState as S;
    let phase = |phase| match phase {
        Phase::Unproven => S::Unproven,
        Phase::Resetting => S::Resetting,
        Phase::Stopped => S::Stopped,
        Phase::Configured => S::Configured,
        Phase::Enabling => S::Enabling,
        Phase::Running => S::Running,
    };
    match state {
        FunctionState::Unclaimed => (S::Unclaimed, 0),
        FunctionState::Claimed(p) => (phase(p), 0),
        FunctionState::Revoking(step) => (S::Revoking, step as u8),
        FunctionState::Quarantined => (S::Quarantined, 0),
        FunctionState::Dead => (S::Dead, 0),
    }
}

fn claim(r: &Record) -> wire::Claim<'_> {
    let seen = &r.seen;
    let (state, step) = state(seen.state);
    let t = &seen.totals;
    wire::Claim {
        address: seen.address,
        driver: seen.driver,
        state,
        step,
        owner: seen.owner,
        generation: seen.generation,
        resets: seen.resets,
        bus_master: seen.bus_master,
        pool_budget_bytes: t.pool_budgets,
        pool_bytes: t.pool_bytes,
        broker_bytes: t.broker_bytes,
        buffers: t.buffers,
        mappings: t.mappings,
        commands_in_flight: t.in_flight,
        segments_in_flight: t.pinned,
        books: match seen.books {
            Books::Agree => wire::Books::Agree,
            Books::Differ => wire::Books::Differ,
            Books::NotCounted => wire::Books::NotCounted,
        },
        pools: &r.pools,
        queues: &r.queues,
    }
}

/// Nobody counts these.
const UNCOUNTED: u64 = u64::MAX;
/// Every processor has this vector.
const EVERY: u16 = u16::MAX;

/// Vectors of the local APIC, which every processor has.
const LOCAL: [(u8, wire::Use); 6] = [
    (vector::DRAIN, wire::Use::Drain),
    (vector::TIMER, wire::Use::Timer),
    (vector::SHOOTDOWN, wire::Use::Shootdown),
    (vector::RESCHEDULE, wire::Use::Reschedule),
    (vector::STOP, wire::Use::Stop),
    (vector::SPURIOUS, wire::Use::Spurious),
];

/// A device's vector as it is told.
fn vector_of_route(r: &RouteView) -> wire::Vector {
    wire::Vector {
        cpu: r.cpu,
        vector: r.vector,
        use_: wire::Use::Device,
        address: r.function,
        source: r.source,
        signal: match r.signal {
            Signal::Msix => wire::Signal::Msix,
            Signal::Msi { .. } => wire::Signal::Msi,
            Signal::Line { .. } => wire::Signal::Line,
        },
        raised: r.counts.dispatched,
        late: r.counts.late,
        forwarded: r.counts.forwarded,
        storms: r.counts.storms,
        masked: r.masked,
        ..wire::Vector::default()
    }
}

/// A shared line's vector as it is told.
fn vector_of_line(l: &LineView) -> wire::Vector {
    wire::Vector {
        cpu: l.cpu,
        vector: l.vector,
        use_: wire::Use::Line,
        gsi: l.gsi,
        users: l.users,
        raised: l.fired,
        late: l.nobody,
        storms: l.storms,
        masked: l.held,
        ..wire::Vector::default()
    }
}

/// Every vector in use: by processor, then ascending.
fn vectors() -> Result<Vec<wire::Vector>, Refusal> {
    let (mut all, mut room) = (Vec::new(), Ok(()));
    manager().interrupt_table(&mut |route| {
        room = room.and_then(|()| all.add(vector_of_route(route)));
    });
    manager().line_table(&mut |line| {
        room = room.and_then(|()| all.add(vector_of_line(line)));
    });
    room?;
    if let Some((cpu, vector, gsi)) = super::console::line() {
        all.add(wire::Vector {
            cpu,
            vector,
            use_: wire::Use::Console,
            gsi,
            raised: UNCOUNTED,
            ..wire::Vector::default()
        })?;
    }
    for (vector, use_) in LOCAL {
        all.add(wire::Vector {
            cpu: EVERY,
            vector,
            use_,
            raised: UNCOUNTED,
            ..wire::Vector::default()
        })?;
    }
    all.sort_unstable_by_key(|v| (v.cpu, v.vector, v.use_ as u16));
    Ok(all)
}

type Call<'a, M> = Owed<'a, M>;

impl<'a> Server<KernelCall<'a>> for Served<Inspector> {
    fn cpus(&mut self, reply: Call<'a, wire::call::Cpus>, from: u32) -> Answered {
        let (next, list) = cut(or_refuse!(reply, cpus()), from);
        reply.send(wire::CpusReply { next, list: &list })
    }

    fn memory(&mut self, reply: Call<'a, wire::call::Memory>) -> Answered {
        let frames = frames::stats();
        let heap = crate::heap::stats();
        let memory = wire::Memory {
            total_frames: frames.total,
            free_frames: frames.free,
            reserved_frames: frames.reserve,
            quarantined_frames: manager().quarantined_bytes() / 4096,
            heap_bytes: heap.taken,
            heap_used_bytes: heap.used,
        };
        reply.send(wire::MemoryReply { memory })
    }

    fn charges(&mut self, reply: Call<'a, wire::call::Charges>, from: u64) -> Answered {
        let (mut found, mut next): (Vec<Arc<Process>>, u64) = (Vec::new(), 0);
        let (most, mut room) = (page(), Ok(()));
        ipc::for_each_process(|p| {
            if p.id < from || p.is_finished() {
                return;
            }
            if found.len() < most {
                room = room.and_then(|()| found.add(p.clone()));
            } else if next == 0 {
                next = p.id;
            }
        });
        or_refuse!(reply, room);
        let list = or_refuse!(reply, frames::list(found.iter().map(|p| charge(p))));
        reply.send(wire::ChargesReply { next, list: &list })
    }

    fn functions(&mut self, reply: Call<'a, wire::call::Functions>, from: u32) -> Answered {
        let (mut rows, mut room): (Vec<Row>, _) = (Vec::new(), Ok(()));
        let most = page();
        let next = manager().list(from, &mut |seen| {
            if rows.len() >= most {
                return false;
            }
            let plain = seen.capabilities.iter().map(|c| wire::Capability {
                id: c.id.into(),
                offset: c.offset.into(),
                extended: false,
            });
            let extended = seen.extended.iter().map(|c| wire::Capability {
                id: c.id,
                offset: c.offset,
                extended: true,
            });
            let capabilities = frames::list(plain.chain(extended));
            let row = capabilities.map(|capabilities| Row {
                listed: super::device::row(seen),
                subsystem: (seen.info.subsystem.vendor, seen.info.subsystem.device),
                revision: seen.info.revision,
                pin: seen.info.interrupt_pin,
                sound: seen.sound,
                capabilities,
            });
            room = row.and_then(|row| rows.add(row));
            room.is_ok()
        });
        or_refuse!(reply, room);
        let list = or_refuse!(reply, frames::list(rows.iter().map(function)));
        reply.send(wire::FunctionsReply { next, list: &list })
    }

    fn claims(&mut self, reply: Call<'a, wire::call::Claims>, from: u32) -> Answered {
        let (mut rows, mut room): (Vec<Record>, _) = (Vec::new(), Ok(()));
        let most = page();
        // Queues are many; the answer stays within one buffer whatever one claim holds.
        let mut entries = 0;
        let next = manager().inspect(from, &mut |seen| {
            entries += seen.pools.len() + seen.queues.len();
            if rows.len() >= most || (!rows.is_empty() && entries > 8 * PAGE) {
                return false;
            }
            room = record(seen).and_then(|record| rows.add(record));
            room.is_ok()
        });
        or_refuse!(reply, room);
        let list = or_refuse!(reply, frames::list(rows.iter().map(claim)));
        reply.send(wire::ClaimsReply { next, list: &list })
    }

    fn vectors(&mut self, reply: Call<'a, wire::call::Vectors>, from: u32) -> Answered {
        let (next, list) = cut(or_refuse!(reply, vectors()), from);
        reply.send(wire::VectorsReply { next, list: &list })
    }

    fn clock(&mut self, reply: Call<'a, wire::call::Clock>) -> Answered {
        let source = crate::clock::source();
        let mode = apic::mode();
        let clock = wire::Clock {
            source,
            tsc_hz: sched::tsc_hz(),
            timer_hz: apic::timer_frequency(),
            tsc_deadline: mode.tsc_deadline,
            x2apic: mode.x2apic,
            now_ns: sched::now_ns(),
        };
        reply.send(wire::ClockReply { clock })
    }

    fn tables(&mut self, reply: Call<'a, wire::call::Tables>, from: u32) -> Answered {
        let (next, list) = cut(or_refuse!(reply, inspect_firmware::tables()), from);
        reply.send(wire::TablesReply { next, list: &list })
    }

    fn translation(&mut self, reply: Call<'a, wire::call::Translation>) -> Answered {
        let said = inspect_firmware::translation().ok_or(Refusal::NotFound);
        reply.answer(said.map(|translation| wire::TranslationReply { translation }))
    }

    fn units(&mut self, reply: Call<'a, wire::call::Units>, from: u32) -> Answered {
        let (next, list) = cut(or_refuse!(reply, inspect_firmware::units()), from);
        reply.send(wire::UnitsReply { next, list: &list })
    }
}
