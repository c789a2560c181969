//! Changes a volume without end, round by round, and says which round was synced: for whoever cuts the power meanwhile.
//!
//! Round `n` writes `data-(n mod 8)` anew, gives a file its next name, removes one, and last says `n` in `round`; so after a
//! cut the number in `round` tells what else must be there, but for what the next round had begun with. At its start it
//! compares what it finds by the same rule. A file `stop` makes it end after so many rounds, and a
//! file `expected` names the round that must have been kept. Where there is a file `fails`, the disk fails at some time: then it
//! says what it was told, and compares once more.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{format, string::String, vec, vec::Vec};
use sdk::{
    Access, Directory, Env, Error, File, Refusal, VirtualMemory, Volume, Window, fact, println,
};
use smoke::outcome;

sdk::entry!(main);

/// Bytes of a data file.
const DATA_BYTES: usize = 24 << 10;
/// Data files.
const FILES: u64 = 8;

struct Load {
    root: Directory,
    window: Window,
}

/// What a data file holds that was written in a round.
fn data(round: u64) -> Vec<u8> {
    let word = |at: u64| {
        (round << 20 | at)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes()
    };
    (0..DATA_BYTES as u64 / 8).flat_map(word).collect()
}

fn ended(number: u64) -> String {
    format!("names/round-{number}")
}

impl Load {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let file = match self.root.edit(path) {
            Err(Refusal::NotFound) => self.root.create(path)?.file,
            other => other?.file,
        };
        self.window.write(0, bytes)?;
        file.write(0, bytes.len() as u32, 0)
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        let file: File = self.root.open(path)?.file;
        let bytes = file.read(0, self.window.len() as u32, 0)?.bytes;
        let mut found = vec![0; bytes as usize];
        self.window.read(0, &mut found)?;
        Ok(found)
    }

    fn round(&self) -> Result<u64, Refusal> {
        match self.get("round") {
            Ok(bytes) => Ok(u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8]))),
            Err(Refusal::NotFound) => Ok(0),
            Err(refusal) => Err(refusal),
        }
    }

    /// The number that the host wrote into a file, if it did.
    fn number(&self, path: &str) -> Result<Option<u64>, Refusal> {
        match self.get(path) {
            Ok(text) => {
                let text = core::str::from_utf8(&text).unwrap_or_default();
                Ok(text.parse().ok())
            }
            Err(Refusal::NotFound) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether everything is there that the last whole round left, but for what the next one changes.
    fn compare(&self, round: u64) -> Result<bool, Refusal> {
        // The next round may have removed the one before these.
        for number in round.saturating_sub(2).max(1)..=round {
            let found = self.get(&format!("data-{}", number % FILES))?;
            if found != data(number) {
                return Ok(false);
            }
        }
        let has = |number| self.root.stat(&ended(number), |_| ()).is_ok();
        Ok(round == 0 || has(round) != has(round + 1))
    }

    /// What is told and what is left once the disk has failed; `synced` is the last round that was called durable.
    fn after_failure(&self, told: Refusal, synced: u64) -> Result<(), Refusal> {
        // One of them is the first to be told of what was dropped, whoever met the failure.
        let first = self.root.sync();
        let sync = self.root.sync();
        let write = self.put("after", b"nothing");
        let left = self.round()?;
        fact!(
            "load.failed",
            told = told.name(),
            sync_answered = first.is_ok() || sync.is_ok(),
            sync = outcome(&sync),
            write = outcome(&write),
            kept = left >= synced,
            whole = self.compare(left)?,
            round ~ left
        );
        Ok(())
    }

    fn step(&self, round: u64) -> Result<(), Refusal> {
        self.put(&format!("data-{}", round % FILES), &data(round))?;
        let (old, new) = (ended(round - 1), ended(round));
        match self.root.move_to(&old, &new) {
            Err(Refusal::NotFound) => match self.root.create(&new) {
                // The round that was cut had come so far.
                Err(Refusal::AlreadyExists) => {}
                other => drop(other?.file),
            },
            other => other?,
        }
        match self.root.remove(&format!("data-{}", (round + 4) % FILES)) {
            Err(Refusal::NotFound) => {}
            other => other?,
        }
        self.put("round", &round.to_le_bytes())
    }
}

fn main(env: &Env) -> Result<(), Error> {
    let volume: Volume = env.get("volume")?;
    let memory: VirtualMemory = env.get("vm")?;
    let window = memory.create_memory(DATA_BYTES as u64)?.memory;
    let window = Window::map(window, DATA_BYTES as u64, Access::ReadWrite)?;
    let root = volume.attach(window.memory().cap())?.root;
    let load = Load { root, window };
    match load.root.mkdir("names") {
        Err(Refusal::AlreadyExists) => {}
        other => other?,
    }
    let first = load.round()?;
    let whole = load.compare(first)?;
    fact!("load.found", whole = whole, round ~ first);
    if let Some(expected) = load.number("expected")? {
        fact!("load.kept", all = first >= expected, expected ~ expected);
    }
    let last = match load.number("stop")? {
        Some(rounds) => first.saturating_add(rounds),
        None => u64::MAX,
    };
    let fails = load.number("fails")?.is_some();
    for round in first + 1..=last {
        // Every third by a file's sync, the others by the directory's.
        let done = load.step(round).and_then(|()| match round % 3 {
            0 => Ok(load.root.edit("round")?.file.sync()?.group),
            _ => Ok(load.root.sync()?.group),
        });
        let group = match done {
            Err(refusal) if fails => {
                load.after_failure(refusal, round - 1)?;
                break;
            }
            other => other?,
        };
        // As often as it comes about, so it is no fact.
        println!("synced round {round}, group {group}");
    }
    fact!("load.done");
    Ok(())
}
