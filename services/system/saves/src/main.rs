//! Saving, for applications: `SaveStore` and `Capsules`, a facet for each export.
//!
//! Owns which facet stands for which profile, and the way to a bridge; `save-core` knows what saving means. Invariant: it never
//! takes a tenant or a profile from a client, never says that something is saved before the store has said so, never makes
//! a retry key: what a client asks for again is the same call to the store; and never tells anybody what lies in the volume's `keys`.
//!
//! Arguments, the first where saves lie, then one for each export, in their order:
//!
//! ```text
//! memory                        in this process, gone with it
//! bridge at=10.0.2.2 port=80    at a bridge, over the network
//! volume partition=2            on the capOS volume of a disk; `partition` where it has several
//! volume at=10.0.2.2 port=80    the same, and brought to a bridge whenever there is a way
//! facet tenant=HEX profile=HEX  32 digits each; in memory and on a volume
//! facet token=TEXT              at a bridge: what it knows the facet by; `~` stands for a space
//! facet tenant=HEX profile=HEX key=NAME   on a volume and at a bridge: the token is what the volume's file `keys/NAME` says
//! capsules of=N content=N key=NAME   `Capsules` of what the Nth export saves, counted from 0; the secret lies in `keys/NAME`
//! capsules of=N content=N secret=HEX    the same, in memory; 64 digits
//! ```
//!
//! `schema=N` and `epoch=N` of a facet are the application's, 1 unless told otherwise. `bytes=N` and `slots=N` together bound what a facet
//! may have on a volume.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod answer;
mod disk;
mod kept;
mod near;
mod options;
mod pace;
mod sealer;
mod server;
mod way;

use sdk::alloc::rc::Rc;
use sdk::{Endpoint, Env, Error, Interface, exit};

use disk::Disk;
use near::Near;
use options::{Export, Facet, Options, Place, Whose};
use server::{Server, Stores};
use way::Way;

sdk::entry!(main);

/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;

/// The disk, of which each facet may have what its argument says.
fn bounded(disk: Disk, exports: &[Export]) -> Disk {
    for export in exports {
        if let Export::Facet(Facet {
            whose: Whose::Scope(scope) | Whose::Key(scope, _),
            bounds: Some(bounds),
            ..
        }) = export
        {
            disk.bound(*scope, *bounds);
        }
    }
    disk
}

fn main(env: &Env) -> Result<(), Error> {
    let options = match Options::read(env.arguments()) {
        Ok(options) => options,
        Err(what) => exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let endpoint: Endpoint = env.get("endpoint")?;
    let stores = match options.place {
        Place::Memory => Stores::Here {
            near: Near::Memory(Rc::default()),
            way: None,
            timer: None,
        },
        Place::Bridge(bridge) => Stores::Bridge(Way::new(env, bridge)?),
        Place::Volume { partition, bridge } => Stores::Here {
            near: Near::Disk(bounded(
                Disk::new(env.get("block")?, partition),
                &options.exports,
            )),
            way: bridge.map(|bridge| Way::new(env, bridge)).transpose()?,
            timer: Some(env.get("timer")?),
        },
    };
    let has_capsules = |export: &Export| matches!(export, Export::Capsules(_));
    let entropy = match options.exports.iter().any(has_capsules) {
        true => Some(env.get("entropySource")?),
        false => None,
    };
    let mut server = Server::new(options.exports, stores, entropy);
    let over = sdk::serve(Interface::object(&endpoint), &mut server);
    Err(over.into())
}
