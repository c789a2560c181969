//! Reads and writes where a disk has errors: once, and for good.
//!
//! Invariant: it never takes what a disk gave for good because nobody refused it: every byte is compared.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{vec, vec::Vec};
use sdk::{BlockDevice, Disk, Env, Error, Refusal, fact};
use smoke_rig::outcome;

sdk::entry!(main);

const WINDOW: u32 = 64 << 10;
/// Blocks of 512 bytes, as the case has QEMU refuse them: one read in vain the first time only, one that is never read, one that
/// is not written the first time, and one that is never written.
const READ_ONCE: u64 = 100;
const NEVER_READ: u64 = 300;
const WRITTEN_ONCE: u64 = 500;
const NEVER_WRITTEN: u64 = 700;
/// Blocks of a request around one of them, and how far before it that begins.
const AROUND: u64 = 64;
const BEFORE: u64 = 41;

fn main(env: &Env) -> Result<(), Error> {
    for name in ["nvme", "virtio"] {
        let device: BlockDevice = env.get(name)?;
        one(name, device)?;
    }
    fact!("errors.done");
    Ok(())
}

/// What the disk holds there, as the host made it.
fn held(block: u64, blocks: u64) -> Vec<u8> {
    let bytes = block * 512..(block + blocks) * 512;
    bytes.map(|at| (at % 251) as u8).collect()
}

fn read(disk: &mut Disk, block: u64, blocks: u64) -> Result<bool, Refusal> {
    let mut found = vec![0xee; (blocks * 512) as usize];
    disk.read(block, &mut found)?;
    Ok(found == held(block, blocks))
}

fn one(name: &str, device: BlockDevice) -> Result<(), Refusal> {
    let other = device.read_only()?.device;
    let mut disk = Disk::open(device, WINDOW)?;
    disk.claim(WRITTEN_ONCE, NEVER_WRITTEN + AROUND - WRITTEN_ONCE)?;
    let mut other = Disk::open(other, WINDOW)?;
    fact!(
        "errors.once",
        disk = name,
        read = read(&mut disk, READ_ONCE - BEFORE, AROUND)?,
        again = read(&mut other, READ_ONCE, 1)?,
        written = outcome(&disk.write(WRITTEN_ONCE, &[7; 512]))
    );
    let begin = NEVER_READ - BEFORE;
    let behind = NEVER_READ + 1;
    fact!(
        "errors.read",
        disk = name,
        around = outcome(&read(&mut disk, begin, AROUND)),
        alone = outcome(&read(&mut other, NEVER_READ, 1)),
        before = read(&mut other, begin, BEFORE)?,
        behind = read(&mut disk, behind, AROUND)?
    );
    let begin = NEVER_WRITTEN - BEFORE;
    let part = [9; (BEFORE * 512) as usize];
    fact!(
        "errors.write",
        disk = name,
        around = outcome(&disk.write(begin, &[9; (AROUND * 512) as usize])),
        alone = outcome(&disk.write(NEVER_WRITTEN, &[9; 512])),
        before = outcome(&disk.write(begin, &part)),
        kept = read(&mut other, NEVER_WRITTEN, 1)?,
        flush = outcome(&disk.flush())
    );
    Ok(())
}
