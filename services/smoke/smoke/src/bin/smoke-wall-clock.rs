//! Is the time of day what the machine's clock shows, down to the century; and who may set it, in whose name?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::process::wall_clock::{NowResults, Source};
use sdk::{Env, Error, Timer, WallClock, WallClockControl, fact};
use smoke::outcome;

sdk::entry!(main);

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2126-03-04 and 2200-01-01.
const MACHINE_DAY: i64 = 57_040 * DAY;
const TOO_LATE: i64 = 84_006 * DAY;
/// What a person sets: 2031-02-03 04:05:06.
const PERSON: i64 = 1_927_857_906 * SECOND;

fn day(now: &NowResults) -> i64 {
    now.ns.div_euclid(DAY) - MACHINE_DAY.div_euclid(DAY)
}

fn main(env: &Env) -> Result<(), Error> {
    let clock: WallClock = env.get("wallClock")?;
    let control: WallClockControl = env.get("wallClockControl")?;
    let timer: Timer = env.get("timer")?;

    let first = clock.now()?;
    let second = clock.now()?;
    fact!(
        "wall.read",
        machine = first.source == Source::MachineClock,
        days_off = day(&first),
        hour = first.ns.div_euclid(3600 * SECOND) % 24,
        changes = first.changes,
        // Both go at one rate: nothing but a setting makes the day jump against the steady clock.
        steady = second.ns - first.ns == (second.at_ns - first.at_ns) as i64
    );

    let now = timer.now()?.ns;
    let set = |ns, at, source| outcome(&control.set(ns, at, source));
    fact!(
        "wall.refused",
        none = set(PERSON, now, Source::None),
        machine = set(PERSON, now, Source::MachineClock),
        firmware = set(PERSON, now, Source::Firmware),
        early = set(-1, now, Source::Person),
        late = set(TOO_LATE, now, Source::Person),
        to_come = set(PERSON, now + 3600 * SECOND as u64, Source::Person),
        changes = clock.now()?.changes
    );

    let network = control.narrow(Source::Network)?.control;
    fact!(
        "wall.narrow",
        other = outcome(&network.set(PERSON, now, Source::Person)),
        wider = outcome(&network.narrow(Source::Person)),
        unsettable = outcome(&control.narrow(Source::MachineClock)),
        own = outcome(&network.set(MACHINE_DAY, now, Source::Network))
    );

    let at = timer.now()?.ns;
    let before = clock.now()?;
    let stepped = control.set(PERSON, at, Source::Person)?.stepped_ns;
    let after = clock.now()?;
    fact!(
        "wall.set",
        network = before.source == Source::Network,
        person = after.source == Source::Person,
        changes = after.changes,
        exact = after.ns == PERSON + (after.at_ns - at) as i64,
        stepped = stepped == (after.ns - before.ns) - (after.at_ns - before.at_ns) as i64,
        set_between = at <= after.set_ns && after.set_ns <= after.at_ns,
        // Deadlines know nothing of it.
        timer = timer.now()?.ns >= at && timer.now()?.ns < at + 600 * SECOND as u64
    );
    fact!("wall.done");
    Ok(())
}
