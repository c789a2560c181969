//! Do a process's limits hold for its threads and for its image?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sdk::process::process_spawner::Limits;
use sdk::process::thread_spawner::Shape;
use sdk::{Env, Error, Interface, NEVER, ThreadOptions, Timer, fact, spawn_thread};
use smoke::{Kit, give, outcome, role};

sdk::entry!(main);

const IMAGE: &str = "smoke-limits";
/// Words of the image that nobody uses: 2 MiB.
const WORDS: usize = 256 * 1024;
/// Their pages.
const PAGES: u32 = (WORDS * 8 / 4096) as u32;
static IDLE: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
/// Turns beside a thread that spins, and how long it waits for them.
const ENOUGH: u64 = 5;
const PATIENCE_MS: u64 = 4000;
static TURNS: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

fn main(env: &Env) -> Result<(), Error> {
    if role(env).is_some() {
        let timer: Timer = env.get("timer")?;
        timer.sleep(NEVER)?;
        return Ok(());
    }
    let kit = Kit::new(env, IMAGE)?;
    // Keeps the words in the image.
    let unused = core::hint::black_box(&IDLE)
        .iter()
        .all(|word| word.load(Ordering::Relaxed) == 0);
    let start = |memory_pages| {
        let limits = Limits {
            memory_pages,
            ..Limits::default()
        };
        kit.start_within("sleeper", &limits, &[], &[give("timer", &kit.timer)])
    };
    let child = start(PAGES * 2)?;
    kit.pause_ms(20)?;
    let used = child.info()?.memory_pages;
    fact!(
        "limits.image",
        unused = unused,
        in_half = outcome(&start(PAGES / 2)),
        in_its_own = outcome(&start(PAGES)),
        in_twice = "ok",
        counted = used > PAGES
    );
    child.kill()?;
    priority(&kit)
}

/// A thread that asks for the highest priority there is gets its process's: whoever shares the processor goes on.
fn priority(kit: &Kit) -> Result<(), Error> {
    let default = ThreadOptions::default();
    let shape = Shape {
        priority: 31,
        cpu: 0,
        ..default.shape
    };
    let end = kit.after_ms(PATIENCE_MS)?;
    let timer = sdk::Object::handle(kit.timer.object());
    let spinner = spawn_thread(ThreadOptions { shape, ..default }, move || {
        let timer = Timer::from_object(sdk::Cap::borrowed(timer));
        while TURNS.load(Ordering::Acquire) < ENOUGH && timer.now().is_ok_and(|now| now.ns < end) {
            core::hint::spin_loop();
        }
        DONE.store(true, Ordering::Release);
        TURNS.load(Ordering::Acquire)
    })?;
    while !DONE.load(Ordering::Acquire) {
        kit.pause_ms(1)?;
        TURNS.fetch_add(1, Ordering::AcqRel);
    }
    let turns = spinner.join()?;
    fact!("limits.priority", shares_the_processor = turns >= ENOUGH);
    Ok(())
}
