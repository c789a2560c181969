//! Moves a disk's interrupt from CPU to CPU while reads run: does every completion arrive?
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::{DeviceRegistry, Env, Error, LogReader, Refusal, Timer, fact};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{into, outcome, wait_for_line};

sdk::entry!(main);

const CPUS: u16 = 4;
const ROUNDS: u64 = 200;
/// Reads in flight when the interrupt moves.
const DEPTH: u64 = 4;
/// After so many waits in vain nothing more is tried.
const PATIENCE: u64 = 3;

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("registry")?;
    let log: LogReader = env.get("log")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let interrupt = &rig.interrupt;
    let outside = [CPUS, 64, u16::MAX].map(|cpu| interrupt.set_affinity(cpu));
    fact!(
        "affinity.refused",
        next = outcome(&outside[0]),
        past = outcome(&outside[1]),
        last = outcome(&outside[2])
    );
    let counted = |cpu| registry.interrupts(cpu).map(|one| one.device);
    let mut before = [0; CPUS as usize];
    for (cpu, count) in (0..).zip(&mut before) {
        *count = counted(cpu)?;
    }

    let Load {
        completed,
        busy,
        in_vain,
    } = load(&rig, &timer)?;
    fact!(
        "affinity.load",
        completed = completed,
        waits_in_vain = in_vain
    );
    let mut used = 0;
    for (cpu, count) in (0..).zip(before) {
        used += u64::from(counted(cpu)? - count > 10);
    }
    let counts = interrupt.counts()?;
    fact!("affinity.moved", cpus = used, times = ROUNDS, busy ~ busy,
        forwarded ~ counts.forwarded, late ~ counts.late);
    // The last vector of before is quiet by then.
    timer.sleep(timer.now()?.ns + 200_000_000)?;
    let (mut unowned, mut vectors) = (0, 0);
    for cpu in 0..CPUS {
        let one = registry.interrupts(cpu)?;
        unowned += one.unowned;
        vectors += u64::from(one.vectors);
    }
    // The console's vector, and the disk's.
    fact!("affinity.end", unowned = unowned, vectors = vectors);
    // The end of this program ends the system, on another CPU than the one that takes the device back.
    drop(rig);
    wait_for_line(&log, &timer, "@device.released ")?;
    Ok(())
}

/// What became of the reads.
#[derive(Default)]
struct Load {
    completed: u64,
    /// How often the vector of the last move was still raised.
    busy: u64,
    in_vain: u64,
}

impl Load {
    /// Waits for all reads in flight, as long as there is patience.
    fn read_all(&mut self, rig: &Rig, timer: &Timer) -> Result<(), Error> {
        let mut left = DEPTH;
        while left > 0 && self.in_vain < PATIENCE {
            let deadline = timer.now()?.ns + 2_000_000_000;
            match rig.interrupt.with_deadline(deadline).wait() {
                Ok(_) => rig.interrupt.acknowledge()?,
                Err(Refusal::TimedOut) => self.in_vain += 1,
                Err(refusal) => return Err(refusal.into()),
            }
            let list = |done: u64| {
                rig.io.complete(16, |results| {
                    Ok::<_, Refusal>(done + results.completions()?.len() as u64)
                })
            };
            let done = list(0)??;
            self.completed += done;
            left -= done.min(left);
        }
        Ok(())
    }
}

/// Reads, and moves the interrupt while they run.
fn load(rig: &Rig, timer: &Timer) -> Result<Load, Error> {
    let buffer = rig.buffer(4096 * DEPTH)?;
    let read = Command::transfer(io::READ, 1, 0, 8).ok_or(Refusal::BadArgument)?;
    let mut load = Load::default();
    for round in 0..ROUNDS {
        for piece in 0..DEPTH {
            let segment = into(&buffer, piece as u32 * 4096, 4096);
            submit(&rig.io, round * DEPTH + piece, &read, &[segment])?;
        }
        // While the vector of the last move may still be raised, there is no next move.
        while let Err(refusal) = rig.interrupt.set_affinity((round % u64::from(CPUS)) as u16) {
            if refusal != Refusal::Busy || load.busy > 100 * ROUNDS {
                return Err(refusal.into());
            }
            load.busy += 1;
            timer.sleep(timer.now()?.ns + 200_000)?;
        }
        load.read_all(rig, timer)?;
    }
    Ok(load)
}
