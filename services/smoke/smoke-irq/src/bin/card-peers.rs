//! Claims two cards, and the second one again when the first is given back.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{DeviceRegistry, Env, Error, fact};
use smoke::outcome;

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("registry")?;
    let claim = |nth| registry.claim("edu", nth).map(|claimed| claimed.device);
    let first = claim(0);
    let second = claim(1);
    fact!(
        "peers.claimed",
        first = outcome(&first),
        second = outcome(&second)
    );
    drop(first);
    drop(second);
    let after = claim(1);
    fact!("peers.after", second = outcome(&after));
    Ok(())
}
