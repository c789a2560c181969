//! Does an account use as much of a processor as it was given, whatever its priority, and does it give of that on?
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicBool, Ordering};

use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::{Env, Error, ProcessHandle, Refusal, Timer, fact};
use smoke::accounts::{child, kit_of};
use smoke::{Kit, give, outcome, role};

sdk::entry!(main);

/// How long each is looked at: three periods, by a clock that counts instructions.
const WHILE_MS: u64 = 60;
/// What is given, in thousandths of the processor.
const GIVEN: u16 = 300;
/// How many share one budget.
const CROWD: usize = 3;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("loop") => spin(),
        Some("crowd") => crowd(env),
        Some("giver") => give_on(env),
        _ => ask(env),
    }
}

/// Never enters the kernel.
fn spin() -> Result<(), Error> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    while !NEVER.load(Ordering::Relaxed) {
        // No PAUSE: where instructions are counted, QEMU leaves its translated code at each.
        core::hint::black_box(());
    }
    Ok(())
}

fn limits(priority: u8, cpu_per_mille: u16) -> Limits {
    Limits {
        priority,
        cpu_per_mille,
        ..child(200, 64)
    }
}

fn used(process: &ProcessHandle) -> u64 {
    process.info().map_or(0, |info| info.cpu_ns)
}

/// How much of the processor each used for a while, in thousandths.
fn shares<const N: usize>(kit: &Kit, of: [&ProcessHandle; N]) -> Result<[u64; N], Refusal> {
    // Who has just begun has a period's time at once.
    kit.pause_ms(40)?;
    let (before, from) = (of.map(used), kit.timer.now()?.ns);
    kit.pause_ms(WHILE_MS)?;
    let (after, to) = (of.map(used), kit.timer.now()?.ns);
    let share = |at: usize| (after[at] - before[at]) * 1000 / (to - from);
    Ok(core::array::from_fn(share))
}

fn end(kit: &Kit, process: &ProcessHandle) -> Result<&'static str, Refusal> {
    process.kill()?;
    Ok(kit.ended(process)?.kind)
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-cpu-budget")?;
    let start =
        |role, priority, cpu| kit.start_within(role, &limits(priority, cpu), &[], &kit_of(&kit));
    let bystander = start("loop", 2, 0)?;
    let [alone] = shares(&kit, [&bystander])?;
    let looping = start("loop", 19, GIVEN)?;
    let [used, left] = shares(&kit, [&looping, &bystander])?;
    fact!(
        "budget.loop",
        alone = alone > 900,
        within = used <= u64::from(GIVEN) + 5,
        used_up = used >= u64::from(GIVEN) - 20,
        bystander = left >= 1000 - u64::from(GIVEN) - 50,
        used ~ used,
        left ~ left
    );
    let ended = end(&kit, &looping)?;
    let [after] = shares(&kit, [&bystander])?;
    fact!("budget.ended", looping = ended, bystander = after > 900);

    // Processes without a budget of their own share that of whoever started them.
    let crowd = start("crowd", 19, GIVEN)?;
    let [rest] = shares(&kit, [&bystander])?;
    fact!(
        "budget.crowd",
        bystander = (650..=750).contains(&rest),
        rest ~ rest
    );
    end(&kit, &crowd)?;

    let giver = start("giver", 19, GIVEN)?;
    let said = kit.ended(&giver)?;
    fact!("budget.given", giver = said.kind, said = said.text.as_str());
    end(&kit, &bystander)?;
    Ok(())
}

/// Starts some that loop, and loops.
fn crowd(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-cpu-budget")?;
    let limits = Limits {
        threads: 1,
        endpoints: 1,
        facets: 1,
        ..limits(18, 0)
    };
    let limits = Limits {
        memory_pages: 50,
        handles: 8,
        stack_pages: 4,
        area_pages: 1,
        ..limits
    };
    let mut started = Vec::new();
    for _ in 0..CROWD {
        started.push(kit.start_within("loop", &limits, &[], &[]).ok());
    }
    spin()
}

/// Gives of its budget on: what it has not it cannot give.
fn give_on(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-cpu-budget")?;
    let timer: Timer = env.get("timer")?;
    let limits = |cpu_per_mille| Limits {
        memory_pages: 50,
        handles: 8,
        threads: 1,
        endpoints: 1,
        facets: 1,
        stack_pages: 4,
        area_pages: 1,
        ..limits(18, cpu_per_mille)
    };
    let give = |cpu| kit.start_within("loop", &limits(cpu), &[], &[give("timer", &timer)]);
    let too_much = outcome(&give(GIVEN + 1));
    let first = give(200)?;
    let more = outcome(&give(GIVEN - 200 + 1));
    let own = own_limit(&kit, env.process())?;
    let [used] = shares(&kit, [&first])?;
    end(&kit, &first)?;
    let again = own_limit(&kit, env.process())?;
    sdk::exit(
        0,
        format_args!(
            "too_much={too_much} more={more} own={own} again={again} within={}",
            used <= 205
        ),
    )
}

/// What is listed of the budget of a process.
fn own_limit(kit: &Kit, id: u64) -> Result<u16, Refusal> {
    kit.info.processes(id, |results| {
        let list = results.list()?;
        let found = list.iter().find(|process| process.id() == id);
        let found = found.ok_or(Refusal::NotFound)?;
        Ok::<_, Refusal>(found.cpu_per_mille())
    })?
}
