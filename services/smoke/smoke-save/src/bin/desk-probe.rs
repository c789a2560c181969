//! Saves on one machine, and waits until it is there on the other: the browser of their user carries it.
//!
//! Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::saving::save_store::{Expect, Kind};
use sdk::{Env, Error, Refusal, SaveStore, Timer, fact};
use smoke_save::{name, retry_key};

sdk::entry!(main);

const SLOT: &str = "slot-1";
/// How many saves are carried.
const SAVES: u64 = 5;
/// How often is looked.
const LOOK_NS: u64 = 50_000_000;

fn main(env: &Env) -> Result<(), Error> {
    let home: SaveStore = env.get("home")?;
    let another: SaveStore = env.get("another")?;
    let timer: Timer = env.get("timer")?;
    for save in 1..=SAVES {
        let text = text(save);
        let retry = retry_key(3, save);
        let put = home.put(
            Kind::Checkpoint,
            SLOT,
            Expect::Any,
            0,
            &retry,
            text.as_bytes(),
        )?;
        fact!("probe.put", save = save, end = name(put.end));
        let version = arrived(&another, &timer, &text)?;
        // Each restoring is a version: what was refused between made none.
        fact!("probe.arrived", save = save, version = version);
    }
    fact!("probe.done");
    Ok(())
}

fn text(save: u64) -> String {
    format!("what only capOS reads, {save}")
}

/// Waits until the other machine has that, and says as which version.
fn arrived(store: &SaveStore, timer: &Timer, text: &str) -> Result<u64, Refusal> {
    loop {
        let version = store.get(Kind::Checkpoint, SLOT, |got| {
            let mut version = 0;
            for record in got.records()?.iter() {
                if record.payload()? == text.as_bytes() {
                    version = record.version();
                }
            }
            Ok::<u64, Refusal>(version)
        })??;
        if version > 0 {
            return Ok(version);
        }
        sdk::sleep_for(timer, LOOK_NS)?;
    }
}
