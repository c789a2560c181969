//! What keeps the kernel busy in one go though nothing of it is large by itself: lists of everything while much is held,
//! traces, the audit log, bytes as they are, ends with a story to tell, long messages with capabilities.

use sdk::alloc::{vec, vec::Vec};
use sdk::process::console;
use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::schema::bench::echo;
use sdk::{
    BootPackage, CapArg, DeviceRegistry, Endpoint, EndpointFactory, Env, Error, HardwareAuditLog,
    Interface, Lifetime, MachineInspector, NEVER, Object, ProcessHandle, ProcessSpawner,
    ProcessTracer, Refusal, Ring, SystemGraph, Timer, println,
};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

type VirtualMemory = virtual_memory::Client<sdk::Cap>;

/// Goes through a list from front to end.
fn all<F: Copy + PartialOrd + Default>(
    mut ask: impl FnMut(F) -> Result<F, Refusal>,
) -> Result<(), Error> {
    let mut from = F::default();
    loop {
        let next = ask(from)?;
        if next <= from {
            return Ok(());
        }
        from = next;
    }
}

/// Everything that an inspector sees, while a driver holds thousands of buffers, half of them mapped; and then as much
/// again of the audit log.
pub fn inspected(env: &Env, registry: &DeviceRegistry) -> Result<(), Error> {
    let inspector: MachineInspector = env.get("machineInspector")?;
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(64 * MIB)?.pool;
    let mut held = Vec::new();
    for at in 0..3000 {
        let buffer = pool.allocate(PAGE, sdk::Layout::Scattered)?.buffer;
        if at % 2 == 0 {
            buffer.map(1)?;
        }
        held.push(buffer);
    }
    all(|from| inspector.cpus(from, |list| list.next()))?;
    all(|from| inspector.charges(from, |list| list.next()))?;
    all(|from| inspector.functions(from, |list| list.next()))?;
    all(|from| inspector.claims(from, |list| list.next()))?;
    all(|from| inspector.vectors(from, |list| list.next()))?;
    all(|from| inspector.tables(from, |list| list.next()))?;
    all(|from| inspector.units(from, |list| list.next()))?;
    // Who holds what, this program's thousands of buffers among it: each asks the manager about its claim.
    let graph: SystemGraph = env.get("systemGraph")?;
    all(|from| graph.processes(from, |list| list.next()))?;
    all(|from| graph.held(env.process(), from, |list| list.next()))?;
    inspector.memory(|_| ())?;
    inspector.clock(|_| ())?;
    inspector.translation(|_| ())?;
    device.reset()?;
    device.configure()?;
    device.enable()?;
    device.reset()?;
    let package: BootPackage = env.get("bootPackage")?;
    package.images(|_| ())?;
    package.manifest()?;
    let log: HardwareAuditLog = env.get("hardwareAuditLog")?;
    log.counters(|_| ())?;
    all(|from| log.snapshot(from, 0, |read| read.next()))?;
    // Buffers go one by one, then the rest with the device.
    held.truncate(1500);
    drop(device);
    registry.claim("edu", 0)?;
    Ok(())
}

/// A process is traced with as many records as there may be, which are read, and let go.
pub fn traced(env: &Env, process: &ProcessHandle) -> Result<(), Error> {
    let tracer: ProcessTracer = env.get("processTracer")?;
    let timer: Timer = env.get("timer")?;
    let trace = tracer.trace(process.info()?.id, 4096)?.trace;
    sdk::sleep_for(&timer, 100_000_000)?;
    all(|from| trace.read(from, |read| read.next()))?;
    Ok(())
}

/// Calls a clock for good.
pub fn busy(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    loop {
        timer.now()?;
    }
}

/// As many bytes in one piece as the console takes, as they are; of all kinds.
pub fn raw(env: &Env) -> Result<(), Error> {
    let raw: console::Client<sdk::Cap> = env.get("rawConsole")?;
    for byte in [b' ', 0xc3, b'\n'] {
        let text = vec![byte; 8 << 10];
        let mut left = &text[..];
        while !left.is_empty() {
            let taken = raw.write(left)?.written as usize;
            left = left.get(taken..).unwrap_or(&[]);
            if taken == 0 {
                break;
            }
        }
    }
    raw.write(b"\n")?;
    Ok(())
}

/// Processes that end with a long story: a panic with much text, a stack that runs over, and one under a trace.
pub fn stories(
    env: &Env,
    start: impl Fn(&str) -> Result<ProcessHandle, Refusal>,
) -> Result<(), Error> {
    for role in ["hold-panic", "hold-deep"] {
        start(role)?.wait(|_| ())?;
    }
    let busy = start("hold-busy")?;
    let traced = traced(env, &busy);
    busy.kill()?;
    busy.wait(|_| ())?;
    traced
}

/// Ends with as long a text as there may be.
pub fn panic() -> Result<(), Error> {
    let text = [b'x'; 3000];
    let text = core::str::from_utf8(&text).unwrap_or_default();
    panic!("{text}")
}

/// Runs over its stack.
#[expect(unconditional_recursion, reason = "that is what it is for")]
pub fn deep(depth: u64) -> u64 {
    let place = core::hint::black_box([depth; 8]);
    deep(core::hint::black_box(depth + 1)) + place[(depth % 8) as usize]
}

/// Long messages with a capability each, which wait in an endpoint and are then dropped with it, unread.
pub fn unread(endpoints: &EndpointFactory, vm: &VirtualMemory) -> Result<(), Error> {
    let endpoint = endpoints.create()?.endpoint;
    let facet = endpoint
        .mint(1, echo::INTERFACE_ID, Lifetime::Durable)?
        .facet;
    let echo = echo::Client::<sdk::Cap>::from_object(facet.into_object());
    let mut ring = Ring::new(8, 128)?;
    let words = echo::WordsParams {
        a: 1,
        b: 2,
        c: 3,
        d: 4,
    };
    (0..8)
        .try_for_each(|user| ring.call::<echo::call::Words>(echo.object(), words, user, NEVER))?;
    ring.submit();
    drop(endpoint);
    ring.wait(8, NEVER);
    while ring.completed().is_some() {}
    // One object under as many handles as a table has room for.
    let memory = vm.create_memory(PAGE)?.memory;
    let held: Vec<_> = (0..6000)
        .map(|_| memory.read_only().map(|made| made.memory))
        .collect::<Result<_, _>>()?;
    memory.revoke()?;
    drop(held);
    Ok(())
}

/// What one process holds of one endpoint's facets, gone with the process.
pub fn facets(env: &Env) -> Result<(), Error> {
    let endpoints: EndpointFactory = env.get("endpointFactory")?;
    let endpoint: Endpoint = endpoints.create()?.endpoint;
    let held: Vec<_> = (0..6000)
        .map(|cookie| {
            endpoint
                .mint(cookie, echo::INTERFACE_ID, Lifetime::Durable)
                .map(|made| made.facet)
        })
        .collect::<Result<_, _>>()?;
    if let Some(first) = held.first() {
        endpoint.revoke_facet(CapArg::copy(first.object().handle()))?;
    }
    println!("facets {}", held.len());
    core::mem::forget(held);
    Ok(())
}

/// Names what a spawner is asked that it must refuse late: everything is there but the image.
pub fn refused(spawner: &ProcessSpawner, vm: &VirtualMemory) -> Result<(), Error> {
    let memory = vm.create_memory(32 * MIB)?.memory;
    let handle = memory.object().handle();
    let limits = Limits::default();
    let refused =
        spawner.spawn_memory("no", CapArg::copy(handle), 32 * MIB, &[], &limits, &[], &[]);
    match refused {
        Err(_) => Ok(()),
        Ok(_) => Err(Refusal::Failed.into()),
    }
}
