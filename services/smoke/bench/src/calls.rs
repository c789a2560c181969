//! Rows that need no device: calls, rings, processes, the timer.

use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::{Grant, Limits};
use sdk::process::virtual_memory;
use sdk::schema::bench::echo;
use sdk::{
    CapArg, Endpoint, EndpointFactory, Env, Error, Interface, Lifetime, NEVER, Object,
    ProcessHandle, ProcessSpawner, Refusal, Ring, ThreadSpawner, Timer,
};

use crate::measure;

type Echo = echo::Client<sdk::Cap>;

const PAGE: u64 = 4096;
const READ_WRITE: u8 = 3;
const CALLS: u32 = 2_000;
const BATCH: u32 = 32;

/// Runs all of them.
pub fn run(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    measure::<0, 1>("null_call", 10_000, |n| {
        (0..n).try_for_each(|_| timer.now().map(drop))
    })?;
    let threads: ThreadSpawner = env.get("threads")?;
    let bell = threads.bell()?.bell;
    measure::<26, 27>("bell_ring", 10_000, |n| {
        (0..n).try_for_each(|_| bell.ring(1))
    })?;
    rings()?;
    let (echo, server) = start_server(env)?;
    measure::<6, 7>("ipc_rt_reg", CALLS, |n| {
        (0..n).try_for_each(|i| echo.words(u64::from(i), 2, 3, 4).map(drop))
    })?;
    // With the root pointer and the list pointer a message is 16 bytes longer than its text.
    let text = [0x5a; 4096 - 16];
    let message = |bytes: &[u8]| echo.message(bytes, |results| results.bytes().map(<[u8]>::len))?;
    let round_trips = |n: u32, bytes: &[u8]| {
        (0..n).try_for_each(|_| match message(bytes)? {
            len if len == bytes.len() => Ok(()),
            _ => Err(Refusal::LengthMismatch),
        })
    };
    measure::<8, 9>("ipc_rt_64", CALLS, |n| round_trips(n, &text[..48]))?;
    measure::<10, 11>("ipc_rt_4k", CALLS, |n| round_trips(n, &text))?;
    through_ring(&echo)?;
    measure::<14, 15>("cap_xfer_rt", CALLS, |n| {
        (0..n).try_for_each(|_| exchange(&echo, &text[..40]))
    })?;
    let memory: virtual_memory::Client<sdk::Cap> = env.get("vm")?;
    measure::<40, 41>("map_unmap_4k", CALLS, |n| {
        (0..n).try_for_each(|_| memory.unmap(memory.map(PAGE, READ_WRITE)?.address, PAGE))
    })?;
    let spawner: ProcessSpawner = env.get("processSpawner")?;
    let usual = Limits::default();
    // What a service of a few lines asks for.
    let small = Limits {
        stack_pages: 4,
        area_pages: 1,
        ..usual
    };
    measure::<16, 17>("proc_spawn", 20, |n| {
        (0..n).try_for_each(|_| spawn_and_reap(&spawner, &small))
    })?;
    measure::<104, 105>("proc_spawn_default", 20, |n| {
        (0..n).try_for_each(|_| spawn_and_reap(&spawner, &usual))
    })?;
    measure::<18, 19>("irq_wake", 50, |n| {
        (0..n).try_for_each(|_| timer.sleep(timer.now()?.ns + 1_000_000))
    })?;
    among_many(env, &echo)?;
    Ok(server.kill()?)
}

/// How many of each kind there are in the rows below.
const MANY: u32 = 10_000;

/// What calls cost where the process holds 10,000 capabilities, of as many facets of one endpoint.
fn among_many(env: &Env, echo: &Echo) -> Result<(), Error> {
    let factory: EndpointFactory = env.get("endpointFactory")?;
    let endpoint: Endpoint = factory.create()?.endpoint;
    let mint =
        |cookie: u32| endpoint.mint(cookie.into(), echo::INTERFACE_ID, Lifetime::Incarnation);
    measure::<110, 111>("facet_mint", CALLS, |n| {
        (0..n).try_for_each(|cookie| mint(cookie).map(drop))
    })?;
    let mut held = Vec::new();
    for cookie in 0..MANY {
        held.push(mint(cookie)?);
    }
    measure::<112, 113>("facet_mint_10000", CALLS, |n| {
        (0..n).try_for_each(|cookie| mint(cookie).map(drop))
    })?;
    // The last of all that there are.
    let timer: Timer = env.get("timer")?;
    measure::<114, 115>("null_call_10000", MANY, |n| {
        (0..n).try_for_each(|_| timer.now().map(drop))
    })?;
    measure::<116, 117>("ipc_rt_reg_10000", CALLS, |n| {
        (0..n).try_for_each(|i| echo.words(u64::from(i), 2, 3, 4).map(drop))
    })?;
    drop(held);
    Ok(())
}

/// NOPs through the ring, alone and in batches. An operation is one NOP.
fn rings() -> Result<(), Error> {
    let mut ring = Ring::new(BATCH as u16, 128)?;
    let mut batch = |count: u32| {
        for user in 0..count {
            ring.nop(user.into())?;
        }
        ring.wait(count as u16, NEVER);
        let mut left = count;
        while let Some(completion) = ring.completed() {
            completion.refused().map_or(Ok(()), Err)?;
            left -= 1;
        }
        if left == 0 {
            Ok(())
        } else {
            Err(Refusal::Failed)
        }
    };
    measure::<2, 3>("ring_nop", CALLS, |n| (0..n).try_for_each(|_| batch(1)))?;
    measure::<4, 5>("ring_nop_32", CALLS / BATCH * BATCH, |n| {
        (0..n / BATCH).try_for_each(|_| batch(BATCH))
    })
}

/// The 64-byte message again, sent through the client's ring.
fn through_ring(echo: &Echo) -> Result<(), Error> {
    let mut ring = Ring::new(8, 256)?;
    let text = [0x5a; 48];
    measure::<12, 13>("ipc_rt_64_ring", CALLS, |n| {
        (0..n).try_for_each(|_| {
            let params = echo::MessageParams { bytes: &text };
            ring.call::<echo::call::Message>(echo.object(), params, 0, NEVER)?;
            ring.wait(1, NEVER);
            let completion = ring.completed().ok_or(Refusal::Failed)?;
            let len = completion
                .read::<echo::call::Message, _>(|results| results.bytes().map(<[u8]>::len))??;
            if len == text.len() {
                Ok(())
            } else {
                Err(Refusal::LengthMismatch)
            }
        })
    })
}

fn start_server(env: &Env) -> Result<(Echo, ProcessHandle), Error> {
    let factory: EndpointFactory = env.get("endpointFactory")?;
    let spawner: ProcessSpawner = env.get("processSpawner")?;
    let endpoint: Endpoint = factory.create()?.endpoint;
    let facet = endpoint
        .mint(0, echo::INTERFACE_ID, Lifetime::Incarnation)?
        .facet;
    let grants = [Grant {
        name: "endpoint",
        interface_id: sdk::process::endpoint::INTERFACE_ID,
        transfer: 0,
        handle: 0,
    }];
    let server = spawner.spawn(
        "bench-echo",
        "bench",
        &["echo"],
        &Limits::default(),
        &grants,
        &[endpoint.into_cap()],
    )?;
    Ok((Echo::from_object(facet.into_object()), server.process))
}

fn exchange(echo: &Echo, bytes: &[u8]) -> Result<(), Refusal> {
    // The capability that travels is the client's own one; what comes back is dropped.
    let sent = CapArg::copy(echo.object().handle());
    echo.exchange(bytes, sent).map(drop)
}

fn spawn_and_reap(spawner: &ProcessSpawner, limits: &Limits) -> Result<(), Refusal> {
    let child = spawner
        .spawn("noop", "bench-noop", &[], limits, &[], &[])?
        .process;
    let code = child.wait(|exit| exit.code())?;
    if code == 0 {
        Ok(())
    } else {
        Err(Refusal::Failed)
    }
}
