//! A provider that tries everything a provider must not: registers, templates, lengths, buffers, stale objects.
//!
//! Each try is stated with what it came to; between them a plain read shows that the controller still works. Invariant:
//! it never succeeds in anything but the plain reads.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::device::device_queue::{Direction, Segment};
use sdk::{Access, Device, Env, Error, Refusal, Timer, Window, fact};
use smoke_rig::direct::Direct;
use smoke_rig::nvme::{self, Rig, submit};
use smoke_rig::{POLLED, completion, handle, into, outcome};

sdk::entry!(main);

const NSID: u32 = 1;

fn read_one(rig: &Rig, timer: &Timer, cookie: u64) -> Result<u16, Refusal> {
    let buffer = rig.buffer(4096)?;
    let command = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    submit(&rig.io, cookie, &command, &[into(&buffer, 0, 4096)])?;
    Ok(completion(&rig.io, timer, cookie)?.status)
}

fn identify(rig: &Rig, timer: &Timer) -> Result<u16, Refusal> {
    let buffer = rig.buffer(4096)?;
    submit(
        &rig.admin,
        1,
        &Command::identify(0, NSID, 0),
        &[into(&buffer, 0, 4096)],
    )?;
    Ok(completion(&rig.admin, timer, 1)?.status)
}

fn registers(rig: &Rig) -> Result<(), Refusal> {
    let mmio = rig.device.mmio(0)?.mmio;
    let cap = mmio.read(0, 8);
    let cc = mmio.write(0x14, 4, 0);
    let aqa = mmio.write(0x24, 4, 0);
    let asq = mmio.write(0x28, 8, 0x1000);
    let doorbell = mmio.write(0x1000, 4, 1);
    let odd = mmio.read(2, 4);
    let past = mmio.read(1 << 30, 4);
    let width = mmio.read(0, 3);
    let map = mmio.map(0x1000, 4096);
    fact!(
        "hostile.registers",
        read_cap = outcome(&cap),
        write_cc = outcome(&cc),
        write_aqa = outcome(&aqa),
        write_asq = outcome(&asq),
        doorbell = outcome(&doorbell),
        misaligned = outcome(&odd),
        past_the_end = outcome(&past),
        width_3 = outcome(&width),
        map_doorbells = outcome(&map)
    );
    Ok(())
}

fn templates(rig: &Rig) -> Result<(), Refusal> {
    let buffer = rig.buffer(8192)?;
    let plain = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    let one = [into(&buffer, 0, 4096)];
    let with = |f: &dyn Fn(&mut Command)| {
        let mut command = plain;
        f(&mut command);
        submit(&rig.io, 2, &command, &one)
    };
    fact!(
        "hostile.templates",
        prp1 = outcome(&with(&|c| c.prp1 = 0x1000)),
        prp2 = outcome(&with(&|c| c.prp2 = 0x1000)),
        mptr = outcome(&with(&|c| c.mptr = 0x1000)),
        cid = outcome(&with(&|c| c.cid = 7)),
        fuse = outcome(&with(&|c| c.flags = 1)),
        sgl = outcome(&with(&|c| c.flags = 0x40)),
        opcode = outcome(&with(&|c| c.opcode = 0x7f)),
        reserved = outcome(&with(&|c| c.cdw2 = 1)),
        namespace = outcome(&with(&|c| c.nsid = 77))
    );
    let admin = |command: &Command| submit(&rig.admin, 3, command, &[]);
    fact!(
        "hostile.admin",
        create_sq = outcome(&admin(&Command::create_sq(2, 16, 0x1000))),
        create_cq = outcome(&admin(&Command::create_cq(2, 16, 0x1000, None))),
        queue_count = outcome(&admin(&Command::number_of_queues(4))),
        format = outcome(&admin(&Command {
            opcode: 0x80,
            nsid: NSID,
            ..Command::default()
        })),
        firmware = outcome(&admin(&Command {
            opcode: 0x11,
            ..Command::default()
        })),
        doorbell_buffer = outcome(&admin(&Command {
            opcode: 0x7c,
            ..Command::default()
        }))
    );
    let short = rig.admin.submit(&[sdk::device::device_queue::Command {
        cookie: 4,
        template: &[0; 63],
        segments: &[],
    }]);
    fact!(
        "hostile.short-template",
        refusal = short?.refusal.map_or("ok", Refusal::name)
    );
    Ok(())
}

fn lengths(rig: &Rig) -> Result<(), Refusal> {
    let buffer = rig.buffer(8192)?;
    let read = |blocks, segments: &[Segment]| {
        let command = Command::transfer(io::READ, NSID, 0, blocks).ok_or(Refusal::BadArgument)?;
        submit(&rig.io, 5, &command, segments)
    };
    let backwards = Segment {
        direction: Direction::ToDevice,
        ..into(&buffer, 0, 4096)
    };
    let beyond = Command::transfer(io::READ, NSID, u64::MAX - 8, 8).ok_or(Refusal::BadArgument)?;
    fact!(
        "hostile.lengths",
        shorter = outcome(&read(8, &[into(&buffer, 0, 512)])),
        longer = outcome(&read(1, &[into(&buffer, 0, 4096)])),
        none = outcome(&read(8, &[])),
        zero = outcome(&read(8, &[into(&buffer, 0, 0)])),
        past_the_buffer = outcome(&read(8, &[into(&buffer, 4608, 4096)])),
        wrapping = outcome(&read(8, &[into(&buffer, u32::MAX - 511, 4096)])),
        direction = outcome(&read(8, &[backwards])),
        past_the_disk = outcome(&submit(&rig.io, 5, &beyond, &[into(&buffer, 0, 4096)]))
    );
    Ok(())
}

fn buffers(rig: &Rig, other: Option<&Rig>) -> Result<(), Refusal> {
    let read = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    let freed = rig.buffer(4096)?;
    freed.free()?;
    let stale = submit(&rig.io, 6, &read, &[into(&freed, 0, 4096)]);
    let map = freed.map(1);
    let again = freed.free();
    let wild = Segment {
        buffer: 0xdead_beef,
        ..into(&freed, 0, 4096)
    };
    let wild = submit(&rig.io, 6, &read, &[wild]);
    let kind = Segment {
        buffer: handle(&rig.interrupt),
        ..into(&freed, 0, 4096)
    };
    let kind = submit(&rig.io, 6, &read, &[kind]);
    let big = rig.pool.allocate(2 << 20, sdk::Layout::Scattered);
    let empty = rig.pool.allocate(0, sdk::Layout::Scattered);
    let code = rig.buffer(4096)?.map(5);
    fact!(
        "hostile.buffers",
        freed = outcome(&stale),
        freed_map = outcome(&map),
        freed_twice = outcome(&again),
        wild = outcome(&wild),
        other_kind = outcome(&kind),
        over_budget = outcome(&big),
        empty = outcome(&empty),
        executable = outcome(&code)
    );
    if let Some(other) = other {
        let foreign = other.buffer(4096)?;
        let result = submit(&rig.io, 7, &read, &[into(&foreign, 0, 4096)]);
        fact!("hostile.foreign-buffer", refusal = outcome(&result));
    }
    Ok(())
}

/// A freed buffer's pages come back empty, whoever had them.
fn scrubbed(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let buffer = rig.buffer(4096)?;
    let command = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    submit(&rig.io, 8, &command, &[into(&buffer, 0, 4096)])?;
    completion(&rig.io, timer, 8)?;
    let marked = |buffer: &sdk::DmaBuffer| -> Result<bool, Refusal> {
        let window = Window::map(
            buffer.window(sdk::WindowAccess::Read)?.memory,
            4096,
            Access::Read,
        )?;
        let mut page = [0u8; 4096];
        window.read(0, &mut page)?;
        Ok(page.iter().any(|b| *b != 0))
    };
    let filled = marked(&buffer)?;
    buffer.free()?;
    let mut empty = true;
    for _ in 0..8 {
        empty &= !marked(&rig.buffer(4096)?)?;
    }
    fact!("hostile.scrub", filled_before = filled, empty_after = empty);
    Ok(())
}

fn states(rig: &Rig) -> Result<(), Refusal> {
    // The reads so far were polled, so their dispatch still waits for its acknowledgement.
    rig.interrupt.mask()?;
    while rig.interrupt.acknowledge().is_ok() {}
    let early = rig.interrupt.acknowledge();
    let twice = rig.device.enable();
    let configure = rig.device.configure_nvme(8, 1, 12);
    let queue = rig.device.queue(1, 1, 16, 0);
    let missing = rig.device.queue(9, 0, 16, 0);
    let source = rig.device.interrupt(5000);
    let bar = rig.device.mmio(5);
    fact!(
        "hostile.states",
        acknowledge_early = outcome(&early),
        enable_twice = outcome(&twice),
        configure_late = outcome(&configure),
        queue_twice = outcome(&queue),
        queue_kind = outcome(&missing),
        source = outcome(&source),
        bar = outcome(&bar)
    );
    Ok(())
}

/// What a reset leaves of the objects from before it.
fn stale(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let read = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    let buffer = rig.buffer(4096)?;
    rig.device.reset()?;
    fact!("hostile.stopped", ready = ready(&rig.device)?);
    let page_size = rig.device.configure_nvme(8, 1, 13);
    fact!("hostile.page-size", refusal = outcome(&page_size));
    let before = submit(&rig.io, 9, &read, &[into(&buffer, 0, 4096)]);
    nvme::enable(&rig.device, 1)?;
    let fresh = rig.device.queue(nvme::IO, 1, 16, POLLED)?.queue;
    let submitted = submit(&rig.io, 9, &read, &[into(&buffer, 0, 4096)]);
    let waited = rig.interrupt.wait();
    let acknowledged = rig.interrupt.acknowledge();
    fact!(
        "hostile.after-reset",
        stopped = outcome(&before),
        old_queue = outcome(&submitted),
        old_wait = outcome(&waited),
        old_acknowledge = outcome(&acknowledged)
    );
    submit(&fresh, 12, &read, &[into(&buffer, 0, 4096)])?;
    fact!(
        "hostile.new-queue",
        status = completion(&fresh, timer, 12)?.status
    );
    Ok(())
}

/// CSTS.RDY, read past the broker's word.
fn ready(device: &Device) -> Result<u64, Refusal> {
    Ok(device.mmio(0)?.mmio.read(0x1c, 4)?.value & 1)
}

/// Nothing confines this device, so nobody but the broker writes an address for it.
fn unconfined(device: &Device) -> Result<(), Refusal> {
    nvme::start(device, 1)?;
    let pool = device.pool(1 << 20)?.pool;
    let opened = Direct::open(device, &pool, (1, POLLED), 16);
    fact!("hostile.direct", refusal = outcome(&opened));
    Ok(())
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let device: Device = env.get("device")?;
    // Firmware has left the controller running.
    device.reset()?;
    fact!("hostile.firmware-stopped", ready = ready(&device)?);
    unconfined(&device)?;
    let rig = Rig::new(device)?;
    let other = env.get::<Device>("other").ok().map(Rig::new).transpose()?;
    fact!("hostile.identify", status = identify(&rig, &timer)?);
    fact!("hostile.plain-read", status = read_one(&rig, &timer, 10)?);
    registers(&rig)?;
    templates(&rig)?;
    lengths(&rig)?;
    buffers(&rig, other.as_ref())?;
    scrubbed(&rig, &timer)?;
    states(&rig)?;
    fact!(
        "hostile.plain-read-again",
        status = read_one(&rig, &timer, 11)?
    );
    stale(&rig, &timer)?;
    fact!("hostile.done");
    Ok(())
}
