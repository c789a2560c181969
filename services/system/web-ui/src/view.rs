//! The state of the system in the words of the page: one object of JSON.

use graph_reader::{Seen, Snapshot};
use sdk::alloc::format;
use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use sdk::diagnostics::system_graph::{Kind, Standing, Use};
use sdk::net::network_manager;
use sdk::{
    Env, Error, LogReader, MachineInspector, NetworkManager, Refusal, SystemGraph, SystemInfo,
    fact, ip,
};
use serde::Serialize;

use authority_graph::{Graph, Loss};

/// Capabilities that are shown, at most.
const MOST: usize = 4096;
/// Lines of the log in one state, at most; the last ones.
const LINES: usize = 100;
/// How old a state may be that another connection is sent, too.
const FRESH_NS: u64 = 300_000_000;

/// Where the state comes from. What was not granted is left out.
pub struct View {
    graph: SystemGraph,
    inspector: Option<MachineInspector>,
    info: Option<SystemInfo>,
    log: Option<LogReader>,
    network: Option<NetworkManager>,
    /// The number of the log line that comes next.
    next_line: u64,
    /// The state without the log, and when it was read.
    kept: Option<(u64, Told)>,
    /// How often it was read.
    reads: u64,
}

#[derive(Clone, Serialize)]
struct Told {
    now_ns: u64,
    reads: u64,
    cpus: u32,
    memory_kib: u64,
    free_kib: u64,
    left_out: u64,
    processes: Vec<Process>,
    /// Holder, object, interface, kind, standing, about, subject, bytes.
    held: Vec<Held>,
    devices: Vec<Device>,
    network: Option<Network>,
}

#[derive(Serialize)]
struct WithLog<'a> {
    #[serde(flatten)]
    told: &'a Told,
    log: Vec<Line>,
    /// Requests that were refused, by name, and how often.
    refused: &'a [(&'static str, u64)],
}

#[derive(Clone, Serialize)]
struct Process {
    id: u64,
    name: String,
    started_by: u64,
    priority: u8,
    dying: bool,
    restarts: u32,
    cpu_ns: u64,
    memory: [u64; 3],
    threads: [u64; 3],
    handles: [u64; 3],
    endpoints: [u64; 3],
    facets: [u64; 3],
    /// What would end, or stand still, with it.
    losses: Vec<Lost>,
}

#[derive(Clone, Serialize)]
struct Lost {
    what: &'static str,
    subject: u64,
    /// Who would notice.
    them: Vec<u64>,
}

#[derive(Clone, Serialize)]
struct Held(
    u64,
    u64,
    String,
    &'static str,
    &'static str,
    &'static str,
    u64,
    u64,
);

#[derive(Clone, Serialize)]
struct Device {
    address: u32,
    at: String,
    vendor: u16,
    device: u16,
    class: u32,
    driver: String,
    state: &'static str,
    owner: u64,
    generation: u64,
    resets: u64,
    bus_master: bool,
    pool_bytes: u64,
    queues: usize,
    in_flight: u32,
    /// Process, steps, through whom.
    reach: Vec<(u64, u32, u64)>,
}

#[derive(Clone, Serialize)]
struct Line {
    sequence: u64,
    ns: u64,
    level: &'static str,
    source: String,
    line: String,
}

#[derive(Clone, Serialize)]
struct Network {
    mac: String,
    phase: &'static str,
    address: String,
    server: String,
    received: u64,
    transmitted: u64,
    sockets: u32,
    sessions: u32,
    addresses: Vec<String>,
    routes: Vec<(String, String)>,
    servers: Vec<String>,
    counters: Vec<(String, u64)>,
}

fn parts(of: &Use) -> [u64; 3] {
    [of.own, of.given, of.limit]
}

fn held(seen: &Seen) -> Held {
    let interface = sdk::schema::interface_name(seen.interface_id);
    let interface = interface.map_or_else(|| format!("{:#x}", seen.interface_id), str::to_string);
    let kind = match seen.kind {
        Kind::Facet => "facet",
        Kind::Endpoint => "endpoint",
        Kind::LentEndpoint => "lent endpoint",
        Kind::Reply => "reply",
        Kind::Kernel => "kernel",
    };
    let standing = match seen.standing {
        Standing::Good => "good",
        Standing::Revoked => "revoked",
        Standing::Stale => "stale",
        Standing::Ended => "ended",
    };
    use sdk::diagnostics::system_graph::About;
    let about = match seen.about {
        About::Itself => "itself",
        About::Endpoint => "endpoint",
        About::Claim => "claim",
        About::Device => "device",
        About::Process => "process",
        About::Memory => "memory",
    };
    Held(
        seen.holder,
        seen.object,
        interface,
        kind,
        standing,
        about,
        seen.subject,
        seen.bytes,
    )
}

fn lost(loss: Loss) -> Lost {
    let (what, subject, them) = match loss {
        Loss::Process(process) => ("process", process, Vec::new()),
        Loss::Claim(address) => ("claim", address.into(), Vec::new()),
        Loss::Endpoint(endpoint, them) => ("endpoint", endpoint, them),
        Loss::Server(endpoint, them) => ("server", endpoint, them),
        Loss::Memory(pages) => ("memory", pages, Vec::new()),
    };
    Lost {
        what,
        subject,
        them,
    }
}

fn processes(snapshot: &Snapshot, graph: &Graph) -> Vec<Process> {
    let all = snapshot.processes.iter().map(|p| Process {
        id: p.id,
        name: p.name.clone(),
        started_by: p.started_by,
        priority: p.priority,
        dying: p.is_dying,
        restarts: p.restarts,
        cpu_ns: p.cpu_ns,
        memory: parts(&p.memory),
        threads: parts(&p.threads),
        handles: parts(&p.handles),
        endpoints: parts(&p.endpoints),
        facets: parts(&p.facets),
        losses: graph.losses(p.id).into_iter().map(lost).collect(),
    });
    all.collect()
}

/// Bus, device and function as they are spelled; the address is segment, bus, device, function from the top.
fn spelled(address: u32) -> String {
    let (bus, device, function) = (address >> 8 & 0xff, address >> 3 & 31, address & 7);
    format!("{:04x}:{bus:02x}:{device:02x}.{function}", address >> 16)
}

fn ip_text(octets: &[u8]) -> String {
    ip::read_one(octets).map_or_else(|_| String::new(), |address| address.to_string())
}

impl View {
    /// Takes whatever was granted.
    pub fn find(env: &Env) -> Result<Self, Error> {
        Ok(Self {
            graph: env.get("systemGraph")?,
            inspector: env.get("machineInspector").ok(),
            info: env.get("systemInfo").ok(),
            log: env.get("logReader").ok(),
            network: env.get("network").ok(),
            next_line: 0,
            kept: None,
            reads: 0,
        })
    }

    /// The number of the log line that follows those of the last state.
    pub fn next_line(&self) -> u64 {
        self.next_line
    }

    /// The state, with the lines of the log from number `from` on.
    pub fn state(&mut self, from: u64, now_ns: u64, refused: &[(&'static str, u64)]) -> String {
        let is_fresh = |(at, _): &(u64, Told)| now_ns.saturating_sub(*at) < FRESH_NS;
        if !self.kept.as_ref().is_some_and(is_fresh) {
            self.kept = self.read(now_ns).ok().map(|told| (now_ns, told));
        }
        let log = self.lines(from);
        let Some((_, told)) = &self.kept else {
            return "{}".to_string();
        };
        let all = WithLog { told, log, refused };
        serde_json::to_string(&all).unwrap_or_else(|_| "{}".to_string())
    }

    fn read(&mut self, now_ns: u64) -> Result<Told, Refusal> {
        let snapshot = graph_reader::read(&self.graph, MOST)?;
        let graph = snapshot.graph();
        let machine = self.info.as_ref().and_then(|info| info.machine().ok());
        self.reads += 1;
        if self.reads == 1 {
            fact!(
                "web.first-state",
                processes = snapshot.processes.len(),
                left_out = snapshot.left_out
            );
        }
        Ok(Told {
            now_ns,
            reads: self.reads,
            cpus: machine.as_ref().map_or(0, |machine| machine.cpus),
            memory_kib: machine.as_ref().map_or(0, |machine| machine.memory_kib),
            free_kib: machine.as_ref().map_or(0, |machine| machine.free_kib),
            left_out: snapshot.left_out,
            processes: processes(&snapshot, &graph),
            held: snapshot.held.iter().map(held).collect(),
            devices: self.devices(&graph).unwrap_or_default(),
            network: self.network.as_ref().and_then(|network| net(network).ok()),
        })
    }

    /// The last lines of the log from number `from` on.
    fn lines(&mut self, from: u64) -> Vec<Line> {
        let Some(log) = &self.log else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        let mut next = from;
        loop {
            let read = log.read(next, |page| {
                for record in page.records()?.iter() {
                    use sdk::process::log_sink::Level;
                    lines.push(Line {
                        sequence: record.sequence(),
                        ns: record.ns(),
                        level: match record.level()? {
                            Level::Error => "error",
                            Level::Warn => "warn",
                            Level::Info => "info",
                            Level::Debug => "debug",
                        },
                        source: record.source()?.to_string(),
                        line: record.line()?.to_string(),
                    });
                }
                Ok::<_, Refusal>(page.next())
            });
            match read {
                Ok(Ok(after)) if after > next => next = after,
                _ => break,
            }
            let over = lines.len().saturating_sub(LINES);
            lines.drain(..over);
        }
        self.next_line = next;
        lines
    }

    /// Every function, with its claim where a driver has one.
    fn devices(&self, graph: &Graph) -> Result<Vec<Device>, Refusal> {
        let Some(inspector) = &self.inspector else {
            return Ok(Vec::new());
        };
        let mut devices = Vec::new();
        let mut from = 0;
        loop {
            from = inspector.functions(from, |page| {
                for function in page.list()?.iter() {
                    let listed = function.listed()?;
                    devices.push(Device {
                        address: listed.address(),
                        at: spelled(listed.address()),
                        vendor: listed.vendor(),
                        device: listed.device(),
                        class: listed.class(),
                        driver: listed.driver()?.to_string(),
                        state: if listed.quarantined() {
                            "quarantined"
                        } else {
                            "unclaimed"
                        },
                        owner: 0,
                        generation: 0,
                        resets: 0,
                        bus_master: false,
                        pool_bytes: 0,
                        queues: 0,
                        in_flight: 0,
                        reach: Vec::new(),
                    });
                }
                Ok::<_, Refusal>(page.next())
            })??;
            if from == 0 {
                break;
            }
        }
        claims(inspector, &mut devices)?;
        for device in &mut devices {
            let reach = graph.reach(device.address).into_iter();
            device.reach = reach.map(|r| (r.process, r.steps, r.through)).collect();
        }
        Ok(devices)
    }
}

/// Fills in what the ledger says of each claim.
fn claims(inspector: &MachineInspector, devices: &mut [Device]) -> Result<(), Refusal> {
    use sdk::diagnostics::machine_inspector::ClaimState;
    let mut from = 0;
    loop {
        from = inspector.claims(from, |page| {
            for claim in page.list()?.iter() {
                let found = devices
                    .iter_mut()
                    .find(|device| device.address == claim.address());
                let Some(device) = found else {
                    continue;
                };
                device.state = match claim.state()? {
                    ClaimState::Unclaimed => "unclaimed",
                    ClaimState::Unproven => "unproven",
                    ClaimState::Resetting => "resetting",
                    ClaimState::Stopped => "stopped",
                    ClaimState::Configured => "configured",
                    ClaimState::Enabling => "enabling",
                    ClaimState::Running => "running",
                    ClaimState::Revoking => "being revoked",
                    ClaimState::Quarantined => "quarantined",
                    ClaimState::Dead => "dead",
                };
                device.owner = claim.owner();
                device.generation = claim.generation();
                device.resets = claim.resets();
                device.bus_master = claim.bus_master();
                device.pool_bytes = claim.pool_bytes();
                device.in_flight = claim.commands_in_flight();
                device.queues = claim.queues()?.iter().count();
            }
            Ok::<_, Refusal>(page.next())
        })??;
        if from == 0 {
            return Ok(());
        }
    }
}

const fn phase(phase: network_manager::Phase) -> &'static str {
    use network_manager::Phase;
    match phase {
        Phase::Waiting => "waiting",
        Phase::Selecting => "looking for a server",
        Phase::Requesting => "asking for an address",
        Phase::Probing => "looking whether it is free",
        Phase::Bound => "bound",
        Phase::Renewing => "renewing",
        Phase::Rebinding => "rebinding",
        Phase::Released => "released",
    }
}

/// What the network stack knows.
fn net(network: &NetworkManager) -> Result<Network, Refusal> {
    let mut told = network.status(|status| {
        let [_, _, mac @ ..] = status.mac().to_be_bytes();
        let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let address = status.address()?;
        let bits = status.prefix_bits();
        Ok::<_, Refusal>(Network {
            mac: mac.join(":"),
            phase: phase(status.phase()?),
            address: match address.is_empty() {
                true => String::new(),
                false => format!("{}/{bits}", ip_text(address)),
            },
            server: ip_text(status.server()?),
            received: status.received(),
            transmitted: status.transmitted(),
            sockets: status.sockets(),
            sessions: status.sessions(),
            addresses: Vec::new(),
            routes: Vec::new(),
            servers: Vec::new(),
            counters: Vec::new(),
        })
    })??;
    network.addresses(|page| {
        for one in page.list()?.iter() {
            let text = format!("{}/{}", ip_text(one.address()?), one.prefix_bits());
            told.addresses.push(text);
        }
        Ok::<_, Refusal>(())
    })??;
    network.routes(|page| {
        for one in page.list()?.iter() {
            let to = format!("{}/{}", ip_text(one.target()?), one.prefix_bits());
            told.routes.push((to, ip_text(one.router()?)));
        }
        Ok::<_, Refusal>(())
    })??;
    network.servers(|page| {
        for one in page.list()?.iter() {
            told.servers.push(ip_text(one.address()?));
        }
        Ok::<_, Refusal>(())
    })??;
    network.counters(|page| {
        for one in page.list()?.iter() {
            told.counters.push((one.name()?.to_string(), one.times()));
        }
        Ok::<_, Refusal>(())
    })??;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::spelled;

    #[test]
    fn an_address_is_spelled_as_everywhere() {
        assert_eq!(spelled(0x0001_1fff), "0001:1f:1f.7");
        assert_eq!(spelled(0x18), "0000:00:03.0");
    }
}
