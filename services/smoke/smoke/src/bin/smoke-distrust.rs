//! Is the processor told to forget what it learned of branches between accounts that distrust each other, and at no other switch?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::process::process_spawner::Limits;
use sdk::{Endpoint, Env, Error, Lifetime, MachineInspector, ProcessHandle, Refusal, Timer, fact};
use smoke::{Given, Kit, Prober, give, mint, role, serve_probe};

sdk::entry!(main);

const IMAGE: &str = "smoke-distrust";
/// Calls of a row, of which each is two switches.
const CALLS: u64 = 100;
/// Processes that begin and end.
const ENDS: u32 = 10;
/// How often two processes take turns with nothing between them but an idle processor.
const TURNS: u64 = 20;
const TURN_NS: u64 = 10_000_000;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        None => ask(env),
        // Until it is told to end.
        Some("serves") => serve_probe(env, |_: &mut Prober, _: u64, _: u64| {
            sdk::exit(0, format_args!(""))
        }),
        // A distrusting one, whose child was not said to be.
        Some("starts") => {
            let kit = Kit::new(env, IMAGE)?;
            let endpoint: Endpoint = env.get("endpoint")?;
            let child = start(
                &kit,
                "serves",
                Trust::Others,
                &[give("endpoint", &endpoint)],
            )?;
            kit.ended(&child)?;
            Ok(())
        }
        Some("sleeps") => {
            let before = barriers(env)?;
            let timer: Timer = env.get("timer")?;
            for _ in 0..TURNS {
                timer.sleep(timer.now()?.ns + 1_000_000)?;
            }
            sdk::exit(0, format_args!("barriers={}", barriers(env)? - before))
        }
        // Its turns are in the first half of each.
        Some("turns") => {
            let timer: Timer = env.get("timer")?;
            loop {
                let now = timer.now()?.ns;
                timer.sleep(now - now % TURN_NS + TURN_NS)?;
            }
        }
        Some(_) => Ok(()),
    }
}

/// Barriers so far, on all processors.
fn barriers(env: &Env) -> Result<u64, Error> {
    let inspector: MachineInspector = env.get("machineInspector")?;
    Ok(inspector.cpus(0, |results| {
        let list = results.list()?;
        Ok::<u64, Refusal>(list.iter().map(|cpu| cpu.barriers()).sum())
    })??)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Others,
    Nobody,
}

fn start(
    kit: &Kit,
    role: &str,
    trust: Trust,
    given: &[Given<'_>],
) -> Result<ProcessHandle, Refusal> {
    let limits = Limits {
        distrusting: trust == Trust::Nobody,
        ..Limits::default()
    };
    let large = Limits {
        memory_pages: 8192,
        handles: 4096,
        threads: 64,
        endpoints: 128,
        facets: 16384,
        ..limits
    };
    let limits = if role == "starts" { &large } else { &limits };
    kit.start_within(role, limits, &[], given)
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, IMAGE)?;
    calls(env, &kit)?;
    let inspector: MachineInspector = env.get("machineInspector")?;
    let sleeper = start(
        &kit,
        "sleeps",
        Trust::Nobody,
        &[
            give("timer", &kit.timer),
            give("machineInspector", &inspector),
        ],
    )?;
    let ended = kit.ended(&sleeper)?;
    fact!("distrust.alone", said = ended.text.as_str());
    ends(env, &kit)?;
    turns(env, &kit)
}

/// Calls to servers of both kinds.
fn calls(env: &Env, kit: &Kit) -> Result<(), Error> {
    for (name, role, trust) in [
        ("trusting", "serves", Trust::Others),
        ("distrusting", "serves", Trust::Nobody),
        ("of-a-distrusting-one", "starts", Trust::Nobody),
    ] {
        let endpoint = kit.endpoints.create()?.endpoint;
        let given = [
            give("endpoint", &endpoint),
            give("processSpawner", &kit.spawner),
            give("endpointFactory", &kit.endpoints),
            give("timer", &kit.timer),
            give("systemInfo", &kit.info),
        ];
        let given = if role == "starts" {
            &given[..]
        } else {
            &given[..1]
        };
        let server = start(kit, role, trust, given)?;
        let probe = mint(&endpoint, 1, Lifetime::Durable)?;
        // The first finds nobody who receives.
        probe.words(1, 2)?;
        let before = barriers(env)?;
        for nth in 0..CALLS {
            probe.words(nth, 1)?;
        }
        let more = barriers(env)? - before;
        // Whoever started the server ends behind it, so that the one end is told before the other.
        if role == "starts" {
            let _ = probe.act(0, 0);
        } else {
            server.kill()?;
        }
        kit.ended(&server)?;
        fact!("distrust.calls", server = name, barriers = more);
    }
    Ok(())
}

/// Distrusting processes that begin, and end by themselves: one barrier before each of them, and one behind.
fn ends(env: &Env, kit: &Kit) -> Result<(), Error> {
    let before = barriers(env)?;
    for _ in 0..ENDS {
        let process = start(kit, "ends", Trust::Nobody, &[])?;
        kit.ended(&process)?;
    }
    let more = barriers(env)? - before;
    // On a busy host one is interrupted on its last way, or the one before them still was on its own.
    let least = 2 * u64::from(ENDS);
    fact!(
        "distrust.ends",
        each_way = (least..=least + 4).contains(&more),
        barriers ~ more
    );
    Ok(())
}

/// A distrusting process and this one run in turns, each after the processor was idle.
fn turns(env: &Env, kit: &Kit) -> Result<(), Error> {
    let process = start(kit, "turns", Trust::Nobody, &[give("timer", &kit.timer)])?;
    let before = barriers(env)?;
    for _ in 0..TURNS {
        let now = kit.timer.now()?.ns;
        kit.timer
            .sleep(now - now % TURN_NS + TURN_NS + TURN_NS / 2)?;
    }
    let more = barriers(env)? - before;
    process.kill()?;
    kit.ended(&process)?;
    // Two for each turn, but for what the machine was late for.
    fact!(
        "distrust.turns",
        each_way = more.abs_diff(2 * TURNS) <= 4,
        barriers ~ more
    );
    Ok(())
}
