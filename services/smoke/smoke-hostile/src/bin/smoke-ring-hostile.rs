//! Is a hostile process refused or ended, whatever it tries, while the kernel and its neighbours go on?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};

use sdk::{
    Access, Endpoint, Env, Error, Lifetime, MemoryObject, Timer, VirtualMemory, Window, alloc,
    alloc::string::{String, ToString},
    fact,
};
use smoke::{Ended, Kit, Probe, give, memory_word, mint, role, serve_probe, wait_until};
use smoke_hostile::attack::{ATTACKS, flood, operations, threads_and_memory};

sdk::entry!(main);

const IMAGE: &str = "smoke-ring-hostile";
/// Words of the bystander's own memory.
const OWN_WORDS: usize = 16 * 1024;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        None => ask(env),
        Some("bystander") => stand_by(env),
        Some("server") => serve_probe(env, ()),
        Some("refusals") => {
            operations(env);
            threads_and_memory(env)?;
            flood();
            Ok(())
        }
        Some(name) => {
            let attack = ATTACKS.iter().find(|attack| attack.name == name);
            let said = attack.map_or("no such attack", |attack| (attack.run)(env));
            sdk::exit(0, format_args!("{said}"))
        }
    }
}

/// A page that the bystander and the one who asks share: beats, and whether to stop.
struct Shared {
    _window: Window,
    beats: &'static AtomicU32,
    stop: &'static AtomicU32,
}

impl Shared {
    fn map(memory: MemoryObject) -> Result<Self, Error> {
        let address = memory.map(0, 4096, 3)?.address;
        let window = Window::map(memory, 4096, Access::ReadWrite)?;
        // SAFETY: mapped above, and never unmapped.
        let (beats, stop) = unsafe { (memory_word(address), memory_word(address + 4)) };
        Ok(Self {
            _window: window,
            beats,
            stop,
        })
    }
}

/// Lives beside the attacks, and looks after its own memory.
fn stand_by(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let shared = Shared::map(env.get("memory")?)?;
    let pattern = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let own: alloc::vec::Vec<u64> = (0..OWN_WORDS).map(pattern).collect();
    while shared.stop.load(Ordering::Acquire) == 0 {
        timer.sleep(timer.now()?.ns + 500_000)?;
        shared.beats.fetch_add(1, Ordering::AcqRel);
    }
    let intact = (0..OWN_WORDS).all(|at| own[at] == pattern(at));
    sdk::exit(0, format_args!("memory intact: {intact}"))
}

/// What came of an attack: the rule that ended it, or what it says itself.
fn story(ended: &Ended) -> String {
    let how = ended.text.split(' ').nth(1).unwrap_or_default();
    match (ended.kind, ended.rule()) {
        ("faulted", "page-fault") => alloc::format!("page-fault {how}"),
        ("faulted", rule) => rule.to_string(),
        _ => ended.text.clone(),
    }
}

/// Attacks in a row that ended alike: they share a fact.
#[derive(Default)]
struct Alike {
    kind: &'static str,
    why: String,
    attacks: String,
}

impl Alike {
    fn add(&mut self, attack: &str, ended: &Ended) {
        let why = story(ended);
        if ended.kind != self.kind || why != self.why {
            self.state();
            *self = Self {
                kind: ended.kind,
                why,
                attacks: String::new(),
            };
        }
        if !self.attacks.is_empty() {
            self.attacks.push(' ');
        }
        self.attacks.push_str(attack);
    }

    fn state(&self) {
        if !self.attacks.is_empty() {
            fact!(
                "hostile.ended",
                kind = self.kind,
                why = self.why.as_str(),
                attacks = self.attacks.as_str()
            );
        }
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, IMAGE)?;
    let vm: VirtualMemory = env.get("vm")?;
    let memory = vm.create_memory(4096)?.memory;
    let bystander = kit.start(
        "bystander",
        &[give("timer", &kit.timer), give("memory", &memory)],
    )?;
    let shared = Shared::map(memory)?;
    let endpoint: Endpoint = kit.endpoints.create()?.endpoint;
    let server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let probe: Probe = mint(&endpoint, 1, Lifetime::Durable)?;

    let console: sdk::Console = env.get("console")?;
    let refusals = kit.run("refusals", &[give("console", &console)])?;
    fact!("refused.ended", kind = refusals.kind, code = refusals.code);

    let (mut answered, mut beating) = (0, 0);
    let mut alike = Alike::default();
    for attack in ATTACKS {
        let ended = kit.run(
            attack.name,
            &[
                give("probe", &probe),
                give("endpointFactory", &kit.endpoints),
            ],
        )?;
        alike.add(attack.name, &ended);
        let before = shared.beats.load(Ordering::Acquire);
        beating += u32::from(wait_until(&kit, || {
            shared.beats.load(Ordering::Acquire) != before
        }));
        answered += u32::from(
            probe
                .with_deadline(kit.after_ms(2000)?)
                .words(20, 22)
                .is_ok_and(|words| words.sum == 42),
        );
    }
    alike.state();
    shared.stop.store(1, Ordering::Release);
    let ended = kit.ended(&bystander)?;
    fact!(
        "hostile.bystander",
        attacks = ATTACKS.len(),
        beats_after = beating,
        kind = ended.kind,
        text = ended.text.as_str(),
        beats ~ shared.beats.load(Ordering::Acquire)
    );
    fact!(
        "hostile.server",
        attacks = ATTACKS.len(),
        answered_after = answered,
        alive = server.info()?.alive
    );
    Ok(())
}
