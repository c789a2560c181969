//! Remapping units: what firmware says of them, what they say themselves, and the choice of the DMA backend.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use audit_format::{Event, Kind};
use cpu::Lock;
use device_manager::Saying;
use dma_ledger::OwnerId;
use driver_core::{Addressing, DmaPath};
use frames::Grow;
use iommu::{ApicIds, Domain, Fault, Hush, NotOn, Status, Tells, Unit, Units};
use iommu_format::{
    Activation, Backend, Cover, Coverage, Decision, Discovery, Group, MAX_UNITS, Path, Plan,
    Policy, Posture, Prerequisite, Probe, Record, RefusedReason, Requester, Situation, UnitState,
    decide, plan,
};
use pci_format::BusNumbers;
use sabotage::sabotage;
use stub::Refusal;
use units::Bdf;

use crate::acpi::Machine;
use crate::devices::{Reached, manager};
use crate::iommu_direct::{self, Confined, Tables, Terms};
use crate::peers::{Peers, concealing};

mod firmware;
mod reserved;

use firmware::read;
use reserved::reserve;

/// What is kept for as long as the system runs.
struct Kept {
    record: Record,
    units: Units,
    coverage: Coverage,
    decision: Decision,
    bridges: Vec<BusNumbers>,
    /// Bridges that put their own id into the requests of what is behind them.
    concealing: Vec<BusNumbers>,
    peers: Peers,
    states: [UnitState; MAX_UNITS],
    /// The domains that there are, and some that there were, with who holds their functions.
    domains: Vec<(Weak<Domain>, OwnerId)>,
}

static KEPT: Lock<Option<Kept>> = Lock::new(None);

/// What holds of the ten things that a provider needs to write device addresses itself. No domain is there before a
/// function is claimed, and then the kernel's broker writes all addresses; what there is, is the way back.
const ACTIVATION: Activation = Activation::NONE.with(Prerequisite::BounceFallback);

/// Reads tables and units, decides, and states why. Before the device manager examines anything.
pub fn choose(
    machine: &Machine,
    config: &mut pci::Config,
    scanned: &pci::Scanned,
    manifest: Option<&[u8]>,
) {
    let bridges = scanned.topology.numbers();
    let mut record = read(machine, &bridges);
    let mut units = Units::look(
        &mut record,
        config,
        crate::devices::map,
        &crate::ranges::in_memory,
    );
    let masters = scanned
        .functions
        .iter()
        .filter(|one| one.info.is_endpoint());
    let coverage = record.coverage(masters.map(|one| one.info.bdf), &bridges);
    crate::log::state(&|sink| iommu::write_table(sink, &record));
    if record.discovery == Discovery::Listed {
        for (number, unit) in record.units.iter().enumerate() {
            crate::log::state(&|sink| iommu::write_unit(sink, number, unit));
        }
        crate::log::state(&|sink| iommu::write_coverage(sink, coverage));
    }
    // A manifest that init will refuse has no say either.
    let manifest = manifest.and_then(|bytes| manifest::read(bytes).ok());
    let policy = Policy::from_ordinal(manifest.as_ref().map(|manifest| manifest.dma as u16));
    let decision = decide(policy, Probe::of(&record), ACTIVATION);
    crate::fact!(
        "dma.backend",
        chosen = decision.backend.name(),
        reason = decision.reason(),
        policy = decision.policy.name(),
        iommu = decision.probe.label(),
        missing = decision.missing.map_or("none", Prerequisite::name)
    );
    let backend = match decision.backend {
        Backend::Bounce => 1,
        Backend::Direct => 2,
    };
    crate::audit::record(Event::new(Kind::Backend).detail(backend));
    let mut states = turn_on(machine, policy, (&record, &mut units), config);
    reserve(&mut record, &units, &mut states, scanned);
    let trusted = manifest.map_or_else(Vec::new, |manifest| manifest.trusted_groups);
    let peers = Peers::separate(config, scanned, trusted);
    if states.contains(&UnitState::On) {
        let judged = { record.units.iter() }.all(|unit| unit.vendor.judges_interrupts());
        let states = &states[..record.units.len()];
        state_posture(states, coverage, &peers, (&decision, judged));
        peers.state_groups(&record, &scanned.functions);
    }
    *KEPT.lock() = Some(Kept {
        record,
        units,
        coverage,
        decision,
        concealing: concealing(config, scanned),
        bridges,
        peers,
        states,
        domains: Vec::new(),
    });
    listen();
}

/// States what units do for claimed functions that they serve, and what they do not. Of one function it is said when it is claimed.
fn state_posture(
    states: &[UnitState],
    coverage: Coverage,
    peers: &Peers,
    (decision, judged): (&Decision, bool),
) {
    let (separating, others) = peers.counts();
    crate::fact!("iommu.bridges", separating = separating, others = others);
    let on = states.iter().all(|state| *state == UnitState::On);
    // What no unit that is on serves can write anything, and raise any interrupt.
    let isolation = match (
        on && coverage.uncovered == 0 && coverage.uncertain == 0,
        judged,
    ) {
        (true, true) => "memory-and-interrupts",
        (true, false) => "memory",
        (false, _) => "partial",
    };
    let interrupts = match judged {
        true => "remapped",
        // Any function can raise any of them.
        false => "unjudged",
    };
    crate::fact!(
        "dma.posture",
        remapping_tables = match judged {
            true => "on",
            false => "by-request",
        },
        direct_dma = iommu_direct::posture(decision),
        hostile_hardware_isolation = isolation,
        interrupts = interrupts
    );
}

/// Turns on the units that are to be. Nothing is bus master by now, and nothing that firmware left running is.
fn turn_on(
    machine: &Machine,
    policy: Policy,
    (record, units): (&Record, &mut Units),
    config: &mut pci::Config,
) -> [UnitState; MAX_UNITS] {
    let mut states = [UnitState::Off; MAX_UNITS];
    if plan(policy, record).all(|plan| plan == Plan::Leave) {
        return states;
    }
    // A virtio-iommu judges none, and that is said; the table of another must let it.
    let judged = record
        .units
        .iter()
        .any(|unit| unit.vendor.judges_interrupts());
    if judged && !record.remaps_interrupts(machine.io_apics.iter().map(|one| one.id)) {
        // A device could raise any interrupt, and so what it may not write would matter little.
        crate::fact!("iommu.on", state = "off", reason = "interrupts");
        return states;
    }
    let ids = match apic::mode().x2apic {
        true => ApicIds::Bits32,
        false => ApicIds::Bits8,
    };
    for ((number, state), plan) in (0u8..).zip(&mut states).zip(plan(policy, record)) {
        match plan {
            Plan::Leave => continue,
            Plan::Distrust => {
                *state = UnitState::Failed;
                continue;
            }
            Plan::TurnOn => {}
        }
        let outcome = units.turn_on(record, config, number, ids, sched::now_ns);
        *state = match outcome {
            Ok(_) => UnitState::On,
            // It was not touched.
            Err(NotOn::Unusable(_) | NotOn::RemembersFirmware) => UnitState::Off,
            Err(_) => UnitState::Failed,
        };
        if *state != UnitState::Off {
            crate::log::state(&|sink| iommu::write_on(sink, number, outcome));
        }
    }
    states
}

/// How a function reaches memory, for a claim of this generation.
///
/// # Errors
/// `NotSupported` for one that nobody could confine; those of [`Domain::attach`].
pub fn reach(
    function: Bdf,
    (owner, generation): (OwnerId, u64),
    addressing: Addressing,
) -> Result<Reached, Refusal> {
    let (posture, unit, group) = {
        let kept = KEPT.lock();
        let Some(kept) = kept.as_ref() else {
            return Ok(Reached::Untranslated);
        };
        if kept.states.iter().all(|state| *state == UnitState::Off) {
            return Ok(Reached::Untranslated);
        }
        let posture = Posture::decide(kept.situation(function, owner, addressing.path));
        let unit = match posture {
            Posture::Remapped(unit) => kept.units.on(unit),
            Posture::Bounce(_) | Posture::Refused(_) => None,
        };
        let group = match posture {
            Posture::Refused(RefusedReason::SharedRequester | RefusedReason::PeerHeld) => {
                kept.group(function)
            }
            // One that is trusted to who asks, while they hold another of it.
            Posture::Remapped(_) => kept
                .held_peers_of(function)
                .next()
                .and_then(|_| kept.group(function)),
            _ => None,
        };
        (posture, unit, group)
    };
    let group: &dyn core::fmt::Display = match &group {
        Some(group) => group,
        None => &"none",
    };
    crate::fact!(
        "iommu.function",
        function = format_args!("{function}"),
        posture = posture.name(),
        reason = posture.reason(),
        group = format_args!("{group}")
    );
    match (posture, unit) {
        (Posture::Bounce(_), _) => Ok(Reached::Untranslated),
        (Posture::Remapped(_), Some(unit)) => {
            let source = function.requester_id();
            let domain = Domain::attach(unit, source, generation, addressing.bits)?;
            if let Err(refusal) = note(&domain, owner) {
                while domain.end().is_ok() && domain.shed() {}
                return Err(refusal);
            }
            Ok(Reached::Domain(domain))
        }
        _ => Err(Refusal::NotSupported),
    }
}

/// Whether a provider may write device addresses of its function itself, for the claim of this generation. `tables` is what
/// was found in those of the domain.
///
/// # Errors
/// `NotSupported`.
pub fn allow_direct(
    (function, generation): (Bdf, u64),
    domain: Option<&Domain>,
    tables: Tables,
    saying: Saying,
) -> Result<(), Refusal> {
    let terms = {
        let kept = KEPT.lock();
        let kept = kept.as_ref().ok_or(Refusal::NotSupported)?;
        Terms {
            policy: kept.decision.policy,
            probe: kept.decision.probe,
            requester: kept.record.requester(function),
            peer_held: kept.held_peers_of(function).next().is_some(),
        }
    };
    let confined = Confined {
        domain,
        generation,
        tables,
    };
    iommu_direct::allow(function, terms, confined, saying)
}

/// The unit that judges the messages of a function, and the requester id that they carry; `None` where none that is on does.
pub fn judge_of(function: Bdf) -> Option<(&'static Unit, u16)> {
    let kept = KEPT.lock();
    let kept = kept.as_ref()?;
    match kept.record.cover(function, &kept.bridges) {
        Cover::Unit(unit) => {
            let unit = { kept.units.on(unit) }.filter(|unit| unit.judges_interrupts())?;
            Some((unit, function.requester_id()))
        }
        Cover::None | Cover::Uncertain => None,
    }
}

/// As [`judge_of`], for an I/O APIC.
pub fn judge_of_io_apic(id: u8) -> Option<(&'static Unit, u16)> {
    let kept = KEPT.lock();
    let kept = kept.as_ref()?;
    let (unit, source) = kept.record.io_apic(id)?;
    Some((kept.units.on(unit)?, source))
}

/// A unit that is on, by its number.
pub fn unit(number: u8) -> Option<&'static Unit> {
    KEPT.lock().as_ref()?.units.on(number)
}

/// Lists a new domain, in the place of those that are gone.
fn note(domain: &Arc<Domain>, owner: OwnerId) -> Result<(), Refusal> {
    let mut kept = KEPT.lock();
    let kept = kept.as_mut().ok_or(Refusal::WrongState)?;
    kept.domains.retain(|(domain, _)| domain.strong_count() > 0);
    // The list is the kernel's, and no longer than there are functions.
    let _kernel = frames::paid_by_kernel();
    kept.domains.add((Arc::downgrade(domain), owner))
}

/// The domain of a function below a unit.
fn domain_of(unit: &Unit, source: u16) -> Option<Arc<Domain>> {
    let kept = KEPT.lock();
    let all = kept
        .as_ref()?
        .domains
        .iter()
        .filter_map(|(domain, _)| domain.upgrade());
    all.filter(|one| one.unit().number() == unit.number() && one.is_live())
        .find(|one| one.source() == source)
}

/// What a unit that is on does.
#[derive(Clone, Copy, Default)]
pub struct Work {
    /// Domains of claimed functions.
    pub domains: u32,
    /// Pages that they map.
    pub pages: u64,
    /// Interrupts that have an entry.
    pub entries: u32,
    /// Requests that it told to have refused.
    pub refused: u64,
}

/// What a unit that is on does.
pub fn work_of(unit: usize) -> Option<Work> {
    let kept = KEPT.lock();
    let kept = kept.as_ref()?;
    let on = kept.units.on(u8::try_from(unit).ok()?)?;
    let mut work = Work {
        entries: on.entries(),
        refused: on.faults().told.load(Ordering::Relaxed),
        ..Work::default()
    };
    for domain in kept
        .domains
        .iter()
        .filter_map(|(domain, _)| domain.upgrade())
    {
        if domain.unit().number() == on.number() && domain.is_live() {
            work.domains += 1;
            work.pages += domain.size().0;
        }
    }
    Some(work)
}

impl Kept {
    /// The functions that somebody holds and that meet another around the units, with their holders. Those that go around units
    /// themselves do not count.
    fn held_peers_of(&self, function: Bdf) -> impl Iterator<Item = (Bdf, OwnerId)> + '_ {
        let held = { self.domains.iter() }.filter_map(|(domain, owner)| {
            let domain = domain.upgrade().filter(|domain| domain.is_live())?;
            let unit = usize::from(domain.unit().number());
            let segment = self.record.units.get(unit).map_or(0, |unit| unit.segment);
            let id = u32::from(segment) << 16 | u32::from(domain.source());
            Some((Bdf::from_u32(id), *owner))
        });
        held.filter(move |(other, _)| self.peers.meet(function, *other))
    }

    /// The group for which a function is not given out. One that sends its own requests up can still be reached by others.
    fn group(&self, function: Bdf) -> Option<Group> {
        let shared = self.record.shared_id(function).map(Group::Id);
        let own = shared.or_else(|| self.peers.group(function));
        own.or_else(|| self.peers.group(self.held_peers_of(function).next()?.0))
    }

    fn situation(&self, function: Bdf, owner: OwnerId, path: DmaPath) -> Situation {
        let cover = self.record.cover(function, &self.bridges);
        let state = |unit: u8| {
            let state = self.states.get(usize::from(unit)).copied();
            let answers = self.units.on(unit).is_none_or(Unit::answers);
            match state {
                Some(UnitState::On) if !answers => UnitState::Failed,
                Some(state) => state,
                None => UnitState::Failed,
            }
        };
        let unit = match cover {
            Cover::Unit(unit) => state(unit),
            Cover::None => UnitState::Off,
            Cover::Uncertain => {
                let mut states = (0..self.record.units.len() as u8).map(state);
                let on = states.find(|state| *state != UnitState::Off);
                on.unwrap_or(UnitState::Off)
            }
        };
        let mut concealing = self.concealing.iter();
        let behind = |bridge: &BusNumbers| {
            bridge.bdf.segment() == function.segment() && bridge.leads_to(function.bus())
        };
        Situation {
            policy: self.decision.policy,
            cover,
            unit,
            path: match path {
                DmaPath::Bus => Path::Bus,
                DmaPath::AroundUnits => Path::AroundUnits,
            },
            requester: match concealing.any(behind) && !sabotage!(BELIEVE_BRIDGES) {
                true => Requester::Shared,
                false => self.record.requester(function),
            },
            reserved: self.record.reserved(function, &self.bridges),
            neighbours: self
                .peers
                .neighbours(function, owner, self.held_peers_of(function)),
        }
    }
}

/// States what a domain held at its end, against what its function's claim did.
pub fn state_books(domain: &Domain, pages: u64) {
    let books = domain.books();
    let source = Bdf::from_u32(u32::from(domain.source()));
    crate::fact!(
        "iommu.domain-ended",
        source = format_args!("{source}"),
        books = match books.agree(pages) {
            true => "agree",
            false => "differ",
        },
        large = books.large,
        tables ~ books.tables,
        pages ~ pages,
        mapped ~ books.mapped,
        written ~ books.written,
        found ~ books.found
    );
}

/// CPU and vector of the units' faults, 0 for none.
static VECTOR: AtomicU32 = AtomicU32::new(0);
/// Faults are looked at so often at most, and so many of each unit at a time.
const LOOK_NS: u64 = 10_000_000;
const LOOK_FAULTS: usize = 4;
/// So often a unit that sends no message is asked.
const ASK_NS: u64 = 100_000_000;
/// Faults that are stated; the others are counted.
const STATED: u64 = 64;
/// So many refused requests of one claim end it.
const ENDS_CLAIM: u32 = 16;
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Has every unit that is on tell of faults, or be asked for them.
fn listen() {
    if told(Tells::WhenAsked).next().is_some() {
        sched::callback_at(sched::now_ns() + ASK_NS, ask, 0);
    }
    let mut units = told(Tells::ByMessage);
    if units.next().is_none() {
        return;
    }
    let Ok(message) = crate::devices::take_vector(Some(0)) else {
        return;
    };
    let place = u32::from(message.cpu) << 8 | u32::from(message.vector);
    VECTOR.store(place, Ordering::Release);
    for unit in told(Tells::ByMessage) {
        unit.tell_faults(message.address, message.data);
    }
}

/// The units that are on and tell of faults in this way.
fn told(how: Tells) -> impl Iterator<Item = &'static Unit> {
    on().filter(move |unit| unit.tells() == how)
}

fn on() -> impl Iterator<Item = &'static Unit> {
    (0..MAX_UNITS as u8).filter_map(|unit| KEPT.lock().as_ref()?.units.on(unit))
}

/// Handles a message that a unit sent of its faults: they are looked at on a timer, so that many of them take no CPU.
pub fn on_interrupt(cpu: u16, vector: u8) -> bool {
    if u32::from(cpu) << 8 | u32::from(vector) != VECTOR.load(Ordering::Acquire) {
        return false;
    }
    told(Tells::ByMessage).for_each(|unit| unit.hush_faults(Hush::Silent));
    sched::callback_at(sched::now_ns(), look, 0);
    true
}

fn look(_: u64) {
    if take_all(Tells::ByMessage) == 0 {
        told(Tells::ByMessage).for_each(|unit| unit.hush_faults(Hush::Telling));
    } else {
        sched::callback_at(sched::now_ns() + LOOK_NS, look, 0);
    }
}

/// Asks the units that send no message, for as long as the system runs.
fn ask(_: u64) {
    let wait_ns = match take_all(Tells::WhenAsked) {
        0 => ASK_NS,
        _ => LOOK_NS,
    };
    sched::callback_at(sched::now_ns() + wait_ns, ask, 0);
}

/// Takes some faults of each unit that tells of them in this way, and says how many there were.
fn take_all(how: Tells) -> usize {
    let mut seen = 0;
    for unit in told(how) {
        let segment = segment_of(unit);
        unit.take_faults(LOOK_FAULTS, |fault| {
            seen += 1;
            take(unit, segment, &fault);
        });
    }
    seen
}

fn take(unit: &Unit, segment: u16, fault: &Fault) {
    if SEEN.fetch_add(1, Ordering::Relaxed) < STATED {
        crate::log::state(&|sink| iommu::write_fault(sink, segment, fault));
    }
    let source = Bdf::from_u32(u32::from(segment) << 16 | u32::from(fault.source));
    if let Some(domain) = domain_of(unit, fault.source) {
        blame(source, domain.generation(), domain.count_refused());
    }
}

/// Records what a function did, the first time and the last, and ends its claim at the last.
fn blame(function: Bdf, generation: u64, refused: u32) {
    if refused != 1 && (refused != ENDS_CLAIM || sabotage!(FORGIVE_REFUSALS)) {
        return;
    }
    crate::audit::record(Event {
        function: function.as_u32(),
        ..Event::new(Kind::DmaRefused).value(u64::from(refused))
    });
    if refused == ENDS_CLAIM && manager().distrust(function, generation) == Some(Saying::Aloud) {
        crate::fact!(
            "iommu.claim-ended",
            function = format_args!("{function}"),
            refused = refused
        );
    }
}

fn segment_of(unit: &Unit) -> u16 {
    let kept = KEPT.lock();
    let record = kept.as_ref().map(|kept| &kept.record);
    let found = record.and_then(|record| record.units.get(usize::from(unit.number())));
    found.map_or(0, |unit| unit.segment)
}

/// Runs `f` on the record.
pub fn with_record<R>(f: impl FnOnce(&Record, Coverage) -> R) -> Option<R> {
    KEPT.lock()
        .as_ref()
        .map(|kept| f(&kept.record, kept.coverage))
}

/// What was decided, and why.
pub fn decision() -> Option<Decision> {
    KEPT.lock().as_ref().map(|kept| kept.decision)
}

/// What a verified unit's registers say now.
pub fn status(unit: usize) -> Option<Status> {
    KEPT.lock().as_ref()?.units.status(unit)
}
