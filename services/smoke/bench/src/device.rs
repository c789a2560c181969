//! Rows about device authority: registers, DMA memory, commands, the end of a claim, and the restart of a driver.
//!
//! The device works while the loops do, in real time; only what the guest executes is counted.

use device_ring::{Command, Opcode};
use nvme_format::io;
use provider::QueueRing;
use sdk::alloc::{format, string::String, vec::Vec};
use sdk::block::block_device;
use sdk::device::device_queue::{self, Direction, Segment};
use sdk::process::process_spawner::{Grant, Limits};
use sdk::process::virtual_memory;
use sdk::{
    BlockDevice, CapArg, Device, DeviceQueue, DeviceRegistry, Disk, DmaBuffer, DmaPool, Endpoint,
    EndpointFactory, Env, Error, Interface, Lifetime, MemoryObject, NEVER, Object, ProcessHandle,
    ProcessSpawner, Refusal, Timer, println,
};
use smoke_rig::direct::Direct;
use smoke_rig::virtqueue::{Kind, Request, Virtqueue};
use smoke_rig::{POLLED, nvme, virtio};

use crate::mark::{mark, ticks};
use crate::{REPETITIONS, measure};

const PAGE: u32 = 4096;
const BUFFERS: u32 = 1000;
const QUEUES: u16 = 8;
const HOLDERS: u32 = 67;
/// As many as one message carries, with the clock.
const HANDLES_EACH: u32 = 15;

/// Runs all of them.
pub fn run(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let timer: Timer = env.get("timer")?;
    registers(&registry)?;
    commands(&registry, &timer)?;
    teardown(&registry)?;
    revocation(env)?;
    restart(env, &registry)
}

/// Runs those that are other below a remapping unit.
pub fn domain(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let timer: Timer = env.get("timer")?;
    measure::<106, 107>("claim_with_domain", 20, |n| {
        (0..n).try_for_each(|_| registry.claim("edu", 0).map(drop))
    })?;
    let nvme = controller(&registry, 1)?;
    buffers(&nvme, "buffer_4k_domain")?;
    long_buffers(&nvme, "buffer_64_pages_domain")?;
    let buffer = nvme
        .pool
        .allocate(PAGE.into(), sdk::Layout::Scattered)?
        .buffer;
    let wait = || timer.sleep(timer.now()?.ns + 5_000_000);
    let names = ["dma_submit_domain", "dma_submit_32_domain"];
    by_ring::<36, 37, 38, 39>(nvme.queues.into_iter().next(), (&buffer, 1), &wait, names)?;
    drop(nvme.device);
    crate::block::virtio(env, "blk_4k_qd1_virtio_domain")?;
    by_hand(&registry, wait)?;
    of_virtio(&registry, wait)
}

/// Runs what is other below a unit that is told of each run by a request.
pub fn requests(env: &Env) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    buffers(&controller(&registry, 1)?, "buffer_4k_request")
}

/// Reads of a virtio disk: by the queue's ring, and by requests that the program writes itself.
fn of_virtio(
    registry: &DeviceRegistry,
    wait: impl Fn() -> Result<(), Refusal>,
) -> Result<(), Error> {
    const ENTRIES: u16 = 128;
    let rig = virtio::Rig::new(registry.claim("virtio-blk", 1)?.device, 1, ENTRIES)?;
    let buffer = rig.buffer(PAGE.into())?;
    let queue = virtio::poll(&rig.device, 0, ENTRIES)?;
    let names = ["dma_submit_virtio", "dma_submit_32_virtio"];
    by_ring::<118, 119, 120, 121>(Some(queue), (&buffer, 0), &wait, names)?;
    virtio::start(&rig.device, 1, ENTRIES)?;
    let mut direct = Virtqueue::open(&rig.device, &rig.pool, POLLED, ENTRIES)?;
    let read = Request {
        kind: Kind::In,
        sector: 0,
        address: direct.address(&buffer)?,
        length: PAGE,
    };
    let drain = |direct: &mut Virtqueue| -> Result<(), Refusal> {
        let mut left = 32;
        while left > 0 {
            match direct.take() {
                Some((_, status)) => {
                    whole(status.into(), 0)?;
                    left -= 1;
                }
                None => wait()?,
            }
        }
        Ok(())
    };
    measure::<122, 123>("dma_direct_virtio", 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for slot in 0..32 {
                direct.push(slot, read);
                direct.ring()?;
            }
            wait()?;
            drain(&mut direct)
        })
    })?;
    measure::<124, 125>("dma_direct_32_virtio", 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for slot in 0..32 {
                direct.push(slot, read);
            }
            direct.ring()?;
            wait()?;
            drain(&mut direct)
        })
    })
}

/// The same reads by commands that the program writes itself. A doorbell tells of commands and of completions; so at depth, one
/// goes with each batch.
fn by_hand(registry: &DeviceRegistry, wait: impl Fn() -> Result<(), Refusal>) -> Result<(), Error> {
    let nvme = controller(registry, 0)?;
    let mut direct = Direct::open(&nvme.device, &nvme.pool, (1, POLLED), 64)?;
    let page = nvme.pool.allocate(PAGE.into(), sdk::Layout::Scattered)?;
    let read = nvme_format::Command {
        prp1: direct.address(&page.buffer)?,
        ..nvme_format::Command::transfer(io::READ, 1, 0, PAGE / 512).ok_or(Refusal::BadArgument)?
    };
    let drain = |direct: &mut Direct, mut left: u32, each| -> Result<(), Refusal> {
        while left > 0 {
            let Some(done) = direct.take() else {
                wait()?;
                continue;
            };
            whole(done.status.field(), 0)?;
            left -= 1;
            if each {
                direct.ring()?;
            }
        }
        direct.ring()
    };
    measure::<114, 115>("dma_direct", 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for _ in 0..32 {
                direct.push(read);
                direct.ring()?;
            }
            wait()?;
            drain(&mut direct, 32, true)
        })
    })?;
    measure::<116, 117>("dma_direct_32", 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for _ in 0..32 {
                direct.push(read);
            }
            direct.ring()?;
            wait()?;
            drain(&mut direct, 32, false)
        })
    })
}

/// A buffer's page comes and goes.
fn buffers(nvme: &Nvme, name: &str) -> Result<(), Error> {
    measure::<108, 109>(name, 300, |n| {
        (0..n).try_for_each(|_| {
            let page = nvme.pool.allocate(PAGE.into(), sdk::Layout::Scattered);
            page?.buffer.free()
        })
    })
}

/// So do 64, each by itself.
fn long_buffers(nvme: &Nvme, name: &str) -> Result<(), Error> {
    let bytes = u64::from(PAGE) * 64;
    measure::<110, 111>(name, 50, |n| {
        (0..n).try_for_each(|_| {
            let pages = nvme.pool.allocate(bytes, sdk::Layout::Scattered);
            pages?.buffer.free()
        })
    })
}

/// Runs `work` on what `prepare` made, between the marks; `prepare` and the end of what `work` gives are not counted.
fn measure_one<const EVEN: u32, const ODD: u32, T, U>(
    name: &str,
    mut prepare: impl FnMut() -> Result<T, Error>,
    mut work: impl FnMut(&mut T) -> Result<U, Refusal>,
) -> Result<(), Error> {
    for repetition in 0..REPETITIONS {
        let mut prepared = prepare()?;
        mark::<EVEN>();
        let start = ticks();
        let done = work(&mut prepared);
        let end = ticks();
        mark::<ODD>();
        let _left = done?;
        println!(
            "BENCH name={name} rep={repetition} n=1 tsc={} ns=0 mark={EVEN}",
            end.wrapping_sub(start)
        );
    }
    Ok(())
}

fn registers(registry: &DeviceRegistry) -> Result<(), Error> {
    const IDENTITY: u64 = 0;
    const LIVENESS: u64 = 4;
    let device = registry.claim("edu", 0)?.device;
    let mmio = device.mmio(0)?.mmio;
    measure::<30, 31>("mmio_read", 2_000, |n| {
        (0..n).try_for_each(|_| mmio.read(IDENTITY, 4).map(drop))
    })?;
    measure::<32, 33>("mmio_write", 2_000, |n| {
        (0..n).try_for_each(|i| mmio.write(LIVENESS, 4, i.into()).map(drop))
    })
}

struct Nvme {
    device: Device,
    pool: DmaPool,
    queues: Vec<DeviceQueue>,
}

fn controller(registry: &DeviceRegistry, queues: u16) -> Result<Nvme, Refusal> {
    let device = registry.claim("nvme", 0)?.device;
    nvme::start(&device, queues.max(1))?;
    let pool = device.pool(8 << 20)?.pool;
    let queues = (1..=queues)
        .map(|index| Ok(device.queue(nvme::IO, index, 32, POLLED)?.queue))
        .collect::<Result<_, Refusal>>()?;
    Ok(Nvme {
        device,
        pool,
        queues,
    })
}

fn commands(registry: &DeviceRegistry, timer: &Timer) -> Result<(), Error> {
    let nvme = controller(registry, 1)?;
    let page = || nvme.pool.allocate(PAGE.into(), sdk::Layout::Scattered);
    measure::<34, 35>("dma_alloc", 300, |n| {
        (0..n).try_for_each(|_| {
            let buffer = page()?.buffer;
            buffer.map(3)?;
            buffer.unmap()?;
            buffer.free()
        })
    })?;
    buffers(&nvme, "buffer_4k")?;
    long_buffers(&nvme, "buffer_64_pages")?;
    let queue = nvme.queues.first().ok_or(Refusal::NotFound)?;
    let buffer = page()?.buffer;
    let segments = [Segment {
        buffer: buffer.object().handle(),
        offset: 0,
        length: PAGE,
        direction: Direction::FromDevice,
    }];
    let template = nvme_format::Command::transfer(io::READ, 1, 0, PAGE / 512)
        .ok_or(Refusal::BadArgument)?
        .to_bytes();
    let command = |cookie: u32| device_queue::Command {
        cookie: cookie.into(),
        template: &template,
        segments: &segments,
    };
    let batch: Vec<_> = (0..32).map(command).collect();
    let taken = |most: u16| queue.complete(most, |r| r.completions().map(|l| l.iter().count()));
    // The wait for the device, one sleep for 32 commands, is counted with them.
    let wait = || timer.sleep(timer.now()?.ns + 5_000_000);
    let drain = |most: u16| -> Result<(), Refusal> {
        let mut left = 32;
        while left > 0 {
            match taken(most)?? {
                0 => wait()?,
                count => left -= count,
            }
        }
        Ok(())
    };
    measure::<48, 49>("dma_submit_msg", 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for one in &batch {
                whole(queue.submit(core::slice::from_ref(one))?.accepted, 1)?;
            }
            wait()?;
            drain(1)
        })
    })?;
    measure::<90, 91>("dma_submit_32_msg", 640, |n| {
        (0..n / 32).try_for_each(|_| {
            whole(queue.submit(&batch)?.accepted, 32)?;
            wait()?;
            drain(64)
        })
    })?;
    let names = ["dma_submit", "dma_submit_32"];
    by_ring::<36, 37, 38, 39>(nvme.queues.into_iter().next(), (&buffer, 1), wait, names)
}

/// The same reads through the queue's ring. A kick submits and completes; so at depth, one goes with each batch.
fn by_ring<const A: u32, const B: u32, const C: u32, const D: u32>(
    queue: Option<DeviceQueue>,
    (buffer, unit): (&DmaBuffer, u16),
    wait: impl Fn() -> Result<(), Refusal>,
    [alone, batch]: [&str; 2],
) -> Result<(), Error> {
    let mut ring = QueueRing::open(queue.ok_or(Refusal::NotFound)?)?;
    let binding = ring.bind(buffer)?;
    let command = |cookie| Command::bare(cookie, Opcode::Read, unit).with(binding, 0, PAGE);
    let drain = |ring: &mut QueueRing, mut left: u32, most| -> Result<(), Refusal> {
        while left > 0 {
            let mut none = true;
            while let Some(done) = ring.take()? {
                done.outcome?;
                none = false;
                left -= 1;
            }
            if left > 0 && ring.kick(0, most)?.given == 0 && none {
                wait()?;
            }
        }
        Ok(())
    };
    measure::<A, B>(alone, 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for cookie in 0..32 {
                ring.push(&command(cookie))?;
                whole(ring.kick(1, 0)?.accepted, 1)?;
            }
            wait()?;
            drain(&mut ring, 32, 1)
        })
    })?;
    measure::<C, D>(batch, 640, |n| {
        (0..n / 32).try_for_each(|_| {
            for cookie in 0..32 {
                ring.push(&command(cookie))?;
            }
            whole(ring.kick(32, 0)?.accepted, 32)?;
            wait()?;
            drain(&mut ring, 32, 64)
        })
    })
}

fn whole(taken: u16, given: u16) -> Result<(), Refusal> {
    if taken == given {
        Ok(())
    } else {
        Err(Refusal::QueueFull)
    }
}

/// A claim ends with a thousand buffers and eight queues; the next one begins when all of it is gone.
fn teardown(registry: &DeviceRegistry) -> Result<(), Error> {
    let prepare = || {
        let nvme = controller(registry, QUEUES)?;
        let buffers: Vec<DmaBuffer> = (0..BUFFERS)
            .map(|_| {
                Ok(nvme
                    .pool
                    .allocate(PAGE.into(), sdk::Layout::Scattered)?
                    .buffer)
            })
            .collect::<Result<_, Refusal>>()?;
        Ok((Some(nvme.device), nvme.pool, nvme.queues, buffers))
    };
    measure_one::<40, 41, _, _>("teardown_1000", prepare, |held| {
        drop(held.0.take());
        registry.claim("nvme", 0)
    })
}

/// One object, a thousand handles of it in 67 processes; and one object that is mapped a thousand times.
fn revocation(env: &Env) -> Result<(), Error> {
    let spawner: ProcessSpawner = env.get("processSpawner")?;
    let timer: Timer = env.get("timer")?;
    let vm: virtual_memory::Client<sdk::Cap> = env.get("vm")?;
    let memory = || Ok::<_, Refusal>(vm.create_memory(PAGE.into())?.memory);
    measure_one::<42, 43, _, _>(
        "cap_revoke_1000",
        || {
            let memory = memory()?;
            let holders: Vec<_> = (0..HOLDERS)
                .map(|_| holder(&spawner, &timer, &memory))
                .collect::<Result<_, _>>()?;
            Ok((memory, holders))
        },
        |(memory, _)| memory.revoke(),
    )?;
    measure_one::<44, 45, _, _>(
        "map_revoke_1000",
        || {
            let memory = memory()?;
            for _ in 0..1000 {
                memory.map(0, PAGE.into(), 1)?;
            }
            Ok(memory)
        },
        |memory: &mut MemoryObject| memory.revoke(),
    )
}

/// Ends its process with it.
struct Holder(ProcessHandle);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait(|end| end.code());
    }
}

fn holder(
    spawner: &ProcessSpawner,
    timer: &Timer,
    memory: &MemoryObject,
) -> Result<Holder, Refusal> {
    let names: Vec<String> = (0..HANDLES_EACH).map(|n| format!("m{n}")).collect();
    let mut transfers = Vec::from([CapArg::copy(timer.object().handle())]);
    let mut grants = Vec::from([Grant {
        name: "timer",
        interface_id: Timer::INTERFACE_ID,
        transfer: 0,
        handle: 0,
    }]);
    for (transfer, name) in (1..).zip(&names) {
        grants.push(Grant {
            name,
            interface_id: MemoryObject::INTERFACE_ID,
            transfer,
            handle: 0,
        });
        transfers.push(CapArg::copy(memory.object().handle()));
    }
    // All of them together come out of what this program has.
    let limits = Limits {
        memory_pages: 512,
        handles: 32,
        threads: 1,
        endpoints: 1,
        facets: 1,
        ..Limits::default()
    };
    let words = ["hold"];
    let started = spawner.spawn("holder", "bench", &words, &limits, &grants, &transfers)?;
    Ok(Holder(started.process))
}

/// What a holder does.
pub fn hold(env: &Env) -> Result<(), Error> {
    Ok(env.get::<Timer>("timer")?.sleep(NEVER)?)
}

/// A disk's driver is killed; the next one answers a read.
fn restart(env: &Env, registry: &DeviceRegistry) -> Result<(), Error> {
    let factory: EndpointFactory = env.get("endpointFactory")?;
    let spawner: ProcessSpawner = env.get("processSpawner")?;
    let timer: Timer = env.get("timer")?;
    let endpoint = factory.create()?.endpoint;
    let start = || {
        let device = registry.claim("nvme", 0)?.device;
        endpoint.renew()?;
        let grant = |name, interface_id, transfer| Grant {
            name,
            interface_id,
            transfer,
            handle: 0,
        };
        let grants = [
            grant("endpoint", Endpoint::INTERFACE_ID, 0),
            grant("device", Device::INTERFACE_ID, 1),
            grant("timer", Timer::INTERFACE_ID, 2),
        ];
        let transfers = [
            CapArg::copy(endpoint.object().handle()),
            device.into_cap(),
            CapArg::copy(timer.object().handle()),
        ];
        let limits = Limits::default();
        spawner.spawn("driver", "nvme-provider", &[], &limits, &grants, &transfers)
    };
    let mut driver = start()?.process;
    let facet = endpoint
        .mint(0, block_device::INTERFACE_ID, Lifetime::Durable)?
        .facet;
    let device = BlockDevice::from_object(facet.into_object());
    let mut disk = Disk::open(device, PAGE)?;
    let mut page = [0; PAGE as usize];
    disk.read(0, &mut page)?;
    measure_one::<46, 47, _, _>(
        "driver_restart",
        || Ok(()),
        |()| {
            driver.kill()?;
            driver.wait(|end| end.code())?;
            driver = start()?.process;
            disk.read(0, &mut page)
        },
    )?;
    Ok(driver.kill()?)
}
