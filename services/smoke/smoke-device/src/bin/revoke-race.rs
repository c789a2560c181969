//! Three processors use a device while the fourth takes it away, by reset, by release, or both.
//!
//! Its first argument is the number of rounds. Invariant: every thread counts what it was told; nothing is taken for
//! granted but the refusals that the interface promises.
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nvme_format::{Command, io};
use sdk::alloc::{sync::Arc, vec::Vec};
use sdk::device::device_queue::{self, Segment};
use sdk::{
    Access, Device, DeviceMmio, DeviceQueue, DeviceRegistry, DmaBuffer, DmaPool, Env, Error,
    Interrupt, Mutex, Refusal, Timer, Window, fact,
};
use smoke::{Kit, pinned};
use smoke_rig::{into, nvme};

sdk::entry!(main);

const BYTES: u32 = 16 * 1024;
/// Commands of a batch.
const BATCH: usize = 4;
/// Rounds before anything is counted: what the kernel keeps for later is there then.
const WARM_UP: u64 = 8;
const USERS: u32 = 3;

/// What one round's users work with.
struct Round {
    pool: DmaPool,
    interrupt: Interrupt,
    queue: DeviceQueue,
    mmio: DeviceMmio,
    /// Buffers that the submitter uses, for others to free under its hands.
    buffers: Mutex<Vec<Arc<DmaBuffer>>>,
    /// The device goes: finish what must be finished and let go.
    over: AtomicU32,
}

static ROUND: Mutex<Option<Arc<Round>>> = Mutex::new(None);
/// Counts the rounds; users wait here.
static TURN: AtomicU32 = AtomicU32::new(0);
/// Users that have let go of the round.
static GONE: AtomicU32 = AtomicU32::new(0);
/// Users that work with the round.
static HERE: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);

/// Commands that were taken, answered, answered `revoked`, and answers nobody waited for.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);
static REVOKED: AtomicU64 = AtomicU64::new(0);
static STRANGE: AtomicU64 = AtomicU64::new(0);
/// Operations that did what they should, and that were refused as they should.
static DONE: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Refusals that no race explains, as a set of their codes.
static WRONG: AtomicU64 = AtomicU64::new(0);
static WRONG_COUNT: AtomicU64 = AtomicU64::new(0);
/// Bytes in fresh buffers that were not zero.
static DIRTY: AtomicU64 = AtomicU64::new(0);
/// The first of them: the mapper's own pattern comes from an earlier mapping, the disk's from the device.
static FIRST_DIRTY: AtomicU64 = AtomicU64::new(0);

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Counts an outcome. These refusals are what a race may come to; any other is a defect.
fn note<T>(outcome: Result<T, Refusal>) -> Option<T> {
    match outcome {
        Ok(value) => {
            add(&DONE, 1);
            Some(value)
        }
        Err(
            Refusal::Stale
            | Refusal::Revoked
            | Refusal::WrongState
            | Refusal::Busy
            | Refusal::QueueFull
            | Refusal::Duplicate
            | Refusal::TimedOut
            | Refusal::NotFound
            | Refusal::OverBudget,
        ) => {
            add(&REFUSED, 1);
            None
        }
        Err(refusal) => {
            WRONG.fetch_or(1 << (refusal.code() % 64), Ordering::Relaxed);
            add(&WRONG_COUNT, 1);
            None
        }
    }
}

/// Runs `work` on each round until the round is over.
fn user(mut work: impl FnMut(&Round, &mut u64)) {
    let mut seen = 0;
    let mut random = 0x9e37_79b9_7f4a_7c15;
    while STOP.load(Ordering::Acquire) == 0 {
        let turn = TURN.load(Ordering::Acquire);
        let round = if turn == seen {
            None
        } else {
            ROUND.lock().clone()
        };
        let Some(round) = round else {
            core::hint::spin_loop();
            continue;
        };
        seen = turn;
        HERE.fetch_add(1, Ordering::AcqRel);
        while round.over.load(Ordering::Acquire) < 2 {
            work(&round, &mut random);
        }
        drop(round);
        GONE.fetch_add(1, Ordering::AcqRel);
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Submits a batch and completes it before the next.
///
/// QEMU's controller (7.2) uses a request after it has freed it when a doorbell is rung just before a reset while
/// older commands are in flight; so nothing is in flight when the doorbell is rung.
fn submitter(round: &Round, random: &mut u64) {
    let Some(read) = Command::transfer(io::READ, 1, next(random) % 1024, BYTES / 512) else {
        return;
    };
    let idle = note(round.queue.info()).is_some_and(|info| info.in_flight == 0);
    if idle && round.over.load(Ordering::Acquire) == 0 {
        let batch = {
            let mut buffers = round.buffers.lock();
            while buffers.len() < BATCH
                && let Some(made) = note(
                    round
                        .pool
                        .allocate(u64::from(BYTES), sdk::Layout::Scattered),
                )
            {
                buffers.push(Arc::new(made.buffer));
            }
            buffers.clone()
        };
        let template = read.to_bytes();
        let segments: Vec<[Segment; 1]> = batch.iter().map(|one| [into(one, 0, BYTES)]).collect();
        let commands: Vec<_> = segments
            .iter()
            .map(|segments| device_queue::Command {
                cookie: next(random) | 1,
                template: &template,
                segments,
            })
            .collect();
        if let Some(taken) = note(round.queue.submit(&commands)) {
            add(&ACCEPTED, u64::from(taken.accepted));
            note(taken.refusal.map_or(Ok(()), Err));
        }
    }
    take(&round.queue);
}

/// Takes what is there. `false`: the queue owes nothing more.
fn take(queue: &DeviceQueue) -> bool {
    let taken = queue.complete(64, |results| {
        for one in results.completions()?.iter() {
            let one = one.value()?;
            match one.refusal {
                None => add(&ANSWERED, 1),
                Some(Refusal::Revoked) => add(&REVOKED, 1),
                Some(_) => add(&STRANGE, 1),
            }
            add(&STRANGE, u64::from(one.cookie & 1 == 0 || one.status != 0));
        }
        Ok::<_, Refusal>(())
    });
    let taken = taken.and_then(|taken| taken);
    note(taken).is_some() || taken == Err(Refusal::WrongState)
}

/// Allocates, maps, looks, frees; and frees the submitter's buffers.
fn mapper(round: &Round, random: &mut u64) {
    let layout = match next(random) & 1 {
        0 => sdk::Layout::Contiguous,
        _ => sdk::Layout::Scattered,
    };
    if let Some(made) = note(round.pool.allocate(u64::from(BYTES), layout)) {
        let buffer = made.buffer;
        if let Some(window) = note(buffer.window(sdk::WindowAccess::ReadWrite)) {
            let mapped = Window::map(window.memory, u64::from(BYTES), Access::ReadWrite);
            if let Some(window) = note(mapped) {
                let mut page = [0u8; 4096];
                for offset in (0..u64::from(BYTES)).step_by(4096) {
                    let _ = window.read(offset, &mut page);
                    // Where the buffer has been revoked meanwhile, what was read is the process's own spare page.
                    let stands = note(buffer.info()).is_some();
                    let mut dirty = page.iter().filter(|byte| stands && **byte != 0);
                    if let Some(first) = dirty.next() {
                        FIRST_DIRTY.store(u64::from(*first), Ordering::Relaxed);
                        add(&DIRTY, 1 + dirty.count() as u64);
                    }
                    let _ = window.write(offset, &[0xdc; 4096]);
                }
            }
        }
        note(buffer.map(1));
        if next(random) & 1 == 0 {
            note(buffer.free());
        }
    }
    let taken = {
        let mut buffers = round.buffers.lock();
        let at = next(random) as usize % 8;
        (at < buffers.len()).then(|| buffers.swap_remove(at))
    };
    if let Some(buffer) = taken {
        note(buffer.info());
        if next(random) & 3 != 0 {
            note(buffer.free());
        }
    }
}

/// Waits, acknowledges, masks, looks at registers.
fn listener(round: &Round, timer: &Timer, random: &mut u64) {
    let deadline = timer.now().map_or(0, |now| now.ns + 100_000);
    match next(random) % 6 {
        0 | 1 => drop(note(round.interrupt.with_deadline(deadline).wait())),
        2 => drop(note(round.interrupt.acknowledge())),
        3 => drop(note(round.interrupt.mask())),
        4 => drop(note(round.interrupt.info())),
        _ => drop(note(round.mmio.read(0x1c, 4))),
    }
    note(round.interrupt.unmask());
}

/// Brings up a controller that was reset.
fn bring_up(device: &Device) -> Result<Arc<Round>, Refusal> {
    nvme::enable(device, 1)?;
    let interrupt = device.interrupt(0)?.interrupt;
    interrupt.unmask()?;
    Ok(Arc::new(Round {
        pool: device.pool(8 * u64::from(BYTES))?.pool,
        interrupt,
        queue: device.queue(nvme::IO, 1, 16, 0)?.queue,
        mmio: device.mmio(0)?.mmio,
        buffers: Mutex::new(Vec::new()),
        over: AtomicU32::new(0),
    }))
}

fn play(registry: &DeviceRegistry, kit: &Kit, rounds: u64) -> Result<(), Error> {
    let mut random = 0x2545_f491_4f6c_dd1d;
    for round in 0..rounds {
        let device = registry.claim("nvme", 0)?.device;
        device.reset()?;
        let shared = bring_up(&device)?;
        GONE.store(0, Ordering::Release);
        HERE.store(0, Ordering::Release);
        *ROUND.lock() = Some(shared.clone());
        TURN.fetch_add(1, Ordering::AcqRel);
        while HERE.load(Ordering::Acquire) < USERS {
            core::hint::spin_loop();
        }
        // Any moment of their work, up to a few milliseconds.
        let until = kit.timer.now()?.ns + next(&mut random) % 4_000_000;
        while kit.timer.now()?.ns < until {
            core::hint::spin_loop();
        }
        if round % 3 != 2 {
            // Whoever reads or waits now is told so; every command is answered, once.
            device.reset()?;
            shared.over.store(1, Ordering::Release);
            while take(&shared.queue) {}
        }
        if round % 3 == 1 {
            // Straight on, while the users still hold what is from before.
            let after = bring_up(&device)?;
            note(after.queue.info());
        }
        if round % 3 == 2 {
            // What is in flight is nobody's to hear of.
            let in_flight = &shared.queue;
            drop(device);
            shared.over.store(1, Ordering::Release);
            take(in_flight);
        }
        shared.over.store(2, Ordering::Release);
        *ROUND.lock() = None;
        while GONE.load(Ordering::Acquire) < USERS {
            core::hint::spin_loop();
        }
        if round % 3 != 2 {
            while take(&shared.queue) {}
        } else {
            // Their answers died with the claim.
            ACCEPTED.store(
                ANSWERED.load(Ordering::Relaxed) + REVOKED.load(Ordering::Relaxed),
                Ordering::Relaxed,
            );
        }
    }
    drop(registry.claim("nvme", 0)?);
    drop(registry.claim("nvme", 0)?);
    Ok(())
}

fn main(env: &Env) -> Result<(), Error> {
    let mut arguments = env.arguments();
    let rounds = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(60);
    let kit = Kit::new(env, "revoke-race")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let timer: Timer = env.get("timer")?;
    let threads = [
        pinned(1, || user(submitter))?,
        pinned(2, || user(mapper))?,
        pinned(3, move || {
            user(|round, random| listener(round, &timer, random))
        })?,
    ];
    play(&registry, &kit, WARM_UP)?;
    let before = kit.free_kib()?;
    play(&registry, &kit, rounds)?;
    let lost = before as i64 - kit.free_kib()? as i64;
    STOP.store(1, Ordering::Release);
    for thread in threads {
        thread.join()?;
    }
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    fact!(
        "race.operations",
        rounds = rounds,
        some_done = get(&DONE) > rounds,
        some_refused = get(&REFUSED) > rounds,
        wrong_refusals = get(&WRONG_COUNT),
        done ~ get(&DONE),
        refused ~ get(&REFUSED),
        wrong_set ~ get(&WRONG)
    );
    fact!(
        "race.answers",
        each_once = get(&ACCEPTED) == get(&ANSWERED) + get(&REVOKED),
        strange = get(&STRANGE),
        some_revoked = get(&REVOKED) > 0,
        accepted ~ get(&ACCEPTED),
        answered ~ get(&ANSWERED),
        revoked ~ get(&REVOKED)
    );
    fact!("race.pages", dirty = get(&DIRTY), byte ~ get(&FIRST_DIRTY));
    fact!(
        "race.memory",
        // A page lost with each round would be more; the kernel's heap grows by 256 KiB.
        back = lost < rounds as i64 * 4,
        lost_kib ~ lost
    );
    Ok(())
}
