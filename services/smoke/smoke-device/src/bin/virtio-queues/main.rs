//! Drives every virtio device it is given by hand, through the broker alone, and tries what must be refused.
//!
//! Invariant: it never looks further than its capabilities, and states what it saw, never what it expected.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod rng;

use sdk::{Device, Env, Error, Refusal, Timer, fact};

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    for name in ["rngModern", "rngLegacy", "rngPortVectors"] {
        if let Ok(device) = env.get::<Device>(name) {
            attempt(name, rng::run(name, device, &timer));
        }
    }
    fact!("virtio.done");
    Ok(())
}

/// States why a device was given up.
fn attempt(name: &str, outcome: Result<(), Refusal>) {
    if let Err(refusal) = outcome {
        fact!("virtio.failed", device = name, refusal = refusal.name());
    }
}
