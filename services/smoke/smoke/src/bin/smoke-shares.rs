//! Does one process that takes every place to wait that it can get leave others theirs?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::process::process_spawner::Limits;
use sdk::schema::audit::hardware_audit_log;
use sdk::{Env, Error, HardwareAuditLog, Interface, Object, fact};
use smoke::{Kit, give, outcome, raw, role};

sdk::entry!(main);

/// Waits that the greedy one asks for: more than there ever were places.
const ASKED: u64 = 64;
/// Greedy ones at once.
const GREEDY: usize = 20;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("greedy") => greedy(env, Some("shares.greedy")),
        Some("quiet") => greedy(env, None),
        _ => ask(env),
    }
}

/// Asks for as many waits as its ring holds, and keeps what it gets.
fn greedy(env: &Env, fact: Option<&str>) -> Result<(), Error> {
    let log: HardwareAuditLog = env.get("log")?;
    let timer: sdk::Timer = env.get("timer")?;
    let at = raw::SAFE_OFFSET;
    // A root struct of one word: a record that never comes.
    raw::put(at, 1 << 32);
    raw::put(at + 8, u64::MAX - 1);
    for user_data in 0..ASKED {
        raw::submit(Submission {
            opcode: opcode::CALL,
            method: hardware_audit_log::method::WAIT,
            handle: log.object().handle(),
            deadline_ns: NEVER,
            user_data,
            words: [
                span(at, 16),
                span(at + 64 + user_data as u32 * 64, 64),
                0,
                0,
            ],
            ..Submission::default()
        });
    }
    raw::enter(0, NEVER);
    let mut refused = 0;
    while raw::completion().is_some() {
        refused += 1;
    }
    if fact.is_some() {
        fact!("shares.greedy", held = ASKED - refused, refused = refused);
    }
    Ok(timer.sleep(NEVER)?)
}

/// What each of many gets, out of what this one has.
const SMALL: Limits = Limits {
    memory_pages: 512,
    handles: 32,
    threads: 2,
    endpoints: 2,
    facets: 8,
    priority: 16,
    restarts: 0,
};

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-shares")?;
    let log: HardwareAuditLog = env.get("log")?;
    let console: sdk::Console = env.get("console")?;
    let given = || {
        [
            give("log", &log),
            give("timer", &kit.timer),
            give("console", &console),
        ]
    };
    let first = kit.start("greedy", &given())?;
    // It says what it got before this goes on: its fact is on the line.
    kit.pause_ms(200)?;
    let wait = || -> Result<&'static str, Error> {
        let until = kit.after_ms(50)?;
        Ok(outcome(&log.with_deadline(until).wait(u64::MAX - 2)))
    };
    fact!("shares.beside-one", keeper_waits = wait()? == "timedOut");
    first.kill()?;
    kit.ended(&first)?;
    let others = (1..GREEDY)
        .map(|_| kit.start_within("quiet", &SMALL, &[], &given()))
        .collect::<Result<sdk::alloc::vec::Vec<_>, _>>()?;
    kit.pause_ms(500)?;
    fact!("shares.beside-many", keeper_waits = wait()? == "timedOut");
    for other in &others {
        other.kill()?;
        kit.ended(other)?;
    }
    // What gave up leaves its place: many more than a share, one after the other.
    let given_up = (0..12).try_fold(0, |n, _| {
        Ok::<_, Error>(n + u32::from(wait()? == "timedOut"))
    })?;
    fact!("shares.again", timed_out = given_up);
    Ok(())
}
