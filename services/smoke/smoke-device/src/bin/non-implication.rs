//! One capability of a claim at a time, in a process that has nothing else: what does it give?
//!
//! Invariant: a role counts the capabilities that it holds, before and after it has tried every method number.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use ring_abi::{opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::device::device_queue::{self, Direction, Segment};
use sdk::{
    Console, DeviceQueue, DeviceRegistry, Env, Error, Interface, Object, Refusal, SystemInfo, fact,
};
use smoke::{Given, Kit, give, outcome, raw, role};
use smoke_rig::into;
use smoke_rig::nvme::{Rig, submit};

sdk::entry!(main);

/// More methods than any interface has.
const METHODS: u16 = 24;
/// Words that mean something to one method or another: a BAR, a size, a queue, a source.
const WORDS: [[u64; 4]; 4] = [[0; 4], [1, 1, 1, 1], [4096, 0, 0, 0], [1, 1, 16, 0xffff]];

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("mmio") => hold::<sdk::DeviceMmio>(env, "mmio"),
        Some("interrupt") => hold::<sdk::Interrupt>(env, "interrupt"),
        Some("pool") => hold::<sdk::DmaPool>(env, "pool"),
        Some("buffer") => hold::<sdk::DmaBuffer>(env, "buffer"),
        Some("queue") => {
            hold::<DeviceQueue>(env, "queue")?;
            guess(&env.get("it")?)
        }
        _ => ask(env),
    }
}

/// Tries every method number with every set of words.
fn hold<I: Interface<sdk::Cap>>(env: &Env, name: &'static str) -> Result<(), Error> {
    let it: I = env.get("it")?;
    let info: SystemInfo = env.get("systemInfo")?;
    let timer: sdk::Timer = env.get("timer")?;
    let before = handles(&info, name)?;
    let (mut methods, mut answered) = (0, 0);
    for method in 0..METHODS {
        let mut known = false;
        for words in WORDS {
            let tried = raw::operate(&Operation {
                opcode: opcode::CALL,
                flags: submission_flags::INLINE,
                method,
                handle: it.object().handle(),
                // Long enough for what makes an object on a busy machine.
                deadline_ns: timer.now()?.ns + 30_000_000,
                words,
                reply: span(raw::SAFE_OFFSET, 4096),
                ..Operation::default()
            });
            let refused = tried.refused();
            known |= refused != Some(Refusal::NoSuchMethod);
            answered += u32::from(refused.is_none());
        }
        methods += u32::from(known);
    }
    fact!(
        "implies.holder",
        of = name,
        methods ~ methods,
        answered ~ answered,
        capabilities_gained = handles(&info, name)? as i64 - before as i64
    );
    Ok(())
}

/// How many capabilities the process of this name holds.
fn handles(info: &SystemInfo, name: &str) -> Result<u32, Refusal> {
    info.processes(0, |results| {
        let list = results.list()?;
        let mut found = list.iter().filter(|process| process.name() == Ok(name));
        found
            .next()
            .map(|process| process.handles())
            .ok_or(Refusal::NotFound)
    })?
}

/// A queue without a buffer: is there a number that will do for one?
fn guess(queue: &DeviceQueue) -> Result<(), Error> {
    let template = Command::transfer(io::READ, 1, 0, 8)
        .ok_or(Refusal::BadArgument)?
        .to_bytes();
    let (mut tried, mut accepted) = (0, 0);
    for generation in 0..4_u64 {
        for index in 0..64_u64 {
            for buffer in [index, generation << 24 | index, generation << 40 | index] {
                let segment = Segment {
                    buffer,
                    offset: 0,
                    length: 4096,
                    direction: Direction::FromDevice,
                };
                let one = device_queue::Command {
                    cookie: tried,
                    template: &template,
                    segments: &[segment],
                };
                tried += 1;
                accepted += queue.submit(&[one])?.accepted;
            }
        }
    }
    fact!(
        "implies.queue-without-buffer",
        tried = tried,
        accepted = accepted
    );
    Ok(())
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "non-implication")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let console: Console = env.get("console")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let mmio = rig.device.mmio(0)?.mmio;
    let buffer = rig.buffer(4096)?;
    let spare = rig.buffer(4096)?;
    let cc = mmio.read(0x14, 4)?.value;
    let before = rig.device.info()?;
    let run = |role: &str, it: Given<'_>| -> Result<(), Refusal> {
        let given = [
            it,
            give("systemInfo", &kit.info),
            give("timer", &kit.timer),
            give("console", &console),
        ];
        let ended = kit.run(role, &given)?;
        if ended.code == 0 {
            Ok(())
        } else {
            Err(Refusal::Failed)
        }
    };
    run("mmio", give("it", &mmio))?;
    run("interrupt", give("it", &rig.interrupt))?;
    run("pool", give("it", &rig.pool))?;
    run("buffer", give("it", &spare))?;
    run("queue", give("it", &rig.io))?;
    let after = rig.device.info()?;
    let queue = rig.io.info()?;
    fact!(
        "implies.untouched",
        state = after.state == before.state,
        generation = after.generation == before.generation,
        cc = mmio.read(0x14, 4)?.value == cc,
        in_flight = queue.in_flight,
        buffers = rig.pool.info()?.buffers
    );

    without_claim(&kit, &registry, rig, &mmio, &buffer)
}

/// What derives from a claim does not keep it.
fn without_claim(
    kit: &Kit,
    registry: &DeviceRegistry,
    rig: Rig,
    mmio: &sdk::DeviceMmio,
    buffer: &sdk::DmaBuffer,
) -> Result<(), Error> {
    let Rig {
        device, pool, io, ..
    } = rig;
    drop(device);
    let unclaimed = || {
        registry.list(0, |results| {
            let list = results.functions()?;
            let mut ours = list
                .iter()
                .filter(|function| function.driver() == Ok("nvme"));
            Ok::<_, Refusal>(ours.all(|function| !function.claimed()))
        })
    };
    let over = smoke::wait_until(kit, || unclaimed() == Ok(Ok(true)));
    let read = Command::transfer(io::READ, 1, 0, 8).ok_or(Refusal::BadArgument)?;
    fact!(
        "implies.without-device",
        claim_over = over,
        mmio = outcome(&mmio.read(0, 8)),
        pool = outcome(&pool.info()),
        map = outcome(&buffer.map(1)),
        submit = outcome(&submit(&io, 1, &read, &[into(buffer, 0, 4096)]))
    );
    Ok(())
}
