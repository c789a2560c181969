//! A program that never stops at the highest priority, for a while.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Env, Error, Timer, fact};

sdk::entry!(main);

/// How long it lets others come up.
const PAUSE_NS: u64 = 1_500_000_000;
/// How long it spins.
const SPIN_NS: u64 = 12_000_000_000;

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    timer.sleep(timer.now()?.ns + PAUSE_NS)?;
    fact!("spin.begun");
    let until = timer.now()?.ns + SPIN_NS;
    while timer.now()?.ns < until {
        (0..10_000).for_each(|_| core::hint::spin_loop());
    }
    fact!("spin.over");
    Ok(())
}
