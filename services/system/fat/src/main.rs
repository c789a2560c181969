//! The service of volumes that others wrote: FAT, exFAT, ext2, ext3 and ext4.
//!
//! Owns one block device's volume and serves it through `volume`; the logic is in `fat-core`, the formats in crates of their own. Invariant: it never writes to the device, and never parses memory that a client or the provider can write.
//!
//! A volume is mounted when somebody first asks for it, and anew after it could not be: a disk that comes late, or a provider
//! that was restarted, needs nobody's help. Both are said in the log.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod disk;
mod shelf;
mod tree;

use sdk::{Endpoint, Env, Error, Refusal};

use tree::Fat;
use volume::Server;

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut server = Server::new(env.get("endpoint")?, Fat::new(env.get("block").ok()));
    let over: Refusal = sdk::serve(sdk::Interface::object(&endpoint), &mut server);
    Err(over.into())
}
