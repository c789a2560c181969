//! Is what one process rings heard by another, once, however the two race; and is only that rung which was granted?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::process::bell::{WaitParams, call};
use sdk::{Bell, BellRinger, Env, Error, Interface, NEVER, Refusal, Ring, ThreadSpawner, fact};
use smoke::{Kit, give, outcome, role};

sdk::entry!(main);

/// How often the two processes hand the bit to each other.
const ROUNDS: u64 = 20_000;
/// How many may wait at one bell.
const WAITERS: u64 = 8;
/// What the players ring.
const BALL: u64 = 1 << 7;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("partner") => partner(env),
        _ => ask(env),
    }
}

fn make(env: &Env) -> Result<Bell, Error> {
    let threads: ThreadSpawner = env.get("threads")?;
    Ok(threads.bell()?.bell)
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-bell")?;
    let bell = make(env)?;

    bell.ring(0b101)?;
    bell.ring(0b001)?;
    let first = bell.wait(0b011)?.bits;
    let second = bell.wait(u64::MAX)?.bits;
    let soon = kit.after_ms(20)?;
    let none = bell.with_deadline(soon).wait(u64::MAX);
    fact!(
        "bell.word",
        first = first,
        second = second,
        none = outcome(&none),
        empty_mask = outcome(&bell.wait(0))
    );

    let ringer = bell.narrow(0b110)?.ringer;
    let narrower = ringer.narrow(0b010)?.ringer;
    fact!(
        "bell.narrow",
        granted = outcome(&ringer.ring(0b110)),
        other = outcome(&ringer.ring(0b001)),
        narrower = outcome(&narrower.ring(0b100)),
        wider = outcome(&narrower.narrow(0b110)),
        rung = bell.wait(u64::MAX)?.bits
    );

    through_ring(&kit, &bell)?;
    play(&kit, &bell)?;

    let old = bell.narrow(1)?.ringer;
    bell.silence()?;
    let new = bell.narrow(1)?.ringer;
    fact!(
        "bell.silence",
        old = outcome(&old.ring(1)),
        old_narrows = outcome(&old.narrow(1)),
        new = outcome(&new.ring(1)),
        rung = bell.wait(u64::MAX)?.bits
    );
    Ok(())
}

/// A wait is an operation of a thread's ring like any other, and its place at the bell goes when it ends.
fn through_ring(kit: &Kit, bell: &Bell) -> Result<(), Error> {
    let mut ring = Ring::new(16, 256)?;
    for bit in 0..WAITERS {
        let params = WaitParams { mask: 1 << bit };
        ring.call::<call::Wait>(bell.object(), params, bit, NEVER)?;
    }
    ring.submit();
    let soon = kit.after_ms(20)?;
    let ninth = bell.with_deadline(soon).wait(1 << 20);
    bell.ring(0b11)?;
    ring.wait(2, NEVER);
    let (mut own, mut completed) = (0, 0);
    while let Some(completion) = ring.completed() {
        let user = completion.user();
        completed += 1;
        if completion.read::<call::Wait, _>(|results| results.bits) == Ok(1 << user) {
            own += 1;
        }
    }
    for bit in 2..WAITERS {
        ring.cancel(bit);
    }
    ring.wait(6, NEVER);
    while let Some(completion) = ring.completed() {
        drop(completion);
    }
    // Rung for those who gave up, so it stays for who comes now.
    bell.ring(1 << 5)?;
    fact!(
        "bell.ring",
        ninth = outcome(&ninth),
        completed = completed,
        own = own,
        left = bell.wait(u64::MAX)?.bits
    );
    Ok(())
}

/// Two processes on two processors hand a bit to each other, asleep in between or not.
fn play(kit: &Kit, bell: &Bell) -> Result<(), Error> {
    let ringer = bell.narrow(BALL)?.ringer;
    let partner = kit.start(
        "partner",
        &[
            give("ringer", &ringer),
            give("processSpawner", &kit.spawner),
            give("endpointFactory", &kit.endpoints),
            give("timer", &kit.timer),
            give("systemInfo", &kit.info),
            give("back", bell),
        ],
    )?;
    let late = kit.after_ms(60_000)?;
    let heard = (0..ROUNDS)
        .take_while(|_| {
            let served = bell.ring(BALL << 1);
            served.is_ok() && bell.with_deadline(late).wait(BALL).is_ok()
        })
        .count();
    let ended = kit.ended(&partner)?;
    fact!(
        "bell.play",
        rounds = ROUNDS,
        heard = heard,
        partner = ended.kind,
        code = ended.code
    );
    Ok(())
}

fn partner(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-bell")?;
    let ringer: BellRinger = env.get("ringer")?;
    let bell: Bell = env.get("back")?;
    let late = kit.after_ms(60_000)?;
    for _ in 0..ROUNDS {
        bell.with_deadline(late).wait(BALL << 1)?;
        ringer.ring(BALL)?;
    }
    match ringer.ring(BALL << 1) {
        Err(Refusal::OutOfRange) => Ok(()),
        _ => Err(Error::from(Refusal::Failed)),
    }
}
