//! Does a server with more pending RECEIVEs than one piece of the kernel's memory could hold work as one with a single?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Endpoint, Env, Error, Lifetime, fact};
use smoke::receives::{self, PENDING, start_receiver};
use smoke::{Kit, mint, outcome, wait_until};

sdk::entry!(main);

const RECEIVERS: u32 = 130;

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-receives")?;
    let endpoint: Endpoint = kit.endpoints.create()?.endpoint;
    let mut answered = 0;
    for begun in 1..=RECEIVERS {
        start_receiver(&endpoint)?;
        answered += u32::from(wait_until(&kit, || receives::waiting().0 == begun));
    }
    fact!(
        "receives.pending",
        threads = answered,
        all = receives::waiting().1 == RECEIVERS * PENDING,
        memory = kit.free_kib()? > 0,
        mint = outcome(&mint(&endpoint, 5, Lifetime::Durable))
    );
    sdk::exit(0, format_args!(""))
}
