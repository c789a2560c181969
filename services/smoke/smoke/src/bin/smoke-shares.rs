//! Does one process that takes every place to wait that it can get leave others theirs?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::process::console;
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
        Some("greedy-reader") => greedy_reader(env, Some("shares.greedy-reader")),
        Some("quiet-reader") => greedy_reader(env, None),
        _ => ask(env),
    }
}

/// Asks for as many waits as its ring holds, and keeps what it gets.
fn greedy(env: &Env, fact: Option<&str>) -> Result<(), Error> {
    let log: HardwareAuditLog = env.get("log")?;
    // A record that never comes.
    let never = [u64::MAX - 1];
    take_all(
        log.object().handle(),
        hardware_audit_log::method::WAIT,
        &never,
        fact,
    );
    Ok(env.get::<sdk::Timer>("timer")?.sleep(NEVER)?)
}

/// The same of reads of the console.
fn greedy_reader(env: &Env, fact: Option<&str>) -> Result<(), Error> {
    let console: sdk::Console = env.get("console")?;
    take_all(console.object().handle(), console::method::READ, &[], fact);
    Ok(env.get::<sdk::Timer>("timer")?.sleep(NEVER)?)
}

/// Calls a method with these words as often as the ring holds calls, and states how many of them wait.
fn take_all(handle: u64, method: u16, words: &[u64], fact: Option<&str>) {
    let at = raw::SAFE_OFFSET;
    // A root struct of these words.
    raw::put(at, (words.len() as u64) << 32);
    for (place, word) in (1..).zip(words) {
        raw::put(at + place * 8, *word);
    }
    for user_data in 0..ASKED {
        raw::submit(Submission {
            opcode: opcode::CALL,
            method,
            handle,
            deadline_ns: NEVER,
            user_data,
            words: [
                span(at, 8 + words.len() as u32 * 8),
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
    if let Some(fact) = fact {
        fact!(fact, held = ASKED - refused, refused = refused);
    }
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
    fpu: false,
    distrusting: false,
    stack_pages: 0,
    area_pages: 0,
    cpu_per_mille: 0,
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
    readers(&kit, &console)
}

/// The same of the serial line's input, on which nobody types.
fn readers(kit: &Kit, console: &sdk::Console) -> Result<(), Error> {
    let given = || [give("timer", &kit.timer), give("console", console)];
    let read = || -> Result<&'static str, Error> {
        let until = kit.after_ms(50)?;
        Ok(outcome(&console.with_deadline(until).read()))
    };
    let mut all = sdk::alloc::vec::Vec::new();
    all.push(kit.start("greedy-reader", &given())?);
    kit.pause_ms(200)?;
    fact!(
        "shares.read-beside-one",
        reader_waits = read()? == "timedOut"
    );
    for _ in 1..GREEDY {
        all.push(kit.start_within("quiet-reader", &SMALL, &[], &given())?);
    }
    kit.pause_ms(500)?;
    fact!(
        "shares.read-beside-many",
        reader_waits = read()? == "timedOut"
    );
    for one in &all {
        one.kill()?;
        kit.ended(one)?;
    }
    let given_up = (0..12).try_fold(0, |n, _| {
        Ok::<_, Error>(n + u32::from(read()? == "timedOut"))
    })?;
    fact!("shares.read-again", timed_out = given_up);
    Ok(())
}
