//! Do four processors work together: threads where they belong, calls and wake-ups across, memory that all see alike?
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rt::sys;
use sdk::{
    EndpointFactory, Env, Error, JoinHandle, Lifetime, Mutex, NEVER, Refusal, Timer,
    alloc::sync::Arc, alloc::vec::Vec, fact,
};
use smoke::{Kit, Probe, give, mint, role, serve_probe, wait_until};
use smoke_hostile::{Race, here, pinned};

sdk::entry!(main);

const CPUS: u32 = 4;
/// Looks of each thread at where it is, with a wait before each.
const LOOKS: u32 = 50;
/// Calls of each client.
const CALLS: u64 = 1000;
/// Passes of the token, each a wake-up of another processor.
const PASSES: u32 = 4000;
/// Turns of each thread with the lock.
const TURNS: u32 = 5000;
/// Processes ended while they run on every processor.
const KILLS: u32 = 100;
const WARM_UP: u32 = 10;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => serve_probe(env, ()),
        Some("spins") => spin(),
        _ => ask(env),
    }
}

/// One thread on each processor; what they return, in order.
fn everywhere<T: Send + 'static>(
    body: impl Fn(u32) -> T + Clone + Send + 'static,
) -> Result<Vec<T>, Refusal> {
    let threads: Vec<JoinHandle<T>> = (0..CPUS)
        .map(|cpu| {
            let body = body.clone();
            pinned(cpu as i16, move || body(cpu))
        })
        .collect::<Result<_, _>>()?;
    threads.into_iter().map(JoinHandle::join).collect()
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-smp")?;
    fact!("smp.machine", cpus = kit.info.machine()?.cpus);
    stay(env)?;
    token()?;
    lock()?;
    calls(env, &kit)?;
    kills(&kit)
}

/// Each thread looks where it is, after waits that end on any processor.
fn stay(env: &Env) -> Result<(), Error> {
    let timer = Arc::new(env.get::<Timer>("timer")?);
    let places = everywhere(move |_| {
        let first = here();
        let mut moved = 0;
        for _ in 0..LOOKS {
            let until = timer.now().map_or(0, |now| now.ns + 200_000);
            moved += u32::from(timer.sleep(until).is_err() || here() != first);
        }
        (first, moved)
    })?;
    let mut seen: Vec<u8> = places.iter().map(|(place, _)| *place).collect();
    seen.sort_unstable();
    seen.dedup();
    fact!(
        "smp.pinned",
        threads = CPUS,
        processors = seen.len(),
        moved = places.iter().map(|(_, moved)| moved).sum::<u32>()
    );
    Ok(())
}

/// Whose turn it is, counted on; thread `n` moves when it is `n` modulo the number of threads.
static TURN: AtomicU32 = AtomicU32::new(0);
/// What the token's holder writes before it passes it on: no atomics, the token orders them.
static PAYLOAD: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];

/// A token goes round the processors; who waits for it is parked.
fn token() -> Result<(), Error> {
    let wrong = everywhere(|cpu| {
        let mut wrong = 0_u32;
        loop {
            let turn = TURN.load(Ordering::Acquire);
            if turn >= PASSES {
                break;
            }
            if turn % CPUS != cpu {
                sys::park(TURN.as_ptr(), turn, NEVER);
                continue;
            }
            for (at, word) in PAYLOAD.iter().enumerate() {
                let expected = if turn == 0 {
                    0
                } else {
                    u64::from(turn - 1) + at as u64
                };
                wrong += u32::from(word.load(Ordering::Relaxed) != expected);
                word.store(u64::from(turn) + at as u64, Ordering::Relaxed);
            }
            TURN.store(turn + 1, Ordering::Release);
            sys::unpark(TURN.as_ptr(), CPUS);
        }
        sys::unpark(TURN.as_ptr(), CPUS);
        wrong
    })?;
    fact!(
        "smp.token",
        passes = TURN.load(Ordering::Acquire),
        wrong_words = wrong.iter().sum::<u32>()
    );
    Ok(())
}

static LOCKED: Mutex<(u32, u32)> = Mutex::new((0, 0));
static START: Race = Race::new();

/// All threads at one lock.
fn lock() -> Result<(), Error> {
    let torn = everywhere(|_| {
        START.meet(CPUS);
        let mut torn = 0_u32;
        for _ in 0..TURNS {
            let mut pair = LOCKED.lock();
            torn += u32::from(pair.0 != pair.1);
            pair.0 += 1;
            core::hint::spin_loop();
            pair.1 += 1;
        }
        torn
    })?;
    let pair = LOCKED.lock();
    fact!(
        "smp.lock",
        turns = pair.0,
        torn = torn.iter().sum::<u32>() + u32::from(pair.0 != pair.1)
    );
    Ok(())
}

/// Clients on every processor call one server.
fn calls(env: &Env, kit: &Kit) -> Result<(), Error> {
    let endpoints: EndpointFactory = env.get("endpointFactory")?;
    let endpoint = endpoints.create()?.endpoint;
    let server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let probe: Arc<Probe> = Arc::new(mint(&endpoint, 5, Lifetime::Durable)?);
    let shared = probe.clone();
    let right = everywhere(move |cpu| {
        let mut right = 0;
        for call in 0..CALLS {
            let (a, b) = (u64::from(cpu) << 32 | call, 3);
            let words = shared.words(a, b);
            right += u64::from(words.is_ok_and(|words| words.sum == a + b && words.cookie == 5));
            if call % 50 == 0 {
                let bytes = [cpu as u8 ^ call as u8; 2000];
                let same = shared.echo(&bytes, |results| results.bytes() == Ok(&bytes[..]));
                right -= u64::from(same != Ok(true));
            }
        }
        right
    })?;
    fact!(
        "smp.calls",
        clients = CPUS,
        right = right.iter().sum::<u64>(),
        served = probe.words(0, 0)?.before,
        server_alive = server.info()?.alive
    );
    server.kill()?;
    kit.ended(&server)?;
    Ok(())
}

/// Threads that never enter the kernel, on every processor.
fn spin() -> Result<(), Error> {
    everywhere(|_| {
        loop {
            core::hint::spin_loop();
        }
    })
    .map(|_: Vec<()>| ())
    .map_err(Error::from)
}

/// Ends processes while all their threads run, each on its processor.
fn kills(kit: &Kit) -> Result<(), Error> {
    let kill = |count: u32| -> Result<u32, Refusal> {
        let mut killed = 0;
        for _ in 0..count {
            let process = kit.start("spins", &[])?;
            kit.pause_ms(3)?;
            process.kill()?;
            killed += u32::from(kit.ended(&process)?.kind == "killed");
        }
        Ok(killed)
    };
    // What the kernel keeps for the next process is taken once.
    kill(WARM_UP)?;
    // The stacks of threads go a moment after their process.
    let mut before = 0;
    for _ in 0..20 {
        kit.pause_ms(5)?;
        before = kit.free_kib()?.max(before);
    }
    let killed = kill(KILLS)?;
    // How many kernel stacks are in use at once, and kept for the next threads, is a matter of luck; a page lost with
    // each process would show.
    let lost = || kit.free_kib().map(|free| before.saturating_sub(free));
    let all_back = wait_until(kit, || lost().is_ok_and(|kib| kib < 4 * u64::from(KILLS)));
    fact!(
        "smp.killed",
        processes = killed,
        threads_each = CPUS,
        memory_back = all_back,
        kept_kib ~ lost()?
    );
    Ok(())
}
