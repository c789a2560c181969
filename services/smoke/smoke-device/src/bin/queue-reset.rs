//! One queue of two is reset in the middle of its transfers.
//!
//! Invariant: it never resets the device, so everything it sees afterwards is of one and the same enabling.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::{Device, DeviceQueue, DmaBuffer, Env, Error, Refusal, Timer, Window, fact};
use smoke_rig::nvme::{IO, Rig, submit};
use smoke_rig::{POLLED, completion, into, outcome};

sdk::entry!(main);

const NSID: u32 = 1;
const TRANSFER_BYTES: u32 = 64 << 10;
const BLOCKS: u32 = TRANSFER_BYTES / 512;
const IN_FLIGHT: u64 = 4;
/// How long fresh pages are watched for a write of the old transfers.
const WATCH_NS: u64 = 1_500_000_000;

fn read(queue: &DeviceQueue, cookie: u64, buffer: &DmaBuffer) -> Result<(), Refusal> {
    let command = Command::transfer(io::READ, NSID, cookie * u64::from(BLOCKS), BLOCKS)
        .ok_or(Refusal::BadArgument)?;
    submit(queue, cookie, &command, &[into(buffer, 0, TRANSFER_BYTES)])
}

/// Takes what a queue owes, and counts what came back `revoked`.
fn revoked(queue: &DeviceQueue) -> Result<u64, Refusal> {
    let revoked = Ok(Some(Refusal::Revoked));
    queue.complete(16, |results| {
        let list = results.completions()?;
        Ok(list.iter().filter(|c| c.refusal() == revoked).count() as u64)
    })?
}

/// Whether the buffer holds nothing but zeros.
fn is_empty(buffer: &DmaBuffer) -> Result<bool, Error> {
    let memory = buffer.window(sdk::WindowAccess::Read)?.memory;
    let window = Window::map(memory, u64::from(TRANSFER_BYTES), sdk::Access::Read)?;
    let mut page = [0u8; 4096];
    for offset in (0..u64::from(TRANSFER_BYTES)).step_by(page.len()) {
        window.read(offset, &mut page)?;
        if page.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One for each command in flight.
fn buffers(rig: &Rig) -> Result<[DmaBuffer; IN_FLIGHT as usize], Refusal> {
    Ok([
        rig.buffer(TRANSFER_BYTES.into())?,
        rig.buffer(TRANSFER_BYTES.into())?,
        rig.buffer(TRANSFER_BYTES.into())?,
        rig.buffer(TRANSFER_BYTES.into())?,
    ])
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let rig = Rig::with_pairs(env.get::<Device>("device")?, 2)?;
    let other = rig.device.queue(IO, 2, 16, POLLED)?.queue;
    let mine = buffers(&rig)?;
    let theirs = rig.buffer(TRANSFER_BYTES.into())?;
    for (cookie, buffer) in (0..).zip(&mine) {
        read(&rig.io, cookie, buffer)?;
    }
    read(&other, 9, &theirs)?;
    let admin = rig.admin.reset();
    let free = mine[0].free();
    fact!(
        "queue-reset.in-flight",
        commands = rig.io.info()?.in_flight,
        free = outcome(&free),
        administration = outcome(&admin)
    );

    let reset = rig.io.reset();
    let came_back = revoked(&rig.io)?;
    let mut freed = 0;
    for buffer in mine {
        freed += u64::from(buffer.free().is_ok());
    }
    // The same pages again: whatever the device still meant to write would land here.
    let fresh = buffers(&rig)?;
    timer.sleep(timer.now()?.ns + WATCH_NS)?;
    let mut quiet = true;
    for buffer in &fresh {
        quiet &= is_empty(buffer)?;
    }
    fact!(
        "queue-reset.stopped",
        reset = outcome(&reset),
        revoked = came_back,
        freed = freed,
        quiet = quiet
    );

    let status = completion(&other, &timer, 9)?.status;
    fact!(
        "queue-reset.other-queue",
        status = status,
        filled = !is_empty(&theirs)?
    );
    read(&rig.io, 10, &fresh[0])?;
    let status = completion(&rig.io, &timer, 10)?.status;
    fact!(
        "queue-reset.again",
        status = status,
        filled = !is_empty(&fresh[0])?
    );
    fact!("queue-reset.done");
    Ok(())
}
