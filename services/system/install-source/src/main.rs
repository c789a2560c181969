//! The install source: the files of the medium this machine was booted from, as a read-only Volume.
//!
//! Owns the reading of the CD's file system for clients, with `iso9660-format`; sectors come through `BootMedium`, which the
//! kernel has only for a CD behind legacy IDE. Elsewhere every client is told `noDevice`, and a sentence says why.
//! Invariant: it holds no capability through which anything could be written, to the medium or to another disk; and it
//! never parses memory that a client can write.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod medium;
mod tree;

use sdk::{Endpoint, Env, Error, Interface, Refusal};

use tree::Iso;
use volume::Server;

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let files = Iso::new(env.get("medium").ok(), env.get("vm")?);
    let mut server = Server::new(env.get("endpoint")?, files);
    let over: Refusal = sdk::serve(Interface::object(&endpoint), &mut server);
    Err(over.into())
}
