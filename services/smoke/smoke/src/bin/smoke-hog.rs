//! Keeps every processor busy at the highest priority without ever entering the kernel, for a while.
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicBool, Ordering};

use sdk::{Env, Error, SystemInfo, Timer, alloc::vec::Vec, fact, process::thread_spawner::Shape};
use sdk::{ThreadOptions, spawn_thread};

sdk::entry!(main);

/// How long it lets others come up.
const PAUSE_NS: u64 = 1_500_000_000;
/// After how long it stops by itself, if nobody ends it.
const MOST_NS: u64 = 20_000_000_000;
const HIGHEST: u8 = 31;

static OVER: AtomicBool = AtomicBool::new(false);

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let info: SystemInfo = env.get("systemInfo")?;
    timer.sleep(timer.now()?.ns + PAUSE_NS)?;
    let cpus = info.machine()?.cpus;
    fact!("hog.begun", cpus = cpus);
    let default = ThreadOptions::default();
    let loops: Vec<_> = (0..cpus as i16)
        .map(|cpu| {
            let shape = Shape {
                cpu,
                priority: HIGHEST,
                ..default.shape
            };
            spawn_thread(ThreadOptions { shape, ..default }, || {
                while !OVER.load(Ordering::Relaxed) {
                    core::hint::spin_loop();
                }
            })
        })
        .collect::<Result<_, _>>()?;
    timer.sleep(timer.now()?.ns + MOST_NS)?;
    OVER.store(true, Ordering::Relaxed);
    for thread in loops {
        thread.join()?;
    }
    fact!("hog.gave-up");
    Ok(())
}
