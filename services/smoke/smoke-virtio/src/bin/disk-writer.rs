//! Reads what the host put on a disk, and writes what the host will look for.
//!
//! Invariant: it never reads back what it kept: every comparison is with what the disk gave.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{BlockDevice, Disk, Env, Error, Refusal, alloc::vec::Vec, fact};
use smoke_rig::outcome;

sdk::entry!(main);

/// What the host filled the disk with, and what is written over it.
const FOUND: u32 = 0x9e37_79b9;
const WRITTEN: u32 = 0x85eb_ca6b;

/// One transfer that the device takes in several pieces, and one sector.
const LONG_AT: u64 = 1 << 20;
const LONG_BYTES: u32 = 256 * 1024;
const SHORT_AT: u64 = 3 << 20;
const SHORT_BYTES: u32 = 512;

/// `bytes` bytes of numbers times `factor`, from byte `at` of the disk on.
fn pattern(factor: u32, at: u64, bytes: u32) -> Vec<u8> {
    let first = (at / 4) as u32;
    (first..first + bytes / 4)
        .flat_map(|n| n.wrapping_mul(factor).to_le_bytes())
        .collect()
}

fn holds(disk: &mut Disk, factor: u32, at: u64, bytes: u32) -> Result<bool, Refusal> {
    let mut read = sdk::alloc::vec![0; bytes as usize];
    disk.read(at / u64::from(disk.block_bytes()), &mut read)?;
    Ok(read == pattern(factor, at, bytes))
}

fn main(env: &Env) -> Result<(), Error> {
    let device: BlockDevice = env.get("block")?;
    let info = device.info()?;
    fact!(
        "disk.info",
        blocks = info.blocks,
        block_bytes = info.block_bytes,
        read_only = info.read_only
    );
    let session = device.open(4096)?.session;
    fact!(
        "disk.bounds",
        read = outcome(&session.read(info.blocks, 1, 0)),
        write = outcome(&session.write(info.blocks - 1, 2, 0)),
        far = outcome(&session.read(u64::MAX, 1, 0)),
        window = outcome(&session.read(0, 9, 0)),
        none = outcome(&session.write(0, 0, 0))
    );
    drop(session);
    let mut disk = Disk::open(device, LONG_BYTES)?;
    disk.claim(0, disk.blocks())?;
    let per_block = u64::from(disk.block_bytes());
    let found = holds(&mut disk, FOUND, LONG_AT, LONG_BYTES)?;
    fact!("disk.found", long = found);
    disk.write(LONG_AT / per_block, &pattern(WRITTEN, LONG_AT, LONG_BYTES))?;
    disk.write(
        SHORT_AT / per_block,
        &pattern(WRITTEN, SHORT_AT, SHORT_BYTES),
    )?;
    disk.flush()?;
    let long = holds(&mut disk, WRITTEN, LONG_AT, LONG_BYTES)?;
    let short = holds(&mut disk, WRITTEN, SHORT_AT, SHORT_BYTES)?;
    let after = holds(&mut disk, FOUND, SHORT_AT + 512, 512)?;
    fact!(
        "disk.written",
        long = long,
        short = short,
        next_unharmed = after
    );
    Ok(())
}
