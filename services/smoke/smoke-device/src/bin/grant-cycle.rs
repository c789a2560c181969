//! Claims and releases a controller again and again, in every state that a holder can leave it in.
//!
//! Invariant: what it counts are the interface's own numbers, before and after.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::{
    DeviceMmio, DeviceQueue, DeviceRegistry, DmaPool, Env, Error, Interrupt, LogReader, Refusal,
    fact,
};
use smoke::{Kit, outcome};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{completions, into};

sdk::entry!(main);

const CYCLES: u64 = 300;
/// By then the system log is full, and the heap has what it needs for it.
const WARM_UP: u64 = 100;
/// The command register, and its bit for bus mastering.
const COMMAND: u16 = 4;
const BUS_MASTER: u32 = 1 << 2;

/// Longer than it takes until it is told how many facts were not stated.
const TOLD_MS: u64 = 500;

/// What derives from a claim, kept after its end.
type Old = (DeviceMmio, DmaPool, Interrupt, DeviceQueue);

#[derive(Default)]
struct Seen {
    last: u64,
    rises: u64,
    bus_master: u64,
    fresh: u64,
    reads: u64,
    old_refused: u64,
    old: Option<Old>,
}

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "grant-cycle")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let mut seen = Seen::default();
    run(&registry, &kit, &mut seen, WARM_UP)?;
    let before = kit.free_kib()?;
    let mut seen = Seen {
        last: seen.last,
        ..Seen::default()
    };
    run(&registry, &kit, &mut seen, CYCLES)?;
    let lost = before as i64 - kit.free_kib()? as i64;
    fact!(
        "cycle.claims",
        cycles = CYCLES,
        generation_rises = seen.rises,
        begun_unconfigured = seen.fresh,
        reads = seen.reads
    );
    fact!("cycle.bus-master", on_at_claim = seen.bus_master);
    fact!(
        "cycle.old",
        refused = seen.old_refused,
        of = CYCLES * 3 / 4 - 1
    );
    // A page lost with each claim would be more; the heap of the kernel grows by 256 KiB.
    fact!("cycle.memory", back = lost < CYCLES as i64 * 4, lost_kib ~ lost);
    kit.pause_ms(TOLD_MS)?;
    log(&env.get("logReader")?)
}

/// What all this has left of the log to others: each claim and its end bring about more than ten facts.
fn log(log: &LogReader) -> Result<(), Error> {
    let (mut from, mut lost, mut stated, mut unsaid) = (0, 0, 0, 0);
    loop {
        let next = log.read(from, |results| {
            for record in results.records()?.iter() {
                let line = record.line()?;
                stated += u64::from(line.starts_with("@device."));
                let count = line.strip_prefix("@device.unsaid ");
                let count = count.and_then(|line| line.rsplit_once("facts~")?.1.parse().ok());
                unsaid += count.unwrap_or(0_u64);
            }
            lost += results.dropped();
            Ok::<_, Refusal>(results.next())
        })??;
        if next == from {
            break;
        }
        from = next;
    }
    fact!(
        "cycle.log",
        earlier_lost = lost > 0,
        told = stated + unsaid > (CYCLES + WARM_UP) * 10,
        stated ~ stated,
        unsaid ~ unsaid
    );
    Ok(())
}

fn run(registry: &DeviceRegistry, kit: &Kit, seen: &mut Seen, cycles: u64) -> Result<(), Error> {
    for cycle in 0..cycles {
        // Waits for the end of the last claim.
        let device = registry.claim("nvme", 0)?.device;
        let info = device.info()?;
        seen.rises += u64::from(info.generation == seen.last + 1);
        seen.last = info.generation;
        seen.fresh += u64::from(info.state == sdk::device::device::State::Claimed);
        seen.bus_master += u64::from(device.read_config(COMMAND)?.value & BUS_MASTER != 0);
        if let Some((mmio, pool, interrupt, queue)) = seen.old.take() {
            let refused = [
                outcome(&mmio.read(0, 8)),
                outcome(&pool.allocate(4096, sdk::Layout::Scattered)),
                outcome(&interrupt.acknowledge()),
                outcome(&queue.complete(1, |_| ())),
            ];
            seen.old_refused += u64::from(refused == ["stale"; 4]);
        }
        if cycle % 4 == 0 {
            // Straight back, as it came.
            continue;
        }
        let rig = Rig::new(device)?;
        let buffer = rig.buffer(64 * 1024)?;
        let blocks = 128;
        let read = Command::transfer(io::READ, 1, 0, blocks).ok_or(Refusal::BadArgument)?;
        submit(&rig.io, cycle, &read, &[into(&buffer, 0, 64 * 1024)])?;
        match cycle % 4 {
            // In flight.
            1 => {}
            2 => {
                let done = completions(&rig.io, &kit.timer, 1)?;
                seen.reads += u64::from(done.iter().all(|one| one.status == 0));
            }
            // Stopped by its holder, the read revoked and nobody to hear of it.
            _ => rig.device.reset()?,
        }
        let mmio = rig.device.mmio(0)?.mmio;
        let Rig {
            device,
            pool,
            interrupt,
            admin,
            io,
        } = rig;
        drop((device, admin, buffer));
        seen.old = Some((mmio, pool, interrupt, io));
    }
    // The objects of the last claim go before memory is counted, and its teardown comes to its end.
    seen.old = None;
    drop(registry.claim("nvme", 0)?);
    seen.last += 1;
    drop(registry.claim("nvme", 0)?);
    seen.last += 1;
    Ok(())
}
