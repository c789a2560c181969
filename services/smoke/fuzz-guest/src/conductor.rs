//! The rounds.

use core::sync::atomic::Ordering;

use sdk::diagnostics::machine_inspector::Books;
use sdk::process::process_spawner::{Grant, Limits};
use sdk::schema::methods;
use sdk::{
    CapArg, Env, Error, Interface, Lifetime, MachineInspector, MemoryObject, Object,
    ProcessControl, ProcessHandle, Refusal, VirtualMemory,
    alloc::{format, string::String, vec::Vec},
    fact,
};
use smoke::{Ended, Kit, Probe, give, memory_word, mint};

use crate::lending::{self, Lent};
use crate::plan::{self, Plan};
use crate::random::Random;

const IMAGE: &str = "fuzz-guest";
/// Capabilities that travel with one message.
const MOST: usize = 15;
/// How long a round's processes may go on after it.
const PATIENCE_MS: u64 = 4_000;
/// What no attacker gets: every process's own, and who lends the rest.
const KEPT: &[&str] = &["vm", "threads", "endpoint", "lender"];

/// What of a process was seen.
#[derive(Default)]
struct Ends {
    exited: u32,
    killed: u32,
    faulted: u32,
    panicked: u32,
}

/// What lives as long as the test.
struct Conductor<'a> {
    env: &'a Env,
    kit: Kit,
    inspector: MachineInspector,
    control: ProcessControl,
    vm: VirtualMemory,
    bystander: Probe,
    floor: u64,
    /// What one service can be granted is less than there is: the rest, lent by another.
    lent: Vec<Lent>,
    /// Of each method, how often it was called and how often answered.
    seen: Vec<[u64; 2]>,
    /// Of each interface, how often it refused with what.
    refused: Vec<[u64; plan::CODES as usize]>,
}

/// Runs all rounds. An error says what broke.
pub fn run(env: &Env, plan: &Plan) -> Result<(), Error> {
    let kit = Kit::new(env, IMAGE)?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let process = kit.start("bystander", &[give("endpoint", &endpoint)])?;
    let mut conductor = Conductor {
        env,
        inspector: env.get("machineInspector")?,
        control: env.get("processControl")?,
        vm: env.get("vm")?,
        bystander: mint(&endpoint, 0, Lifetime::Durable)?,
        lent: lending::borrow(&env.get("lender")?)?,
        floor: process.info()?.id + 1,
        kit,
        seen: (0..plan::methods()).map(|_| [0; 2]).collect(),
        refused: methods::ALL
            .iter()
            .map(|_| [0; plan::CODES as usize])
            .collect(),
    };
    fact!(
        "fuzz.begin",
        methods = plan::methods(),
        seed = plan.seed,
        from = plan.from,
        rounds = plan.rounds
    );
    for round in plan.from..plan.from + plan.rounds {
        let plan = Plan {
            round,
            floor: conductor.floor,
            ..*plan
        };
        let broken = conductor.round(&plan);
        if let Err(refusal) = broken {
            fact!("fuzz.broken", round = round, what = refusal.name());
            return Err(refusal.into());
        }
    }
    conductor.close();
    conductor.end_amid(plan)?;
    Ok(())
}

impl Conductor<'_> {
    fn round(&mut self, plan: &Plan) -> Result<(), Refusal> {
        let mut random = Random::of(&[plan.seed, plan.round]);
        let seen = self.vm.create_memory(plan::SEEN_BYTES)?.memory;
        let page = seen.map(0, plan::SEEN_BYTES, 3)?.address;
        let shared = self.vm.create_memory(64 * 1024)?.memory;
        let endpoint = self.kit.endpoints.create()?.endpoint;
        let workers = self.attackers(&mut random, plan, &seen, &shared, &endpoint);
        self.disturb(&mut random, &shared, &endpoint, &workers)?;
        let mut ends = Ends::default();
        for worker in &workers {
            ends.count(&self.end_of(worker)?);
        }
        let strays = self.end_strays()?;
        self.note(page);
        self.vm.unmap(page, plan::SEEN_BYTES)?;
        let lost = self
            .bystander
            .with_deadline(self.kit.after_ms(PATIENCE_MS)?)
            .act(0, 0)?
            .word;
        let differ = self.books_that_differ()?;
        fact!(
            "fuzz.round",
            round = plan.round,
            workers = workers.len(),
            exited ~ ends.exited,
            killed ~ ends.killed,
            faulted ~ ends.faulted,
            panicked ~ ends.panicked,
            strays ~ strays,
            bystander_words_lost = lost,
            books_that_differ = differ,
            free_kib ~ self.kit.free_kib()?
        );
        if lost + differ > 0 {
            return Err(Refusal::Corrupt);
        }
        Ok(())
    }

    /// Starts the attackers of a round.
    fn attackers(
        &self,
        random: &mut Random,
        plan: &Plan,
        seen: &MemoryObject,
        shared: &MemoryObject,
        endpoint: &sdk::Endpoint,
    ) -> Vec<ProcessHandle> {
        let mut workers: Vec<ProcessHandle> = Vec::new();
        for worker in 0..plan.workers {
            let plan = Plan { worker, ..*plan };
            let started = self.attacker(random, &plan, seen, shared, endpoint, workers.last());
            if plan.without >> worker & 1 == 0
                && let Ok(process) = started.start(&self.kit)
            {
                workers.push(process);
            }
        }
        workers
    }

    /// Has the machine end while attackers are at work, with every other seed: they themselves must not name what ends it.
    fn end_amid(&self, plan: &Plan) -> Result<(), Refusal> {
        let mut random = Random::of(&[plan.seed, u64::MAX]);
        let power = self.lent.iter().find_map(Lent::power);
        let Some(power) = power.filter(|_| random.one_in(2)) else {
            return Ok(());
        };
        let plan = Plan {
            round: plan.from + plan.rounds,
            floor: self.floor,
            ..*plan
        };
        let seen = self.vm.create_memory(plan::SEEN_BYTES)?.memory;
        let shared = self.vm.create_memory(64 * 1024)?.memory;
        let endpoint = self.kit.endpoints.create()?.endpoint;
        let workers = self.attackers(&mut random, &plan, &seen, &shared, &endpoint);
        self.kit.pause_ms(1 + random.below(8))?;
        if random.one_in(2) {
            // It comes back where a device does not stop, or an attacker that has the right was first.
            let refused = power.reboot();
            fact!(
                "fuzz.reboot-refused",
                workers = workers.len(),
                refused = refused.is_err()
            );
        }
        power.halt(0)
    }

    /// Takes away what the attackers were given, and some of them, now and then.
    fn disturb(
        &self,
        random: &mut Random,
        shared: &MemoryObject,
        endpoint: &sdk::Endpoint,
        workers: &[ProcessHandle],
    ) -> Result<(), Refusal> {
        for _ in 0..random.below(12) {
            self.kit.pause_ms(1 + random.below(6))?;
            let victim = random.index(workers.len());
            // An attacker may have been there before: none of these has to succeed.
            match random.below(8) {
                0 => drop(shared.revoke()),
                1 => drop(endpoint.renew()),
                2 | 3 => drop(workers.get(victim).map(ProcessHandle::kill)),
                _ => {}
            }
        }
        Ok(())
    }

    /// An attacker's start: what it gets follows from the round.
    fn attacker(
        &self,
        random: &mut Random,
        plan: &Plan,
        seen: &MemoryObject,
        shared: &MemoryObject,
        endpoint: &sdk::Endpoint,
        other: Option<&ProcessHandle>,
    ) -> Start {
        let mut start = Start::new(plan);
        start.give("seen", seen);
        start.give("timer", &self.kit.timer);
        start.give("shared", shared);
        if random.one_in(2) {
            start.give("own", endpoint);
        }
        let cookie = random.below(4);
        let lifetime = if random.one_in(2) {
            Lifetime::Durable
        } else {
            Lifetime::Incarnation
        };
        if let Ok(facet) = mint(endpoint, cookie, lifetime) {
            start.give("probe", &facet);
            // The copy goes with the start.
            start.facet = Some(facet);
        }
        if let Some(other) = other {
            start.give("other", other);
        }
        let mut all: Vec<_> = self
            .env
            .entries()
            .filter(|entry| !KEPT.contains(&entry.0))
            .chain(self.lent.iter().map(Lent::entry))
            .collect();
        while !all.is_empty() && start.caps.len() < MOST {
            let (name, interface, handle) = all.swap_remove(random.index(all.len()));
            // Whoever holds it does nothing strange: few do.
            let often = name != lending::RARE || random.one_in(8);
            if name != "timer" && often && !random.one_in(6) {
                start.grants.push((name, interface));
                start.caps.push(CapArg::copy(handle));
            }
        }
        let given = start.caps.len();
        start.limits = Limits {
            memory_pages: 1 << (8 + random.below(5)),
            handles: 64 << random.below(4),
            threads: 5 + random.below(12) as u16,
            endpoints: 8,
            facets: 1 << random.below(8),
            priority: 12,
            restarts: 0,
            // Nothing of its own is drawn for these two, so a seed means what it meant.
            fpu: given & 1 != 0,
            distrusting: given & 2 != 0,
            stack_pages: 0,
            area_pages: 0,
            cpu_per_mille: 0,
        };
        start
    }

    /// Waits for a process; one that goes on for too long is killed, and one that survives that is a finding.
    fn end_of(&self, process: &ProcessHandle) -> Result<Ended, Refusal> {
        for _ in 0..2 {
            let patient = process.with_deadline(self.kit.after_ms(PATIENCE_MS)?);
            match self.kit.ended(&patient) {
                Err(Refusal::TimedOut) => process.kill()?,
                ended => return ended,
            }
        }
        fact!("fuzz.undying", id ~ process.info()?.id);
        Err(Refusal::TimedOut)
    }

    /// Ends the processes that attackers started. How many there were.
    fn end_strays(&self) -> Result<u32, Refusal> {
        let until = self.kit.after_ms(PATIENCE_MS)?;
        let mut most = 0;
        loop {
            let ids: Vec<u64> = self.kit.info.processes(self.floor, |results| {
                let list = results.list()?;
                Ok::<_, Refusal>(
                    list.iter()
                        .map(|process| process.id())
                        .filter(|id| *id >= self.floor)
                        .collect(),
                )
            })??;
            most = most.max(ids.len() as u32);
            if ids.is_empty() {
                return Ok(most);
            }
            if self.kit.timer.now()?.ns > until {
                fact!("fuzz.undying", id ~ ids[0]);
                return Err(Refusal::TimedOut);
            }
            for id in ids {
                // It may have ended by itself.
                let _ = self.control.kill(id);
            }
            self.kit.pause_ms(2)?;
        }
    }

    fn books_that_differ(&self) -> Result<u64, Refusal> {
        self.inspector.claims(0, |results| {
            let list = results.list()?;
            Ok(list
                .iter()
                .filter(|claim| claim.books() == Ok(Books::Differ))
                .count() as u64)
        })?
    }

    /// Adds up what the round's processes counted.
    fn note(&mut self, page: u64) {
        let counted = |place: Option<u64>| {
            place.map_or(0, |at| {
                // SAFETY: the pages are mapped until the end of the round; once revoked they read zeros.
                u64::from(unsafe { memory_word(page + at) }.load(Ordering::Relaxed))
            })
        };
        for (number, seen) in self.seen.iter_mut().enumerate() {
            for (which, sum) in seen.iter_mut().enumerate() {
                *sum += counted(plan::place_of(number, which));
            }
        }
        for (interface, refused) in self.refused.iter_mut().enumerate() {
            for (code, sum) in (0..).zip(refused.iter_mut()) {
                *sum += counted(plan::place_of_refusal(interface, code));
            }
        }
    }

    /// States of each interface that was called what came of it.
    fn close_interfaces(&self) {
        for (at, interface) in methods::ALL.iter().enumerate() {
            let first = plan::number_of(at, 0);
            let of = self.seen.get(first..first + interface.methods.len());
            let of = of.unwrap_or_default();
            let count = |which: usize| of.iter().filter(|seen| seen[which] > 0).count();
            if count(0) == 0 && self.refused[at].iter().all(|times| *times == 0) {
                continue;
            }
            let calls: u64 = of.iter().map(|seen| seen[0]).sum();
            let mut refused = String::new();
            for (code, times) in (0u8..).zip(self.refused[at]) {
                if times > 0 && refused.len() < 300 {
                    let name = Refusal::from_code(code).map_or("none", Refusal::name);
                    refused.push_str(&format!("{name}:{times} "));
                }
            }
            fact!(
                "fuzz.interface",
                name = interface.name,
                methods = of.len(),
                called ~ count(0),
                answered ~ count(1),
                calls ~ calls,
                refused ~ refused.trim_end()
            );
        }
    }

    /// States what was covered.
    fn close(&self) {
        let called = self.seen.iter().filter(|seen| seen[0] > 0).count();
        let answered = self.seen.iter().filter(|seen| seen[1] > 0).count();
        let calls: u64 = self.seen.iter().map(|seen| seen[0]).sum();
        let mut never = String::new();
        for (at, interface) in methods::ALL.iter().enumerate() {
            for (method, of) in interface.methods.iter().enumerate() {
                if self.seen[plan::number_of(at, method)][0] == 0 && never.len() < 300 {
                    never.push_str(interface.name);
                    never.push('.');
                    never.push_str(of.name);
                    never.push(' ');
                }
            }
        }
        self.close_interfaces();
        fact!("fuzz.never-called", methods ~ never.trim_end());
        fact!("fuzz.end", methods = self.seen.len(), called ~ called, answered ~ answered, calls ~ calls);
    }
}

impl Ends {
    fn count(&mut self, ended: &Ended) {
        match ended.kind {
            "exited" => self.exited += 1,
            "killed" => self.killed += 1,
            "faulted" => self.faulted += 1,
            _ => self.panicked += 1,
        }
    }
}

/// An attacker that is about to be started.
struct Start {
    plan: Plan,
    grants: Vec<(&'static str, u64)>,
    caps: Vec<CapArg>,
    limits: Limits,
    facet: Option<Probe>,
}

impl Start {
    fn new(plan: &Plan) -> Self {
        Self {
            plan: *plan,
            grants: Vec::new(),
            caps: Vec::new(),
            limits: Limits::default(),
            facet: None,
        }
    }

    fn give<I: Interface<rt::Cap>>(&mut self, name: &'static str, client: &I) {
        self.grants.push((name, I::INTERFACE_ID));
        self.caps.push(CapArg::copy(client.object().handle()));
    }

    fn start(self, kit: &Kit) -> Result<ProcessHandle, Refusal> {
        let words = self.plan.words();
        let mut arguments: Vec<&str> = Vec::from(["attack"]);
        arguments.extend(words.iter().map(String::as_str));
        let grants: Vec<Grant<'_>> = (0..)
            .zip(&self.grants)
            .map(|(transfer, (name, interface_id))| Grant {
                name,
                interface_id: *interface_id,
                transfer,
                handle: 0,
            })
            .collect();
        let started = kit.spawner.spawn(
            "attack",
            IMAGE,
            &arguments,
            &self.limits,
            &grants,
            &self.caps,
        )?;
        Ok(started.process)
    }
}
