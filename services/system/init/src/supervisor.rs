//! Starts services, waits for all of them at once, and acts on each end.

use sdk::{
    AnyFacet, CapArg, Device, DeviceRegistry, Endpoint, EndpointFactory, Env, Interface as _,
    Lifetime, NEVER, Object as _, ProcessHandle, ProcessSpawner, Refusal, Ring, SystemControl,
    Timer,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    fact,
    process::{
        process_handle::{End, call},
        process_spawner,
    },
};

use manifest::{
    Manifest, Service, Source,
    restart::{Decision, Ending, Record, Repeats, Saying},
};

use crate::tell;

/// Bytes of a ring slot: a wait's request, and a reply with the longest text.
const SLOT_BYTES: u32 = 512;
/// How long a claim may wait for the teardown of the last owner, in nanoseconds.
const CLAIM_NS: u64 = 10_000_000_000;
/// Capabilities that travel with one message, at most.
const TRAVEL: usize = 16;
/// Exit code of a system whose critical service ended for good, or whose `exitWith` service did so without a code.
const FAILED: u8 = 1;

/// What init needs to do its work; it passes on what else it holds.
pub struct Tools {
    /// Starts processes.
    pub spawner: ProcessSpawner,
    /// Makes endpoints.
    pub endpoints: EndpointFactory,
    /// Claims devices; a kernel without drivers gives none.
    pub devices: Option<DeviceRegistry>,
    /// The clock.
    pub timer: Timer,
    /// Halts the machine.
    pub control: SystemControl,
}

/// Init's own handles on what a service is given for itself. They go when it was started; the service then holds the only
/// ones.
#[derive(Default)]
struct Held {
    claims: Vec<Device>,
    endpoints: Vec<Endpoint>,
}

/// The endpoint of one service, and the facet of each export. They outlive every incarnation.
struct Served {
    endpoint: Endpoint,
    facets: Vec<AnyFacet>,
}

enum State {
    /// It runs; its end is waited for in the ring.
    Running(
        #[expect(dead_code, reason = "held so that the process can be waited for")] ProcessHandle,
    ),
    /// It starts again at this time.
    Due(u64),
    /// It has ended for good, or was not started yet.
    Ended,
}

struct Unit {
    state: State,
    record: Record,
    /// What a person was told of its ends.
    repeats: Repeats,
    incarnation: u64,
    served: Option<Served>,
}

/// Why a service could not be started.
enum StartError {
    /// Init does not hold this itself.
    NotHeld(&'static str),
    /// It is to have floating-point registers, and this processor has none of the kind.
    NoFpu,
    /// A device that the service cannot do without is not there.
    NoDevice(String),
    /// What it asks a grant of has ended for good: nobody answers there any more.
    NoProvider(String),
    /// Its limits ask for more than init has left to give; so many pages of memory are among it.
    NoRoom(u32),
    /// The kernel refused.
    Refused(&'static str, Refusal),
}

/// How one process ended.
struct Ended {
    idx: usize,
    kind: End,
    code: i64,
    text: String,
}

/// All services.
pub struct Supervisor<'a> {
    env: &'a Env,
    tools: Tools,
    manifest: Manifest,
    units: Vec<Unit>,
    ring: Ring,
}

impl<'a> Supervisor<'a> {
    /// Makes the endpoints and facets of all services.
    ///
    /// # Errors
    /// The kernel's, with what was being done.
    pub fn new(
        env: &'a Env,
        tools: Tools,
        manifest: Manifest,
    ) -> Result<Self, (&'static str, Refusal)> {
        let count = u16::try_from(manifest.services.len()).unwrap_or(u16::MAX);
        let ring = Ring::new(count, SLOT_BYTES).map_err(|r| ("ring", r))?;
        let mut units = Vec::new();
        for service in &manifest.services {
            let served = if service.exports.is_empty() {
                None
            } else {
                Some(Served::new(&tools.endpoints, service).map_err(|r| ("endpoint", r))?)
            };
            units.push(Unit {
                state: State::Ended,
                record: Record::default(),
                repeats: Repeats::default(),
                incarnation: 0,
                served,
            });
        }
        Ok(Self {
            env,
            tools,
            manifest,
            units,
            ring,
        })
    }

    /// Starts everything and supervises it. Returns only if the machine cannot be halted.
    pub fn run(mut self) -> Refusal {
        let order = self.manifest.start_order.clone();
        for idx in &order {
            self.start(*idx);
        }
        let running = self
            .units
            .iter()
            .filter(|u| matches!(u.state, State::Running(_)))
            .count();
        fact!("init.started", services = running);
        loop {
            let now = self.now();
            let due = |u: &Unit| match u.state {
                State::Due(ns) => Some(ns),
                _ => None,
            };
            // Providers first here too, in case several are due.
            for idx in &order {
                if self
                    .units
                    .get(*idx)
                    .and_then(due)
                    .is_some_and(|ns| ns <= now)
                {
                    self.start(*idx);
                }
            }
            let next = self.units.iter().filter_map(due).min().unwrap_or(NEVER);
            self.ring.wait(1, next);
            for ended in self.completions() {
                self.ended(ended);
            }
        }
    }

    fn now(&self) -> u64 {
        self.tools.timer.now().map_or(0, |now| now.ns)
    }

    /// Takes the ends that have come.
    fn completions(&mut self) -> Vec<Ended> {
        let mut all = Vec::new();
        while let Some(completion) = self.ring.completed() {
            let idx = usize::try_from(completion.user()).unwrap_or(usize::MAX);
            let ended = completion.read::<call::Wait, _>(|results| {
                let text = results.text().unwrap_or_default().to_string();
                (results.kind().unwrap_or(End::Faulted), results.code(), text)
            });
            // If the wait itself fails, the process is out of reach and counts as lost.
            let (kind, code, text) =
                ended.unwrap_or_else(|refusal| (End::Killed, 0, refusal.to_string()));
            all.push(Ended {
                idx,
                kind,
                code,
                text,
            });
        }
        all
    }

    /// Starts a service, or decides what follows if it cannot be started.
    fn start(&mut self, idx: usize) {
        let now = self.now();
        let Some(unit) = self.units.get_mut(idx) else {
            return;
        };
        unit.incarnation += 1;
        unit.record.started(now);
        let again = unit.incarnation > 1;
        if let (true, Some(served)) = (again, &unit.served)
            && let Err(refusal) = served.endpoint.renew()
        {
            self.failed(idx, &StartError::Refused("renewing its endpoint", refusal));
            return;
        }
        match self.spawn(idx) {
            Ok(process) => {
                let waiting = self
                    .ring
                    .call::<call::Wait>(process.object(), (), idx as u64, NEVER);
                self.ring.submit();
                if let Err(refusal) = waiting {
                    // Nobody would notice its end.
                    let _ = process.kill();
                    self.failed(idx, &StartError::Refused("waiting for it", refusal));
                    return;
                }
                let Some(unit) = self.units.get_mut(idx) else {
                    return;
                };
                unit.state = State::Running(process);
                let name = self.manifest.services.get(idx).map_or("", |s| &s.name);
                fact!(
                    "service.started",
                    name = name,
                    incarnation = unit.incarnation
                );
            }
            Err(error) => self.failed(idx, &error),
        }
    }

    /// The handle behind a grant and the interface it is announced as. `None`: an optional device that is not there. A claim
    /// goes into `claims`.
    fn source(
        &self,
        idx: usize,
        source: &Source,
        held: &mut Held,
    ) -> Result<Option<(u64, u64)>, StartError> {
        let found = match source {
            Source::Kernel(source) => self
                .env
                .entries()
                .find(|(name, _, _)| *name == source.name())
                .map(|(_, interface, handle)| (handle, interface))
                .ok_or(StartError::NotHeld(source.name()))?,
            Source::Export(reference) => {
                let provider = self.units.get(reference.service_idx);
                // Providers are started first, so one that does not run and is not due has ended.
                if provider.is_some_and(|unit| matches!(unit.state, State::Ended)) {
                    let service = self.manifest.services.get(reference.service_idx);
                    let name = service.map(|service| service.name.clone());
                    return Err(StartError::NoProvider(name.unwrap_or_default()));
                }
                let facet = provider
                    .and_then(|u| u.served.as_ref()?.facets.get(reference.export_idx))
                    .ok_or(StartError::NotHeld("export"))?;
                let export = self
                    .manifest
                    .export(*reference)
                    .ok_or(StartError::NotHeld("export"))?;
                (facet.object().handle(), export.interface_id)
            }
            Source::Device {
                driver,
                nth,
                optional,
            } => match self.claim(driver, *nth) {
                Ok(device) => {
                    let handle = device.object().handle();
                    held.claims.push(device);
                    (handle, sdk::device::device::INTERFACE_ID)
                }
                Err(StartError::NoDevice(_)) if *optional => return Ok(None),
                Err(error) => return Err(error),
            },
            Source::Endpoint => {
                let served = self.units.get(idx).and_then(|u| u.served.as_ref());
                let served = served.ok_or(StartError::NotHeld("endpoint"))?;
                // As many facets as the service may pay for, and no incarnation but those that init begins.
                let facets = self.manifest.services.get(idx).map(|s| s.limits.facets);
                let lent = served.endpoint.lend(facets.unwrap_or_default());
                let lent = lent.map_err(|r| StartError::Refused("lending its endpoint", r))?;
                let handle = lent.endpoint.object().handle();
                held.endpoints.push(lent.endpoint);
                (handle, sdk::process::endpoint::INTERFACE_ID)
            }
        };
        Ok(Some(found))
    }

    fn claim(&self, driver: &str, nth: u32) -> Result<Device, StartError> {
        let deadline = self.now().saturating_add(CLAIM_NS);
        let claimed = match &self.tools.devices {
            Some(devices) => devices.with_deadline(deadline).claim(driver, nth),
            None => Err(Refusal::NoDevice),
        };
        match claimed {
            Ok(claim) => Ok(claim.device),
            Err(Refusal::NoDevice | Refusal::NotFound) => {
                Err(StartError::NoDevice(format!("{driver} {nth}")))
            }
            Err(refusal) => Err(StartError::Refused("claiming its device", refusal)),
        }
    }

    fn spawn(&self, idx: usize) -> Result<ProcessHandle, StartError> {
        let service = self
            .manifest
            .services
            .get(idx)
            .ok_or(StartError::NotHeld("service"))?;
        let mut transfers: Vec<CapArg> = Vec::new();
        let mut grants: Vec<process_spawner::Grant<'_>> = Vec::new();
        let mut held = Held::default();
        for grant in &service.grants {
            let Some((handle, interface_id)) = self.source(idx, &grant.source, &mut held)? else {
                continue;
            };
            let travels = transfers.len() < TRAVEL;
            grants.push(process_spawner::Grant {
                name: &grant.name,
                interface_id,
                // What does not travel is named.
                transfer: u16::try_from(transfers.len())
                    .ok()
                    .filter(|_| travels)
                    .unwrap_or(u16::MAX),
                handle: if travels { 0 } else { handle },
            });
            if travels {
                transfers.push(CapArg::copy(handle));
            }
        }
        let arguments: Vec<&str> = service.arguments.iter().map(String::as_str).collect();
        let before = self.units.get(idx).map_or(0, |unit| unit.incarnation);
        let restarts = u32::try_from(before.saturating_sub(1)).unwrap_or(u32::MAX);
        let limits = process_spawner::Limits {
            memory_pages: service.limits.memory_pages,
            handles: service.limits.handles,
            threads: service.limits.threads,
            endpoints: service.limits.endpoints,
            facets: service.limits.facets,
            priority: service.priority,
            restarts,
            fpu: service.fpu,
            distrusting: service.distrusting,
            stack_pages: service.stack_pages,
            area_pages: service.area_pages,
            cpu_per_mille: service.limits.cpu_per_mille,
        };
        self.tools
            .spawner
            .spawn(
                &service.name,
                &service.binary,
                &arguments,
                &limits,
                &grants,
                &transfers,
            )
            .map(|results| results.process)
            .map_err(|refusal| match refusal {
                Refusal::OverBudget => StartError::NoRoom(limits.memory_pages),
                Refusal::NotSupported if limits.fpu => StartError::NoFpu,
                _ => StartError::Refused("starting its process", refusal),
            })
    }

    fn failed(&mut self, idx: usize, error: &StartError) {
        let name = self.manifest.services.get(idx).map_or("", |s| &s.name);
        let reason = match error {
            StartError::NotHeld(what) => format!("init holds no {what}"),
            StartError::NoFpu => {
                "the manifest gives it the fpu, and this processor has no SSE2 or no FXSAVE".into()
            }
            StartError::NoDevice(device) => format!(
                "there is no device {device} (driver, and which of the functions that its match table names, from 0 on): `show=pci` on the kernel's command line lists what the machine has; with `optional` in the grant it starts without"
            ),
            StartError::NoProvider(name) => {
                format!("{name}, which exports what it is granted, has ended for good")
            }
            StartError::NoRoom(pages) => format!(
                "its limits ({pages} pages of memory, and what else `limits` says) are more than is left to give, or too little to start with; change them in the manifest, or give the machine more memory"
            ),
            StartError::Refused(doing, refusal) => format!("{doing}: {refusal}"),
        };
        fact!("service.failed", name = name, reason = reason.as_str());
        self.say(idx, &format!("cannot start: {reason}"));
        match error {
            // None of these will be there a moment later.
            StartError::NotHeld(_)
            | StartError::NoFpu
            | StartError::NoDevice(_)
            | StartError::NoProvider(_) => {
                self.over(idx, FAILED);
            }
            // Room may come when somebody else ends.
            StartError::NoRoom(_) | StartError::Refused(..) => {
                self.decide(idx, Ending::Failure, FAILED)
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Some(service) = self.manifest.services.get(ended.idx) else {
            return;
        };
        let kind = match ended.kind {
            End::Exited => "exited",
            End::Panicked => "panicked",
            End::Faulted => "faulted",
            End::Killed => "killed",
        };
        let (name, code) = (service.name.as_str(), ended.code);
        let whole = ended.text.as_str();
        let (text, callers) = whole.split_once(sdk::CALLERS).unwrap_or((whole, ""));
        fact!(
            "service.ended",
            name = name,
            kind = kind,
            code = code,
            text = text
        );
        let said = match ended.kind {
            End::Panicked | End::Faulted => {
                let text = text.strip_prefix("panicked ").unwrap_or(text);
                let mut said = format!("{kind}: {}", text.escape_debug());
                if !callers.is_empty() {
                    let callers = callers.escape_debug();
                    said = format!("{said}\r\ninit: {name} backtrace:{callers}");
                }
                said
            }
            // A code without a text is the program's own way to say something, to whoever reads it.
            End::Exited if code != 0 && !text.is_empty() => {
                format!("ended with code {code}: {}", text.escape_debug())
            }
            End::Exited | End::Killed => String::new(),
        };
        if !said.is_empty() {
            self.say(ended.idx, &said);
        }
        let (ending, code) = match (ended.kind, ended.code) {
            (End::Exited, 0) => (Ending::Success, 0),
            (End::Exited, code) => (Ending::Failure, u8::try_from(code).unwrap_or(FAILED)),
            _ => (Ending::Failure, FAILED),
        };
        self.decide(ended.idx, ending, code);
    }

    /// Tells a person what befell a service, unless it is what befell it the last time, too.
    fn say(&mut self, idx: usize, what: &str) {
        let now = self.now();
        let (Some(unit), Some(service)) =
            (self.units.get_mut(idx), self.manifest.services.get(idx))
        else {
            return;
        };
        let name = service.name.as_str();
        let Saying::Text(times) = unit.repeats.note(what, &unit.record, now) else {
            return;
        };
        if times > 0 {
            tell(format_args!("{name}: the same {times} times more"));
        }
        tell(format_args!("{name} {what}"));
    }

    /// Restarts a service or lets it rest. `code` is the exit code of the system if it is the one that decides.
    fn decide(&mut self, idx: usize, ending: Ending, code: u8) {
        let now = self.now();
        let (Some(unit), Some(service)) =
            (self.units.get_mut(idx), self.manifest.services.get(idx))
        else {
            return;
        };
        match unit.record.ended(service, ending, now) {
            Decision::RestartAt { ns } => unit.state = State::Due(ns),
            Decision::Done => self.over(idx, code),
            Decision::GiveUp => {
                let restarts = unit.record.restarts();
                let name = service.name.as_str();
                fact!("service.given-up", name = name, restarts = restarts);
                let same = match unit.repeats.take() {
                    0 => String::new(),
                    times => format!(" (the same {times} times more)"),
                };
                tell(format_args!(
                    "{name} ended too often and is not started again{same}"
                ));
                self.over(idx, code);
            }
        }
    }

    /// A service has ended for good: its clients are told, and perhaps the system ends with it.
    fn over(&mut self, idx: usize, code: u8) {
        let (Some(unit), Some(service)) =
            (self.units.get_mut(idx), self.manifest.services.get(idx))
        else {
            return;
        };
        unit.state = State::Ended;
        if let Some(served) = &unit.served {
            for facet in &served.facets {
                // Otherwise their calls would wait for a successor that never comes.
                let _ = served.endpoint.revoke_facet(facet.cap());
            }
        }
        let halt = if self.manifest.exit_with == Some(idx) {
            Some(code)
        } else {
            service.critical.then_some(FAILED)
        };
        if let Some(code) = halt {
            fact!("init.halting", because = service.name.as_str(), code = code);
            let _ = self.tools.control.halt(code);
        }
    }
}

impl Served {
    fn new(factory: &EndpointFactory, service: &Service) -> Result<Self, Refusal> {
        let endpoint = factory.create()?.endpoint;
        let mut facets = Vec::new();
        for (cookie, export) in (0..).zip(&service.exports) {
            facets.push(
                endpoint
                    .mint(cookie, export.interface_id, Lifetime::Durable)?
                    .facet,
            );
        }
        Ok(Self { endpoint, facets })
    }
}
