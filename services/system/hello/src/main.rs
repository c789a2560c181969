//! The smallest program: prints a line, states a fact, and ends with code 0.
//!
//! Owns nothing; it is what a new service starts from. Invariant: it never needs a grant: without a console or a timer
//! it says less, and ends well all the same.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Env, Error, Timer, fact, println};

sdk::entry!(main);

fn main(env: &Env) -> Result<(), Error> {
    println!("hello from process {}", env.process());
    if let Ok(timer) = env.get::<Timer>("timer") {
        fact!("hello.time", ns ~ timer.now()?.ns);
    }
    fact!("hello.done", arguments = env.arguments().count());
    Ok(())
}
