//! Do calls, messages and rings carry what was sent, and does a call switch straight to its server?
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ring_abi::{NEVER, StatusWord, Submission, opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::process::process_spawner::Limits;
use sdk::schema::smoke::probe::{WordsParams, call};
use sdk::{
    Cap, Endpoint, Env, Error, Interface, Lifetime, Object, Refusal, Ring, ThreadOptions, Timer,
    alloc::vec::Vec, fact, spawn_thread,
};
use smoke::{Kit, Probe, Prober, give, mint, outcome, raw, role, serve_probe};

sdk::entry!(main);

/// What `act` can be asked for.
const DROP_CALL: u64 = 1;
/// `act`: works until the time `word`, by the clock that was taken last.
const WORK: u64 = 2;
/// Calls with a bystander at the client's own priority.
const SWITCHES: u64 = 200;
/// Calls in flight at once.
const FLIGHT: u16 = 32;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => serve_probe(env, act),
        Some("linked") => linked(env),
        _ => ask(env),
    }
}

/// Drops the reply right of the call that is held, or works for a while.
fn act(state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal> {
    match what {
        DROP_CALL => Ok(state.held.drain(..).count() as u64),
        WORK => {
            let timer: Timer =
                sdk::Interface::from_object(state.taken.last().ok_or(Refusal::NotFound)?.share());
            while timer.now()?.ns < word {}
            Ok(word)
        }
        _ => Err(Refusal::BadArgument),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-ipc")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let _server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let probe = mint(&endpoint, 7, Lifetime::Durable)?;

    let words = probe.words(40, 2)?;
    fact!(
        "ipc.registers",
        sum = words.sum,
        cookie = words.cookie,
        before = words.before
    );
    for bytes in [64, 4096, 16384] {
        // Root pointer and list pointer take 16 bytes of the message.
        let sent: Vec<u8> = (0..bytes - 16).map(|i: usize| (i * 7) as u8).collect();
        let same = probe.echo(&sent, |results| results.bytes() == Ok(&sent[..]))?;
        fact!("ipc.message", bytes = bytes, same = same);
    }
    in_flight(&probe)?;
    nops();
    answer_and_receive(&kit)?;
    refusals(&kit, &probe)?;
    direct_switch(&probe)?;
    inherit(&kit)
}

/// All calls are queued before the server sees the first one.
fn in_flight(probe: &Probe) -> Result<(), Error> {
    let mut ring = Ring::new(FLIGHT, 256)?;
    for i in 0..u64::from(FLIGHT) {
        ring.call::<call::Words>(probe.object(), WordsParams { a: i, b: 1000 }, i, NEVER)?;
    }
    ring.wait(FLIGHT, NEVER);
    let (mut completed, mut right) = (0, 0);
    while let Some(completion) = ring.completed() {
        let user = completion.user();
        let sum = completion.read::<call::Words, _>(|words| words.sum)?;
        completed += 1;
        right += u32::from(sum == user + 1000);
    }
    fact!(
        "ipc.ring",
        calls = FLIGHT,
        completed = completed,
        right = right
    );
    Ok(())
}

fn nops() {
    let nop = Operation {
        opcode: opcode::NOP,
        deadline_ns: NEVER,
        ..Operation::default()
    };
    let register = raw::operate(&nop).refused().is_none();
    let count = 8;
    for user_data in 0..count {
        raw::submit(Submission {
            opcode: opcode::NOP,
            user_data,
            ..Submission::default()
        });
    }
    raw::enter(count as u16, NEVER);
    let mut completed = 0;
    while let Some(c) = raw::completion() {
        completed +=
            u64::from(c.user_data == completed && StatusWord::unpack(c.status).status == 0);
    }
    fact!("ipc.nop", register = register, ring = completed);
}

/// Serves three calls through its ring: each entry into the kernel answers one call and waits for the next.
fn linked(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let handle = endpoint.object().handle();
    let buffer = span(raw::SAFE_OFFSET, 256);
    let answer = raw::SAFE_OFFSET + 512;
    let mut next = Submission {
        opcode: opcode::RECEIVE,
        handle,
        deadline_ns: NEVER,
        words: [0, buffer, 0, 0],
        ..Submission::default()
    };
    for entries in 1..=4u64 {
        raw::submit(next);
        raw::enter(1, NEVER);
        let completion = raw::completion().ok_or(Refusal::NotFound)?;
        // A root struct of four data words; `words` answers sum, cookie and, for this server, the entries so far.
        let (a, b) = (
            raw::get(raw::SAFE_OFFSET + 8),
            raw::get(raw::SAFE_OFFSET + 16),
        );
        for (at, word) in [4 << 32, a + b, completion.cookie, entries, 0]
            .into_iter()
            .enumerate()
        {
            raw::put(answer + at as u32 * 8, word);
        }
        next = Submission {
            opcode: opcode::RETURN_RECEIVE,
            handle: completion.reply,
            deadline_ns: NEVER,
            words: [span(answer, 40), buffer, handle, 0],
            ..Submission::default()
        };
    }
    Ok(())
}

fn answer_and_receive(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let server = kit.start("linked", &[give("endpoint", &endpoint)])?;
    let probe = mint(&endpoint, 9, Lifetime::Durable)?;
    let mut entries = 0;
    for a in 0..3 {
        // A call that the ring never sees is given up.
        let bounded = probe.with_deadline(kit.after_ms(5000)?);
        let words = bounded.words(a, 1)?;
        assert!(words.sum == a + 1 && words.cookie == 9);
        entries = words.before;
    }
    // The fourth call is delivered, and then the server ends.
    let last = probe.words(0, 0);
    let ended = kit.ended(&server)?;
    fact!(
        "ipc.linked",
        calls = 3,
        entries = entries,
        after = outcome(&last),
        server = ended.kind
    );
    Ok(())
}

fn refusals(kit: &Kit, probe: &Probe) -> Result<(), Error> {
    // A second call makes the server drop the first, whose caller waits in its ring.
    let mut ring = Ring::new(2, 256)?;
    let until = kit.after_ms(2000)?;
    ring.call::<call::Hold>(probe.object(), (), 1, until)?;
    ring.submit();
    probe.act(DROP_CALL, 0)?;
    ring.wait(1, NEVER);
    let dropped = ring.completed().and_then(|completion| completion.refused());
    let method = |handle| {
        let operation = Operation {
            opcode: opcode::CALL,
            flags: submission_flags::INLINE,
            method: 99,
            handle,
            deadline_ns: NEVER,
            ..Operation::default()
        };
        raw::operate(&operation)
            .refused()
            .map_or("ok", Refusal::name)
    };
    fact!(
        "ipc.refused",
        reply_dropped = dropped.map_or("ok", Refusal::name),
        method = method(probe.object().handle()),
        kernel_method = method(kit.timer.object().handle()),
        handle = method(12345)
    );
    Ok(())
}

static RUNS: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// A thread that always wants to run, at `priority`.
fn bystander(priority: u8) -> Result<sdk::JoinHandle<()>, Refusal> {
    RUNS.store(0, Ordering::Relaxed);
    STOP.store(false, Ordering::Relaxed);
    let mut options = ThreadOptions::default();
    options.shape.priority = priority;
    spawn_thread(options, || {
        while !STOP.load(Ordering::Relaxed) {
            RUNS.fetch_add(1, Ordering::Relaxed);
            core::hint::spin_loop();
        }
    })
}

/// At equal priorities a call through the run queue would let the bystander in each time; a direct switch lets it in
/// only when a quantum ends.
fn direct_switch(probe: &Probe) -> Result<(), Error> {
    let bystander = bystander(16)?;
    let mut interrupted = 0;
    for _ in 0..SWITCHES {
        let before = RUNS.load(Ordering::Relaxed);
        probe.words(1, 1)?;
        interrupted += u64::from(RUNS.load(Ordering::Relaxed) != before);
    }
    STOP.store(true, Ordering::Relaxed);
    bystander.join()?;
    fact!("ipc.switch", calls = SWITCHES, direct = interrupted < SWITCHES / 2, interrupted ~ interrupted);
    Ok(())
}

/// A server of a low priority works at its caller's until it has answered: a thread of a priority in between, which
/// becomes runnable while the server works, waits for that.
fn inherit(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let limits = Limits {
        priority: 4,
        ..Limits::default()
    };
    let _server = kit.start_within("server", &limits, &[], &[give("endpoint", &endpoint)])?;
    let probe = mint(&endpoint, 8, Lifetime::Durable)?;
    let wakes = kit.after_ms(40)?;
    let timer = kit.timer.object().handle();
    RUNS.store(0, Ordering::Relaxed);
    let mut options = ThreadOptions::default();
    options.shape.priority = 10;
    let bystander = spawn_thread(options, move || {
        let slept = Timer::from_object(Cap::borrowed(timer)).sleep(wakes);
        RUNS.store(1, Ordering::Relaxed);
        slept
    })?;
    // It sleeps, and the server waits for calls.
    kit.pause_ms(10)?;
    probe.take(b"clock", &[kit.timer.cap()])?;
    let woken = probe.act(WORK, wakes + 20_000_000)?.word;
    let overtaken = RUNS.load(Ordering::Relaxed) != 0;
    let late = kit.timer.now()?.ns >= woken;
    bystander.join()??;
    fact!("ipc.inherit", worked = late, overtaken = overtaken);
    Ok(())
}
