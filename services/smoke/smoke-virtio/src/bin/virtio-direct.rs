//! A provider that writes the rings of a virtio disk's queue itself, rightly and then in every way that it must not, while another
//! disk is watched.
//!
//! Invariant: after each address that it made up its device is reset, because a device may do with one what it likes; it never
//! writes where the host looks, but what the host looks for.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::{Device, DmaBuffer, Env, Error, Refusal, Timer, Window, fact};
use smoke_rig::virtio::{self, Rig};
use smoke_rig::virtqueue::{Kind, Request, Virtqueue};
use smoke_rig::{POLLED, handle, into, outcome, submit, window};

sdk::entry!(main);

const PAGE: u64 = 4096;
const BLOCK: u32 = 512;
const ENTRIES: u16 = 16;
/// What the host filled the disk with, and what is written over it.
const FOUND: u32 = 0x9e37_79b9;
const WRITTEN: u32 = 0x85eb_ca6b;
const LONG_AT: u64 = 1 << 20;
const LONG_BYTES: u32 = 256 * 1024;
const SHORT_AT: u64 = 3 << 20;
/// How long a request may take, and one that may never end.
const PATIENCE_NS: u64 = 10_000_000_000;
const HOPELESS_NS: u64 = 50_000_000;
const LATER_BYTES: u32 = 512 << 10;

fn pattern(factor: u32, at: u64, bytes: u32) -> Vec<u8> {
    let first = (at / 4) as u32;
    (first..first + bytes / 4)
        .flat_map(|n| n.wrapping_mul(factor).to_le_bytes())
        .collect()
}

fn bytes(window: &Window, bytes: u32) -> Result<Vec<u8>, Refusal> {
    let mut all = sdk::alloc::vec![0; bytes as usize];
    window.read(0, &mut all)?;
    Ok(all)
}

/// A disk whose queue's rings are written here.
struct Disk {
    rig: Rig,
    queue: Virtqueue,
    data: DmaBuffer,
    window: Window,
}

impl Disk {
    fn new(device: Device) -> Result<Self, Refusal> {
        let rig = Rig::new(device, 1, 0)?;
        let queue = Virtqueue::open(&rig.device, &rig.pool, POLLED, ENTRIES)?;
        let data = rig.buffer(LONG_BYTES.into())?;
        Ok(Self {
            window: window(&data, LONG_BYTES.into())?,
            rig,
            queue,
            data,
        })
    }

    fn request(&mut self, timer: &Timer, kind: Kind, at: u64, length: u32) -> Result<u8, Refusal> {
        let request = Request {
            kind,
            sector: at / u64::from(BLOCK),
            address: self.queue.address(&self.data)?,
            length,
        };
        self.queue.run(timer, request, PATIENCE_NS)
    }

    fn read(&mut self, timer: &Timer, at: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        match self.request(timer, Kind::In, at, length)? {
            0 => bytes(&self.window, length),
            _ => Err(Refusal::DeviceError),
        }
    }

    /// From whatever an address did to a device that works.
    fn again(&mut self) -> Result<(), Refusal> {
        virtio::start(&self.rig.device, 1, 0)?;
        for buffer in self.queue.rings.iter().chain([&self.queue.own]) {
            buffer.free()?;
        }
        self.queue = Virtqueue::open(&self.rig.device, &self.rig.pool, POLLED, ENTRIES)?;
        Ok(())
    }
}

fn refusals(disk: &Disk, other: &Disk) -> Result<(), Refusal> {
    let ours = disk.rig.buffer(PAGE)?;
    let second = disk.rig.buffer(PAGE)?;
    let foreign = other.rig.buffer(PAGE)?;
    let queue = &disk.queue.queue;
    let [given, used] = &disk.queue.rings;
    fact!(
        "direct.refused",
        submit = outcome(&submit(queue, 1, &[0; 16], &[into(&ours, 0, BLOCK)])),
        ring = outcome(&queue.ring()),
        beyond_tail = outcome(&queue.doorbell(ENTRIES, 0)),
        beyond_head = outcome(&queue.doorbell(0, u16::MAX)),
        foreign = outcome(&queue.address(handle(&foreign))),
        free_given = outcome(&given.free()),
        free_used = outcome(&used.free()),
        reset = outcome(&queue.reset())
    );
    let device = &disk.rig.device;
    let open = |index, depth, first: &DmaBuffer, second: &DmaBuffer| {
        outcome(&device.direct(0, index, depth, POLLED, handle(first), handle(second)))
    };
    fact!(
        "direct.not-opened",
        taken = open(0, 4, &ours, &second),
        foreign = open(0, 4, &ours, &foreign),
        none = open(99, 4, &ours, &second),
        brokered = outcome(&virtio::poll(device, 0, 4))
    );
    ours.free()?;
    second.free()
}

/// Has the device use an address that it was not given, and then makes it work again.
fn aim(disk: &mut Disk, timer: &Timer, kind: Kind, address: u64) -> Result<(), Refusal> {
    let request = Request {
        kind,
        sector: LONG_AT / u64::from(BLOCK),
        address,
        length: BLOCK,
    };
    let _ = disk.queue.run(timer, request, HOPELESS_NS);
    disk.again()
}

/// Has the device write where a buffer was that it has used before, while what the other disk has got since is watched.
fn late(disk: &mut Disk, other: &Disk, timer: &Timer) -> Result<DmaBuffer, Refusal> {
    let freed = disk.rig.buffer(PAGE)?;
    let request = Request {
        kind: Kind::In,
        sector: LONG_AT / u64::from(BLOCK),
        address: disk.queue.address(&freed)?,
        length: PAGE as u32,
    };
    let status = disk.queue.run(timer, request, PATIENCE_NS)?;
    freed.free()?;
    // So many pages that the one from before is among them.
    let later = other.rig.buffer(LATER_BYTES.into())?;
    let watched = window(&later, LATER_BYTES.into())?;
    let wanted = pattern(WRITTEN, 0, LATER_BYTES);
    watched.write(0, &wanted)?;
    let _ = disk.queue.run(timer, request, HOPELESS_NS);
    let intact = bytes(&watched, LATER_BYTES)? == wanted;
    fact!("direct.late", used = status, intact = intact);
    disk.again()?;
    Ok(later)
}

fn attacks(disk: &mut Disk, timer: &Timer, victim: u64) -> Result<(), Refusal> {
    // Another's, and memory as the processor counts it.
    for target in [victim, 1 << 20] {
        aim(disk, timer, Kind::In, target)?;
    }
    // The byte of the status, written where the other has its data.
    let request = Request {
        kind: Kind::In,
        sector: 0,
        address: disk.queue.address(&disk.data)?,
        length: BLOCK,
    };
    disk.queue.push_to(0, request, victim);
    disk.queue.ring()?;
    let _ = disk.queue.wait(timer, HOPELESS_NS);
    disk.again()?;
    // The kernel's text, to the disk: what arrives there is nothing, or nothing arrives.
    aim(disk, timer, Kind::Out, 1 << 20)?;
    let there = disk.read(timer, LONG_AT, BLOCK)?;
    let same = there.windows(2).all(|pair| pair[0] == pair[1]);
    let leaked = !same && there != pattern(FOUND, LONG_AT, BLOCK);
    fact!("direct.attacked", aims = 4, leaked = leaked);
    Ok(())
}

/// Writes what the host will look for.
fn written(disk: &mut Disk, timer: &Timer) -> Result<(), Refusal> {
    disk.window
        .write(0, &pattern(WRITTEN, LONG_AT, LONG_BYTES))?;
    let long = disk.request(timer, Kind::Out, LONG_AT, LONG_BYTES)?;
    disk.window.write(0, &pattern(WRITTEN, SHORT_AT, BLOCK))?;
    let short = disk.request(timer, Kind::Out, SHORT_AT, BLOCK)?;
    let flush = disk.request(timer, Kind::Flush, 0, 0)?;
    let last = LONG_AT + u64::from(LONG_BYTES - BLOCK);
    let same = disk.read(timer, last, BLOCK)? == pattern(WRITTEN, last, BLOCK)
        && disk.read(timer, SHORT_AT, BLOCK)? == pattern(WRITTEN, SHORT_AT, BLOCK);
    fact!(
        "direct.written",
        long = long,
        short = short,
        flush = flush,
        same = same
    );
    Ok(())
}

/// What a reset leaves of the queue and of the memory of its rings, and that the broker's queue is there again.
fn after_reset(disk: Disk, timer: &Timer) -> Result<(), Refusal> {
    disk.rig.device.reset()?;
    let Virtqueue { queue, rings, .. } = disk.queue;
    let revoked = smoke_rig::completed(&queue)?;
    let again = smoke_rig::completed(&queue);
    let [given, used] = &rings;
    fact!(
        "direct.reset",
        revoked = revoked.len(),
        again = outcome(&again),
        bell = outcome(&queue.doorbell(0, 0)),
        free_commands = outcome(&given.free()),
        free_completions = outcome(&used.free())
    );
    virtio::start(&disk.rig.device, 1, 0)?;
    let brokered = virtio::poll(&disk.rig.device, 0, ENTRIES)?;
    let mut template = [0; 16];
    let sector = SHORT_AT / u64::from(BLOCK);
    template[8..].copy_from_slice(&sector.to_le_bytes());
    submit(&brokered, 1, &template, &[into(&disk.data, 0, BLOCK)])?;
    let done = smoke_rig::completions(&brokered, timer, 1)?;
    let status = done.first().map_or(u16::MAX, |one| one.status);
    let same = bytes(&disk.window, BLOCK)? == pattern(WRITTEN, SHORT_AT, BLOCK);
    fact!("direct.again", status = status, same = same);
    Ok(())
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let mut disk = Disk::new(env.get("device")?)?;
    let mut other = Disk::new(env.get("other")?)?;
    let status = disk.request(&timer, Kind::In, LONG_AT, LONG_BYTES)?;
    let found = bytes(&disk.window, LONG_BYTES)? == pattern(FOUND, LONG_AT, LONG_BYTES);
    fact!("direct.found", status = status, same = found);
    refusals(&disk, &other)?;

    // It lies between: the victim is far below whatever the attacker has, so that nothing is there in its domain.
    let _between = late(&mut disk, &other, &timer)?;
    let victim = other.rig.buffer(PAGE)?;
    let watched = window(&victim, PAGE)?;
    watched.write(0, &pattern(WRITTEN, 0, PAGE as u32))?;
    let victim_at = other.queue.address(&victim)?;
    attacks(&mut disk, &timer, victim_at)?;
    let intact = bytes(&watched, PAGE as u32)? == pattern(WRITTEN, 0, PAGE as u32);
    let reads = other.read(&timer, LONG_AT, BLOCK)? == pattern(FOUND, LONG_AT, BLOCK);
    fact!("direct.bystander", intact = intact, reads = reads);

    written(&mut disk, &timer)?;
    after_reset(disk, &timer)?;
    Ok(())
}
