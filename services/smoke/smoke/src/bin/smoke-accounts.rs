//! Does everybody pay for what they cause, out of what they were given, and is nothing lost?
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::{NEVER, Submission, opcode, span};
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::{
    Cap, Endpoint, Env, Error, Interface, Lifetime, MemoryObject, Object, ProcessHandle, Refusal,
    ThreadOptions, Timer, fact, spawn_thread,
};
use smoke::accounts::{child, kit_of, measure};
use smoke::receives::{self, PENDING, start_receiver};
use smoke::{Kit, Prober, give, mint, outcome, raw, role, serve_probe, wait_until};

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
        Some("last") => use_up(env),
        Some("sum") => sum(env),
        _ => ask(env),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-accounts")?;
    children(&kit)?;
    grandchildren(&kit)?;
    facets(&kit)?;
    receives(&kit, env)?;
    last_bytes(&kit)
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
        fpu: false,
        distrusting: false,
        stack_pages: 0,
        area_pages: 0,
        cpu_per_mille: 0,
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
        minted.extend(mint(&other, cookie, Lifetime::Durable));
    }
    fact!(
        "accounts.facets",
        minter = ended.kind,
        said = ended.text.as_str(),
        others = minted.len(),
        lender = outcome(&mint(&lent, 1, Lifetime::Durable))
    );
    Ok(())
}

fn mint_all(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut minted = 0;
    let why = loop {
        match mint(&endpoint, 7, Lifetime::Durable) {
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

/// Whoever has used up the last byte of its account is refused the smallest growth: nobody lends to it.
fn last_bytes(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let limits = Limits {
        memory_pages: 384,
        facets: 400,
        ..Limits::default()
    };
    let before = kit.info.memory()?.lent;
    let child = kit.start_within("last", &limits, &[], &[give("endpoint", &endpoint)])?;
    let ended = kit.ended(&child)?;
    fact!(
        "accounts.last",
        child = ended.kind,
        said = ended.text.as_str(),
        lent_bytes = kit.info.memory()?.lent - before
    );
    Ok(())
}

/// Takes pages, then facets, until there is no memory for either; then more RECEIVEs.
fn use_up(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let endpoint: Endpoint = env.get("endpoint")?;
    let mut facets = Vec::with_capacity(400);
    let receive = Submission {
        opcode: opcode::RECEIVE,
        handle: endpoint.object().handle(),
        deadline_ns: NEVER,
        words: [0, span(1024, 64), 0, 0],
        ..Submission::default()
    };
    // The first few have their places before the memory goes; the next one needs more.
    let (first, _) = raw::flood(receive, 4);
    let page = loop {
        if let Err(refusal) = vm.map(PAGE, 3) {
            break refusal.name();
        }
    };
    let facet = loop {
        match mint(&endpoint, 1, Lifetime::Durable) {
            Ok(facet) => facets.push(facet),
            Err(refusal) => break refusal.name(),
        }
    };
    let (taken, _) = raw::flood(receive, 200);
    let waiting = first + taken - core::iter::from_fn(raw::completion).count() as u32;
    sdk::exit(
        0,
        format_args!(
            "page={page} facet={facet} some_facets={} all_receives={}",
            facets.len() < 399,
            waiting == 204
        ),
    )
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
        let probe = mint(&endpoint, 1, Lifetime::Durable)?;
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
    let probe = mint(&endpoint, 5, Lifetime::Durable);
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
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;
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
        let lifetime = if at % 2 == 0 {
            Lifetime::Durable
        } else {
            Lifetime::Incarnation
        };
        facets.extend(mint(from, at as u64, lifetime));
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
