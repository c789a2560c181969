//! Saving, for applications: `SaveStore`, a facet for each export.
//!
//! Owns which facet stands for which profile, and the way to a bridge; `save-core` knows what saving means. Invariant: it never
//! takes a tenant or a profile from a client, never says that something is saved before the store has said so, and never makes
//! a retry key: what a client asks for again is the same call to the store.
//!
//! Arguments, the first where saves lie, then one for each export, in their order:
//!
//! ```text
//! memory                        in this process, gone with it
//! bridge at=10.0.2.2 port=80    at a bridge, over the network
//! facet tenant=HEX profile=HEX  32 digits each; in memory
//! facet token=TEXT              what the bridge knows the facet by; `~` stands for a space
//! ```
//!
//! `schema=N` and `epoch=N` of a facet are the application's, 1 unless told otherwise.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod answer;
mod options;
mod server;
mod way;

use sdk::{Endpoint, Env, Error, Interface, exit};

use options::{Options, Place};
use server::Server;
use way::Way;

sdk::entry!(main);

/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;

fn main(env: &Env) -> Result<(), Error> {
    let options = match Options::read(env.arguments()) {
        Ok(options) => options,
        Err(what) => exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let endpoint: Endpoint = env.get("endpoint")?;
    let way = match options.place {
        Place::Memory => None,
        Place::Bridge { address, port } => Some(Way::new(env, address, port)?),
    };
    let mut server = Server::new(options.facets, way);
    let over = sdk::serve(Interface::object(&endpoint), &mut server);
    Err(over.into())
}
