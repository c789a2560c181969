//! Does everybody pay for what they cause, out of what they were given, and is nothing lost?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::{
    Cap, Endpoint, Env, Error, Interface, MemoryObject, Object, ProcessHandle, Refusal,
    ThreadOptions, Timer, fact, spawn_thread,
};
use smoke::receives::{self, PENDING, start_receiver};
use smoke::{Given, Kit, Prober, give, mint, outcome, pinned, raw, role, serve_probe, wait_until};

sdk::entry!(main);

type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
/// More than any machine that runs this has.
const TOO_MUCH: u32 = 1 << 24;
/// What one of several children gets.
const SHARE: u32 = 4096;
/// What the minter may mint.
const FACETS: u32 = 8;
/// Threads of the receiver: together they leave more RECEIVEs pending than one allocation could hold.
const RECEIVERS: u32 = 130;
/// Rounds of everything.
const ROUNDS: u32 = 12;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("sleeper") => sleep(env),
        Some("spawner") => spawn_more(env),
        Some("minter") => mint_all(env),
        Some("receiver") => receive_all(env),
        Some("server") => serve_probe(env, |_: &mut Prober, _: u64, _: u64| Ok(0)),
        Some("taker") => take_everything(env),
        Some("sum") => sum(env),
        Some("fail") => fail(env),
        Some("worker") => work(env),
        _ => ask(env),
    }
}

/// What a role needs to be a [`Kit`] itself.
fn kit_of(kit: &Kit) -> Vec<Given<'_>> {
    Vec::from([
        give("endpointFactory", &kit.endpoints),
        give("processSpawner", &kit.spawner),
        give("systemInfo", &kit.info),
        give("timer", &kit.timer),
    ])
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    children(&kit)?;
    grandchildren(&kit)?;
    facets(&kit)?;
    receives(&kit, env)
}

fn sleep(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    Ok(timer.sleep(NEVER)?)
}

/// As many children of a share each as there are shares.
fn some_children(kit: &Kit) -> Result<usize, Refusal> {
    let limits = Limits {
        memory_pages: SHARE,
        ..Limits::default()
    };
    let mut children: Vec<ProcessHandle> = Vec::new();
    while let Ok(child) = kit.start_within("sleeper", &limits, &[], &[give("timer", &kit.timer)]) {
        children.push(child);
        if children.len() > 64 {
            break;
        }
    }
    for child in &children {
        child.kill()?;
        kit.ended(child)?;
    }
    Ok(children.len())
}

fn children(kit: &Kit) -> Result<(), Error> {
    let try_with = |limits: Limits| {
        let child = kit.start_within("sleeper", &limits, &[], &[give("timer", &kit.timer)]);
        if let Ok(child) = &child {
            child.kill().ok();
            kit.ended(child).ok();
        }
        outcome(&child)
    };
    let little = Limits {
        memory_pages: 256,
        ..Limits::default()
    };
    fact!(
        "accounts.children",
        memory = try_with(Limits {
            memory_pages: TOO_MUCH,
            ..little
        }),
        priority = try_with(Limits {
            priority: 17,
            ..little
        }),
        handles = try_with(Limits {
            handles: TOO_MUCH,
            ..little
        }),
        threads = try_with(Limits {
            threads: u16::MAX,
            ..little
        }),
        endpoints = try_with(Limits {
            endpoints: u16::MAX,
            ..little
        }),
        facets = try_with(Limits {
            facets: TOO_MUCH,
            ..little
        }),
        own_priority = try_with(Limits {
            priority: 16,
            ..little
        })
    );
    let (first, again) = (some_children(kit)?, some_children(kit)?);
    fact!("accounts.shares", children = first, again = again);
    Ok(())
}

/// A child that may start processes is no way to more than its parent has.
fn grandchildren(kit: &Kit) -> Result<(), Error> {
    let limits = Limits {
        memory_pages: 1024,
        threads: 4,
        priority: 10,
        ..Limits::default()
    };
    let child = kit.start_within("spawner", &limits, &[], &kit_of(kit))?;
    let ended = kit.ended(&child)?;
    fact!(
        "accounts.grandchildren",
        child = ended.kind,
        said = ended.text.as_str()
    );
    Ok(())
}

fn spawn_more(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    let little = Limits {
        memory_pages: 256,
        handles: 64,
        threads: 1,
        endpoints: 1,
        facets: 1,
        priority: 10,
        restarts: 0,
    };
    let try_with = |limits: Limits| {
        let child = kit.start_within("sleeper", &limits, &[], &[give("timer", &kit.timer)]);
        let outcome = outcome(&child);
        if let Ok(child) = child {
            child.kill().ok();
            kit.ended(&child).ok();
        }
        outcome
    };
    let (more, higher) = (
        try_with(Limits {
            memory_pages: 1024,
            ..little
        }),
        try_with(Limits {
            priority: 11,
            ..little
        }),
    );
    let own = try_with(little);
    sdk::exit(0, format_args!("more={more} higher={higher} own={own}"))
}

/// A service that was lent an endpoint mints at its own cost.
fn facets(kit: &Kit) -> Result<(), Error> {
    let lent = kit.endpoints.create()?.endpoint;
    let other = kit.endpoints.create()?.endpoint;
    let limits = Limits {
        memory_pages: 512,
        facets: FACETS,
        ..Limits::default()
    };
    let minter = kit.start_within("minter", &limits, &[], &[give("endpoint", &lent)])?;
    let ended = kit.ended(&minter)?;
    let mut minted = Vec::new();
    for cookie in 0..64 {
        minted.extend(mint(&other, cookie, true));
    }
    fact!(
        "accounts.facets",
        minter = ended.kind,
        said = ended.text.as_str(),
        others = minted.len(),
        lender = outcome(&mint(&lent, 1, true))
    );
    Ok(())
}

fn mint_all(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut minted = 0;
    let why = loop {
        match mint(&endpoint, 7, true) {
            // Dropped at once: it costs until the server has heard of it, and nobody listens.
            Ok(_) => minted += 1,
            Err(refusal) => break refusal.name(),
        }
        if minted > 4096 {
            break "nothing";
        }
    };
    sdk::exit(0, format_args!("minted={minted} refused={why}"))
}

/// A server with more pending RECEIVEs than one piece of memory holds works as one with a single one, and one that
/// cannot pay for them is refused.
fn receives(kit: &Kit, env: &Env) -> Result<(), Error> {
    let console: sdk::Console = env.get("console")?;
    for (memory_pages, threads) in [(12_000, 200), (1024, 200)] {
        let limits = Limits {
            memory_pages,
            threads,
            ..Limits::default()
        };
        let endpoint = kit.endpoints.create()?.endpoint;
        let probe = mint(&endpoint, 1, true)?;
        let mut given = kit_of(kit);
        given.extend([give("endpoint", &endpoint), give("console", &console)]);
        let receiver = kit.start_within("receiver", &limits, &[], &given)?;
        let ended = kit.ended(&receiver)?;
        drop(probe);
        fact!(
            "accounts.receives",
            receiver = ended.kind,
            said = ended.text.as_str()
        );
    }
    Ok(())
}

fn receive_all(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut threads = 0;
    let why = loop {
        if let Err(refusal) = start_receiver(&endpoint) {
            break refusal.name();
        }
        threads += 1;
        if !wait_until(&kit, || receives::waiting().0 == threads) {
            break "silence";
        }
        if threads == RECEIVERS {
            break "nothing";
        }
    };
    let (_, waiting) = receives::waiting();
    let probe = mint(&endpoint, 5, true);
    sdk::exit(
        0,
        format_args!(
            "refused={why} some={} all={} others={}",
            waiting > 0,
            waiting == RECEIVERS * PENDING,
            probe.is_ok() || why != "nothing"
        ),
    )
}

/// Memory as the allocators see it and as the accounts do: what is lost, and the difference.
fn measure(kit: &Kit) -> Result<(u64, i64), Refusal> {
    // A processor keeps the address space that it ran last: from here on that is this one's. Then all is quiet.
    for cpu in 0..kit.info.machine()?.cpus {
        pinned(cpu as i16, || ())?.join()?;
    }
    kit.pause_ms(60)?;
    let memory = kit.info.memory()?;
    let charged = memory.total - memory.left;
    Ok((memory.lost, memory.lost as i64 - charged as i64))
}

fn sum(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    everything(&kit)?;
    everything(&kit)?;
    let (before, first) = measure(&kit)?;
    let mut while_it_runs = 0;
    let (mut after, mut last, mut grew) = (before, first, 0);
    for _ in 0..ROUNDS / 3 {
        for _ in 0..3 {
            while_it_runs += everything(&kit)?;
        }
        let (lost, difference) = measure(&kit)?;
        // A tree of the kernel has a node more or less, as its past made it; what is never given back grows each time.
        grew += u32::from(lost > after);
        (after, last) = (lost, difference);
    }
    fact!(
        "accounts.sum",
        rounds = ROUNDS,
        difference_before = first,
        difference_while_held = while_it_runs,
        difference_after = last,
        grows = grew == ROUNDS / 3,
        kept_bytes ~ after as i64 - before as i64,
        lent_bytes ~ kit.info.memory()?.lent
    );
    Ok(())
}

/// What a child gets.
fn child(memory_pages: u32, handles: u32) -> Limits {
    Limits {
        memory_pages,
        handles,
        threads: 6,
        endpoints: 5,
        facets: 20,
        priority: 16,
        restarts: 0,
    }
}

/// A round: a child that takes whatever there is and ends by itself, one that is killed while it holds it, one that
/// never gets as far. The differences between the two counts while it is held, added up.
fn everything(kit: &Kit) -> Result<u64, Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let limits = child(1500, 200);
    let vm_memory = kit.start_within(
        "sleeper",
        &Limits {
            memory_pages: 20,
            ..limits
        },
        &[],
        &[give("timer", &kit.timer)],
    );
    drop(vm_memory);
    let server = kit.start_within("server", &limits, &[], &[give("endpoint", &endpoint)])?;
    let probe = mint(&endpoint, 1, true)?;
    let mut differences = 0;
    for how in ["end", "stay"] {
        let mut given = kit_of(kit);
        given.push(give("probe", &probe));
        given.push(give("endpoint", &endpoint));
        let taker = kit.start_within("taker", &limits, &[how], &given)?;
        if how == "stay" {
            kit.pause_ms(100)?;
            differences += measure(kit)?.1.unsigned_abs();
            taker.kill()?;
        }
        kit.ended(&taker)?;
    }
    server.kill()?;
    kit.ended(&server)?;
    Ok(differences)
}

/// Takes of everything what it gets.
fn take_everything(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    let vm: VirtualMemory = env.get("vm")?;
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut objects: Vec<MemoryObject> = Vec::new();
    let mut facets = Vec::new();
    let mut endpoints = Vec::new();
    let timer = kit.timer.object().handle();
    for n in 0..3u64 {
        let sleeper = spawn_thread(ThreadOptions::default(), move || {
            Timer::from_object(Cap::borrowed(timer)).sleep(NEVER)
        });
        core::mem::forget(sleeper);
        objects.push(vm.create_memory((1 + n) * 17 * PAGE)?.memory);
    }
    while let Ok(made) = kit.endpoints.create() {
        endpoints.push(made.endpoint);
    }
    for at in 0..30 {
        let from = endpoints.get(at % 3).unwrap_or(&endpoint);
        facets.extend(mint(from, at as u64, at % 2 == 0));
    }
    // Mapped at many places, some of them taken out again.
    let mut mapped = Vec::new();
    while let Some(object) = objects.get(mapped.len() % 3)
        && let Ok(at) = object.map(0, PAGE, 1)
    {
        mapped.push(at.address);
        if mapped.len() == 400 {
            break;
        }
    }
    for address in mapped.iter().step_by(3) {
        vm.unmap(*address, PAGE)?;
    }
    let whole = vm.map(64 * PAGE, 3)?.address;
    vm.unmap(whole + 8 * PAGE, 3 * PAGE)?;
    drop(facets.pop());
    while let Ok(narrow) = objects[0].read_only() {
        objects.push(narrow.memory);
    }
    objects.truncate(100);
    if env.arguments().nth(1) == Some("stay") {
        kit.timer.sleep(NEVER)?;
    }
    Ok(())
}

/// Charges and allocations of which one is refused, in rounds whose number is the gate's and goes up to `deep`.
const FAILURES: u64 = 200;
const LAST_FAILURE: u64 = 2000;

/// One charge or allocation after the other is refused, as far as the kernel lets a program say so: the sabotage kernel
/// does. Each time somebody hears of it, and nothing is lost.
fn fail(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    let console: sdk::Console = env.get("console")?;
    let deep = env.arguments().nth(1) == Some("deep");
    work_once(&kit, &console, 0)?;
    work_once(&kit, &console, 0)?;
    let (before, first) = measure(&kit)?;
    let (mut refused, mut ended_otherwise, mut seed) = (0u64, 0u64, 7u64);
    for round in 0..if deep { LAST_FAILURE } else { FAILURES } {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // The first ones each, then here and there.
        let at = match (deep, round) {
            (true, _) => round + 1,
            (_, ..80) => round + 1,
            _ => 81 + (seed >> 33) % 700,
        };
        match work_once(&kit, &console, at)? {
            Worked::All => {}
            Worked::Refused => refused += 1,
            Worked::Ended => ended_otherwise += 1,
        }
    }
    arm(0);
    let (after, last) = measure(&kit)?;
    fact!(
        "accounts.failed",
        difference_before = first,
        difference_after = last,
        kept_bytes = after as i64 - before as i64,
        works_again = matches!(work_once(&kit, &console, 0)?, Worked::All)
    );
    fact!(
        "accounts.refusals",
        none = refused + ended_otherwise == 0,
        refused ~ refused,
        programs_ended ~ ended_otherwise
    );
    Ok(())
}

/// How the work of a round went.
enum Worked {
    All,
    Refused,
    /// The program could not go on.
    Ended,
}

/// Asks the sabotage kernel to refuse the `at`th charge or allocation from now on; 0: none.
fn arm(at: u64) {
    raw::operate(&rt::sys::Operation {
        opcode: opcode::NOP,
        handle: at,
        ..rt::sys::Operation::default()
    });
}

fn work_once(kit: &Kit, console: &sdk::Console, at: u64) -> Result<Worked, Error> {
    let limits = child(2048, 300);
    arm(0);
    let endpoint = kit.endpoints.create()?.endpoint;
    let mut given = kit_of(kit);
    given.extend([give("console", console), give("endpoint", &endpoint)]);
    arm(at);
    let worker = match kit.start_within("worker", &limits, &[], &given) {
        Ok(worker) => worker,
        Err(_) => return Ok(Worked::Refused),
    };
    let ended = match kit.ended(&worker).or_else(|_| kit.ended(&worker)) {
        Ok(ended) => ended,
        Err(_) => return Ok(Worked::Refused),
    };
    Ok(match (ended.kind, ended.code) {
        ("exited", 0) => Worked::All,
        ("exited", 3) => Worked::Refused,
        _ => Worked::Ended,
    })
}

/// Something of everything that makes the kernel hold something.
fn work(env: &Env) -> Result<(), Error> {
    let refused = match try_everything(env) {
        Ok(()) => 0,
        Err(_) => 3,
    };
    sdk::exit(refused, format_args!(""))
}

fn try_everything(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    let vm: VirtualMemory = env.get("vm")?;
    let endpoint: Endpoint = env.get("endpoint")?;
    let probe = mint(&endpoint, 1, true)?;
    let timer = kit.timer.object().handle();
    let soon = kit.after_ms(3)?;
    let receiver = endpoint.object().handle();
    let thread = spawn_thread(ThreadOptions::default(), move || {
        let timer = Timer::from_object(Cap::borrowed(timer));
        let receive = Submission {
            opcode: opcode::RECEIVE,
            handle: receiver,
            deadline_ns: soon,
            words: [0, span(1024, 64), 0, 0],
            ..Submission::default()
        };
        let (taken, _) = raw::flood(receive, 24);
        (taken == 24, timer.sleep(soon))
    })?;
    let memory = vm.create_memory(9 * PAGE)?.memory;
    let narrow = memory.read_only()?.memory;
    let mut places = Vec::new();
    for _ in 0..12 {
        places.push(memory.map(0, 2 * PAGE, 1)?.address);
    }
    for address in places {
        vm.unmap(address, PAGE)?;
    }
    let own = vm.map(40 * PAGE, 3)?.address;
    vm.unmap(own + 5 * PAGE, 3 * PAGE)?;
    vm.protect(own, PAGE, 1)?;
    let second = kit.endpoints.create()?.endpoint;
    let mut facets = Vec::new();
    for cookie in 0..8 {
        facets.push(mint(&second, cookie, true)?);
    }
    // A call that waits in a queue until it gives up, with something to carry.
    let gave_up = probe.with_deadline(kit.after_ms(2)?).words(1, 2);
    drop(facets);
    memory.revoke()?;
    drop(narrow);
    let (all, slept) = thread.join()?;
    slept?;
    match (all, gave_up.map(|_| ())) {
        (true, Ok(()) | Err(Refusal::TimedOut | Refusal::NoReply)) => Ok(()),
        (_, Err(refusal)) => Err(refusal.into()),
        _ => Err(Refusal::OverBudget.into()),
    }
}
