//! Calls every method of every capability with hostile and random arguments, from several processes and threads, while
//! processes are killed and objects revoked.
//!
//! The first process conducts: round by round it starts attacking processes with most of what it was granted, ends some
//! of them, takes things away from them, and looks afterwards whether everything else is as it was. What an attacker does
//! follows from the seed, the round, its number and the step alone. Invariant: the list of methods comes from the
//! schema, and never has to be changed here for a new one.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

mod conductor;
mod guarded;
mod lending;
mod message;
mod plan;
mod pool;
mod random;
mod worker;

use sdk::{Env, Error, Refusal, alloc::vec::Vec};
use smoke::{Prober, role, serve_probe};

use crate::plan::Plan;

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("conduct") => conductor::run(env, &Plan::read(env.arguments())),
        Some("lend") => lending::lend(env),
        Some("attack") => worker::run(env, &Plan::read(env.arguments())),
        Some("bystander") => stand_by(env),
        // Started by an attacker, with whatever it was given.
        _ => Ok(()),
    }
}

/// Words of the bystander's own memory.
const OWN_WORDS: usize = 64 * 1024;

/// A process that nobody gave a reason to suffer: it looks after its memory, and says so when asked.
fn stand_by(env: &Env) -> Result<(), Error> {
    let pattern = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let own: Vec<u64> = (0..OWN_WORDS).map(pattern).collect();
    serve_probe(env, move |_: &mut Prober, _, _| -> Result<u64, Refusal> {
        Ok((0..OWN_WORDS).filter(|at| own[*at] != pattern(*at)).count() as u64)
    })
}
