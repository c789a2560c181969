//! An account ends while a device has pages of it: who gave the account pays for them until the device has stopped.
//!
//! Invariant: what is left to give is learned by giving it, and by nothing else.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::process::process_spawner::Limits;
use sdk::{DeviceRegistry, Env, Error, Layout, NEVER, ProcessHandle, Refusal, Timer, fact};
use smoke::accounts::{child, kit_of, measure};
use smoke::{Kit, give, outcome, role, wait_until};
use smoke_rig::nvme::Rig;

sdk::entry!(main);

const PAGE: u64 = 4096;
const VERSION: u64 = 0x08;
/// What the device gets, in pages.
const TOUCHED: u32 = 2048;
/// What a child gets: nearly all that this program has, so that there is no more of it while a child's is in use.
const GIVEN: u32 = 15_200;
/// What a quarantined device may have beside: its queues.
const QUEUES: u32 = 600;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("ends") => Ok(()),
        Some(role) => hold(env, role),
        None => ask(env),
    }
}

/// Gives a device pages. Then it waits to be killed, or ends when the device has fallen silent.
fn hold(env: &Env, role: &str) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let timer: Timer = env.get("timer")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let mmio = rig.device.mmio(0)?.mmio;
    let bytes = u64::from(TOUCHED) * PAGE;
    let pool = rig.device.pool(bytes)?.pool;
    let buffer = pool.allocate(bytes, Layout::Scattered)?.buffer;
    if role == "waits" {
        timer.sleep(NEVER)?;
    }
    fact!("touched.ready");
    // No controller has version 0; a bus without one reads as ones, QEMU's as zeros.
    while !mmio
        .read(VERSION, 4)
        .is_ok_and(|read| matches!(read.value, 0 | 0xffff_ffff))
    {
        timer.sleep(timer.now()?.ns + 2_000_000)?;
    }
    // With the buffer in its hands: one that it gives back before is free.
    let _held = buffer;
    sdk::exit(0, format_args!(""))
}

fn limits(memory_pages: u32) -> Limits {
    Limits {
        threads: 4,
        ..child(memory_pages, 300)
    }
}

/// Whether there are so many pages to give.
fn gives(kit: &Kit, pages: u32) -> Result<(), Refusal> {
    let process = kit.start_within("ends", &limits(pages), &[], &[])?;
    kit.ended(&process).map(drop)
}

fn start(env: &Env, kit: &Kit, role: &str) -> Result<ProcessHandle, Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let console: sdk::Console = env.get("console")?;
    let mut given = kit_of(kit);
    given.extend([give("deviceRegistry", &registry), give("console", &console)]);
    Ok(kit.start_within(role, &limits(GIVEN), &[], &given)?)
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "touched-pages")?;
    gives(&kit, GIVEN)?;
    // A device that stops when it is told to.
    let holder = start(env, &kit, "waits")?;
    wait_until(&kit, || {
        holder.info().is_ok_and(|info| info.memory_pages > TOUCHED)
    });
    fact!("touched.held", given_again = outcome(&gives(&kit, GIVEN)));
    holder.kill()?;
    kit.ended(&holder)?;
    drop(holder);
    let back = wait_until(&kit, || gives(&kit, GIVEN).is_ok());
    let (_, difference) = measure(&kit)?;
    let again = if back {
        gives(&kit, GIVEN)
    } else {
        Err(Refusal::OverBudget)
    };
    fact!(
        "touched.stopped",
        given_again = outcome(&again),
        difference = difference
    );
    // One that never does.
    let holder = start(env, &kit, "until-silent")?;
    kit.ended(&holder)?;
    drop(holder);
    kit.pause_ms(300)?;
    let (_, difference) = measure(&kit)?;
    fact!(
        "touched.silent",
        given_again = outcome(&gives(&kit, GIVEN)),
        without_pages = outcome(&gives(&kit, GIVEN - TOUCHED - QUEUES)),
        difference = difference
    );
    Ok(())
}
