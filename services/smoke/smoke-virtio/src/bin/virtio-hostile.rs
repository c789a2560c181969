//! A provider of a virtio disk that tries everything a provider must not: features, registers, templates, lengths, buffers,
//! batches, stale objects.
//!
//! Each try is stated with what it came to; between them a plain read shows that the device still works. Invariant: it
//! never succeeds in anything but the plain reads.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::{vec, vec::Vec};
use sdk::device::device_queue::{Command, Completion, Direction, Segment};
use sdk::{Access, Device, DeviceQueue, Env, Error, Refusal, Timer, Window, fact};
use smoke_rig::virtio::{self, Rig};
use smoke_rig::{POLLED, completed, completions, handle, into, outcome, submit};

sdk::entry!(main);

/// Commands that the two queues hold: fewer and more than one call may carry.
const SHORT: u16 = 4;
const LONG: u16 = 128;

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;

fn request(kind: u32, reserved: u32, sector: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let words = [kind.to_le_bytes(), reserved.to_le_bytes()].into_iter();
    let all = words.flatten().chain(sector.to_le_bytes());
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    bytes
}

/// A disk that is up, with one queue.
struct Disk {
    rig: Rig,
    queue: DeviceQueue,
    depth: u16,
}

impl Disk {
    fn new(device: Device, depth: u16) -> Result<Self, Refusal> {
        let rig = Rig::new(device, 1, 0)?;
        let queue = virtio::poll(&rig.device, 0, depth)?;
        Ok(Self { rig, queue, depth })
    }
}

/// Reads 8 sectors; the status, and whether the memory holds what the host wrote on the disk.
fn read_one(disk: &Disk, timer: &Timer, cookie: u64) -> Result<(u16, bool), Refusal> {
    let buffer = disk.rig.buffer(4096)?;
    submit(
        &disk.queue,
        cookie,
        &request(IN, 0, 8),
        &[into(&buffer, 0, 4096)],
    )?;
    let status = one(&completions(&disk.queue, timer, 1)?, cookie)?;
    let window = Window::map(
        buffer.window(sdk::WindowAccess::Read)?.memory,
        4096,
        Access::Read,
    )?;
    let mut word = [0; 4];
    window.read(0, &mut word)?;
    let expected = 1024u32.wrapping_mul(0x9e37_79b9).to_le_bytes();
    Ok((status, word == expected))
}

/// The status of the one completion, which must have this cookie.
fn one(all: &[Completion], cookie: u64) -> Result<u16, Refusal> {
    match all {
        [one] if one.cookie == cookie => one.refusal.map_or(Ok(one.status), Err),
        _ => Err(Refusal::Corrupt),
    }
}

fn features(device: &Device) -> Result<(), Refusal> {
    device.reset()?;
    let with =
        |features: u64, queues, depth| outcome(&device.configure_virtio(features, queues, depth));
    fact!(
        "hostile.features",
        indirect = with(1 << 28, 1, 0),
        event_index = with(1 << 29, 1, 0),
        access_platform = with(1 << 33, 1, 0),
        packed = with(1 << 34, 1, 0),
        secure_erase = with(1 << 16, 1, 0)
    );
    fact!(
        "hostile.sizes",
        odd = with(0, 1, 3),
        over_bound = with(0, 1, 65_535),
        many_queues = with(0, 1000, 0)
    );
    Ok(())
}

fn registers(rig: &Rig) -> Result<(), Refusal> {
    let at = rig.agreed.config;
    let mmio = rig.device.mmio(rig.agreed.bar)?.mmio;
    let bytes = mmio.info()?.bytes;
    let capacity = mmio.read(at, 4);
    // The configuration of disks ends 60 bytes on; what lies before and behind it is the broker's.
    let before = mmio.read(if at == 0 { 64 } else { at - 4 }, 4);
    let status = mmio.read(if at < 32 { 18 } else { 20 }, 1);
    fact!(
        "hostile.registers",
        capacity = outcome(&capacity),
        status = outcome(&status),
        before = outcome(&before),
        past_the_end = outcome(&mmio.read(bytes, 1)),
        far = outcome(&mmio.read(u64::MAX, 1)),
        write_capacity = outcome(&mmio.write(at, 4, 1)),
        write_status = outcome(&mmio.write(18, 1, 0)),
        map = outcome(&mmio.map(0, 4096))
    );
    Ok(())
}

fn templates(Disk { rig, queue, .. }: &Disk) -> Result<(), Refusal> {
    let buffer = rig.buffer(4096)?;
    let one = [into(&buffer, 0, 512)];
    let id = [into(&buffer, 0, 20)];
    let with =
        |kind, reserved, sector| outcome(&submit(queue, 2, &request(kind, reserved, sector), &one));
    fact!(
        "hostile.templates",
        unknown = with(77, 0, 0),
        scsi = with(2, 0, 0),
        discard = with(11, 0, 0),
        high_bits = with(0x8000_0000, 0, 0),
        priority = with(IN, 1, 0),
        flush_sector = outcome(&submit(queue, 2, &request(FLUSH, 0, 1), &[])),
        id_sector = outcome(&submit(queue, 2, &request(GET_ID, 0, 1), &id)),
        short = outcome(&submit(queue, 2, &[0; 15], &one)),
        long = outcome(&submit(queue, 2, &[0; 24], &one)),
        empty = outcome(&submit(queue, 2, &[], &one))
    );
    Ok(())
}

fn lengths(Disk { rig, queue, .. }: &Disk, sectors: u64) -> Result<(), Refusal> {
    let buffer = rig.buffer(8192)?;
    let try_it = |kind, sector, segments: &[Segment]| {
        outcome(&submit(queue, 3, &request(kind, 0, sector), segments))
    };
    let backwards = Segment {
        direction: Direction::ToDevice,
        ..into(&buffer, 0, 512)
    };
    fact!(
        "hostile.lengths",
        odd = try_it(IN, 0, &[into(&buffer, 0, 511)]),
        id = try_it(GET_ID, 0, &[into(&buffer, 0, 512)]),
        flush_data = try_it(FLUSH, 0, &[into(&buffer, 0, 512)]),
        none = try_it(IN, 0, &[]),
        zero = try_it(IN, 0, &[into(&buffer, 0, 0)]),
        past_the_disk = try_it(IN, sectors, &[into(&buffer, 0, 512)]),
        over_its_end = try_it(IN, sectors - 1, &[into(&buffer, 0, 1024)]),
        wrapping = try_it(IN, u64::MAX, &[into(&buffer, 0, 512)])
    );
    fact!(
        "hostile.segments",
        past_the_buffer = try_it(IN, 0, &[into(&buffer, 7680, 1024)]),
        wrapping = try_it(IN, 0, &[into(&buffer, u32::MAX - 511, 512)]),
        read_backwards = try_it(IN, 0, &[backwards]),
        write_backwards = try_it(OUT, 0, &[into(&buffer, 0, 512)])
    );
    Ok(())
}

fn buffers(Disk { rig, queue, .. }: &Disk, other: &Disk) -> Result<(), Refusal> {
    let read = request(IN, 0, 0);
    let freed = rig.buffer(4096)?;
    freed.free()?;
    let stale = submit(queue, 4, &read, &[into(&freed, 0, 512)]);
    let named = |buffer| {
        let segment = Segment {
            buffer,
            ..into(&freed, 0, 512)
        };
        outcome(&submit(queue, 4, &read, &[segment]))
    };
    let foreign = other.rig.buffer(4096)?;
    fact!(
        "hostile.buffers",
        foreign = named(handle(&foreign)),
        freed = outcome(&stale),
        wild = named(0xdead_beef),
        other_kind = named(handle(queue)),
        over_budget = outcome(&rig.pool.allocate(2 << 20, sdk::Layout::Scattered))
    );
    Ok(())
}

/// A batch over what a short queue holds, and one over what a call may hold.
fn batches(long: &Disk, short: &Disk, timer: &Timer) -> Result<(), Refusal> {
    let buffer = short.rig.buffer(4096)?;
    let (read, flush) = (request(IN, 0, 8), request(FLUSH, 0, 0));
    let one = [into(&buffer, 0, 4096)];
    let command = |cookie| Command {
        cookie,
        template: &read,
        segments: &one,
    };
    let five = [20, 21, 22, 23, 24].map(command);
    let over = short.queue.submit(&five)?;
    let free = buffer.free();
    let mut cookies: Vec<u64> = completions(&short.queue, timer, over.accepted.into())?
        .iter()
        .filter(|one| one.refusal.is_none() && one.status == 0)
        .map(|one| one.cookie)
        .collect();
    cookies.sort_unstable();
    let emptying = Command {
        cookie: 30,
        template: &flush,
        segments: &[],
    };
    let many = long.queue.submit(&vec![emptying; 65])?;
    completions(&long.queue, timer, many.accepted.into())?;
    fact!(
        "hostile.batches",
        depth = short.depth,
        accepted = over.accepted,
        refusal = over.refusal.map_or("ok", Refusal::name),
        free_in_flight = outcome(&free),
        completed = cookies == [20, 21, 22, 23],
        more = completed(&short.queue)?.len(),
        of_65 = many.accepted,
        the_65th = many.refusal.map_or("ok", Refusal::name)
    );
    Ok(())
}

fn states(rig: &Rig) -> Result<(), Refusal> {
    fact!(
        "hostile.states",
        enable_twice = outcome(&rig.device.enable()),
        configure_late = outcome(&rig.device.configure_virtio(0, 1, 0)),
        queue_twice = outcome(&rig.device.queue(0, 0, 4, POLLED)),
        queue_beyond = outcome(&rig.device.queue(0, 1, 4, POLLED)),
        queue_kind = outcome(&rig.device.queue(1, 0, 4, POLLED)),
        source = outcome(&rig.device.interrupt(5000)),
        bar = outcome(&rig.device.mmio(5))
    );
    Ok(())
}

/// What a reset leaves of the objects from before it.
fn stale(disk: &mut Disk) -> Result<(), Refusal> {
    let device = &disk.rig.device;
    let buffer = disk.rig.buffer(4096)?;
    let read = request(IN, 0, 8);
    let one = [into(&buffer, 0, 4096)];
    device.reset()?;
    let stopped = submit(&disk.queue, 9, &read, &one);
    virtio::start(device, 1, 0)?;
    let fresh = virtio::poll(device, 0, disk.depth)?;
    let submitted = submit(&disk.queue, 9, &read, &one);
    let completed = completed(&disk.queue);
    fact!(
        "hostile.after-reset",
        stopped = outcome(&stopped),
        old_queue = outcome(&submitted),
        old_completion = outcome(&completed)
    );
    disk.queue = fresh;
    Ok(())
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let device: Device = env.get("device")?;
    let other = Disk::new(env.get("other")?, SHORT)?;
    features(&device)?;
    let mut disk = Disk::new(device, LONG)?;
    let (device, agreed) = (&disk.rig.device, disk.rig.agreed);
    let mmio = device.mmio(agreed.bar)?.mmio;
    let sectors = mmio.read(agreed.config, 4)?.value;
    drop(mmio);
    let plain = |disk: &Disk, cookie| -> Result<(), Refusal> {
        let (status, right) = read_one(disk, &timer, cookie)?;
        fact!("hostile.plain-read", status = status, right = right);
        Ok(())
    };
    plain(&disk, 10)?;
    registers(&disk.rig)?;
    templates(&disk)?;
    lengths(&disk, sectors)?;
    buffers(&disk, &other)?;
    batches(&disk, &other, &timer)?;
    states(&disk.rig)?;
    plain(&disk, 11)?;
    stale(&mut disk)?;
    plain(&disk, 12)?;
    fact!("hostile.done");
    Ok(())
}
