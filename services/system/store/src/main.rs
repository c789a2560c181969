//! The store: the capOS volume of one disk, to be read and written.
//!
//! Owns one volume: `volume-core` keeps it, `volume-disk` holds what is not yet durable, `volume` serves it. Invariant: it
//! never formats a disk, never writes to one that it refuses, and never answers a sync before the disk has flushed what was
//! answered before.
//!
//! A volume is mounted when somebody first asks for it, and looked for anew where there was none: a disk that comes late, or a
//! provider that was restarted, needs nobody's help. Changes are committed at a sync, when many have come together, and some
//! seconds after the first.
//!
//! Arguments: `readonly` never writes. What names a device, a disk and a partition (`partition::Selector`) says where the volume must be: where it
//! is not, none is mounted, whatever else the disk holds.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod keep;
mod live;
mod objects;
mod options;
mod paths;
mod stat;
mod tree;

use sdk::{Endpoint, Env, Error, Refusal, exit};

use options::Options;
use tree::Store;
use volume::Server;

sdk::entry!(main);

/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;

fn main(env: &Env) -> Result<(), Error> {
    let options = match Options::read(env) {
        Ok(options) => options,
        Err(what) => exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let endpoint: Endpoint = env.get("endpoint")?;
    let clocks = (env.get("timer")?, env.get("wallClock").ok());
    let store = Store::new(env.get("block").ok(), clocks, options);
    let mut server = Server::new(env.get("endpoint")?, store);
    let over: Refusal = sdk::serve(sdk::Interface::object(&endpoint), &mut server);
    Err(over.into())
}
