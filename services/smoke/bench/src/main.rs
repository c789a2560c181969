//! The workloads of `cargo xtask bench`.
//!
//! Owns loops around one operation each, with a mark right before and right after, and one line for each repetition.
//! Invariant: it never judges a figure and never measures time: budgets and verdicts are `xtask bench`'s.
//!
//! The arguments choose what runs: rows by name; `echo` is the server of the calls, started by the program itself.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod block;
mod calls;
mod device;
mod echo;
mod hold;
mod hold_devices;
mod hold_ended;
mod hold_killed;
mod hold_many;
mod hold_more;
mod mark;

use sdk::{Env, Error, Refusal, println};

use mark::{mark, ticks};

sdk::entry!(main);

/// Times that each loop runs; the median counts.
const REPETITIONS: u32 = 5;

fn main(env: &Env) -> Result<(), Error> {
    if env.arguments().next() == Some("echo") {
        return echo::serve(env);
    }
    match env.arguments().next() {
        Some("hold") => return device::hold(env),
        Some("hold-pages") => return hold::pages(env),
        Some("hold-handles") => return hold::handles(env),
        Some("hold-quit") => return Ok(()),
        Some("hold-timers") => return hold::timers(env),
        Some("hold-busy") => return hold_more::busy(env),
        Some("hold-panic") => return hold_more::panic(),
        Some("hold-deep") => {
            hold_more::deep(0);
            return Ok(());
        }
        Some("hold-driver") => return hold_devices::driver(env),
        Some("hold-giver") => return hold_ended::give(env),
        Some("hold-keeper") => return hold_ended::keep(env),
        Some("hold-receiving") => return hold_killed::receiving(env),
        Some("hold-sleeping") => return hold_killed::sleeping(env),
        Some("hold-spinning") => return hold_killed::spinning(env),
        Some("hold-waits") => return hold_killed::waits(env),
        Some("hold-ready") => return hold_killed::idle(env),
        Some("hold-facets") => return hold_more::facets(env),
        Some("hold-receives") => return hold_many::receives(env),
        Some("hold-notices") => return hold_many::notices(env),
        Some("hold-endpoints") => return hold_many::endpoints(env),
        Some("hold-parked") => return hold_many::parked(env),
        Some("hold-scattered") => return hold_many::scattered(env),
        _ => {}
    }
    mark::<90>();
    println!("USERSPACE tsc={}", ticks());
    if env.arguments().any(|group| group == "calls") {
        calls::run(env)?;
    }
    if env.arguments().any(|group| group == "block") {
        block::run(env)?;
    }
    if env.arguments().any(|group| group == "device") {
        device::run(env)?;
    }
    if env.arguments().any(|group| group == "domain") {
        device::domain(env)?;
    }
    if env.arguments().any(|group| group == "requests") {
        device::requests(env)?;
    }
    if env.arguments().any(|group| group == "long") {
        hold::run(env)?;
    }
    if env.arguments().any(|group| group == "long-domain") {
        hold::run_in_domain(env)?;
    }
    println!("BENCH-END");
    Ok(())
}

/// Runs `work(operations)` between marks `EVEN` and `ODD`, once to warm up and then [`REPETITIONS`] times.
fn measure<const EVEN: u32, const ODD: u32>(
    name: &str,
    operations: u32,
    mut work: impl FnMut(u32) -> Result<(), Refusal>,
) -> Result<(), Error> {
    work(operations.div_ceil(8))?;
    for repetition in 0..REPETITIONS {
        mark::<EVEN>();
        let start = ticks();
        let done = work(operations);
        let end = ticks();
        mark::<ODD>();
        done?;
        println!(
            "BENCH name={name} rep={repetition} n={operations} tsc={} ns=0 mark={EVEN}",
            end.wrapping_sub(start)
        );
    }
    Ok(())
}
