//! Does each mistake of an author end in a line that says what was wrong, and where?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::process::entropy_source;
use sdk::{
    Answered, Call, Endpoint, EntropySource, Env, Error, Interface, ProcessTracer, Received, Reply,
    Service, Timer, sleep_for,
};
use smoke::role;

sdk::entry!(main);

/// More than any service may have.
const TOO_MUCH: usize = 1 << 30;
/// Until the others have ended.
const LAST_NS: u64 = 500_000_000;
/// A process that nobody started.
const NOBODY: u64 = 99_999;

fn main(env: &Env) -> Result<(), Error> {
    match role(env).unwrap_or_default() {
        "index" => {
            let list: Vec<u32> = core::iter::repeat_n(7, 3).collect();
            let beyond = core::hint::black_box(3);
            sdk::println!("{}", list[beyond]);
        }
        "recursion" => {
            sdk::println!("{}", recurse(1));
        }
        "memory" => {
            let list: Vec<u8> = Vec::with_capacity(core::hint::black_box(TOO_MUCH));
            sdk::println!("{}", core::hint::black_box(&list).capacity());
        }
        "missing" => {
            let _: Timer = env.get("clock")?;
        }
        "interface" => {
            let granted = "console";
            let _: Timer = env.get(granted)?;
        }
        "refused" => {
            let tracer: ProcessTracer = env.get("processTracer")?;
            tracer.trace(NOBODY, 1)?;
        }
        "forgets" => {
            let endpoint: Endpoint = env.get("endpoint")?;
            return Err(sdk::serve(Interface::object(&endpoint), &mut Forgetful).into());
        }
        "asks" => {
            let random: EntropySource = env.get("random")?;
            random.fill()?;
        }
        "last" => {
            let timer: Timer = env.get("timer")?;
            sleep_for(&timer, LAST_NS)?;
        }
        _ => {}
    }
    Ok(())
}

fn recurse(depth: u64) -> u64 {
    let words = core::hint::black_box([depth; 64]);
    if words[1] == 0 {
        return 0;
    }
    recurse(depth + 1) + words[2]
}

/// Puts every call off, and the right to answer away.
struct Forgetful;

impl Service for Forgetful {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        entropy_source::dispatch(self, received, call)
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Forgetful {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        let (answered, later) = reply.defer();
        drop(later);
        answered
    }
}
