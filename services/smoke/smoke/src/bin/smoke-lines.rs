//! Does every line reach the serial line whole, whoever else writes, and does nobody wait for the line but who writes?
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::process::process_handle::End;
use sdk::process::{console, log_sink};
use sdk::{Cap, Env, Error, ProcessHandle, fact, info, print, println};
use smoke::{Kit, give, role};

sdk::entry!(main);

/// What every line ends with, so that a torn one shows.
const PAYLOAD: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ end";
const WRITERS: [&str; 4] = ["w0", "w1", "w2", "w3"];
const LINES: u32 = 200;
/// More than the host's pipe and the kernel's queue hold together.
const FLOOD: u32 = 4000;
/// How long the metronome runs, and how late a beat may be: a CPU that waits for a UART is later by seconds.
const BEATS: u32 = 600;
const BEAT_MS: u64 = 10;
const LATE_NS: u64 = 3_000_000_000;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("stuck") => stuck(env),
        Some("flood") => {
            for number in 0..FLOOD {
                println!("flood line {number:04} {PAYLOAD}");
            }
            Ok(())
        }
        Some("victim") => loop {
            println!("victim line 0000 {PAYLOAD}");
        },
        Some(name) => {
            write(name);
            Ok(())
        }
        None => together(env),
    }
}

/// Every kind of line, as fast as it goes.
fn write(name: &str) {
    for number in 0..LINES {
        println!("{name} line {number:04} {PAYLOAD}");
        info!("{name} note {number:04} {PAYLOAD}");
        if number % 20 == 7 {
            print!("{name} piece {number:04} ");
            println!("{PAYLOAD}");
        }
        if number % 50 == 49 {
            fact!("lines.fact", writer = name, number = number);
        }
    }
}

fn start(env: &Env, kit: &Kit, role: &str) -> Result<ProcessHandle, Error> {
    let console: console::Client<Cap> = env.get("console")?;
    let log: log_sink::Client<Cap> = env.get("logSink")?;
    Ok(kit.start(role, &[give("console", &console), give("logSink", &log)])?)
}

/// Four processes write at once.
fn together(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-lines")?;
    fact!("lines.start", cpus = kit.info.machine()?.cpus);
    let mut writers = WRITERS.into_iter();
    let mut started = [const { None }; WRITERS.len()];
    for (place, name) in started.iter_mut().zip(&mut writers) {
        *place = Some(start(env, &kit, name)?);
    }
    for process in started.into_iter().flatten() {
        kit.ended(&process)?;
    }
    let kernel = kit.start("kernel", &[]).map(|_| ());
    let blank = kit.start("two words", &[]).map(|_| ());
    fact!(
        "lines.done",
        kernel = smoke::outcome(&kernel),
        blank = smoke::outcome(&blank)
    );
    Ok(())
}

/// The line takes nothing for seconds; whoever does not write notices nothing.
fn stuck(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-lines")?;
    let flood = start(env, &kit, "flood")?;
    let victim = start(env, &kit, "victim")?;
    fact!("stuck.ready");
    let mut latest = 0;
    let mut killed = None;
    for beat in 0..BEATS {
        let due = kit.after_ms(BEAT_MS)?;
        kit.timer.sleep(due)?;
        latest = latest.max(kit.timer.now()?.ns.saturating_sub(due));
        if beat == BEATS / 3 {
            // It waits for room by now, and is ended there.
            victim.kill()?;
            killed = Some(kit.ended(&victim)?.kind);
        }
    }
    let done = flood.wait(|results| results.kind() == Ok(End::Exited))?;
    fact!(
        "stuck.metronome",
        late = latest > LATE_NS,
        latest_ns ~ latest,
        victim = killed.unwrap_or_default(),
        flood_ended = done
    );
    Ok(())
}
