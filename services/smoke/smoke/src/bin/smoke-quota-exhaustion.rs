//! Is everything bounded that a process can make the kernel hold, and does nobody else notice who runs into a bound?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::schema::smoke::probe::method;
use sdk::{
    Cap, Endpoint, Env, Error, Interface, Lifetime, Object, Refusal, ThreadOptions, Timer, fact,
    spawn_thread,
};
use smoke::{Kit, Probe, Prober, give, mint, outcome, raw, role, serve_probe};

sdk::entry!(main);

/// A client of the program's own address space.
type VirtualMemory = virtual_memory::Client<Cap>;

/// What the greedy process may have.
const LIMITS: Limits = Limits {
    memory_pages: 512,
    handles: 40,
    threads: 4,
    endpoints: 3,
    facets: 6,
    priority: 16,
    restarts: 0,
    fpu: false,
    distrusting: false,
    stack_pages: 0,
    area_pages: 0,
    cpu_per_mille: 0,
};
/// Nothing is asked for more often than this: a bound that does not hold ends the attempt too.
const ATTEMPTS: usize = 5000;
/// Calls of `sleep` that give up at once.
const SLEEPERS: u64 = 10_000;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        // Who is greedy has ended by then: the calls that it left are let go.
        Some("server") => serve_probe(env, |state: &mut Prober, _: u64, _: u64| {
            Ok(state.held.drain(..).count() as u64)
        }),
        Some("greedy") => be_greedy(env),
        _ => ask(env),
    }
}

/// Takes until it is refused. What was taken, and why there is no more.
fn take<T>(mut one: impl FnMut() -> Result<T, Refusal>) -> (Vec<T>, &'static str) {
    let mut taken = Vec::new();
    while taken.len() < ATTEMPTS {
        match one() {
            Ok(next) => taken.push(next),
            Err(refusal) => return (taken, refusal.name()),
        }
    }
    (taken, "none")
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-quota-exhaustion")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let _server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;
    let shared = mint(&endpoint, 2, Lifetime::Durable)?;
    // The whole of it once before counting: what the kernel keeps for later is there then.
    let run = |console: Option<&sdk::Console>| -> Result<(i64, u64), Refusal> {
        let mut given = Vec::from([
            give("endpointFactory", &kit.endpoints),
            give("processSpawner", &kit.spawner),
            give("systemInfo", &kit.info),
            give("timer", &kit.timer),
            give("probe", &shared),
        ]);
        given.extend(console.map(|console| give("console", console)));
        let greedy = kit.start_within("greedy", &LIMITS, &[], &given)?;
        let code = kit.ended(&greedy)?.code;
        Ok((code, probe.act(0, 0)?.word))
    };
    run(None)?;
    let before = kit.free_kib()?;
    let (code, held) = run(Some(&env.get("console")?))?;
    let middle = kit.free_kib()?;
    // What is lost is lost each time.
    run(None)?;
    let after = kit.free_kib()?;
    let kept = (before as i64 - middle as i64).min(middle as i64 - after as i64);
    let answered = probe.words(1, 2)?;
    fact!(
        "quota.others",
        greedy = code,
        kept_kib = kept,
        server = answered.sum == 3,
        calls_held = held
    );
    Ok(())
}

fn be_greedy(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-quota-exhaustion")?;
    let vm: VirtualMemory = env.get("vm")?;
    let probe: Probe = env.get("probe")?;
    memory(&vm)?;
    handles(&vm)?;
    mappings(&vm)?;
    threads(&kit)?;
    endpoints(&kit)?;
    facets(&kit)?;
    calls(&kit, &probe)?;
    timers(&kit, u64::from(env.get::<sdk::Console>("console").is_ok()))
}

fn memory(vm: &VirtualMemory) -> Result<(), Error> {
    let (taken, why) = take(|| vm.map(16 * 4096, 3));
    for mapped in &taken {
        vm.unmap(mapped.address, 16 * 4096)?;
    }
    let again = take(|| vm.map(16 * 4096, 3)).0;
    let whole = outcome(&vm.map(1 << 40, 3));
    for mapped in &again {
        vm.unmap(mapped.address, 16 * 4096)?;
    }
    fact!(
        "quota.memory",
        refused = why,
        some = taken.len() > 8,
        as_many_again = again.len() == taken.len(),
        whole = whole
    );
    Ok(())
}

fn handles(vm: &VirtualMemory) -> Result<(), Error> {
    let memory = vm.create_memory(4096)?.memory;
    let (taken, why) = take(|| memory.read_only());
    let still = outcome(&memory.info());
    let count = taken.len();
    drop(taken);
    let again = take(|| memory.read_only()).0.len();
    fact!(
        "quota.handles",
        refused = why,
        taken = count,
        again = again,
        others = still
    );
    Ok(())
}

/// The pages are there already; what a mapping costs beside them, its record and its page tables, is bounded too.
fn mappings(vm: &VirtualMemory) -> Result<(), Error> {
    const BYTES: u64 = 128 * 4096;
    let memory = vm.create_memory(BYTES)?.memory;
    let (taken, why) = take(|| memory.map(0, BYTES, 1));
    for mapped in &taken {
        memory.unmap(mapped.address)?;
    }
    fact!(
        "quota.mappings",
        refused = why,
        some = taken.len() > 8,
        after = outcome(&vm.map(4096, 3))
    );
    Ok(())
}

fn threads(kit: &Kit) -> Result<(), Error> {
    let until = kit.after_ms(30)?;
    let timer = kit.timer.object().handle();
    let mut options = ThreadOptions {
        stack_bytes: 8192,
        ..ThreadOptions::default()
    };
    options.shape.message_bytes = 4096;
    let start = || {
        spawn_thread(options, move || {
            // Refused or not, it ends.
            let _ = Timer::from_object(Cap::borrowed(timer)).sleep(until);
        })
    };
    let (taken, why) = take(start);
    let count = taken.len();
    for thread in taken {
        thread.join()?;
    }
    let again = start().map(|thread| thread.join());
    fact!(
        "quota.threads",
        refused = why,
        taken = count,
        again = outcome(&again)
    );
    Ok(())
}

fn endpoints(kit: &Kit) -> Result<(), Error> {
    let (taken, why) = take(|| kit.endpoints.create());
    let count = taken.len();
    drop(taken);
    fact!(
        "quota.endpoints",
        refused = why,
        taken = count,
        again = outcome(&kit.endpoints.create())
    );
    Ok(())
}

/// A facet costs until the server has heard that it is gone: minting and dropping without end fills no queue.
fn facets(kit: &Kit) -> Result<(), Error> {
    let endpoint: Endpoint = kit.endpoints.create()?.endpoint;
    let (taken, why) = take(|| mint(&endpoint, 1, Lifetime::Durable));
    let count = taken.len();
    drop(taken);
    let unheard = outcome(&mint(&endpoint, 1, Lifetime::Durable));
    drop(endpoint);
    let endpoint = kit.endpoints.create()?.endpoint;
    fact!(
        "quota.facets",
        refused = why,
        taken = count,
        unheard = unheard,
        again = outcome(&mint(&endpoint, 1, Lifetime::Durable))
    );
    Ok(())
}

/// Submissions wait in the ring until a completion slot is free for them.
fn calls(kit: &Kit, probe: &Probe) -> Result<(), Error> {
    let call = Submission {
        opcode: opcode::CALL,
        method: method::HOLD,
        handle: probe.object().handle(),
        deadline_ns: NEVER,
        words: [
            span(raw::SAFE_OFFSET, 16),
            span(raw::SAFE_OFFSET + 64, 64),
            0,
            0,
        ],
        ..Submission::default()
    };
    raw::put(raw::SAFE_OFFSET, 0);
    let (taken, submitted) = raw::flood(call, 200);
    let other = kit.timer.now().is_ok();
    fact!(
        "quota.calls",
        submitted = submitted,
        taken = taken,
        timer = other
    );
    Ok(())
}

/// A sleeper that gave up costs nothing that lasts, also where each would have woken before all others.
fn timers(kit: &Kit, round: u64) -> Result<(), Error> {
    let ends = NEVER - 1 - round * SLEEPERS;
    let give_up = |at| -> Result<bool, Error> {
        let soon = kit.timer.now()?.ns + 1000;
        let slept = kit.timer.with_deadline(soon).sleep(ends - at);
        Ok(slept == Err(Refusal::TimedOut))
    };
    // What the first sleep of a thread needs, its next ones use again.
    give_up(0)?;
    let before = kit.free_kib()?;
    let mut gave_up = 0;
    for at in 0..SLEEPERS {
        gave_up += u64::from(give_up(at)?);
    }
    let kept = before as i64 - kit.free_kib()? as i64;
    fact!("quota.timers", gave_up = gave_up, kept_kib = kept);
    Ok(())
}
