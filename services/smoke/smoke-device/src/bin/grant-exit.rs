//! A holder of a device dies while the device writes to its memory. Somebody else wants that memory.
//!
//! The disk is slow, so what is in flight stays there for a second. Invariant: it takes nearly all memory there is, and
//! judges by what it finds in it, before and after.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::alloc::{string::String, vec::Vec};
use sdk::process::virtual_memory;
use sdk::{
    Access, Cap, Console, DeviceRegistry, Env, Error, LogReader, MemoryObject, NEVER, Refusal,
    Timer, Window, fact,
};
use smoke::{Kit, give, role};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{completions, into};

sdk::entry!(main);

const PAGE: u64 = 4096;
/// What the dead process left in its own memory.
const LEFT: u8 = 0x76;
/// What the living one puts into everything it gets.
const CANARY: u8 = 0xc3;
const READ_BYTES: u32 = 128 * 1024;
const READS: u64 = 6;
/// Memory of the device that nobody reads into: more than a teardown wipes in one go.
const MORE_BYTES: u64 = 6 << 20;
/// What the victim and its parent tell each other.
const READY: u8 = 0xf0;
const GO: u8 = 0xf1;
/// Memory is taken in such pieces, until the machine has no more than this.
const PIECE: u64 = 1 << 20;
const RESERVE_KIB: u64 = 6 << 10;
const SPARE: u64 = 4 << 20;
/// Longer than the disk needs for what was in flight.
const LATER_MS: u64 = 2000;

/// A client of the program's own address space.
type VirtualMemory = virtual_memory::Client<Cap>;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("victim") => victim(env),
        _ => ask(env),
    }
}

/// Takes the device, fills its memory, has reads in flight, says so, and waits for its end.
fn victim(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let sign: MemoryObject = env.get("sign")?;
    let sign = Window::map(sign, PAGE, Access::ReadWrite)?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let pool = rig.device.pool(MORE_BYTES + PAGE)?.pool;
    let more = pool.allocate(MORE_BYTES, sdk::Layout::Scattered)?.buffer;
    let window = Window::map(
        more.window(sdk::WindowAccess::ReadWrite)?.memory,
        MORE_BYTES,
        Access::ReadWrite,
    )?;
    for offset in (0..MORE_BYTES).step_by(PAGE as usize) {
        window.write(offset, &[LEFT; PAGE as usize])?;
    }
    let read = Command::transfer(io::READ, 1, 0, READ_BYTES / 512).ok_or(Refusal::BadArgument)?;
    // The others take what is free, so that what this process leaves is all there is.
    sign.write(0, &[READY])?;
    let mut word = [READY];
    while word == [READY] {
        timer.sleep(timer.now()?.ns + 1_000_000)?;
        sign.read(0, &mut word)?;
    }
    let mut buffers = Vec::new();
    for cookie in 0..READS {
        let buffer = rig
            .pool
            .allocate(u64::from(READ_BYTES), sdk::Layout::Scattered)?
            .buffer;
        submit(&rig.io, cookie, &read, &[into(&buffer, 0, READ_BYTES)])?;
        buffers.push(buffer);
    }
    sign.write(0, &[rig.io.info()?.in_flight as u8])?;
    Ok(timer.sleep(NEVER)?)
}

/// Everything that was taken so far.
struct Hoard {
    vm: VirtualMemory,
    pieces: Vec<u64>,
}

impl Hoard {
    /// Takes memory until there is little left, of the machine's or of what this process may use. How many bytes of it
    /// were not zero.
    fn take(&mut self, kit: &Kit) -> Result<usize, Refusal> {
        let mut dirty = 0;
        while kit.free_kib()? > RESERVE_KIB + PIECE / 1024
            && let Ok(mapped) = self.vm.map(PIECE, 3)
        {
            let address = mapped.address;
            let bytes = bytes_at(address);
            dirty += bytes.iter().filter(|byte| **byte != 0).count();
            bytes.fill(CANARY);
            self.pieces.push(address);
        }
        Ok(dirty)
    }

    /// Bytes that somebody else has changed.
    fn changed(&self) -> usize {
        let pieces = self.pieces.iter();
        pieces
            .map(|address| bytes_at(*address).iter().filter(|b| **b != CANARY).count())
            .sum()
    }
}

/// A piece of memory of this process.
#[allow(unsafe_code)]
fn bytes_at(address: u64) -> &'static mut [u8] {
    // SAFETY: mapped for good by `Hoard::take`, and looked at by this one thread, one slice at a time. If something
    // changes it, that is what the smoke is to find.
    unsafe { core::slice::from_raw_parts_mut(address as *mut u8, PIECE as usize) }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "grant-exit")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let log: LogReader = env.get("logReader")?;
    let console: Console = env.get("console")?;
    let vm: VirtualMemory = env.get("vm")?;
    let memory = vm.create_memory(PAGE)?.memory;
    // What the device will need of this process in the end.
    let spare = vm.create_memory(SPARE)?.memory;
    let mut hoard = Hoard {
        vm,
        pieces: Vec::new(),
    };
    let given = [
        give("timer", &kit.timer),
        give("deviceRegistry", &registry),
        give("sign", &memory),
        give("console", &console),
    ];
    let victim = kit.start("victim", &given)?;
    let sign = Window::map(memory, PAGE, Access::ReadWrite)?;
    let mut word = [0u8];
    smoke::wait_until(&kit, || sign.read(0, &mut word).is_ok() && word == [READY]);
    // Whatever is free is taken, and again once the claim is over.
    let mut dirty = hoard.take(&kit)?;
    sign.write(0, &[GO])?;
    let mut flying = [GO];
    smoke::wait_until(&kit, || sign.read(0, &mut flying).is_ok() && flying != [GO]);
    victim.kill()?;
    let ended = kit.ended(&victim)?;
    let next = registry.claim("nvme", 0)?.device;
    let before = hoard.pieces.len();
    dirty += hoard.take(&kit)?;
    let more = hoard.pieces.len() - before;
    fact!(
        "exit.victim",
        kind = ended.kind,
        in_flight = flying[0],
        memory_back = more as u64 * PIECE >= MORE_BYTES
    );
    fact!("exit.order", steps = steps(&log)?.as_str());
    kit.pause_ms(LATER_MS)?;
    fact!(
        "exit.memory",
        dirty_at_first = dirty,
        changed_later = hoard.changed()
    );
    drop(spare);
    let rig = Rig::new(next)?;
    let buffer = rig.buffer(PAGE)?;
    let read = Command::transfer(io::READ, 1, 0, 8).ok_or(Refusal::BadArgument)?;
    submit(&rig.io, 1, &read, &[into(&buffer, 0, PAGE as u32)])?;
    let done = completions(&rig.io, &kit.timer, 1)?;
    fact!(
        "exit.successor",
        status = done.first().map_or(u16::MAX, |one| one.status),
        changed_by_then = hoard.changed()
    );
    Ok(())
}

/// The steps of the one teardown so far, as the kernel's log has them.
fn steps(log: &LogReader) -> Result<String, Refusal> {
    let mut found = String::new();
    let mut from = 0;
    loop {
        let (next, count) = log.read(from, |results| {
            let records = results.records()?;
            for record in records.iter() {
                let line = record.line()?;
                let step = line
                    .strip_prefix("@device.teardown ")
                    .and_then(|rest| rest.split(' ').find_map(|word| word.strip_prefix("step=")));
                let step = step.or_else(|| line.strip_prefix("@device.released").map(|_| "freed"));
                if let Some(step) = step {
                    if !found.is_empty() {
                        found.push(' ');
                    }
                    found.push_str(step);
                }
            }
            Ok::<_, Refusal>((results.next(), records.iter().count()))
        })??;
        if count == 0 || next <= from {
            return Ok(found);
        }
        from = next;
    }
}
