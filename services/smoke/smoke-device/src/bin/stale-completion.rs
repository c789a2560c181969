//! What a reset leaves of commands: in flight, or finished and never looked at. The disk is slow.
//!
//! Invariant: whether the device still writes is judged by the memory it would write to.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::alloc::vec::Vec;
use sdk::{
    Access, DeviceQueue, DeviceRegistry, DmaBuffer, Env, Error, Refusal, Timer, Window, fact,
};
use smoke_rig::nvme::{self, Rig, submit};
use smoke_rig::{POLLED, completion, completions, into, outcome};

sdk::entry!(main);

const NSID: u32 = 1;
const BYTES: u32 = 128 * 1024;
const MARK: u8 = 0x5a;
/// Longer than the disk needs for what is in flight.
const LATER_MS: u64 = 1500;
/// What the disk gives at once is less than this, and what comes after has to wait.
const LARGE: u32 = 4 * BYTES;
/// The cookie of the FLUSH that follows the reads.
const FLUSH: u64 = 106;

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    in_flight(&rig, &timer)?;
    untaken(&rig, &timer)?;
    polled(&rig, &timer)?;
    Ok(())
}

fn read(blocks: u32) -> Result<Command, Refusal> {
    Command::transfer(io::READ, NSID, 0, blocks).ok_or(Refusal::BadArgument)
}

fn pause(timer: &Timer, ms: u64) -> Result<(), Refusal> {
    timer.sleep(timer.now()?.ns + ms * 1_000_000)
}

/// Cookies, and how often each came `revoked`; then why there is no more.
fn revoked(queue: &DeviceQueue) -> Result<(Vec<u64>, usize, &'static str), Refusal> {
    let (mut cookies, mut others) = (Vec::new(), 0);
    loop {
        let taken = queue.complete(3, |results| {
            let list: Vec<_> = results.completions()?.iter().collect();
            for one in list {
                let one = one.value()?;
                if one.refusal == Some(Refusal::Revoked) && one.status == 0 && one.result == 0 {
                    cookies.push(one.cookie);
                } else {
                    others += 1;
                }
            }
            Ok::<_, Refusal>(())
        });
        match taken.and_then(|taken| taken) {
            Ok(()) => {}
            Err(refusal) => {
                cookies.sort_unstable();
                return Ok((cookies, others, refusal.name()));
            }
        }
    }
}

/// Brings the controller up again after a reset, with one polled queue.
fn up(rig: &Rig) -> Result<DeviceQueue, Refusal> {
    nvme::enable(&rig.device, 1)?;
    Ok(rig.device.queue(nvme::IO, 1, 16, POLLED)?.queue)
}

fn unlike(buffer: &DmaBuffer, mark: u8) -> Result<u32, Refusal> {
    let window = Window::map(
        buffer.window(sdk::WindowAccess::Read)?.memory,
        u64::from(BYTES),
        Access::Read,
    )?;
    let mut page = [0u8; 4096];
    let mut count = 0;
    for offset in (0..u64::from(BYTES)).step_by(4096) {
        window.read(offset, &mut page)?;
        count += page.iter().filter(|byte| **byte != mark).count() as u32;
    }
    Ok(count)
}

fn fill(buffer: &DmaBuffer, mark: u8) -> Result<(), Refusal> {
    let memory = buffer.window(sdk::WindowAccess::ReadWrite)?.memory;
    let window = Window::map(memory, u64::from(BYTES), Access::ReadWrite)?;
    (0..u64::from(BYTES))
        .step_by(4096)
        .try_for_each(|offset| window.write(offset, &[mark; 4096]))
}

/// Reads are in flight when the reset comes.
fn in_flight(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let large = rig.buffer(u64::from(LARGE))?;
    submit(&rig.io, 99, &read(LARGE / 512)?, &[into(&large, 0, LARGE)])?;
    completion(&rig.io, timer, 99)?;
    large.free()?;
    let buffers: Vec<_> = (0..6)
        .map(|_| rig.pool.allocate(u64::from(BYTES), sdk::Layout::Scattered))
        .map(|made| made.map(|made| made.buffer))
        .collect::<Result<_, _>>()?;
    for (cookie, buffer) in (100..).zip(&buffers) {
        submit(
            &rig.io,
            cookie,
            &read(BYTES / 512)?,
            &[into(buffer, 0, BYTES)],
        )?;
    }
    // A FLUSH does not wait for the reads, and who answered it has fetched them. QEMU's controller dies of its own accord
    // of a reset that meets commands in flight and others that it has yet to fetch.
    submit(&rig.io, FLUSH, &Command::flush(NSID), &[])?;
    completion(&rig.io, timer, FLUSH)?;
    let before = rig.io.info()?.in_flight;
    rig.device.reset()?;
    let (cookies, others, then) = revoked(&rig.io)?;
    let pinned = buffers
        .iter()
        .map(|buffer| buffer.info().map_or(1, |info| info.in_flight))
        .sum::<u32>();
    for buffer in &buffers {
        fill(buffer, MARK)?;
    }
    pause(timer, LATER_MS)?;
    let mut written = 0;
    for buffer in &buffers {
        written += unlike(buffer, MARK)?;
    }
    fact!(
        "stale.in-flight",
        submitted = before,
        revoked_once = cookies == (100..106).collect::<Vec<_>>(),
        others = others,
        then = then,
        pins_left = pinned,
        written_after_the_proof = written
    );
    let freed = buffers
        .iter()
        .filter(|buffer| buffer.free().is_ok())
        .count();
    fact!(
        "stale.before-reset",
        submit = outcome(&submit(&rig.io, 1, &read(1)?, &[])),
        complete = outcome(&rig.io.complete(1, |_| ())),
        info = outcome(&rig.io.info()),
        admin_complete = outcome(&rig.admin.complete(1, |_| ())),
        wait = outcome(&rig.interrupt.wait()),
        acknowledge = outcome(&rig.interrupt.acknowledge()),
        unmask = outcome(&rig.interrupt.unmask()),
        buffers_freed = freed
    );
    Ok(())
}

/// Reads have finished, nobody took their completions, and the same slots, identifiers and cookies are used again.
fn untaken(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let buffers: Vec<_> = (0..4)
        .map(|_| rig.pool.allocate(u64::from(BYTES), sdk::Layout::Scattered))
        .map(|made| made.map(|made| made.buffer))
        .collect::<Result<_, _>>()?;
    let old = up(rig)?;
    for (cookie, buffer) in (0..).zip(&buffers) {
        submit(&old, cookie, &read(1)?, &[into(buffer, 0, 512)])?;
    }
    pause(timer, LATER_MS)?;
    rig.device.reset()?;
    let new = up(rig)?;
    for (cookie, buffer) in (0..).zip(&buffers) {
        fill(buffer, MARK)?;
        submit(&new, cookie, &read(BYTES / 512)?, &[into(buffer, 0, BYTES)])?;
    }
    let (cookies, others, then) = revoked(&old)?;
    // More than the disk gives at once: whoever is told too soon finds nothing in the buffer.
    let (mut answered, mut too_soon, mut failed) = (Vec::new(), 0, 0);
    while answered.len() < buffers.len() {
        for one in completions(&new, timer, 1)? {
            let place = usize::try_from(one.cookie).map_err(|_| Refusal::OutOfRange)?;
            let buffer = buffers.get(place).ok_or(Refusal::OutOfRange)?;
            too_soon += u32::from(unlike(buffer, MARK)? == 0);
            failed += u32::from(one.status != 0);
            answered.push(one.cookie);
        }
    }
    answered.sort_unstable();
    pause(timer, 50)?;
    let more = new.complete(16, |r| r.completions().map(|list| list.iter().count()))??;
    fact!(
        "stale.untaken",
        answered_without_data = too_soon,
        old_revoked_once = cookies == [0, 1, 2, 3],
        old_others = others,
        old_then = then,
        new_answered_once = answered == [0, 1, 2, 3],
        failed = failed,
        more = more
    );
    drop(new);
    drop(old);
    rig.device.reset()?;
    Ok(())
}

/// A provider that only looks, and has no interrupt.
fn polled(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let buffer = rig.buffer(4096)?;
    let queue = up(rig)?;
    let interrupt = rig.device.interrupt(1)?.interrupt;
    interrupt.unmask()?;
    let mut answered = 0;
    for cookie in 0..8 {
        submit(&queue, cookie, &read(8)?, &[into(&buffer, 0, 4096)])?;
        answered += completions(&queue, timer, 1)?.len();
    }
    let info = interrupt.info()?;
    submit(&queue, 9, &read(8)?, &[into(&buffer, 0, 4096)])?;
    rig.device.reset()?;
    let (cookies, _, then) = revoked(&queue)?;
    fact!(
        "stale.polled",
        answered = answered,
        interrupts = info.delivered,
        revoked = cookies.len(),
        then = then,
        buffer_free = outcome(&buffer.free())
    );
    Ok(())
}
