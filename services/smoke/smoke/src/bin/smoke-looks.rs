//! Does long work in the kernel give way to somebody more urgent?
//!
//! On processor 0 a thread of low priority makes the kernel work for long, in one entry. Beside it an urgent thread
//! sleeps a millisecond at a time, and counts how often it ran until that entry was over.
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ring_abi::{NEVER, Submission, opcode, span};
use rt::Cap;
use sdk::process::thread_spawner::Shape;
use sdk::process::virtual_memory;
use sdk::{Env, Error, Interface, Object, Refusal, ThreadOptions, Timer, fact, spawn_thread};
use smoke::{Kit, raw};

sdk::entry!(main);

const PAGE: u64 = 4096;
/// What each call maps: 12 MiB.
const PAGES: u64 = 3072;
/// Pairs of calls in one entry.
const PAIRS: u32 = 64;
/// How often the urgent thread runs at least, if it is let; without looks it runs once, when the entry is over.
const ENOUGH: u64 = 8;

static BEGUN: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);
static BEATS: AtomicU64 = AtomicU64::new(0);

fn at(priority: u8) -> ThreadOptions {
    ThreadOptions {
        stack_bytes: 32 * 1024,
        shape: Shape {
            submissions: 256,
            message_bytes: 8192,
            priority,
            cpu: 0,
        },
    }
}

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-looks")?;
    let vm: virtual_memory::Client<Cap> = env.get("vm")?;
    let handle = vm.object().handle();
    urgent(&kit, "batch", move || batch(handle))
}

/// Lets `work` run at priority 1 while the urgent thread beats.
fn urgent(
    kit: &Kit,
    what: &'static str,
    work: impl FnOnce() -> u32 + Send + 'static,
) -> Result<(), Error> {
    BEGUN.store(false, Ordering::Release);
    OVER.store(false, Ordering::Release);
    BEATS.store(0, Ordering::Release);
    let timer = kit.timer.object().handle();
    let urgent = spawn_thread(at(15), move || {
        let timer = Timer::from_object(Cap::borrowed(timer));
        while !OVER.load(Ordering::Acquire) {
            let now = timer.now().map_or(0, |now| now.ns);
            let _ = timer.sleep(now + 1_000_000);
            if BEGUN.load(Ordering::Acquire) && !OVER.load(Ordering::Acquire) {
                BEATS.fetch_add(1, Ordering::AcqRel);
            }
        }
    })?;
    let low = spawn_thread(at(1), move || {
        BEGUN.store(true, Ordering::Release);
        let refused = work();
        OVER.store(true, Ordering::Release);
        refused
    })?;
    let refused = low.join()?;
    urgent.join()?;
    fact!(
        "looks.work",
        what = what,
        refused = refused,
        urgent_ran = BEATS.load(Ordering::Acquire) >= ENOUGH,
        beats ~ BEATS.load(Ordering::Acquire)
    );
    Ok(())
}

/// Maps and unmaps, again and again, in one entry. How many of the calls were refused.
fn batch(vm: u64) -> u32 {
    let space = virtual_memory::Client::from_object(Cap::borrowed(vm));
    // Every map of the batch finds the room that this one had.
    let Ok(mapped) = space.map(PAGES * PAGE, 3) else {
        return u32::MAX;
    };
    let address = mapped.address;
    if space.unmap(address, PAGES * PAGE).is_err() {
        return u32::MAX;
    }
    // A message: a root struct of four words.
    let put = |at: u32, words: [u64; 2]| {
        raw::put(at, 4 << 32);
        raw::put(at + 8, words[0]);
        raw::put(at + 16, words[1]);
        raw::put(at + 24, 0);
        raw::put(at + 32, 0);
    };
    put(1024, [PAGES * PAGE, 3]);
    put(1088, [address, PAGES * PAGE]);
    let call = |method: u16, at: u32| Submission {
        opcode: opcode::CALL,
        method,
        handle: vm,
        deadline_ns: NEVER,
        words: [span(at, 40), span(2048, 256), 0, 0],
        ..Submission::default()
    };
    for _ in 0..PAIRS {
        raw::submit(call(virtual_memory::method::MAP, 1024));
        raw::submit(call(virtual_memory::method::UNMAP, 1088));
    }
    raw::enter(0, NEVER);
    let mut refused = 0;
    while let Some(completion) = raw::completion() {
        refused += u32::from(Refusal::from_code(completion.status as u8).is_some());
    }
    refused
}
