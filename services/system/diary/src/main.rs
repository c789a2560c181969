//! An example of an application that saves: it counts its starts and keeps a diary of them.
//!
//! Owns a profile record `starts` (how often it was started), a checkpoint `birth` (written once, at the first start) and a ledger
//! `diary` (a line for each start). `docs/guide/saving.md` goes through it. Invariant: it never writes over a version that it has not
//! read, never makes a call again with another retry key, and settles with another machine's version only after it merged it.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod saves;

use sdk::saving::save_store::{End, Expect, Kind};
use sdk::{Env, Error, Refusal, Timer, fact, println};

use saves::{Brought, Count, Saves, name};

sdk::entry!(main);

const STARTS: &str = "starts";
const BIRTH: &str = "birth";
const DIARY: &str = "diary";
/// How often it asks whether all is at the bridge before it ends, and how long it waits between.
const LOOKS: u32 = 120;
/// After so many of these it says that it waits.
const SAID: u32 = 20;
const LOOK_NS: u64 = 250_000_000;

fn main(env: &Env) -> Result<(), Error> {
    let saves = Saves::new(env)?;
    let timer: Timer = env.get("timer")?;
    let starts = begin(&saves)?;
    let lines = write(&saves, starts)?;
    fact!("diary.saved", starts = starts, lines = lines);
    let ends = bring(&saves, &timer)?;
    fact!(
        "diary.brought",
        birth = name(ends.birth.end),
        starts = name(ends.starts.end),
        lines = name(ends.lines.end)
    );
    fact!("diary.done", starts = ends.starts.near, there ~ ends.starts.far);
    Ok(())
}

/// Counts this start, on top of what was read. Returns the number.
fn begin(saves: &Saves) -> Result<u64, Refusal> {
    let put = saves.put(Kind::Checkpoint, BIRTH, (Expect::Absent, 0), b"born")?;
    // At a later start it is there already, which is no trouble.
    if !matches!(put.end, End::Done | End::Conflict) {
        fact!("diary.refused", what = BIRTH, end = name(put.end));
    }
    loop {
        let Count { value, version } = saves.count(STARTS)?;
        let value = value.saturating_add(1);
        let put = saves.put(
            Kind::Profile,
            STARTS,
            (expected(version), version),
            &value.to_le_bytes(),
        )?;
        match put.end {
            End::Done => return Ok(value),
            // Somebody else was faster: read again.
            End::Conflict => {}
            end => {
                fact!("diary.refused", what = STARTS, end = name(end));
                return Err(Refusal::NotSupported);
            }
        }
    }
}

/// What compare-and-set expects where that version was read, 0 for none.
const fn expected(version: u64) -> Expect {
    match version {
        0 => Expect::Absent,
        _ => Expect::Version,
    }
}

/// Adds a line for this start. Returns how many there are.
fn write(saves: &Saves, starts: u64) -> Result<u64, Refusal> {
    let mut length = 0;
    let line = sdk::alloc::format!("start {starts}");
    loop {
        let append = saves.append(DIARY, length, line.as_bytes())?;
        match append.end {
            End::Done => return Ok(append.number),
            // It says how many lines there are.
            End::Conflict if append.number != length => length = append.number,
            end => {
                fact!("diary.refused", what = DIARY, end = name(end));
                return Err(Refusal::NotSupported);
            }
        }
    }
}

/// What has become of everything at the bridge.
struct Ends {
    birth: Brought,
    starts: Brought,
    lines: Brought,
}

/// Waits until nothing waits any more; merges what another machine has counted.
fn bring(saves: &Saves, timer: &Timer) -> Result<Ends, Refusal> {
    let mut looks = 0;
    loop {
        let ends = Ends {
            birth: saves.brought(Kind::Checkpoint, BIRTH)?,
            starts: saves.brought(Kind::Profile, STARTS)?,
            lines: saves.brought_lines(DIARY)?,
        };
        if ends.starts.end == End::Conflict {
            merge(saves)?;
        }
        let waits = [&ends.birth, &ends.starts, &ends.lines]
            .iter()
            .any(|one| one.end == End::Unavailable);
        let is_over = !waits && ends.starts.end != End::Conflict;
        if is_over || looks == LOOKS {
            return Ok(ends);
        }
        looks += 1;
        if looks.is_multiple_of(SAID) {
            println!("diary: not everything is at the bridge yet");
        }
        sdk::sleep_for(timer, LOOK_NS)?;
    }
}

/// Another machine has counted, too: the larger count is the one that goes on.
fn merge(saves: &Saves) -> Result<(), Refusal> {
    let Some(theirs) = saves.theirs(STARTS)? else {
        // Not reached now: the end is the same at the next look.
        return Ok(());
    };
    let mine = saves.count(STARTS)?;
    let now = mine.value.max(theirs.value);
    let expect = (expected(mine.version), mine.version);
    let put = saves.put(Kind::Profile, STARTS, expect, &now.to_le_bytes())?;
    if put.end == End::Done && saves.settle(STARTS, theirs.version)? == End::Done {
        fact!(
            "diary.merged",
            mine = mine.value,
            theirs = theirs.value,
            now = now
        );
    }
    Ok(())
}
