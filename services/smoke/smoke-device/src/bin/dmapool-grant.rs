//! DMA pools and buffers in the hands of somebody who wants more: sizes, protections, and handles of before.
//!
//! Two controllers, both claimed here; the second one's disk is slow. Invariant: every page it looks at is one that the
//! interface gave it, and it judges pages by what they hold.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::process::virtual_memory;
use sdk::{
    Access, Cap, Device, DeviceRegistry, DmaBuffer, Env, Error, MemoryObject, Refusal, Timer,
    Window, alloc::vec::Vec, fact,
};
use smoke::{Ended, Kit, give, outcome, role};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{completion, completions, handle, into};

sdk::entry!(main);

const PAGE: u64 = 4096;
const NSID: u32 = 1;
/// What a process leaves in a page.
const MARK: u8 = 0xa4;
/// Rounds of freeing and allocating.
const ROUNDS: u32 = 200;

/// A client of the program's own address space.
type VirtualMemory = virtual_memory::Client<Cap>;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("keeps-writing") => keep_writing(env),
        _ => ask(env),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "dmapool-grant")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let claim = |nth| registry.claim("nvme", nth).map(|claimed| claimed.device);
    let rig = Rig::new(claim(0)?)?;
    let slow = Rig::new(claim(1)?)?;
    sizes(&rig.device)?;
    protections(env, &rig)?;
    mapped(&kit, &rig)?;
    in_flight(&slow, &kit.timer)?;
    reused(&rig, &kit.timer)?;
    foreign(&rig, &slow)?;
    frames(&rig, &kit.timer)?;
    account(&kit, &rig.device)?;
    ended(&registry, rig, &kit.timer)
}

/// Memory of a device is paid for like any other: what the allocator takes, and no more than its holder has.
fn account(kit: &Kit, device: &Device) -> Result<(), Refusal> {
    let pool = device.pool(120 << 20)?.pool;
    let used = || -> Result<(u64, u64), Refusal> {
        let memory = kit.info.memory()?;
        Ok((memory.lost, memory.total - memory.left))
    };
    let (lost, charged) = used()?;
    // One page more than half of the run that it takes.
    let run = pool.allocate(513 * PAGE, sdk::Layout::Contiguous)?.buffer;
    let (lost_then, charged_then) = used()?;
    let mut taken = Vec::new();
    let why = loop {
        match pool.allocate(1 << 20, sdk::Layout::Scattered) {
            Ok(more) => taken.push(more.buffer),
            Err(refusal) => break refusal.name(),
        }
    };
    let (_, charged_with_all) = used()?;
    fact!(
        "pool.account",
        contiguous_mib = (lost_then - lost) >> 20,
        unpaid_bytes = (lost_then - lost) as i64 - (charged_then - charged) as i64,
        some = taken.len() > 16,
        within = (charged_with_all - charged) >> 20 < 64,
        refused = why
    );
    taken.into_iter().try_for_each(|buffer| buffer.free())?;
    run.free()
}

fn read(blocks: u16) -> Result<Command, Refusal> {
    Command::transfer(io::READ, NSID, 0, u32::from(blocks)).ok_or(Refusal::BadArgument)
}

/// How much may be had, to the page.
fn sizes(device: &Device) -> Result<(), Refusal> {
    let none = device.pool(0);
    let beyond = device.pool(1 << 40);
    let pool = device.pool(8 << 20)?.pool;
    let zero = pool.allocate(0, sdk::Layout::Scattered);
    let scattered = pool.allocate((4 << 20) + 1, sdk::Layout::Scattered)?.buffer;
    let contiguous = pool.allocate((4 << 20) + 1, sdk::Layout::Contiguous);
    let endless = pool.allocate(u64::MAX, sdk::Layout::Scattered);
    scattered.free()?;
    let most = pool
        .allocate((8 << 20) - PAGE + 1, sdk::Layout::Scattered)?
        .buffer;
    let one_more = pool.allocate(1, sdk::Layout::Scattered);
    let full = pool.info()?;
    most.free()?;
    let rounded = pool.allocate(1, sdk::Layout::Scattered)?.buffer;
    let after = pool.info()?;
    fact!(
        "pool.sizes",
        pool_of_nothing = outcome(&none),
        pool_of_too_much = outcome(&beyond),
        zero = outcome(&zero),
        over_contiguity = outcome(&contiguous),
        endless = outcome(&endless),
        full = full.used_bytes == full.budget_bytes,
        a_page_over = outcome(&one_more),
        one_byte = rounded.info()?.bytes,
        used_then = after.used_bytes,
        buffers_then = after.buffers
    );
    Ok(())
}

/// What a mapping may allow: bit 0 read, bit 1 write, bit 2 execute.
fn protections(env: &Env, rig: &Rig) -> Result<(), Refusal> {
    let buffer = rig.buffer(2 * PAGE)?;
    let one = |protection| outcome(&buffer.map(protection));
    fact!(
        "pool.protections",
        none = one(0),
        read = one(1),
        write = one(2),
        read_write = one(3),
        execute = one(4),
        read_execute = one(5),
        write_execute = one(7),
        unknown = one(9)
    );
    let view = buffer.window(sdk::WindowAccess::Read)?.memory;
    let address = view.map(0, PAGE, 1)?.address;
    let vm: VirtualMemory = env.get("vm").map_err(|_| Refusal::NotFound)?;
    fact!(
        "pool.read-only-window",
        writable = view.info()?.writable,
        map_writable = outcome(&view.map(0, PAGE, 3)),
        raise = outcome(&vm.protect(address, PAGE, 3)),
        raise_to_execute = outcome(&vm.protect(address, PAGE, 5)),
        part_of_a_page = outcome(&view.map(512, PAGE, 1)),
        over_the_buffer = outcome(&view.map(PAGE, 2 * PAGE, 1)),
        nothing = outcome(&view.map(0, 0, 1)),
        whole_page = outcome(&view.map(PAGE, PAGE, 1)),
        revoke = outcome(&view.revoke())
    );
    Ok(())
}

/// A client that was given a window writes to it for as long as it lives.
fn keep_writing(env: &Env) -> Result<(), Error> {
    let memory: MemoryObject = env.get("window")?;
    let timer: Timer = env.get("timer")?;
    let window = Window::map(memory, PAGE, Access::ReadWrite)?;
    let end = timer.now()?.ns + 1_500_000_000;
    while timer.now()?.ns < end {
        window.write(0, &[MARK; PAGE as usize])?;
    }
    Ok(())
}

/// A buffer is freed while another process writes to it.
fn mapped(kit: &Kit, rig: &Rig) -> Result<(), Error> {
    let buffer = rig.buffer(PAGE)?;
    let window = buffer.window(sdk::WindowAccess::ReadWrite)?.memory;
    let own = Window::map(
        buffer.window(sdk::WindowAccess::Read)?.memory,
        PAGE,
        Access::Read,
    )?;
    let given = [give("window", &window), give("timer", &kit.timer)];
    let writer = kit.start("keeps-writing", &given)?;
    let written = smoke::wait_until(kit, || marked(&own) == Ok(PAGE as usize));
    buffer.free()?;
    // Whoever had it mapped goes on with a page of its own, which is nobody else's.
    let seen = marked(&own)?;
    let mut dirty = 0;
    for _ in 0..ROUNDS {
        let fresh = rig.buffer(PAGE)?;
        dirty += u32::from(marks_of(&fresh)? != 0);
        fresh.free()?;
    }
    let Ended { kind, .. } = kit.ended(&writer)?;
    fact!(
        "pool.freed-while-mapped",
        written = written,
        own_mapping_sees = seen,
        writer = kind,
        window = outcome(&window.map(0, PAGE, 1)),
        next_owner_sees = dirty
    );
    Ok(())
}

/// Bytes that are not zero.
fn marked(window: &Window) -> Result<usize, Refusal> {
    let mut page = [0u8; PAGE as usize];
    window.read(0, &mut page)?;
    Ok(page.iter().filter(|byte| **byte != 0).count())
}

fn marks_of(buffer: &DmaBuffer) -> Result<usize, Refusal> {
    marked(&Window::map(
        buffer.window(sdk::WindowAccess::Read)?.memory,
        PAGE,
        Access::Read,
    )?)
}

/// Nothing goes back while the device may write to it.
fn in_flight(slow: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let buffer = slow.buffer(64 * 1024)?;
    // The first one uses up what the disk gives at once.
    for cookie in 0..2 {
        submit(
            &slow.io,
            cookie,
            &read(128)?,
            &[into(&buffer, 0, 64 * 1024)],
        )?;
    }
    let during = buffer.info()?.in_flight;
    let freed = buffer.free();
    let still = marks_of(&buffer);
    completions(&slow.io, timer, 2)?;
    let after = buffer.info()?.in_flight;
    fact!(
        "pool.in-flight",
        segments = during,
        free = outcome(&freed),
        window_stays = outcome(&still),
        afterwards = after,
        free_afterwards = outcome(&buffer.free()),
        free_twice = outcome(&buffer.free())
    );
    Ok(())
}

/// A slot of the ledger is used again; the capability of its last owner is not.
fn reused(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let old = rig.buffer(PAGE)?;
    let before = old.info()?.generation;
    old.free()?;
    // Slots are used again in the order in which they became free.
    let mut kept = Vec::new();
    let new = loop {
        let next = rig.buffer(PAGE)?;
        if next.info()?.generation > before || kept.len() > 100 {
            break next;
        }
        kept.push(next);
    };
    let fresh = Window::map(
        new.window(sdk::WindowAccess::ReadWrite)?.memory,
        PAGE,
        Access::ReadWrite,
    )?;
    fresh.write(0, &[MARK; PAGE as usize])?;
    let submitted = submit(&rig.io, 20, &read(8)?, &[into(&old, 0, PAGE as u32)]);
    if submitted.is_ok() {
        completion(&rig.io, timer, 20)?;
    }
    let mut page = [0u8; PAGE as usize];
    fresh.read(0, &mut page)?;
    fact!(
        "pool.reused-slot",
        generation_rises = new.info()?.generation > before,
        info = outcome(&old.info()),
        map = outcome(&old.map(1)),
        unmap = outcome(&old.unmap()),
        window = outcome(&old.window(sdk::WindowAccess::ReadWrite)),
        free = outcome(&old.free()),
        submit = outcome(&submitted),
        new_untouched = page.iter().all(|byte| *byte == MARK),
        new_in_flight = new.info()?.in_flight
    );
    Ok(())
}

/// Handles of another function, of nothing, of a slot's earlier use, and of another kind.
fn foreign(rig: &Rig, other: &Rig) -> Result<(), Refusal> {
    let theirs = other.buffer(PAGE)?;
    let ours = rig.buffer(PAGE)?;
    let by_number = |number: u64| {
        let mut segment = into(&ours, 0, PAGE as u32);
        segment.buffer = number;
        outcome(&submit(
            &rig.io,
            30,
            &read(8).unwrap_or_default(),
            &[segment],
        ))
    };
    let gone = rig.buffer(PAGE)?;
    let released = handle(&gone);
    drop(gone);
    let unused = by_number(released);
    let _next: Vec<DmaBuffer> = (0..300)
        .map(|_| rig.buffer(PAGE))
        .take_while(Result::is_ok)
        .filter_map(Result::ok)
        .collect();
    fact!(
        "pool.foreign",
        other_function = by_number(handle(&theirs)),
        released = unused,
        released_and_reused = by_number(released),
        next_generation = by_number(handle(&ours) + (1 << 24)),
        nobody_s = by_number(0x00ff_ffff_00ff_ffff),
        zero = by_number(0),
        pool = by_number(handle(&rig.pool)),
        queue = by_number(handle(&rig.io)),
        ours_in_flight = ours.info()?.in_flight,
        theirs_in_flight = theirs.info()?.in_flight
    );
    Ok(())
}

/// Real frames go round: whoever gets them next finds them empty, however they were filled.
fn frames(rig: &Rig, timer: &Timer) -> Result<(), Refusal> {
    let (mut filled, mut empty) = (0, 0);
    for round in 0..ROUNDS {
        let buffer = rig.buffer(PAGE)?;
        empty += u32::from(marks_of(&buffer)? == 0);
        if round % 2 == 0 {
            submit(&rig.io, 40, &read(8)?, &[into(&buffer, 0, PAGE as u32)])?;
            completion(&rig.io, timer, 40)?;
        } else {
            let window = Window::map(
                buffer.window(sdk::WindowAccess::ReadWrite)?.memory,
                PAGE,
                Access::ReadWrite,
            )?;
            window.write(0, &[MARK; PAGE as usize])?;
        }
        filled += u32::from(marks_of(&buffer)? != 0);
        if round % 4 < 2 {
            buffer.free()?;
        }
    }
    fact!("pool.frames", filled = filled, empty_before = empty);
    Ok(())
}

/// Everything of a claim that has ended, while its successor works.
fn ended(registry: &DeviceRegistry, rig: Rig, timer: &Timer) -> Result<(), Error> {
    let Rig {
        device,
        pool,
        interrupt,
        admin,
        io,
    } = rig;
    let mmio = device.mmio(0)?.mmio;
    let buffer = pool.allocate(PAGE, sdk::Layout::Scattered)?.buffer;
    let first = device.info()?.generation;
    drop(device);
    let again = registry.claim("nvme", 0)?.device;
    let second = again.info()?.generation;
    let read = read(8)?;
    fact!(
        "pool.claim-ended",
        generation = second - first,
        pool_info = outcome(&pool.info()),
        allocate = outcome(&pool.allocate(PAGE, sdk::Layout::Scattered)),
        buffer_info = outcome(&buffer.info()),
        buffer_map = outcome(&buffer.map(1)),
        buffer_free = outcome(&buffer.free()),
        mmio_info = outcome(&mmio.info()),
        mmio_read = outcome(&mmio.read(0, 8)),
        mmio_write = outcome(&mmio.write(0x14, 4, 0)),
        mmio_map = outcome(&mmio.map(0, PAGE)),
        queue_info = outcome(&io.info()),
        submit = outcome(&submit(&io, 50, &read, &[into(&buffer, 0, PAGE as u32)])),
        complete = outcome(&io.complete(1, |_| ())),
        queue_reset = outcome(&admin.reset()),
        wait = outcome(&interrupt.wait()),
        acknowledge = outcome(&interrupt.acknowledge()),
        unmask = outcome(&interrupt.unmask()),
        mask = outcome(&interrupt.mask())
    );
    let rig = Rig::new(again)?;
    let fresh = rig.buffer(PAGE)?;
    submit(&rig.io, 51, &read, &[into(&fresh, 0, PAGE as u32)])?;
    let status = completion(&rig.io, timer, 51)?.status;
    let info = rig.pool.info()?;
    fact!(
        "pool.successor",
        read_status = status,
        buffers = info.buffers,
        used = info.used_bytes
    );
    Ok(())
}
