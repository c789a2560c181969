//! What keeps the kernel busy in one go: everything large that a program can ask for, each once between its marks. What is
//! counted is the longest stretch with interrupts off.

use sdk::alloc::{vec, vec::Vec};
use sdk::process::process_spawner::{Grant, Limits};
use sdk::process::thread_spawner::Shape;
use sdk::process::{timer, virtual_memory};
use sdk::schema::bench::echo;
use sdk::{
    Access, CapArg, DeviceRegistry, EndpointFactory, Env, Error, Interface, Lifetime, NEVER,
    Object, ProcessHandle, ProcessSpawner, Refusal, Ring, ThreadOptions, Timer, Window, println,
    spawn_thread,
};

use crate::mark::{mark, ticks};
use crate::{hold_devices, hold_ended, hold_killed, hold_many, hold_more};

type VirtualMemory = virtual_memory::Client<sdk::Cap>;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Reads and writes.
const READ_WRITE: u8 = 3;
/// Processes that wait meanwhile.
const CROWD: usize = 200;

/// Runs `work` between the marks.
fn piece<const EVEN: u32, const ODD: u32>(
    name: &str,
    work: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    mark::<EVEN>();
    let start = ticks();
    let done = work();
    let end = ticks();
    mark::<ODD>();
    if let Err(error) = &done {
        println!("UNAVAILABLE group={name} reason={error}");
    }
    println!(
        "BENCH name={name} rep=0 n=1 tsc={} ns=0 mark={EVEN}",
        end.wrapping_sub(start)
    );
    done
}

struct Kit {
    vm: VirtualMemory,
    timer: Timer,
    spawner: ProcessSpawner,
    endpoints: EndpointFactory,
}

/// Runs all of them.
pub fn run(env: &Env) -> Result<(), Error> {
    let kit = Kit {
        vm: env.get("vm")?,
        timer: env.get("timer")?,
        spawner: env.get("processSpawner")?,
        endpoints: env.get("endpointFactory")?,
    };
    piece::<50, 51>("hold_map", || map(&kit.vm))?;
    piece::<52, 53>("hold_ring", || batch(&kit.vm))?;
    piece::<54, 55>("hold_revoke", || revoke(&kit.vm))?;
    piece::<56, 57>("hold_reap", || role(&kit, "hold-pages"))?;
    piece::<58, 59>("hold_handles", || role(&kit, "hold-handles"))?;
    piece::<60, 61>("hold_timers", || role(&kit, "hold-timers"))?;
    piece::<62, 63>("hold_calls", || calls(&kit))?;
    piece::<64, 65>("hold_image", || image(&kit))?;
    piece::<66, 67>("hold_crowd", || crowd(env, &kit))?;
    piece::<70, 71>("hold_receives", || role(&kit, "hold-receives"))?;
    piece::<72, 73>("hold_notices", || role(&kit, "hold-notices"))?;
    piece::<74, 75>("hold_endpoints", || role(&kit, "hold-endpoints"))?;
    piece::<76, 77>("hold_parked", || role(&kit, "hold-parked"))?;
    piece::<78, 79>("hold_scattered", || role(&kit, "hold-scattered"))?;
    piece::<80, 81>("hold_lines", || hold_many::lines(env))?;
    piece::<82, 83>("hold_spawn", || hold_many::full_spawn(env, &kit.spawner))?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    piece::<68, 69>("hold_dma", || dma(&registry))?;
    piece::<84, 85>("hold_teardown", || hold_many::teardown(&registry))?;
    piece::<86, 87>("hold_inspected", || hold_more::inspected(env, &registry))?;
    piece::<88, 89>("hold_stories", || {
        hold_more::stories(env, |role| {
            start(&kit, "bench", &[role], &Limits::default())
        })
    })?;
    piece::<92, 93>("hold_raw", || hold_more::raw(env))?;
    piece::<94, 95>("hold_unread", || {
        hold_more::unread(&kit.endpoints, &kit.vm)?;
        hold_more::refused(&kit.spawner, &kit.vm)?;
        role(&kit, "hold-facets")
    })?;
    piece::<96, 97>("hold_controller", || hold_devices::controller(&registry))?;
    piece::<98, 99>("hold_virtio", || hold_devices::virtio(&registry))?;
    piece::<100, 101>("hold_kick", || hold_devices::kick(&registry))?;
    piece::<102, 103>("hold_lost", || {
        hold_devices::lost(&registry, &kit.timer, |words| {
            driver(&kit, &registry, words)
        })
    })?;
    piece::<104, 105>("hold_ended", || {
        hold_ended::ended(&kit.endpoints, &kit.spawner)
    })?;
    piece::<106, 107>("hold_killed", || {
        hold_killed::killed(env, &kit.endpoints, &kit.timer)
    })?;
    piece::<108, 109>("hold_waits", || hold_killed::waits(env))
}

/// Runs what is longer or other where every function has a domain of its own.
pub fn run_in_domain(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    piece::<126, 127>("hold_claim_domain", || hold_devices::claims(&registry))?;
    piece::<96, 97>("hold_controller_domain", || {
        hold_devices::controller(&registry)
    })?;
    piece::<68, 69>("hold_dma_domain", || dma(&registry))?;
    piece::<84, 85>("hold_teardown_domain", || hold_many::teardown(&registry))
}

/// A process that may claim devices.
fn driver(kit: &Kit, registry: &DeviceRegistry, words: &[&str]) -> Result<ProcessHandle, Refusal> {
    let limits = Limits {
        memory_pages: 60_000,
        handles: 16_000,
        ..Limits::default()
    };
    let grant = |name, interface_id, transfer| Grant {
        name,
        interface_id,
        transfer,
        handle: 0,
    };
    let grants = [
        grant("timer", Timer::INTERFACE_ID, 0),
        grant("deviceRegistry", DeviceRegistry::INTERFACE_ID, 1),
    ];
    let transfers = [
        CapArg::copy(kit.timer.object().handle()),
        CapArg::copy(registry.object().handle()),
    ];
    let started = kit
        .spawner
        .spawn("hold", "bench", words, &limits, &grants, &transfers)?;
    Ok(started.process)
}

/// A gibibyte, fresh and used.
fn map(vm: &VirtualMemory) -> Result<(), Error> {
    for _ in 0..2 {
        let bytes = 1024 * MIB;
        let address = vm.map(bytes, READ_WRITE)?.address;
        vm.protect(address, bytes, 1)?;
        vm.unmap(address, bytes)?;
    }
    let memory = vm.create_memory(256 * MIB)?.memory;
    let address = memory.map(0, 256 * MIB, READ_WRITE)?.address;
    memory.unmap(address)?;
    Ok(())
}

/// 128 times 12 MiB, mapped and unmapped, in one entry.
fn batch(vm: &VirtualMemory) -> Result<(), Error> {
    let bytes = 12 * MIB;
    let address = vm.map(bytes, READ_WRITE)?.address;
    vm.unmap(address, bytes)?;
    let mut ring = Ring::new(64, 128)?;
    for round in 0..4 {
        for at in 0..32 {
            let user = round * 64 + at * 2;
            let map = virtual_memory::MapParams {
                bytes,
                protection: READ_WRITE,
            };
            let unmap = virtual_memory::UnmapParams { address, bytes };
            ring.call::<virtual_memory::call::Map>(vm.object(), map, user, NEVER)?;
            ring.call::<virtual_memory::call::Unmap>(vm.object(), unmap, user + 1, NEVER)?;
        }
        ring.wait(64, NEVER);
        while let Some(done) = ring.completed() {
            if let Some(refusal) = done.refused() {
                return Err(refusal.into());
            }
        }
    }
    Ok(())
}

/// An object that is mapped 2,500 times, and a large one.
fn revoke(vm: &VirtualMemory) -> Result<(), Error> {
    let memory = vm.create_memory(PAGE)?.memory;
    let mut places = Vec::new();
    for _ in 0..2500 {
        places.push(memory.map(0, PAGE, 1)?.address);
    }
    memory.revoke()?;
    let large = vm.create_memory(256 * MIB)?.memory;
    places.push(large.map(0, 256 * MIB, READ_WRITE)?.address);
    large.revoke()?;
    // What is left of the mappings is the process's own.
    let last = places.pop();
    for address in places {
        vm.unmap(address, PAGE)?;
    }
    if let Some(address) = last {
        vm.unmap(address, 256 * MIB)?;
    }
    Ok(())
}

fn start(
    kit: &Kit,
    image: &str,
    words: &[&str],
    limits: &Limits,
) -> Result<ProcessHandle, Refusal> {
    let grants = [
        Grant {
            name: "timer",
            interface_id: Timer::INTERFACE_ID,
            transfer: 0,
            handle: 0,
        },
        Grant {
            name: "endpointFactory",
            interface_id: EndpointFactory::INTERFACE_ID,
            transfer: 1,
            handle: 0,
        },
    ];
    let transfers = [
        CapArg::copy(kit.timer.object().handle()),
        CapArg::copy(kit.endpoints.object().handle()),
    ];
    let started = kit
        .spawner
        .spawn("hold", image, words, limits, &grants, &transfers)?;
    Ok(started.process)
}

/// A process that makes much of something, and ends.
fn role(kit: &Kit, name: &str) -> Result<(), Error> {
    let limits = Limits {
        memory_pages: 120_000,
        handles: 16_000,
        threads: 128,
        endpoints: 1024,
        facets: 40_000,
        ..Limits::default()
    };
    let process = start(kit, "bench", &[name], &limits)?;
    let code = process.wait(|end| {
        if let Ok(text) = end.text()
            && !text.is_empty()
        {
            println!("{name}: {text}");
        }
        end.code()
    })?;
    if code == 0 {
        Ok(())
    } else {
        Err(Refusal::Failed.into())
    }
}

/// 100,000 pages, mapped when the process ends.
pub fn pages(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    vm.map(100_000 * PAGE, READ_WRITE)?;
    Ok(())
}

/// Thousands of capabilities, held when the process ends.
pub fn handles(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let held: Vec<_> = (0..3000)
        .map(|_| vm.create_memory(PAGE).map(|made| made.memory))
        .collect::<Result<_, _>>()?;
    core::mem::forget(held);
    Ok(())
}

/// A hundred threads with 64 sleeps each, all due at once.
pub fn timers(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let due = timer.now()?.ns + 400_000_000;
    let handle = timer.object().handle();
    let shape = Shape {
        submissions: 64,
        message_bytes: 64 * 1024,
        priority: 16,
        cpu: -1,
    };
    let options = ThreadOptions {
        stack_bytes: 32 * 1024,
        shape,
    };
    let sleep = move || -> Result<(), Refusal> {
        let timer = Timer::from_object(sdk::Cap::borrowed(handle));
        let mut ring = Ring::new(64, 128)?;
        for user in 0..64 {
            let until = timer::SleepParams { until_ns: due };
            ring.call::<timer::call::Sleep>(timer.object(), until, user, NEVER)?;
        }
        ring.wait(64, NEVER);
        while let Some(done) = ring.completed() {
            if let Some(refusal) = done.refused() {
                return Err(refusal);
            }
        }
        Ok(())
    };
    let threads: Vec<_> = (0..100)
        .map(|_| spawn_thread(options, sleep))
        .collect::<Result<_, _>>()?;
    for thread in threads {
        thread.join()??;
    }
    Ok(())
}

/// Calls that nobody answers, cancelled one by one, and revoked together.
fn calls(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    for how in 0..2 {
        let facet = endpoint
            .mint(1, echo::INTERFACE_ID, Lifetime::Durable)?
            .facet;
        let echo = echo::Client::<sdk::Cap>::from_object(facet.into_object());
        let mut ring = Ring::new(64, 128)?;
        let words = echo::WordsParams {
            a: 1,
            b: 2,
            c: 3,
            d: 4,
        };
        for user in 0..60 {
            ring.call::<echo::call::Words>(echo.object(), words, user, NEVER)?;
        }
        ring.submit();
        if how == 0 {
            (0..60).for_each(|user| ring.cancel(user));
        } else {
            endpoint.revoke_facet(CapArg::copy(echo.object().handle()))?;
        }
        ring.wait(60, NEVER);
        while ring.completed().is_some() {}
    }
    Ok(())
}

/// An image of 3 MiB in a memory object: an ELF file of one executable segment, whose first instruction is no good one.
fn image(kit: &Kit) -> Result<(), Error> {
    const BYTES: u64 = 3 * MIB;
    let memory = kit.vm.create_memory(BYTES)?.memory;
    let window = Window::map(memory, BYTES, Access::ReadWrite)?;
    let mut head = vec![0u8; 4096];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = head.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    let base: u64 = 0x20_0000;
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    put(24, &base.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1, 0]);
    // One segment: read and execute, from the second page of the file on.
    put(64, &[1, 0, 0, 0, 5, 0, 0, 0]);
    let length = BYTES - PAGE;
    for (at, word) in [
        (72, PAGE),
        (80, base),
        (88, base),
        (96, length),
        (104, length),
        (112, PAGE),
    ] {
        put(at, &word.to_le_bytes());
    }
    window.write(0, &head)?;
    window.write(PAGE, &[0x0f, 0x0b])?;
    let limits = Limits::default();
    let handle = CapArg::copy(window.memory().object().handle());
    let started = kit
        .spawner
        .spawn_memory("image", handle, BYTES, &[], &limits, &[], &[])?;
    started.process.wait(|end| end.code())?;
    Ok(())
}

/// Everything is listed and a facet is revoked while two hundred processes wait; then they end.
fn crowd(env: &Env, kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let facet = endpoint
        .mint(1, echo::INTERFACE_ID, Lifetime::Durable)?
        .facet;
    let limits = Limits {
        memory_pages: 256,
        handles: 32,
        threads: 1,
        endpoints: 1,
        facets: 1,
        ..Limits::default()
    };
    let crowd: Vec<ProcessHandle> = (0..CROWD)
        .map(|_| start(kit, "bench", &["hold"], &limits))
        .collect::<Result<_, _>>()?;
    hold_many::lists(env)?;
    endpoint.revoke_facet(CapArg::copy(facet.object().handle()))?;
    for process in &crowd {
        process.kill()?;
    }
    for process in &crowd {
        process.wait(|end| end.code())?;
    }
    Ok(())
}

/// 128 MiB of DMA memory, page by page and in long runs.
fn dma(registry: &DeviceRegistry) -> Result<(), Error> {
    let device = registry.claim("edu", 0)?.device;
    let pool = device.pool(160 * MIB)?.pool;
    let buffer = pool.allocate(128 * MIB, sdk::Layout::Scattered)?.buffer;
    buffer.map(READ_WRITE)?;
    buffer.unmap()?;
    buffer.free()?;
    for (bytes, layout) in [
        (4 * MIB, sdk::Layout::Contiguous),
        (64 * PAGE, sdk::Layout::Contiguous),
        (64 * PAGE, sdk::Layout::Scattered),
    ] {
        pool.allocate(bytes, layout)?.buffer.free()?;
    }
    Ok(())
}
