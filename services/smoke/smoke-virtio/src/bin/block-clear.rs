//! Has disks make zeros of blocks, forget blocks, and write what must last, for the host to look at.
//!
//! Invariant: it never reads back what it kept: every comparison is with what
//! the disk gave.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{vec, vec::Vec};
use sdk::{BlockDevice, Disk, Env, Error, Refusal, fact};
use smoke_rig::outcome;

sdk::entry!(main);

const WINDOW: u32 = 16 << 10;
/// Bytes of each disk, as the host looks at them as well: zeros from the middle of a page on; what is forgotten; what lasts.
const ZEROED: (u64, u64) = (66_048, 200 << 10);
const FORGOTTEN: (u64, u64) = (1 << 20, 512 << 10);
const LASTS: (u64, u64) = (3 << 20, 4096);
/// What is written next, and of which nobody says that it lasts.
const MARK: u64 = (3 << 20) + (64 << 10);
/// What is claimed ends here.
const CLAIMED: u64 = 4 << 20;

fn main(env: &Env) -> Result<(), Error> {
    for name in ["nvme", "virtio", "plain"] {
        one(name, env.get(name)?)?;
    }
    fact!("clear.done");
    Ok(())
}

fn one(name: &str, device: BlockDevice) -> Result<(), Refusal> {
    let info = device.info()?;
    let block = u64::from(info.block_bytes);
    let (zeroes, discards) = (info.max_zero_bytes, info.max_discard_bytes);
    refusals(name, &device)?;
    let mut disk = Disk::open(device, WINDOW)?;
    disk.claim(0, CLAIMED / block)?;
    let forgotten = disk.discard(FORGOTTEN.0 / block, FORGOTTEN.1 / block);
    let zeroed = disk.zero(ZEROED.0 / block, ZEROED.1 / block);
    let past = disk.zero(disk.blocks(), 1);
    let mut found = vec![1; ZEROED.1 as usize];
    disk.read(ZEROED.0 / block, &mut found)?;
    disk.flush()?;
    // Nothing follows that would make it last.
    let lasts: Vec<u8> = (0..LASTS.1).map(|at| (at * 3 + at / 256) as u8).collect();
    let written = disk.write_durable(LASTS.0 / block, &lasts);
    let mark: Vec<u8> = lasts.iter().map(|byte| byte.wrapping_add(3)).collect();
    disk.write(MARK / block, &mark)?;
    fact!(
        "clear.disk",
        name = name,
        zeroes = zeroes,
        discards = discards,
        forgotten = outcome(&forgotten),
        zeroed = outcome(&zeroed),
        zeros = found.iter().all(|byte| *byte == 0),
        past = outcome(&past),
        durable = outcome(&written),
    );
    Ok(())
}

/// What is not done.
fn refusals(name: &str, device: &BlockDevice) -> Result<(), Refusal> {
    let info = device.info()?;
    let claimed = CLAIMED / u64::from(info.block_bytes);
    let reader = device.read_only()?.device;
    let reader = reader.open(4096)?.session;
    let session = device.open(4096)?.session;
    let before = session.zero(0, 1);
    session.claim(0, claimed)?;
    let over = |most: u32| most / info.block_bytes + 1;
    fact!(
        "clear.refused",
        name = name,
        unclaimed = outcome(&before),
        zero = outcome(&session.zero(claimed, 1)),
        discard = outcome(&session.discard(claimed - 1, 2)),
        durable = outcome(&session.write_durable(claimed, 1, 0)),
        none = outcome(&session.discard(0, 0)),
        far = outcome(&session.zero(u64::MAX, 1)),
        much = outcome(&session.discard(0, over(info.max_discard_bytes))),
        reader = outcome(&reader.discard(0, 1)),
    );
    Ok(())
}
