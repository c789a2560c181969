//! The desk: gives the companion page of the user's browser the save capsules of one record, and restores what the page brings back.
//!
//! Owns the connections of its listener and the key that lets the page in; `saves` seals and restores, `http-head` decides what a request
//! is. Invariant: nothing but the page's files leaves without the key, and never more than capsules and their handles; no provider's
//! token, name or account is taken; what a capsule is worth is decided behind the gates of `Capsules` alone.
//!
//! Arguments: `port=N`, `hosts=HOST,...` (those that the desk is had under, `localhost:*` for any port), `record=checkpoint:NAME` or
//! `record=profile:NAME`, and `open=ADDRESS`, to which the key is added on the console. Without TLS what is sent can be read on the
//! way: see the network's guide.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod connection;
mod offered;
mod options;
mod record;
mod restoring;
mod site;

use core::cell::Cell;

use sdk::alloc::string::String;
use sdk::connections::Connections;
use sdk::{EntropySource, Env, Error, Refusal, Timer, exit, fact, println};

use options::Options;
use record::Record;
use site::Site;

sdk::entry!(main);

/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;

/// What all connections share.
struct Desk {
    site: Site,
    record: Record,
    timer: Timer,
    /// How many requests were for another host, from another site or without the key.
    turned_away: Cell<u64>,
}

fn main(env: &Env) -> Result<(), Error> {
    let options = match Options::read(env.arguments()) {
        Ok(options) => options,
        Err(what) => exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let entropy: EntropySource = env.get("entropySource")?;
    let key = random(&entropy)?;
    let desk = Desk {
        site: Site::new(options.hosts, key),
        record: Record::new(env.get("capsules")?, entropy, options.record),
        timer: env.get("timer")?,
        turned_away: Cell::new(0),
    };
    let (memory, listen) = (env.get("vm")?, env.get("listen")?);
    let listening = Connections::listen(&memory, &listen, options.port, connection::PARTS);
    let connections = match listening {
        Ok(connections) => connections,
        Err(refusal @ (Refusal::NoDevice | Refusal::Unreachable)) => {
            fact!("desk.absent", refusal = refusal.name());
            return Ok(desk.timer.sleep(sdk::NEVER)?);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    fact!("desk.listening", port = options.port);
    // The console alone hears the key; the log does not.
    println!("desk: open {}key={}", options.open, desk.site.key());
    Err(connections.serve(&desk.timer, &desk).into())
}

/// A random number, as it is needed for a key.
fn random(entropy: &EntropySource) -> Result<http_head::Secret, Refusal> {
    Ok(http_head::Secret(sdk::octets(entropy)?))
}

/// Bytes as they stand in JSON.
fn digits(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let pair = |byte: &u8| [digit(byte >> 4), digit(*byte)];
    bytes.iter().flat_map(pair).collect()
}
