//! Does each mistake of an author end in a line that says what was wrong, and where?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::process::entropy_source;
use sdk::{
    Answered, Call, Endpoint, EntropySource, Env, Error, Interface, Late, Lifetime, ProcessTracer,
    Received, Refusal, Reply, Service, SystemInfo, Timer, fact, sleep_for,
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
        "keeps" => {
            let endpoint: Endpoint = env.get("endpoint")?;
            return Err(sdk::serve(Interface::object(&endpoint), &mut Keeper(Vec::new())).into());
        }
        "itself" => {
            let endpoint: Endpoint = env.get("endpoint")?;
            let id = entropy_source::INTERFACE_ID;
            let own = endpoint.mint(7, id, Lifetime::Incarnation)?.facet;
            let mut asker = Asker(Interface::from_object(own.into_object()));
            return Err(sdk::serve(Interface::object(&endpoint), &mut asker).into());
        }
        "asks" => {
            let random: EntropySource = env.get("random")?;
            random.fill()?;
        }
        "last" => {
            let timer: Timer = env.get("timer")?;
            sleep_for(&timer, LAST_NS)?;
            who_waits(&env.get("systemInfo")?)?;
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

/// States which processes wait for a server, and for what.
fn who_waits(info: &SystemInfo) -> Result<(), Error> {
    info.processes(0, |results| {
        for process in results.list()?.iter().filter(|one| one.waits_for() != 0) {
            let (interface, method) = (process.waits_for(), process.waits_method());
            fact!(
                "mistakes.waits",
                name = process.name()?,
                of = sdk::schema::interface_name(interface).unwrap_or("?"),
                method = sdk::schema::method_name(interface, method).unwrap_or("?"),
                itself = process.waits_for_itself()
            );
        }
        Ok::<_, Refusal>(())
    })??;
    Ok(())
}

/// Keeps the right to answer every call, and never uses it.
struct Keeper(Vec<Late<entropy_source::call::Fill>>);

impl Service for Keeper {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        entropy_source::dispatch(self, received, call)
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Keeper {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        let (answered, later) = reply.defer();
        self.0.push(later);
        answered
    }
}

/// Asks itself for what it is asked for.
struct Asker(EntropySource);

impl Service for Asker {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        entropy_source::dispatch(self, received, call)
    }
}

impl<'c> entropy_source::Server<Call<'c>> for Asker {
    fn fill(&mut self, reply: Reply<Call<'c>, entropy_source::call::Fill>) -> Answered {
        match self.0.fill() {
            Ok(words) => reply.send(words),
            Err(refusal) => reply.refuse(refusal),
        }
    }
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
