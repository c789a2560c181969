//! A provider that writes the commands of one queue itself, rightly and then in every way that it must not, while another
//! device is watched.
//!
//! Invariant: each address that it makes up is stated with what became of it; it never writes where the host looks, but what
//! the host looks for.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::alloc::vec::Vec;
use sdk::{Device, DmaBuffer, DmaPool, Env, Error, Layout, Refusal, Timer, Window, fact};
use smoke_rig::direct::Direct;
use smoke_rig::nvme::{self, submit};
use smoke_rig::{POLLED, completion, handle, into, outcome, window};

sdk::entry!(main);

const NSID: u32 = 1;
const PAGE: u64 = 4096;
const BLOCK: u32 = 512;
const ENTRIES: u16 = 16;
/// What the host filled the disk with, and what is written over it.
const FOUND: u32 = 0x9e37_79b9;
const WRITTEN: u32 = 0x85eb_ca6b;
/// A transfer with a list, and one block.
const LONG_AT: u64 = 1 << 20;
const LONG_BYTES: u32 = 256 * 1024;
const SHORT_AT: u64 = 3 << 20;
/// The first pages below 4 GiB: the broker's page for answers, and then the administration queue's commands.
const COMMANDS_OF_ADMINISTRATION: u64 = (1 << 32) - 2 * PAGE;
/// So long a refusal may take until it is told.
const TOLD_NS: u64 = 50_000_000;

fn pattern(factor: u32, at: u64, bytes: u32) -> Vec<u8> {
    let first = (at / 4) as u32;
    (first..first + bytes / 4)
        .flat_map(|n| n.wrapping_mul(factor).to_le_bytes())
        .collect()
}

/// A controller with a queue of ours and one of the broker's.
struct Rig {
    device: Device,
    pool: DmaPool,
    direct: Direct,
    brokered: sdk::DeviceQueue,
}

impl Rig {
    fn new(device: Device) -> Result<Self, Refusal> {
        nvme::start(&device, 2)?;
        let pool = device.pool(4 << 20)?.pool;
        let direct = Direct::open(&device, &pool, (1, POLLED), ENTRIES)?;
        let brokered = device.queue(nvme::IO, 2, ENTRIES, POLLED)?.queue;
        Ok(Self {
            device,
            pool,
            direct,
            brokered,
        })
    }

    fn buffer(&self, bytes: u64) -> Result<DmaBuffer, Refusal> {
        Ok(self.pool.allocate(bytes, Layout::Scattered)?.buffer)
    }

    /// Reads a block through the broker's queue.
    fn block(&self, timer: &Timer, at: u64) -> Result<Vec<u8>, Refusal> {
        let buffer = self.buffer(PAGE)?;
        let command = transfer(io::READ, at, BLOCK)?;
        submit(&self.brokered, 3, &command, &[into(&buffer, 0, BLOCK)])?;
        completion(&self.brokered, timer, 3)?;
        bytes(&window(&buffer, PAGE)?, BLOCK)
    }
}

fn transfer(opcode: u8, at: u64, bytes: u32) -> Result<Command, Refusal> {
    let first = at / u64::from(BLOCK);
    Command::transfer(opcode, NSID, first, bytes / BLOCK).ok_or(Refusal::BadArgument)
}

fn bytes(window: &Window, bytes: u32) -> Result<Vec<u8>, Refusal> {
    let mut all = sdk::alloc::vec![0; bytes as usize];
    window.read(0, &mut all)?;
    Ok(all)
}

/// A buffer of the long transfer, and the page that holds the list of its pages after the first.
struct Long {
    window: Window,
    first: u64,
    list: Window,
    list_at: u64,
    _buffers: [DmaBuffer; 2],
}

impl Long {
    fn new(rig: &Rig) -> Result<Self, Refusal> {
        let (data, list) = (rig.buffer(LONG_BYTES.into())?, rig.buffer(PAGE)?);
        let first = rig.direct.address(&data)?;
        let entries = window(&list, PAGE)?;
        let pages = u64::from(LONG_BYTES) / PAGE;
        for page in 1..pages {
            let entry = first + page * PAGE;
            entries.write((page - 1) * 8, &entry.to_le_bytes())?;
        }
        Ok(Self {
            window: window(&data, LONG_BYTES.into())?,
            first,
            list_at: rig.direct.address(&list)?,
            list: entries,
            _buffers: [data, list],
        })
    }

    fn command(&self, opcode: u8, bytes: u32) -> Result<Command, Refusal> {
        Ok(Command {
            prp1: self.first,
            prp2: self.list_at,
            ..transfer(opcode, LONG_AT, bytes)?
        })
    }
}

fn refusals(rig: &Rig, other: &Rig) -> Result<(), Refusal> {
    let ours = rig.buffer(PAGE)?;
    let foreign = other.buffer(PAGE)?;
    let command = transfer(io::READ, 0, BLOCK)?;
    let queue = &rig.direct.queue;
    let [submissions, completions] = &rig.direct.rings;
    fact!(
        "direct.refused",
        submit = outcome(&submit(queue, 1, &command, &[into(&ours, 0, BLOCK)])),
        beyond_tail = outcome(&queue.doorbell(ENTRIES, 0)),
        beyond_head = outcome(&queue.doorbell(0, u16::MAX)),
        foreign = outcome(&queue.address(handle(&foreign))),
        brokered_bell = outcome(&rig.brokered.doorbell(1, 0)),
        brokered_address = outcome(&rig.brokered.address(handle(&ours))),
        free_commands = outcome(&submissions.free()),
        free_completions = outcome(&completions.free()),
        reset = outcome(&queue.reset())
    );
    let open = |device: &Device, kind, index, depth, first: &DmaBuffer, second: &DmaBuffer| {
        outcome(&device.direct(kind, index, depth, POLLED, handle(first), handle(second)))
    };
    let second = rig.buffer(PAGE)?;
    let device = &rig.device;
    fact!(
        "direct.not-opened",
        administration = open(device, nvme::ADMIN, 0, 4, &ours, &second),
        taken = open(device, nvme::IO, 1, 4, &ours, &second),
        foreign = open(device, nvme::IO, 2, 4, &ours, &foreign),
        twice = open(device, nvme::IO, 2, 4, &ours, &ours),
        none = open(device, nvme::IO, 99, 4, &ours, &second)
    );
    Ok(())
}

/// Has the device read a block into, or write it from, wherever `prp1` leads.
fn aim(rig: &mut Rig, timer: &Timer, opcode: u8, prp1: u64) -> Result<(), Refusal> {
    let command = Command {
        prp1,
        ..transfer(opcode, LONG_AT, BLOCK)?
    };
    rig.direct.run(timer, command)?;
    timer.sleep(timer.now()?.ns + TOLD_NS)
}

fn attacks(rig: &mut Rig, timer: &Timer, victim: u64, long: &Long) -> Result<(), Refusal> {
    let gone = {
        let freed = rig.buffer(PAGE)?;
        let address = rig.direct.address(&freed)?;
        freed.free()?;
        address
    };
    // Another's, what was one's own, and memory as the processor counts it.
    for target in [victim, gone, 1 << 20] {
        aim(rig, timer, io::READ, target)?;
    }
    // An entry of a list, and the list itself.
    long.list.write(0, &(1u64 << 20).to_le_bytes())?;
    rig.direct
        .run(timer, long.command(io::READ, 3 * PAGE as u32)?)?;
    timer.sleep(timer.now()?.ns + TOLD_NS)?;
    long.list.write(0, &(long.first + PAGE).to_le_bytes())?;
    // The kernel's text, to the disk: what arrives there is nothing, or nothing arrives.
    aim(rig, timer, io::WRITE, 1 << 20)?;
    let there = rig.block(timer, LONG_AT)?;
    let same = there.windows(2).all(|pair| pair[0] == pair[1]);
    let leaked = !same && there != pattern(FOUND, LONG_AT, BLOCK);
    fact!("direct.attacked", aims = 5, leaked = leaked);
    Ok(())
}

/// Tries to have the device write a command of the administration queue. That it may read them shows what is there.
fn administration(rig: &mut Rig, timer: &Timer) -> Result<(), Refusal> {
    aim(rig, timer, io::WRITE, COMMANDS_OF_ADMINISTRATION)?;
    let before = rig.block(timer, LONG_AT)?;
    let identify = Command::identify(0, 0, 0).opcode;
    // Another block: what would be written differs from what is there.
    let command = Command {
        prp1: COMMANDS_OF_ADMINISTRATION,
        ..transfer(io::READ, SHORT_AT, BLOCK)?
    };
    rig.direct.run(timer, command)?;
    aim(rig, timer, io::WRITE, COMMANDS_OF_ADMINISTRATION)?;
    let after = rig.block(timer, LONG_AT)?;
    fact!(
        "direct.administration",
        found = before.iter().step_by(64).any(|opcode| *opcode == identify),
        kept = before == after
    );
    Ok(())
}

/// Writes what the host will look for.
fn written(rig: &mut Rig, timer: &Timer, long: &Long) -> Result<(), Refusal> {
    long.window
        .write(0, &pattern(WRITTEN, LONG_AT, LONG_BYTES))?;
    let long_status = rig
        .direct
        .run(timer, long.command(io::WRITE, LONG_BYTES)?)?;
    long.window.write(0, &pattern(WRITTEN, SHORT_AT, BLOCK))?;
    let short = Command {
        prp1: long.first,
        ..transfer(io::WRITE, SHORT_AT, BLOCK)?
    };
    let short_status = rig.direct.run(timer, short)?;
    let flush = Command {
        opcode: io::FLUSH,
        nsid: NSID,
        ..Command::default()
    };
    let flushed = rig.direct.run(timer, flush)?;
    // By the other queue.
    let last = LONG_AT + u64::from(LONG_BYTES - BLOCK);
    let same = rig.block(timer, last)? == pattern(WRITTEN, last, BLOCK)
        && rig.block(timer, SHORT_AT)? == pattern(WRITTEN, SHORT_AT, BLOCK);
    fact!(
        "direct.written",
        long = long_status,
        short = short_status,
        flush = flushed,
        same = same
    );
    Ok(())
}

/// What a reset leaves of a queue, and of the memory of its rings.
fn after_reset(rig: Rig, timer: &Timer) -> Result<(), Refusal> {
    rig.device.reset()?;
    let Direct { queue, rings, .. } = rig.direct;
    let revoked = smoke_rig::completed(&queue)?;
    let again = smoke_rig::completed(&queue);
    let [submissions, completions] = &rings;
    fact!(
        "direct.reset",
        revoked = revoked.len(),
        again = outcome(&again),
        bell = outcome(&queue.doorbell(0, 0)),
        free_commands = outcome(&submissions.free()),
        free_completions = outcome(&completions.free())
    );
    nvme::enable(&rig.device, 2)?;
    let mut direct = Direct::open(&rig.device, &rig.pool, (1, POLLED), ENTRIES)?;
    let data = rig.pool.allocate(PAGE, Layout::Scattered)?.buffer;
    let command = Command {
        prp1: direct.address(&data)?,
        ..transfer(io::READ, SHORT_AT, BLOCK)?
    };
    let status = direct.run(timer, command)?;
    let same = bytes(&window(&data, PAGE)?, BLOCK)? == pattern(WRITTEN, SHORT_AT, BLOCK);
    fact!("direct.again", status = status, same = same);
    Ok(())
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let mut rig = Rig::new(env.get("device")?)?;
    let other = Rig::new(env.get("other")?)?;
    let long = Long::new(&rig)?;
    let status = rig
        .direct
        .run(&timer, long.command(io::READ, LONG_BYTES)?)?;
    let found = bytes(&long.window, LONG_BYTES)? == pattern(FOUND, LONG_AT, LONG_BYTES);
    fact!("direct.found", status = status, same = found);
    refusals(&rig, &other)?;

    // Far below whatever the attacker has, so that nothing is there in its domain.
    let _between = other.buffer(1 << 20)?;
    let victim = other.buffer(PAGE)?;
    let watched = window(&victim, PAGE)?;
    watched.write(0, &pattern(WRITTEN, 0, PAGE as u32))?;
    let victim_at = other.direct.address(&victim)?;
    attacks(&mut rig, &timer, victim_at, &long)?;
    administration(&mut rig, &timer)?;
    let intact = bytes(&watched, PAGE as u32)? == pattern(WRITTEN, 0, PAGE as u32);
    let reads = other.block(&timer, LONG_AT)? == pattern(FOUND, LONG_AT, BLOCK);
    fact!("direct.bystander", intact = intact, reads = reads);

    written(&mut rig, &timer, &long)?;
    after_reset(rig, &timer)?;
    fact!("direct.done");
    Ok(())
}
