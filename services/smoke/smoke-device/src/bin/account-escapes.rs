//! Ways out of an account that were found once, and their like: minting on what was lent, memory of devices, areas of
//! threads, children.
//!
//! Each try is made by a child with an account of its own, which says how far it came and stays; then everything is
//! counted. Invariant: what it states was told by the interfaces that everybody has.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::string::ToString;
use sdk::alloc::vec::Vec;
use sdk::device::device_registry;
use sdk::process::process_spawner::Limits;
use sdk::process::thread_spawner::Shape;
use sdk::process::virtual_memory;
use sdk::{
    Bell, BellRinger, Cap, CapArg, DeviceRegistry, Endpoint, Env, Error, Interface, Layout,
    Lifetime, NEVER, Object, ProcessHandle, Refusal, Ring, ThreadOptions, ThreadSpawner, Timer,
    fact, spawn_thread,
};
use smoke::accounts::{child, kit_of, measure};
use smoke::{Ended, Given, Kit, Probe, Prober, give, mint, outcome, role, serve_probe};

sdk::entry!(main);

type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
/// What most children get, in pages: 16 MiB.
const GIVEN: u32 = 4096;
/// Facets of whoever lends an endpoint, and of each that it is lent to.
const FACETS: (u32, u32) = (100, 8);
/// Children that somebody tries to start, each with more than there is.
const TRIES: u32 = 60;
/// Set beside a count that a child reports.
const REPORTED: u64 = 1 << 63;
/// Pages of a thread's area, and what a run of so many takes.
const AREA: (u32, u32) = (17, 32);
/// Calls that wait for one device.
const CLAIMS: u64 = 40;
/// As many of them as one process may have.
const MAY_WAIT: u16 = 4;
/// Pages that a child leaves itself for more buffers.
const LEFT_PAGES: u32 = 40;
/// Pages of a buffer in one run: one more than half of what it takes.
const RUN: u64 = 513;
/// Of an image in memory.
const IMAGE_BYTES: u64 = 4 * PAGE;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("lender") => lend(env),
        Some("minter") => mint_all(env),
        Some("sink") => serve_probe(env, |_: &mut Prober, _: u64, _: u64| Ok(0)),
        Some("scattered") => buffers(env, 1 << 20, Layout::Scattered),
        Some("contiguous") => buffers(env, RUN * PAGE, Layout::Contiguous),
        Some("list") => long_list(env),
        Some("areas") => areas(env),
        Some("sleeper") => sleep(env),
        Some("nest") => nest(env),
        _ => ask(env),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "account-escapes")?;
    children(&kit, env)?;
    facets(&kit)?;
    thread_areas(&kit, env)?;
    device_memory(&kit, env)?;
    lists(&kit, env)?;
    claim_waits(&kit, env)?;
    shares(&kit)?;
    nested(&kit)
}

/// Sleeps until the time that it was given, or for good.
fn sleep(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let until = env.arguments().nth(1).and_then(|word| word.parse().ok());
    Ok(timer.sleep(until.unwrap_or(NEVER))?)
}

/// Says how far this child came, and stays.
fn report(env: &Env, count: u64) -> Result<(), Error> {
    let ringer: BellRinger = env.get("ringer")?;
    ringer.ring(REPORTED | count)?;
    sleep(env)
}

/// A child at work, and what it will report through.
struct Worker {
    process: ProcessHandle,
    bell: Bell,
}

impl Worker {
    fn start(
        kit: &Kit,
        env: &Env,
        role: &str,
        limits: &Limits,
        mut given: Vec<Given<'_>>,
    ) -> Result<Self, Error> {
        let threads: ThreadSpawner = env.get("threads")?;
        let bell = threads.bell()?.bell;
        let ringer = bell.narrow(u64::MAX)?.ringer;
        given.extend([give("ringer", &ringer), give("timer", &kit.timer)]);
        let process = kit.start_within(role, limits, &[], &given)?;
        Ok(Self { process, bell })
    }

    /// How far it came.
    fn reported(&self, kit: &Kit) -> Result<u64, Refusal> {
        let soon = kit.after_ms(20_000)?;
        let mut bits = 0;
        while bits & REPORTED == 0 {
            bits |= self.bell.with_deadline(soon).wait(u64::MAX)?.bits;
        }
        Ok(bits & !REPORTED)
    }

    fn end(self, kit: &Kit) -> Result<(), Refusal> {
        self.process.kill()?;
        kit.ended(&self.process).map(drop)
    }
}

/// Whoever mints on an endpoint that was lent to it pays, alive and ended, and nobody else has less for it for good.
fn facets(kit: &Kit) -> Result<(), Error> {
    let limits = Limits {
        facets: FACETS.0,
        ..child(2048, 600)
    };
    let given = kit_of(kit);
    let lender = kit.start_within("lender", &limits, &[], &given)?;
    let ended = kit.ended(&lender)?;
    fact!(
        "escapes.lender",
        ended = ended.kind,
        said = ended.text.as_str()
    );
    Ok(())
}

/// How many facets this process can still mint.
fn mintable(kit: &Kit) -> Result<usize, Refusal> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let mut minted = Vec::new();
    while let Ok(facet) = mint(&endpoint, 1, Lifetime::Durable) {
        minted.push(facet);
    }
    // Nobody is told of them then.
    drop(endpoint);
    Ok(minted.len())
}

fn lend(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "account-escapes")?;
    let limits = Limits {
        facets: FACETS.1,
        endpoints: 0,
        threads: 1,
        ..child(256, 64)
    };
    let (lent, other) = (
        kit.endpoints.create()?.endpoint,
        kit.endpoints.create()?.endpoint,
    );
    let sink = kit.start_within("sink", &limits, &[], &[give("endpoint", &other)])?;
    let probe = mint(&other, 1, Lifetime::Durable)?;
    let before = mintable(&kit)?;
    // All of them on one endpoint; each hands half of what it has to somebody who keeps it.
    let mut minted = Vec::new();
    let mut minters = Vec::new();
    for _ in 0..3 {
        let given = Vec::from([give("endpoint", &lent), give("probe", &probe)]);
        let minter = Worker::start(&kit, env, "minter", &limits, given)?;
        minted.push(minter.reported(&kit)?);
        minters.push(minter);
    }
    let alive = mintable(&kit)?;
    for minter in minters {
        minter.end(&kit)?;
    }
    // Nothing is left of them, also where it is not heard of yet, or somebody holds it.
    let ended = mintable(&kit)?;
    lent.renew()?;
    sink.kill()?;
    kit.ended(&sink)?;
    drop(lent);
    sdk::exit(
        0,
        format_args!(
            "before={before} each={minted:?} alive={alive} ended={ended} after={}",
            mintable(&kit)?
        ),
    )
}

fn mint_all(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let probe: Probe = env.get("probe")?;
    let mut minted = Vec::new();
    while minted.len() < 2 * FACETS.0 as usize
        && let Ok(facet) = mint(&endpoint, 7, Lifetime::Durable)
    {
        minted.push(facet);
    }
    let moved: Vec<CapArg> = minted
        .drain(minted.len() / 2..)
        .map(|facet| CapArg::moved(facet.into_object().into_handle()))
        .collect();
    let count = minted.len() + moved.len();
    probe.take(b"facets", &moved)?;
    report(env, count as u64)
}

/// A child with a device gets no more memory for it than it was given, in whatever pieces it asks for it.
fn device_memory(kit: &Kit, env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let limits = child(GIVEN, 600);
    let run = |role| -> Result<(u64, i64), Error> {
        let given = Vec::from([give("deviceRegistry", &registry)]);
        let holder = Worker::start(kit, env, role, &limits, given)?;
        let got = holder.reported(kit)?;
        let (_, difference) = measure(kit)?;
        holder.end(kit)?;
        Ok((got, difference))
    };
    // The first ones make what stays with the kernel: the ledger keeps the places of buffers.
    run("contiguous")?;
    wait_for_teardown(&registry)?;
    run("scattered")?;
    wait_for_teardown(&registry)?;
    let (lost, _) = measure(kit)?;
    let (pages, unpaid) = run("scattered")?;
    let (runs, unpaid_runs) = run("contiguous")?;
    wait_for_teardown(&registry)?;
    let (after, difference) = measure(kit)?;
    fact!(
        "escapes.device-memory",
        some = pages >= 8 && runs > 0,
        within = pages <= 15 && runs <= 3,
        unpaid = unpaid,
        unpaid_runs = unpaid_runs,
        difference_after = difference,
        kept_bytes = after as i64 - lost as i64
    );
    Ok(())
}

/// A claim waits for the end of the one before; so does the one behind it, for its own.
fn wait_for_teardown(registry: &DeviceRegistry) -> Result<(), Refusal> {
    for _ in 0..2 {
        drop(registry.claim("edu", 0)?);
    }
    Ok(())
}

/// As many buffers of a size as there are to be had.
fn buffers(env: &Env, bytes: u64, layout: Layout) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(229 << 20)?.pool;
    let mut held = Vec::new();
    while held.len() < 229
        && let Ok(more) = pool.allocate(bytes, layout)
    {
        held.push(more.buffer);
    }
    report(env, held.len() as u64)
}

/// What the kernel keeps of each buffer is paid for by whoever has them, and refused where that is not covered.
fn lists(kit: &Kit, env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let given = Vec::from([give("deviceRegistry", &registry)]);
    let holder = Worker::start(kit, env, "list", &child(GIVEN, 3000), given)?;
    let more = holder.reported(kit)?;
    let (_, unpaid) = measure(kit)?;
    holder.end(kit)?;
    wait_for_teardown(&registry)?;
    fact!(
        "escapes.lists",
        within = more < u64::from(LEFT_PAGES),
        unpaid = unpaid,
        more ~ more
    );
    Ok(())
}

/// Has nearly as many buffers as a list of a power of two has room for, and little memory left; then more buffers.
fn long_list(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let vm: VirtualMemory = env.get("vm")?;
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(64 << 20)?.pool;
    let mut held = Vec::with_capacity(2000);
    let next = || pool.allocate(PAGE, Layout::Scattered);
    while held.len() < 1015 {
        held.push(next()?.buffer);
    }
    let left = vm.map(u64::from(LEFT_PAGES) * PAGE, 3)?.address;
    while vm.map(PAGE, 3).is_ok() {}
    vm.unmap(left, u64::from(LEFT_PAGES) * PAGE)?;
    let before = held.len();
    while let Ok(more) = next() {
        held.push(more.buffer);
    }
    report(env, (held.len() - before) as u64)
}

/// While the teardown of a device goes on, one process has its share of the calls that wait for it, and no more.
fn claim_waits(kit: &Kit, env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    // On a busy machine the teardown may be over before the first call: then nobody waits, and it is tried again.
    let mut left = 16;
    let (at_once, later) = loop {
        let (at_once, later) = claims(kit, &registry)?;
        left -= 1;
        if at_once.0 == 0 || left == 0 {
            break (at_once, later);
        }
        wait_for_teardown(&registry)?;
    };
    fact!(
        "escapes.claim-waits",
        refused = at_once.1 + later.1,
        got_it = at_once.0 + later.0,
        // One of those that wait gets it. On a slow machine the device may be free before anybody has to wait.
        few_waited = later.1 < MAY_WAIT,
        otherwise = at_once.2 + later.2
    );
    Ok(())
}

/// Calls that got the device, calls that were refused because it is busy, and others.
type Ends = (u16, u16, u16);

/// Ends a claim whose teardown takes long, and calls for the device at once: what came of the calls then, and later.
fn claims(kit: &Kit, registry: &DeviceRegistry) -> Result<(Ends, Ends), Error> {
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(16 << 20)?.pool;
    let buffer = pool.allocate(16 << 20, Layout::Scattered)?.buffer;
    let mut ring = Ring::new(64, 256)?;
    for user in 0..CLAIMS {
        let claim = device_registry::ClaimParams {
            driver: "edu",
            nth: 0,
        };
        ring.call::<device_registry::call::Claim>(registry.object(), claim, user, NEVER)?;
    }
    // The device first: its end takes as long as wiping the buffer does.
    drop((device, pool, buffer));
    ring.submit();
    let count = |ring: &mut Ring| {
        let (mut got, mut busy, mut other): Ends = (0, 0, 0);
        while let Some(done) = ring.completed() {
            match done.read::<device_registry::call::Claim, _>(|claimed| drop(claimed.device)) {
                Ok(()) => got += 1,
                Err(Refusal::Busy) => busy += 1,
                Err(_) => other += 1,
            }
        }
        (got, busy, other)
    };
    let at_once = count(&mut ring);
    let answered = at_once.0 + at_once.1 + at_once.2;
    ring.wait(CLAIMS as u16 - answered, kit.after_ms(20_000)?);
    let later = count(&mut ring);
    Ok((at_once, later))
}

/// Areas of threads are paid for with what they round up to.
fn thread_areas(kit: &Kit, env: &Env) -> Result<(), Error> {
    let limits = Limits {
        threads: 240,
        ..child(GIVEN, 600)
    };
    let holder = Worker::start(kit, env, "areas", &limits, Vec::new())?;
    let threads = holder.reported(kit)?;
    let (_, unpaid) = measure(kit)?;
    holder.end(kit)?;
    fact!(
        "escapes.thread-areas",
        some = threads > 20,
        within = threads * u64::from(AREA.1) <= u64::from(GIVEN),
        unpaid = unpaid,
        threads ~ threads
    );
    Ok(())
}

fn areas(env: &Env) -> Result<(), Error> {
    // A ring of 256 submissions takes eight pages and a little.
    let message_bytes = (AREA.0 - 8) * PAGE as u32 - 2048;
    let options = ThreadOptions {
        stack_bytes: PAGE,
        shape: Shape {
            submissions: 256,
            message_bytes,
            priority: 8,
            cpu: -1,
        },
    };
    let timer: Timer = env.get("timer")?;
    let handle = timer.object().handle();
    let mut threads = 0;
    while let Ok(thread) = spawn_thread(options, move || {
        Timer::from_object(Cap::borrowed(handle)).sleep(NEVER)
    }) {
        core::mem::forget(thread);
        threads += 1;
    }
    report(env, threads)
}

/// What came of so many tries: how many succeeded, and why the last of the others did not.
fn tried(attempt: impl Fn() -> Result<(), Refusal>) -> (u32, &'static str) {
    let (mut made, mut why) = (0, "nothing");
    for _ in 0..TRIES {
        match attempt() {
            Ok(()) => made += 1,
            Err(refusal) => why = refusal.name(),
        }
    }
    (made, why)
}

/// What a small child gets.
const LITTLE: Limits = Limits {
    threads: 1,
    endpoints: 1,
    facets: 1,
    ..child(256, 64)
};

/// Nobody starts a child that has more than they have themselves, from the package or from memory, however often.
fn children(kit: &Kit, env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let image = smoke::image::make(&vm, IMAGE_BYTES)?;
    let large = Limits {
        memory_pages: 1 << 20,
        priority: 31,
        ..LITTLE
    };
    let high = Limits {
        priority: 31,
        ..LITTLE
    };
    // The handle of whatever was started is dropped at once.
    let from_package = |limits: &Limits| {
        let given = [give("timer", &kit.timer)];
        kit.start_within("sleeper", limits, &[], &given).map(drop)
    };
    let from_memory = |limits: &Limits| {
        let image = CapArg::copy(image.memory().object().handle());
        let spawned = kit
            .spawner
            .spawn_memory("escape", image, IMAGE_BYTES, &[], limits, &[], &[]);
        spawned.map(drop)
    };
    // The first of each makes what stays with this program.
    let first = (from_package(&large), from_memory(&large));
    let (before, _) = measure(kit)?;
    let package = tried(|| from_package(&large));
    let memory = tried(|| from_memory(&large));
    let high_package = tried(|| from_package(&high));
    let high_memory = tried(|| from_memory(&high));
    let (after, _) = measure(kit)?;
    fact!(
        "escapes.children",
        first = outcome(&first.0.and(first.1)),
        from_package = package.0,
        package_refused = package.1,
        from_memory = memory.0,
        memory_refused = memory.1,
        high = high_package.0 + high_memory.0,
        high_refused = high_package.1,
        high_memory_refused = high_memory.1,
        kept_bytes = after as i64 - before as i64
    );
    Ok(())
}

/// Children whose handles were dropped have what they were given until they end, and no longer.
fn shares(kit: &Kit) -> Result<(), Error> {
    let limits = Limits {
        memory_pages: 1024,
        ..LITTLE
    };
    let some = || -> Result<(u32, &'static str), Error> {
        let until = kit.after_ms(1500)?.to_string();
        let mut made = 0;
        let why = loop {
            let given = [give("timer", &kit.timer)];
            match kit.start_within("sleeper", &limits, &[&until], &given) {
                Ok(_) => made += 1,
                Err(refusal) => break refusal.name(),
            }
            if made == TRIES {
                break "nothing";
            }
        };
        kit.pause_ms(1700)?;
        Ok((made, why))
    };
    let (first, again) = (some()?, some()?);
    fact!(
        "escapes.shares",
        some = first.0 > 10,
        refused = first.1,
        same_again = again == first
    );
    Ok(())
}

/// Children of children divide what the first one got.
fn nested(kit: &Kit) -> Result<(), Error> {
    let limits = Limits {
        threads: 16,
        ..child(GIVEN, 600)
    };
    let run = || -> Result<Ended, Refusal> {
        let first = kit.start_within("nest", &limits, &[], &kit_of(kit))?;
        kit.ended(&first)
    };
    run()?;
    let (lost, _) = measure(kit)?;
    let ended = run()?;
    let (after, difference) = measure(kit)?;
    fact!(
        "escapes.nested",
        ended = ended.kind,
        said = ended.text.as_str(),
        difference_after = difference,
        kept_bytes = after as i64 - lost as i64
    );
    Ok(())
}

/// Tries to have a child with all that this one was given, then with as little less as works, and hears of the same
/// from it.
fn nest(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "account-escapes")?;
    let mine = env.arguments().nth(1).and_then(|word| word.parse().ok());
    let mine: u32 = mine.unwrap_or(GIVEN);
    let limits = |pages: u32| Limits {
        memory_pages: pages,
        threads: (pages / 256) as u16,
        endpoints: 0,
        facets: 0,
        ..child(pages, 16 + pages / 8)
    };
    let all = kit.start_within("sleeper", &limits(mine), &[], &[give("timer", &kit.timer)]);
    let all = outcome(&all);
    let half = mine / 2;
    let below = kit.start_within("nest", &limits(half), &[&half.to_string()], &kit_of(&kit));
    let below = match below {
        Ok(below) => kit.ended(&below)?.text,
        Err(refusal) => refusal.name().to_string(),
    };
    sdk::exit(0, format_args!("{all} {below}"))
}
