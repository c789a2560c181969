//! What keeps the kernel busy in one go because there are many of it: receives, notices, endpoints, threads that are
//! woken together, regions; and the longest of what a program can say, list, hand over or claim.

use core::sync::atomic::{AtomicU32, Ordering};

use sdk::alloc::{sync::Arc, vec, vec::Vec};
use sdk::process::thread_spawner::Shape;
use sdk::process::{console, log_sink, process_spawner, virtual_memory};
use sdk::schema::bench::echo;
use sdk::{
    CapArg, Condvar, DeviceRegistry, EndpointFactory, Env, Error, Interface, Lifetime, Mutex,
    NEVER, Object, ProcessSpawner, Refusal, Ring, ThreadOptions, Timer, process, spawn_thread,
};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

type VirtualMemory = virtual_memory::Client<sdk::Cap>;

fn options() -> ThreadOptions {
    let shape = Shape {
        submissions: 256,
        message_bytes: 48 * 1024,
        priority: 16,
        cpu: -1,
    };
    ThreadOptions {
        stack_bytes: 32 * 1024,
        shape,
    }
}

/// Forty threads with 250 RECEIVEs each on one endpoint. One is cancelled; the others end with the process.
pub fn receives(env: &Env) -> Result<(), Error> {
    static WAITING: AtomicU32 = AtomicU32::new(0);
    let timer: Timer = env.get("timer")?;
    let endpoint = env
        .get::<EndpointFactory>("endpointFactory")?
        .create()?
        .endpoint;
    let handle = endpoint.object().handle();
    for _ in 0..40 {
        let thread = spawn_thread(options(), move || -> Result<(), Refusal> {
            let endpoint = sdk::Cap::borrowed(handle);
            let mut ring = Ring::new(250, 128)?;
            (0..250).try_for_each(|user| ring.receive(&endpoint, user))?;
            ring.submit();
            ring.cancel(249);
            ring.wait(1, NEVER);
            WAITING.fetch_add(1, Ordering::AcqRel);
            ring.wait(250, NEVER);
            Ok(())
        })?;
        core::mem::forget(thread);
    }
    while WAITING.load(Ordering::Acquire) < 40 {
        sdk::sleep_for(&timer, 5_000_000)?;
    }
    core::mem::forget(endpoint);
    Ok(())
}

/// Facets by the thousand, gone before their server listens; then the server is made anew, and closed.
pub fn notices(env: &Env) -> Result<(), Error> {
    const FACETS: u64 = 12_000;
    let endpoints: EndpointFactory = env.get("endpointFactory")?;
    let endpoint = endpoints.create()?.endpoint;
    for lifetime in [Lifetime::Incarnation, Lifetime::Durable, Lifetime::Durable] {
        for cookie in 0..FACETS {
            drop(endpoint.mint(cookie, echo::INTERFACE_ID, lifetime)?.facet);
        }
        endpoint.renew()?;
    }
    let mut ring = Ring::new(8, 128)?;
    ring.receive(endpoint.object(), 1)?;
    ring.wait(1, NEVER);
    while ring.completed().is_some() {}
    Ok(())
}

/// One thread that receives on a thousand endpoints; then all of them close.
pub fn endpoints(env: &Env) -> Result<(), Error> {
    let factory: EndpointFactory = env.get("endpointFactory")?;
    let mut ring = Ring::new(16, 128)?;
    let mut held = Vec::new();
    for _ in 0..1000 {
        let endpoint = factory.create()?.endpoint;
        ring.receive(endpoint.object(), 1)?;
        ring.submit();
        ring.cancel(1);
        ring.wait(1, NEVER);
        while ring.completed().is_some() {}
        held.push(endpoint);
    }
    Ok(())
}

/// A hundred threads that wait for one word, woken together.
pub fn parked(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let gate = Arc::new((Mutex::new(0u32), Condvar::new()));
    let threads: Vec<_> = (0..100)
        .map(|_| {
            let gate = gate.clone();
            spawn_thread(options(), move || {
                let mut open = gate.0.lock();
                while *open == 0 {
                    open = gate.1.wait(open);
                }
            })
        })
        .collect::<Result<_, _>>()?;
    sdk::sleep_for(&timer, 200_000_000)?;
    *gate.0.lock() = 1;
    gate.1.notify_all();
    for thread in threads {
        thread.join()?;
    }
    Ok(())
}

/// A region with two thousand holes, pages at scattered addresses, and an object that is mapped in all of them.
pub fn scattered(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let address = vm.map(16 * MIB, 3)?.address;
    for page in (0..16 * MIB / PAGE).step_by(2) {
        vm.unmap(address + page * PAGE, PAGE)?;
    }
    for page in (1..16 * MIB / PAGE).step_by(4) {
        vm.protect(address + page * PAGE, PAGE, 1)?;
    }
    let memory = vm.create_memory(64 * MIB)?.memory;
    for _ in 0..300 {
        memory.map(0, 64 * MIB, 1)?;
    }
    memory.revoke()?;
    Ok(())
}

/// The longest lines, of what has to be shown as escapes most of all.
pub fn lines(env: &Env) -> Result<(), Error> {
    let console: console::Client<sdk::Cap> = env.get("console")?;
    let log: log_sink::Client<sdk::Cap> = env.get("logSink")?;
    // The message area holds it twice, and both count.
    for byte in [1u8, b'x', 0xff] {
        let mut text = vec![byte; 12 << 10];
        text.push(b'\n');
        let mut left = &text[..];
        while !left.is_empty() {
            let taken = console.write(left)?.written as usize;
            left = left.get(taken..).unwrap_or(&[]);
            if taken == 0 {
                break;
            }
        }
    }
    let line = sdk::alloc::string::String::from_utf8(vec![b'x'; 4000]).unwrap_or_default();
    for text in ["short", &line] {
        // A line that is too long may be refused.
        let _ = log.write(log_sink::Level::Info, text);
    }
    console.write(b"\n")?;
    Ok(())
}

/// Everything that can be listed, from front to end.
pub fn lists(env: &Env) -> Result<(), Error> {
    let system: process::system_info::Client<sdk::Cap> = env.get("systemInfo")?;
    let log: process::log_reader::Client<sdk::Cap> = env.get("logReader")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let mut from = 0;
    loop {
        let next = system.processes(from, |list| list.next())?;
        if next <= from {
            break;
        }
        from = next;
    }
    system.memory()?;
    system.machine()?;
    registry.interrupts(0)?;
    registry.list(0, |list| list.next())?;
    let mut from = 0;
    loop {
        let next = log.read(from, |list| list.next())?;
        if next <= from {
            break;
        }
        from = next;
    }
    Ok(())
}

/// A process with as many grants and as long arguments as one message carries.
pub fn full_spawn(env: &Env, spawner: &ProcessSpawner) -> Result<(), Error> {
    const NAMES: [&str; 15] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o",
    ];
    let timer: Timer = env.get("timer")?;
    let grants = NAMES.map(|name| process_spawner::Grant {
        name,
        interface_id: Timer::INTERFACE_ID,
        transfer: NAMES.iter().position(|n| *n == name).unwrap_or(0) as u16,
        handle: 0,
    });
    let transfers = [(); 15].map(|()| CapArg::copy(timer.object().handle()));
    let long = sdk::alloc::string::String::from_utf8(vec![b'x'; 12 << 10]).unwrap_or_default();
    let started = spawner.spawn(
        "full",
        "bench",
        &["hold-quit", &long],
        &process_spawner::Limits::default(),
        &grants,
        &transfers,
    )?;
    started.process.wait(|end| end.code())?;
    Ok(())
}

/// A driver that ends with everything: 128 MiB in one buffer, and thousands of small ones that are mapped.
pub fn teardown(registry: &DeviceRegistry) -> Result<(), Error> {
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(200 * MIB)?.pool;
    let large = pool.allocate(128 * MIB, sdk::Layout::Scattered)?.buffer;
    large.map(3)?;
    let run = pool.allocate(4 * MIB, sdk::Layout::Contiguous)?.buffer;
    run.map(3)?;
    let mut small = Vec::new();
    for _ in 0..3000 {
        let buffer = pool.allocate(PAGE, sdk::Layout::Scattered)?.buffer;
        buffer.map(1)?;
        small.push(buffer);
    }
    drop(device);
    // This waits until the teardown is over.
    registry.claim("edu", 0)?;
    drop((large, run, small));
    Ok(())
}
