//! One of several guests that count and write at the same bridge at once: each version and line is somebody's, once.
//!
//! Invariant: it never writes on top of what it has not read; it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::cell::Cell;

use sdk::alloc::format;
use sdk::saving::save_store::{End, Expect, Kind};
use sdk::{EntropySource, Env, Error, Refusal, SaveStore, Timer, fact};
use smoke_save::{Answered, name, until};

sdk::entry!(main);

/// So many guests, and what each does. The smoke's script starts as many.
const GUESTS: u64 = 3;
const ROUNDS: u64 = 12;
const COUNT: &str = "count";
const LINES: &str = "lines";
/// Where guests say that they are there.
const START: &str = "start";
const LOOK_NS: u64 = 100_000_000;
const LOOKS: u32 = 1200;

struct Racer {
    saves: SaveStore,
    entropy: EntropySource,
    timer: Timer,
    conflicts: Cell<u64>,
}

fn main(env: &Env) -> Result<(), Error> {
    let entropy: EntropySource = env.get("entropySource")?;
    // A random number: which guest it is.
    let who = entropy.fill()?.a;
    let racer = Racer {
        saves: env.get("one")?,
        entropy,
        timer: env.get("timer")?,
        conflicts: Cell::new(0),
    };
    racer.line(START, "here")?;
    racer.wait_for(START, GUESTS)?;
    for round in 0..ROUNDS {
        racer.count()?;
        racer.line(LINES, &format!("{who:016x} {round}"))?;
    }
    let lines = racer.wait_for(LINES, GUESTS * ROUNDS)?;
    let (version, count) = racer.read()?;
    fact!(
        "race.over",
        version = version,
        count = count,
        lines = lines,
        conflicts ~ racer.conflicts.get()
    );
    Ok(())
}

impl Racer {
    /// A key for one call, never used for another.
    fn retry(&self) -> Result<[u8; 16], Refusal> {
        let drawn = sdk::octets(&self.entropy)?;
        drawn.first_chunk().copied().ok_or(Refusal::Failed)
    }

    /// The newest version, and the count in it.
    fn read(&self) -> Result<(u64, u64), Refusal> {
        let mut found = (0, 0);
        until(&self.timer, || {
            self.saves.get(Kind::Profile, COUNT, |got| {
                if let Some(record) = got.records()?.iter().last() {
                    let count = record.payload()?.try_into().map_or(0, u64::from_le_bytes);
                    found = (record.version(), count);
                }
                Ok((got.end()?, got.detail()))
            })?
        })?;
        Ok(found)
    }

    /// Counts one on top of what was read.
    fn count(&self) -> Result<(), Refusal> {
        loop {
            let (version, count) = self.read()?;
            let expect = match version {
                0 => Expect::Absent,
                _ => Expect::Version,
            };
            let retry = self.retry()?;
            let bytes = (count + 1).to_le_bytes();
            let put = until(&self.timer, || {
                let put = self
                    .saves
                    .put(Kind::Profile, COUNT, expect, version, &retry, &bytes)?;
                Ok((put.end, put.detail))
            })?;
            if !self.is_another(put) {
                return Ok(());
            }
        }
    }

    /// Adds a line behind those that are there.
    fn line(&self, ledger: &str, text: &str) -> Result<(), Refusal> {
        let mut length = 0;
        loop {
            let retry = self.retry()?;
            let append = until(&self.timer, || {
                let append = self.saves.append(ledger, length, &retry, text.as_bytes())?;
                Ok((append.end, append.detail))
            })?;
            if !self.is_another(append) {
                return Ok(());
            }
            length = append.number;
        }
    }

    /// Whether another was faster.
    fn is_another(&self, answered: Answered) -> bool {
        if answered.end == End::Conflict {
            self.conflicts.set(self.conflicts.get() + 1);
            return true;
        }
        if answered.end != End::Done {
            fact!("race.refused", end = name(answered.end));
        }
        false
    }

    /// Waits until a ledger has so many lines, and says how many it has.
    fn wait_for(&self, ledger: &str, lines: u64) -> Result<u64, Refusal> {
        let mut there = 0;
        for _ in 0..LOOKS {
            until(&self.timer, || {
                self.saves.read_ledger(ledger, there, |page| {
                    there += page.records()?.iter().count() as u64;
                    Ok((page.end()?, page.detail()))
                })?
            })?;
            if there >= lines {
                break;
            }
            sdk::sleep_for(&self.timer, LOOK_NS)?;
        }
        Ok(there)
    }
}
