//! Rows that read a disk, through a session of its provider.

use core::cell::Cell;

use sdk::block::block_session::{ReadParams, call};
use sdk::{BlockDevice, BlockSession, Env, Error, Interface, NEVER, Refusal, Ring, println};

use crate::measure;

const BLOCK_BYTES: u32 = 4096;
const DEEP: u32 = 32;
const LONG_BYTES: u32 = 128 * 1024;
const WINDOW_BYTES: u32 = DEEP * BLOCK_BYTES;

struct Target {
    session: BlockSession,
    /// Device blocks in 4 KiB.
    unit: u32,
    /// How many times 4 KiB the device holds.
    units: u64,
    /// State of a xorshift generator; fixed, so that every run reads the same places.
    random: Cell<u64>,
    longest: u32,
}

/// Reads blocks of a virtio disk, one at a time.
pub fn virtio(env: &Env, name: &str) -> Result<(), Error> {
    let target = open(env.get::<BlockDevice>("block")?)?;
    let (session, unit) = (&target.session, target.unit);
    measure::<112, 113>(name, 200, |n| {
        (0..n).try_for_each(|_| whole(session.read(target.next(), unit, 0)?.bytes, BLOCK_BYTES))
    })
}

/// Runs all of them, or says why there is nothing to read.
pub fn run(env: &Env) -> Result<(), Error> {
    let target = match env
        .get::<BlockDevice>("block")
        .map_err(Error::from)
        .and_then(open)
    {
        Ok(target) => target,
        Err(error) => {
            println!("UNAVAILABLE group=block reason={error}");
            return Ok(());
        }
    };
    let (session, unit) = (&target.session, target.unit);
    measure::<20, 21>("blk_4k_qd1", 200, |n| {
        (0..n).try_for_each(|_| whole(session.read(target.next(), unit, 0)?.bytes, BLOCK_BYTES))
    })?;
    deep(&target)?;
    if target.longest < LONG_BYTES {
        println!(
            "UNAVAILABLE group=blk_seq_128k reason=transfers end at {} bytes",
            target.longest
        );
        return Ok(());
    }
    let blocks = LONG_BYTES / BLOCK_BYTES * unit;
    measure::<24, 25>("blk_seq_128k", 32, |n| {
        (0..n).try_for_each(|i| {
            let block = u64::from(i * blocks);
            whole(session.read(block, blocks, 0)?.bytes, LONG_BYTES)
        })
    })
}

fn open(device: BlockDevice) -> Result<Target, Error> {
    let info = device.info()?;
    let open = device.open(WINDOW_BYTES)?;
    if info.block_bytes == 0 || !BLOCK_BYTES.is_multiple_of(info.block_bytes) {
        return Err(Refusal::NotSupported.into());
    }
    let unit = BLOCK_BYTES / info.block_bytes;
    let units = info.blocks / u64::from(unit);
    // The long reads go over the first 32 times 128 KiB.
    if open.window_bytes < WINDOW_BYTES || units < 1024 {
        return Err(Refusal::OutOfRange.into());
    }
    Ok(Target {
        session: open.session,
        unit,
        units,
        random: Cell::new(0x9e37_79b9_7f4a_7c15),
        longest: info.max_transfer_bytes,
    })
}

impl Target {
    /// The first block of a 4 KiB piece somewhere on the device.
    fn next(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x % self.units * u64::from(self.unit)
    }
}

/// Random reads with 32 in flight all the time.
fn deep(target: &Target) -> Result<(), Error> {
    let mut ring = Ring::new(DEEP as u16, 128)?;
    let submit = |ring: &mut Ring, slot: u64| {
        let params = ReadParams {
            block: target.next(),
            blocks: target.unit,
            window_offset: slot as u32 * BLOCK_BYTES,
        };
        ring.call::<call::Read>(target.session.object(), params, slot, NEVER)
    };
    measure::<22, 23>("blk_4k_qd32", 2_048, |n| {
        let mut started = DEEP.min(n);
        (0..started).try_for_each(|slot| submit(&mut ring, slot.into()))?;
        let mut done = 0;
        while done < n {
            ring.wait(1, NEVER);
            loop {
                let Some(completion) = ring.completed() else {
                    break;
                };
                let slot = completion.user();
                let bytes = completion.read::<call::Read, _>(|results| results.bytes)?;
                whole(bytes, BLOCK_BYTES)?;
                done += 1;
                if started < n {
                    started += 1;
                    submit(&mut ring, slot)?;
                }
            }
        }
        Ok(())
    })
}

fn whole(bytes: u32, asked: u32) -> Result<(), Refusal> {
    if bytes == asked {
        Ok(())
    } else {
        Err(Refusal::LengthMismatch)
    }
}
