//! The programs beside those of the smoke `fpu` that use no floating point: they share its processor, answer its calls, and look
//! where they may not.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Env, Error, Timer, spawn_thread};
use smoke::{role, serve_probe};

sdk::entry!(main);

/// Threads beside the first one.
const THREADS: usize = 32;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("spins") => spin(env),
        Some("serves") => serve_probe(env, ()),
        Some("peeks") => {
            let seen = smoke_fpu::peek();
            sdk::exit(0, format_args!("seen={seen}"))
        }
        Some("threads") => threads(env),
        _ => Ok(()),
    }
}

/// Keeps the processor busy, with a call now and then.
fn spin(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let end = timer.now()?.ns + smoke_fpu::BESIDE_NS;
    while timer.now()?.ns < end {
        (0..10_000).for_each(|_| core::hint::spin_loop());
    }
    Ok(())
}

/// Starts threads that wait, and waits for good.
fn threads(env: &Env) -> Result<(), Error> {
    for _ in 0..THREADS {
        let timer: Timer = env.get("timer")?;
        spawn_thread(sdk::ThreadOptions::default(), move || timer.sleep(u64::MAX))?;
    }
    let timer: Timer = env.get("timer")?;
    Ok(timer.sleep(u64::MAX)?)
}
