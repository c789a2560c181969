//! A provider of a gVNIC that tries everything a provider must not: registers, lists, lengths, pages of others, orders.
//!
//! Invariant: it never succeeds in anything but registering one half of a buffer for each queue and opening both.
#![no_std]
#![cfg_attr(not(test), no_main)]

use gve_format::brokered::{Side, Template, kind};
use gve_format::registers::{ADMIN_PFN, DEVICE_STATUS};
use sdk::device::device_queue::{Direction, Segment};
use sdk::{Device, DeviceQueue, DmaBuffer, DmaPool, Env, Error, Interface, Refusal, fact};
use smoke_rig::{POLLED, into, outcome, piece, submit, tried};

sdk::entry!(main);

const PAGE: u32 = 4096;
/// Pages of a buffer; one half of it is for reception.
const PAGES: u32 = 16;
const HALF: u32 = PAGES / 2 * PAGE;
const ROOM: u32 = 2048;
const DEPTH: u16 = 4;
/// Pages of the longest list that the device takes.
const MOST: u32 = 256;

fn out(buffer: &DmaBuffer, offset: u32, length: u32) -> Segment {
    piece(buffer, offset, length, Direction::ToDevice)
}

fn buffer(pool: &DmaPool, pages: u32) -> Result<DmaBuffer, Refusal> {
    Ok(pool
        .allocate(u64::from(pages * PAGE), sdk::Layout::Scattered)?
        .buffer)
}

fn registers(device: &Device) -> Result<(), Refusal> {
    let (registers, doorbells) = (device.mmio(0)?.mmio, device.mmio(2)?.mmio);
    fact!(
        "hostile.registers",
        status = outcome(&registers.read(DEVICE_STATUS, 4)),
        admin = outcome(&registers.read(ADMIN_PFN, 4)),
        doorbell = outcome(&doorbells.read(64, 4)),
        write = outcome(&doorbells.write(64, 4, 1)),
        map = outcome(&registers.map(0, PAGE.into()))
    );
    Ok(())
}

fn lists(lists: &DeviceQueue, pool: &DmaPool, own: &DmaBuffer) -> Result<(), Refusal> {
    let register = Template::Register(Side::Receive).bytes();
    let long = buffer(pool, MOST + 1)?;
    fact!(
        "hostile.lists",
        unknown = tried(lists, &[1, 3, 0, 0], &[into(own, 0, HALF)]),
        nothing = tried(lists, &register, &[]),
        part = tried(lists, &register, &[into(own, 8, PAGE)]),
        backwards = tried(lists, &register, &[out(own, 0, HALF)]),
        many = tried(lists, &register, &[into(&long, 0, (MOST + 1) * PAGE)])
    );
    long.free()
}

fn frames(receive: &DeviceQueue, transmit: &DeviceQueue, own: &DmaBuffer) {
    fact!(
        "hostile.frames",
        little_room = tried(receive, &[], &[into(own, 0, ROOM / 2)]),
        much_room = tried(receive, &[], &[into(own, 0, ROOM * 2)]),
        misaligned = tried(receive, &[], &[into(own, 64, ROOM)]),
        backwards = tried(receive, &[], &[out(own, 0, ROOM)]),
        template = tried(receive, &[0], &[into(own, 0, ROOM)]),
        nothing = tried(transmit, &[], &[]),
        short = tried(transmit, &[], &[out(own, HALF, 13)]),
        long = tried(transmit, &[], &[out(own, HALF, 1475)])
    );
}

fn listed(
    receive: &DeviceQueue,
    transmit: &DeviceQueue,
    (own, other): (&DmaBuffer, &DmaBuffer),
) -> Result<(), Refusal> {
    let ring = provider::QueueRing::open(DeviceQueue::from_object(receive.object().share()));
    let ring = ring.and_then(|mut ring| through_ring(&mut ring, other));
    fact!(
        "hostile.listed",
        other_half = tried(receive, &[], &[into(own, HALF, ROOM)]),
        across = tried(transmit, &[], &[out(own, HALF - 30, 60)]),
        behind = tried(transmit, &[], &[out(own, 0, 60)]),
        other_buffer = tried(receive, &[], &[into(other, 0, ROOM)]),
        ring = outcome(&ring)
    );
    Ok(())
}

/// Room in another buffer, through the queue's ring.
fn through_ring(ring: &mut provider::QueueRing, other: &DmaBuffer) -> Result<(), Refusal> {
    let binding = ring.bind(other)?;
    ring.look_for_room()?;
    let command = device_ring::Command::bare(5, device_ring::Opcode::Read, 0);
    ring.push(&command.with(binding, 0, ROOM))?;
    ring.kick(1, 1)?;
    match ring.take()? {
        Some(done) => done.outcome.map(drop),
        None => Ok(()),
    }
}

fn main(env: &Env) -> Result<(), Error> {
    let device: Device = env.get("device")?;
    device.reset()?;
    registers(&device)?;
    device.configure()?;
    device.enable()?;
    let queue = |kind, source| device.queue(kind, 0, DEPTH, source);
    let admin = queue(kind::LISTS, POLLED)?.queue;
    let pool = device.pool(4 << 20)?.pool;
    let (own, other) = (buffer(&pool, PAGES)?, buffer(&pool, PAGES)?);
    fact!(
        "hostile.unlisted",
        queue = outcome(&queue(kind::RECEIVE, POLLED))
    );
    lists(&admin, &pool, &own)?;
    let register = |side, segment| submit(&admin, 1, &Template::Register(side).bytes(), &[segment]);
    register(Side::Receive, into(&own, 0, HALF))?;
    register(Side::Transmit, out(&own, HALF, HALF))?;
    let vector = outcome(&queue(kind::RECEIVE, 2));
    let receive = queue(kind::RECEIVE, POLLED)?.queue;
    let transmit = queue(kind::TRANSMIT, POLLED)?.queue;
    fact!(
        "hostile.twice",
        list = outcome(&register(Side::Receive, into(&other, 0, HALF))),
        queue = outcome(&queue(kind::RECEIVE, POLLED)),
        vector = vector
    );
    frames(&receive, &transmit, &own);
    listed(&receive, &transmit, (&own, &other))?;
    // The device has the list, so it keeps its pages.
    fact!("hostile.pinned", free = outcome(&own.free()));
    device.reset()?;
    fact!(
        "hostile.reset",
        free = outcome(&own.free()),
        queue = tried(&receive, &[], &[into(&other, 0, ROOM)])
    );
    fact!("hostile.done");
    Ok(())
}
