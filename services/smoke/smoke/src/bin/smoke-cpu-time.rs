//! Is the processor time of a process counted in its account, whether it enters the kernel or not?
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicBool, Ordering};

use sdk::{Env, Error, Refusal, Timer, fact};
use smoke::{Kit, give, pinned, role, wait_until};

sdk::entry!(main);

const MS: u64 = 1_000_000;
/// How long the one that enters the kernel works before it sleeps.
const WORK_MS: u64 = 300;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("loop") => spin(),
        Some("work") => work(env),
        _ => ask(env),
    }
}

/// Keeps processor 1 busy and never enters the kernel.
fn spin() -> Result<(), Error> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    let thread = pinned(1, || {
        while !NEVER.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
    })?;
    Ok(thread.join()?)
}

/// Works for a while, then sleeps for good.
fn work(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let until = timer.now()?.ns + WORK_MS * MS;
    while timer.now()?.ns < until {
        (0..1000).for_each(|_| core::hint::spin_loop());
    }
    Ok(timer.sleep(u64::MAX)?)
}

/// Processor time of a process that is listed: its own, and that of those below it that have ended.
fn listed(kit: &Kit, is_it: impl Fn(u64, &str) -> bool) -> Result<(u64, u64), Refusal> {
    kit.info.processes(0, |results| {
        for process in results.list()?.iter() {
            if is_it(process.id(), process.name()?) {
                return Ok((process.cpu_ns(), process.cpu_below_ns()));
            }
        }
        Err(Refusal::NotFound)
    })?
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-cpu-time")?;
    let used = |process: &sdk::ProcessHandle| process.info().map_or(0, |info| info.cpu_ns);

    // Between these two looks nothing switches on its processor.
    let looping = kit.start("loop", &[])?;
    wait_until(&kit, || used(&looping) > 20 * MS);
    let (before, from) = (used(&looping), kit.timer.now()?.ns);
    kit.pause_ms(500)?;
    let (after, to) = (used(&looping), kit.timer.now()?.ns);
    let percent = after.saturating_sub(before) * 100 / (to - from);
    let id = looping.info()?.id;
    let (in_list, _) = listed(&kit, |other, _| other == id)?;
    fact!(
        "cpu-time.running",
        counted = (80..=105).contains(&percent),
        listed = in_list >= after,
        percent ~ percent
    );

    looping.kill()?;
    kit.ended(&looping)?;
    let (_, below) = listed(&kit, |_, name| name == "smoke")?;
    let starters = below >= after;

    let working = kit.start("work", &[give("timer", &kit.timer)])?;
    kit.pause_ms(2 * WORK_MS)?;
    let first = used(&working);
    kit.pause_ms(WORK_MS)?;
    let second = used(&working);
    fact!(
        "cpu-time.past",
        starters = starters,
        asleep = first >= WORK_MS * MS * 2 / 3,
        grows = second - first > WORK_MS * MS / 10,
        ms ~ first / MS
    );
    working.kill()?;
    kit.ended(&working)?;
    Ok(())
}
