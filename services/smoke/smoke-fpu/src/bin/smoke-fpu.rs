//! Has a process that may use the floating-point unit its registers for itself, and nobody else any?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use ring_abi::{NEVER, opcode, submission_flags};
use rt::sys::Operation;
use sdk::alloc::format;
use sdk::process::process_spawner::Limits;
use sdk::process::thread_spawner::Shape;
use sdk::{
    Endpoint, Env, Error, Interface, Lifetime, Object, ProcessHandle, Refusal, ThreadSpawner,
    Timer, VirtualMemory, fact,
};
use smoke::{Ended, Given, Kit, Prober, give, mint, role, serve_probe, wait_until};
use smoke_fpu::{BESIDE_NS, Begun, Hold, begin, has_avx, maths};

sdk::entry!(main);

const IMAGE: &str = "smoke-fpu";
const PLAIN: &str = "smoke-fpu-plain";
/// Some quanta long, on an emulated processor too.
const SPINS: u64 = 20_000_000;
/// How often a pattern is held through a call.
const CALLS: u64 = 200;
/// `Timer.sleep` and `Probe.act`, `Probe.words`: schema/numbers.txt.
const SLEEP: u16 = 1;
const WORDS: u16 = 0;
const ACT: u16 = 5;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        None => ask(env),
        Some("serves") => serve_probe(env, |_: &mut Prober, _: u64, tag: u64| {
            Ok(Hold::new(tag as u16).spin(1000))
        }),
        Some("first") => hold_for_long(env, 0x11),
        Some("second") => hold_for_long(env, 0x22),
        Some("computes") => {
            let root = maths::root(2.0);
            sdk::exit(0, format_args!("root={:#x}", root.to_bits()))
        }
        Some(_) => Ok(()),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kits = Kits {
        own: Kit::new(env, IMAGE)?,
        plain: Kit::new(env, PLAIN)?,
    };
    let numbers = (maths::root(2.0), maths::pi(1000), maths::harmonic(1000));
    fact!(
        "fpu.maths",
        root = format!("{:#x}", numbers.0.to_bits()).as_str(),
        pi = format!("{:#x}", numbers.1.to_bits()).as_str(),
        harmonic = numbers.2
    );
    new_thread(env, &kits.own)?;
    beside(&kits)?;
    calls(&kits)?;
    refused(&kits)?;
    charge(&kits)
}

struct Kits {
    own: Kit,
    plain: Kit,
}

/// Starts a role that may use the unit, or may not.
fn start(kit: &Kit, role: &str, fpu: Fpu, given: &[Given<'_>]) -> Result<ProcessHandle, Refusal> {
    let limits = Limits {
        fpu: fpu == Fpu::With,
        threads: 40,
        ..Limits::default()
    };
    kit.start_within(role, &limits, &[], given)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fpu {
    With,
    Without,
}

/// Leaves a pattern in the registers and their memory, and starts a thread that looks at its own first.
fn new_thread(env: &Env, kit: &Kit) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let threads: ThreadSpawner = env.get("threads")?;
    let memory = vm.map(3 * 4096, 3)?.address;
    let shape = Shape {
        submissions: 8,
        message_bytes: 4096,
        priority: 16,
        cpu: -1,
    };
    let begun = memory as *mut Begun;
    // SAFETY: the mapping above; the thread does not run yet.
    unsafe { begun.write(Begun::new()) };
    let timer: Timer = env.get("timer")?;
    let slept = sleep(&timer, kit.after_ms(5)?, 0x33);
    let entry = begin as *const () as u64;
    let thread = threads
        .spawn(entry, memory + 3 * 4096, memory, &shape)?
        .thread;
    thread.join()?;
    // SAFETY: the thread has ended.
    let (set, as_at_start) = unsafe { begun.read() }.found();
    fact!("fpu.sleep", wrong = slept, avx = has_avx());
    fact!(
        "fpu.thread",
        registers_set = set,
        control_as_at_start = as_at_start
    );
    Ok(())
}

/// Holds a pattern while the thread sleeps, so that the processor is idle; how much of it was wrong.
fn sleep(timer: &Timer, until_ns: u64, tag: u16) -> u64 {
    let operation = Operation {
        opcode: opcode::CALL,
        flags: submission_flags::INLINE,
        method: SLEEP,
        handle: timer.object().handle(),
        deadline_ns: NEVER,
        words: [until_ns, 0, 0, 0],
        ..Operation::default()
    };
    let (wrong, status, _) = Hold::new(tag).operate(&operation);
    wrong + u64::from(status & 0xff != 0)
}

/// Holds a pattern for as long as others run on the same processor.
fn hold_for_long(env: &Env, tag: u16) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let end = timer.now()?.ns + BESIDE_NS;
    let mut wrong = 0;
    while timer.now()?.ns < end {
        wrong += Hold::new(tag).spin(SPINS);
        wrong += sleep(&timer, timer.now()?.ns + 1_000_000, tag);
    }
    sdk::exit(0, format_args!("wrong={wrong}"))
}

/// Two that hold patterns of their own, and one that may not, take turns on one processor.
fn beside(kits: &Kits) -> Result<(), Error> {
    let timer = [give("timer", &kits.own.timer)];
    let programs = [
        ("first", start(&kits.own, "first", Fpu::With, &timer)?),
        ("second", start(&kits.own, "second", Fpu::With, &timer)?),
        ("plain", start(&kits.plain, "spins", Fpu::Without, &timer)?),
    ];
    for (name, process) in programs {
        let ended = kits.own.ended(&process)?;
        fact!(
            "fpu.beside",
            program = name,
            kind = ended.kind,
            said = ended.text.as_str()
        );
    }
    Ok(())
}

/// Patterns held through calls to a process that has its own, and to one that may not.
fn calls(kits: &Kits) -> Result<(), Error> {
    for (name, kit, fpu, method) in [
        ("with", &kits.own, Fpu::With, ACT),
        ("without", &kits.plain, Fpu::Without, WORDS),
    ] {
        let endpoint: Endpoint = kit.endpoints.create()?.endpoint;
        let server = start(kit, "serves", fpu, &[give("endpoint", &endpoint)])?;
        let probe = mint(&endpoint, 1, Lifetime::Durable)?;
        let (mut wrong, mut theirs, mut failed) = (0, 0, 0);
        for nth in 0..CALLS {
            let operation = Operation {
                opcode: opcode::CALL,
                flags: submission_flags::INLINE,
                method,
                handle: probe.object().handle(),
                deadline_ns: NEVER,
                words: [0, nth, 0, 0],
                ..Operation::default()
            };
            let (held, status, word) = Hold::new(0x4400 | nth as u16).operate(&operation);
            wrong += held;
            theirs += if method == ACT { word } else { 0 };
            failed += u64::from(status & 0xff != 0);
        }
        server.kill()?;
        kit.ended(&server)?;
        fact!(
            "fpu.calls",
            server = name,
            wrong = wrong,
            wrong_there = theirs,
            failed = failed
        );
    }
    Ok(())
}

/// What becomes of those that use the unit without the right to, each after somebody has filled the registers.
fn refused(kits: &Kits) -> Result<(), Error> {
    let timer = [give("timer", &kits.own.timer)];
    for (name, kit) in [("computes", &kits.own), ("peeks", &kits.plain)] {
        let process = start(kit, name, Fpu::Without, &timer)?;
        let mut pattern = Hold::new(0x55);
        let _ = pattern.spin(SPINS);
        let ended = kits.own.ended(&process)?;
        state_refusal(name, &ended);
    }
    Ok(())
}

fn state_refusal(name: &str, ended: &Ended) {
    fact!(
        "fpu.refused",
        program = name,
        kind = ended.kind,
        rule = ended.rule(),
        says_why = ended.text.contains("fpu"),
        seen = ended.text.strip_prefix("seen=").unwrap_or("nothing")
    );
}

/// What a process's memory is charged for the registers of 33 threads: at least what XSAVE writes of x87 and SSE.
fn charge(kits: &Kits) -> Result<(), Error> {
    let mut pages = [0_u32; 2];
    for (pages, fpu) in pages.iter_mut().zip([Fpu::Without, Fpu::With]) {
        let timer = [give("timer", &kits.own.timer)];
        let process = start(&kits.plain, "threads", fpu, &timer)?;
        let mut used = 0;
        // Until it has all its threads, and has used no more for 20 ms.
        let settled = wait_until(&kits.own, || {
            let _ = kits.own.pause_ms(20);
            let now = process.info().map_or(0, |info| info.memory_pages);
            let same = now == used && now > 33 * 2;
            used = now;
            same
        });
        *pages = if settled { used } else { 0 };
        process.kill()?;
        kits.own.ended(&process)?;
    }
    let [without, with] = pages;
    let more = with.saturating_sub(without);
    fact!(
        "fpu.charge",
        charged = without > 0 && more * 4096 >= 33 * 576,
        pages ~ more
    );
    Ok(())
}
