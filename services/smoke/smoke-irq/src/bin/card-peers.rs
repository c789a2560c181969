//! Claims two cards, and the second one again when the first is given back. Where it may start processes, another one asks for
//! the second card in between.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{DeviceRegistry, Env, Error, fact};
use smoke::{Kit, give, outcome, role};

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let claim = |nth| registry.claim("edu", nth).map(|claimed| claimed.device);
    if role(env).is_some() {
        return Ok(claim(1).map(drop)?);
    }
    let first = claim(0);
    if let Ok(kit) = Kit::new(env, "card-peers") {
        let other = kit.run("other", &[give("deviceRegistry", &registry)])?;
        let text = other.text.split(':').next().unwrap_or_default();
        fact!("peers.other", code = other.code, second = text);
    }
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
