//! A disk's driver is killed at every moment of its life, from its first instruction to reads in flight, while clients
//! read from the disk.
//!
//! It is itself what supervises the driver. Invariant: clients see a block device and nothing of the deaths.
#![no_std]
#![cfg_attr(not(test), no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sdk::alloc::vec::Vec;
use sdk::schema::block::block_device;
use sdk::{
    BlockDevice, DeviceRegistry, Disk, Env, Error, Interface, Lifetime, Object, Refusal,
    ThreadOptions, fact, spawn_thread,
};
use smoke::{Kit, outcome};
use smoke_device::Driver;

sdk::entry!(main);

/// Kills, and how much later in the driver's life each one comes.
const KILLS: u64 = 120;
const STEP_NS: u64 = 750_000;
const WARM_UP: u64 = 6;
/// One, because QEMU's controller (7.2) does not survive a reset that meets a doorbell while commands are in flight.
const READERS: u64 = 1;
const BYTES: usize = 16 * 1024;

static STOP: AtomicU32 = AtomicU32::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);
static LAST_ERROR: AtomicU32 = AtomicU32::new(0);

fn kill_after(driver: &Driver<'_>, ns: u64) -> Result<&'static str, Refusal> {
    let process = driver.start()?;
    let timer = &driver.kit.timer;
    timer.sleep(timer.now()?.ns + ns)?;
    process.kill()?;
    Ok(driver.kit.ended(&process)?.kind)
}

/// What the disk holds at this byte, by the smoke's own rule: word `n` is `n` times a constant.
fn is_right(block: u64, bytes: &[u8]) -> bool {
    let first = (block * 512 / 4) as u32;
    (first..)
        .zip(bytes.chunks_exact(4))
        .all(|(n, word)| word == n.wrapping_mul(0x9e37_79b9).to_le_bytes())
}

fn read(device: BlockDevice, seed: u64) -> Result<(), Refusal> {
    let mut disk = loop {
        let again = BlockDevice::from_object(sdk::Cap::borrowed(device.object().handle()));
        match Disk::open(again, BYTES as u32) {
            // Its driver died once too often for one request.
            Err(Refusal::ServerDied) => {}
            opened => break opened?,
        }
    };
    let blocks = disk.blocks() - (BYTES / 512) as u64;
    let mut random = 0x9e37_79b9_7f4a_7c15 ^ seed << 32;
    let mut bytes = Vec::from([0u8; BYTES]);
    while STOP.load(Ordering::Acquire) == 0 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let block = random % blocks;
        bytes.fill(0);
        match disk.read(block, &mut bytes) {
            Ok(()) => {
                READS.fetch_add(1, Ordering::Relaxed);
                let wrong = u64::from(!is_right(block, &bytes));
                WRONG.fetch_add(wrong, Ordering::Relaxed);
            }
            Err(Refusal::ServerDied) => {}
            Err(refusal) => {
                ERRORS.fetch_add(1, Ordering::Relaxed);
                LAST_ERROR.store(u32::from(refusal.code()), Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "kill-steps")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let driver = Driver {
        kit: &kit,
        registry: &registry,
        endpoint: &endpoint,
        class: "nvme",
        binary: "nvme-provider",
    };
    let mut readers = Vec::new();
    for seed in 1..=READERS {
        let facet = endpoint
            .mint(0, block_device::INTERFACE_ID, Lifetime::Durable)?
            .facet;
        let device = BlockDevice::from_object(facet.into_object());
        let body = move || outcome(&read(device, seed));
        readers.push(spawn_thread(ThreadOptions::default(), body)?);
    }
    for _ in 0..WARM_UP {
        kill_after(&driver, 150_000_000)?;
    }
    let before = settled(&kit, &driver)?;
    let reads_before = READS.load(Ordering::Relaxed);
    let mut killed = 0;
    for kill in 0..KILLS {
        killed += u32::from(kill_after(&driver, kill * STEP_NS)? == "killed");
    }
    let lost = before as i64 - settled(&kit, &driver)? as i64;
    let reads = READS.load(Ordering::Relaxed) - reads_before;
    // The readers end with a driver that lives.
    let last = driver.start()?;
    STOP.store(1, Ordering::Release);
    let mut finished = 0;
    for reader in readers {
        let end = reader.join()?;
        finished += u32::from(end == "ok");
    }
    last.kill()?;
    kit.ended(&last)?;
    fact!(
        "steps.reads",
        killed = killed,
        wrong = WRONG.load(Ordering::Relaxed),
        errors = ERRORS.load(Ordering::Relaxed),
        went_on = reads > KILLS / 4,
        readers_finished = finished,
        reads ~ reads,
        last_error ~ LAST_ERROR.load(Ordering::Relaxed)
    );
    fact!(
        "steps.memory",
        // A page lost with each kill would be more; the kernel's heap grows by 256 KiB.
        back = lost < KILLS as i64 * 4,
        lost_kib ~ lost
    );
    Ok(())
}

/// Free memory between two drivers, when all of the last one is back.
fn settled(kit: &Kit, driver: &Driver<'_>) -> Result<u64, Refusal> {
    // A claim waits for the end of the one before it.
    drop(driver.registry.claim("nvme", 0)?);
    drop(driver.registry.claim("nvme", 0)?);
    kit.pause_ms(50)?;
    kit.free_kib()
}
