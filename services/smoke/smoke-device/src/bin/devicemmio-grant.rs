//! Registers in the hands of somebody who wants others: windows, widths, masks, and mappings that end.
//!
//! The device is QEMU's `edu`: it inverts what is written to its liveness register, so a write shows that it arrived.
//! Invariant: every register it looks at, it looks at through its capability.
#![no_std]
#![cfg_attr(not(test), no_main)]

use ring_abi::opcode;
use rt::sys::Operation;
use sdk::{
    Console, DeviceMmio, DeviceRegistry, Env, Error, MemoryObject, Refusal, Timer, Window, fact,
};
use smoke::{Kit, give, outcome, role};

sdk::entry!(main);

const PAGE: u64 = 4096;
const ID: u64 = 0x00;
const LIVENESS: u64 = 0x04;
const FACTORIAL: u64 = 0x08;
const STATUS: u64 = 0x20;
const DMA_SOURCE: u64 = 0x80;
const DMA_COMMAND: u64 = 0x98;
/// A command without the bit that starts the engine: QEMU ends when that has no sense.
const TO_MEMORY: u64 = 2;
const BAR_BYTES: u64 = 1 << 20;
/// The pages that the broker lists: two, which read as ones.
const LISTED: u64 = 0x1000;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("scribbler") => scribble(env),
        Some("keeper") => keep(env),
        _ => ask(env),
    }
}

/// A page of mapped registers, one word of it.
#[allow(unsafe_code)]
fn word(address: u64) -> u32 {
    // SAFETY: mapped, or meant to fault.
    unsafe { smoke::memory_word(address) }.load(core::sync::atomic::Ordering::Relaxed)
}

/// Writes to a mapped register page.
#[allow(unsafe_code)]
fn scribble(env: &Env) -> Result<(), Error> {
    let mmio: DeviceMmio = env.get("mmio")?;
    let address = mmio.map(LISTED, PAGE)?.address;
    // SAFETY: meant to fault.
    unsafe { smoke::memory_word(address) }.store(1, core::sync::atomic::Ordering::Relaxed);
    Ok(())
}

/// Keeps a mapping while the claim ends, and tells through a page of memory what it sees.
fn keep(env: &Env) -> Result<(), Error> {
    let mmio: DeviceMmio = env.get("mmio")?;
    let sign: MemoryObject = env.get("sign")?;
    let timer: Timer = env.get("timer")?;
    let sign = Window::map(sign, PAGE, sdk::Access::ReadWrite)?;
    let address = mmio.map(LISTED, PAGE)?.address;
    let end = timer.now()?.ns + 10_000_000_000;
    let mut told = [0u8; 8];
    while timer.now()?.ns < end {
        sign.read(8, &mut told)?;
        let asked = told;
        sign.write(4, &word(address).to_le_bytes())?;
        // The answer is newer than the question.
        sign.write(16, &asked)?;
        if asked == [2; 8] {
            return Ok(());
        }
    }
    Err(Refusal::TimedOut.into())
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "devicemmio-grant")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let console: Console = env.get("console")?;
    let device = registry.claim("edu", 0)?.device;
    let mmio = device.mmio(0)?.mmio;
    reads(&mmio)?;
    writes(&mmio)?;
    maps(&kit, &mmio, &console)?;
    ends(env, &kit, device, mmio)
}

fn reads(mmio: &DeviceMmio) -> Result<(), Refusal> {
    let read = |offset, width| outcome(&mmio.read(offset, width));
    fact!(
        "mmio.reads",
        identity = mmio.read(ID, 4)?.value & 0xffff == 0xed,
        unaligned = read(2, 4),
        half = read(LIVENESS + 2, 2),
        zero_width = read(ID, 0),
        width_3 = read(ID, 3),
        width_16 = read(ID, 16),
        last = read(BAR_BYTES - 4, 4),
        past_the_end = read(BAR_BYTES, 4),
        over_the_end = read(BAR_BYTES - 4, 8),
        overflow = read(u64::MAX - 3, 4),
        unlisted = read(DMA_SOURCE, 4)
    );
    Ok(())
}

fn writes(mmio: &DeviceMmio) -> Result<(), Refusal> {
    let write = |offset, width, value| outcome(&mmio.write(offset, width, value));
    let arrived = mmio.write(LIVENESS, 4, 0x1234_5678)?.read_back;
    fact!(
        "mmio.window",
        read_back = arrived == u64::from(!0x1234_5678_u32)
    );
    let before = (mmio.read(ID, 4)?.value, mmio.read(LIVENESS, 4)?.value);
    fact!(
        "mmio.outside",
        identity = write(ID, 4, 0),
        engine_source = write(DMA_SOURCE, 8, 0x1000),
        engine_start = write(DMA_COMMAND, 8, TO_MEMORY),
        engine_start_4 = write(DMA_COMMAND, 4, TO_MEMORY),
        nothing_there = write(BAR_BYTES - 4, 4, 0),
        width_8 = write(LIVENESS, 8, 0),
        width_2 = write(LIVENESS, 2, 0),
        width_1 = write(FACTORIAL, 1, 0),
        second_half = write(LIVENESS + 2, 2, 0),
        unaligned = write(LIVENESS + 1, 4, 0),
        past_the_end = write(BAR_BYTES, 4, 0),
        overflow = write(u64::MAX - 3, 4, 0)
    );
    let after = (mmio.read(ID, 4)?.value, mmio.read(LIVENESS, 4)?.value);
    fact!("mmio.no-effect", same = before == after);
    // One bit of the status is the provider's: whether the device interrupts when it has computed.
    fact!(
        "mmio.mask",
        own_bit = write(STATUS, 4, 0x80),
        read_back = mmio.read(STATUS, 4)?.value,
        other_bit = write(STATUS, 4, 0x81),
        all_bits = write(STATUS, 4, u64::MAX),
        high_half = write(STATUS, 4, 1 << 32 | 0x80),
        off_again = write(STATUS, 4, 0),
        at_last = mmio.read(STATUS, 4)?.value
    );
    Ok(())
}

fn maps(kit: &Kit, mmio: &DeviceMmio, console: &Console) -> Result<(), Refusal> {
    let info = mmio.info()?;
    let map = |offset, bytes| outcome(&mmio.map(offset, bytes));
    fact!(
        "mmio.map-refused",
        pages_listed = info.mappable_pages,
        registers = map(0, PAGE),
        with_registers = map(0, 2 * PAGE),
        past_the_list = map(LISTED + PAGE, 2 * PAGE),
        beside_the_list = map(LISTED + 2 * PAGE, PAGE),
        nothing = map(LISTED, 0),
        unaligned = map(LISTED + 4, PAGE),
        past_the_bar = map(BAR_BYTES, PAGE),
        over_the_bar = map(BAR_BYTES - PAGE, 2 * PAGE),
        overflow = map(u64::MAX - 0xfff, PAGE),
        endless = map(LISTED, u64::MAX)
    );
    let first = mmio.map(LISTED, 2 * PAGE)?.address;
    let seen = word(first + PAGE);
    let unmapped = outcome(&mmio.unmap(first));
    let twice = outcome(&mmio.unmap(first));
    let again = mmio.map(LISTED, PAGE)?.address;
    let fresh = word(again);
    // The kernel reads a word that a thread waits on, and registers never.
    let parked = smoke::raw::operate(&Operation {
        opcode: opcode::PARK,
        handle: again,
        deadline_ns: 1,
        ..Operation::default()
    });
    let scribbler = kit.run("scribbler", &[give("mmio", mmio), give("console", console)])?;
    fact!(
        "mmio.map",
        holds_ones = seen == u32::MAX,
        unmap = unmapped,
        unmap_twice = twice,
        unmap_nothing = outcome(&mmio.unmap(0x1000)),
        again_holds_ones = fresh == u32::MAX,
        park = parked.refused().map_or("ok", Refusal::name),
        writer = scribbler.kind,
        rule = scribbler.rule()
    );
    Ok(())
}

/// The claim ends while two processes map its registers.
fn ends(env: &Env, kit: &Kit, device: sdk::Device, mmio: DeviceMmio) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let vm: sdk::VirtualMemory = env.get("vm")?;
    let own = mmio.map(LISTED, PAGE)?.address;
    let memory = vm.create_memory(PAGE)?.memory;
    let given = [
        give("mmio", &mmio),
        give("sign", &memory),
        give("timer", &kit.timer),
    ];
    let keeper = kit.start("keeper", &given)?;
    let sign = Window::map(memory, PAGE, sdk::Access::ReadWrite)?;
    let sees = |question: u8| -> Result<u32, Refusal> {
        sign.write(8, &[question; 8])?;
        let mut answer = [0u8; 8];
        smoke::wait_until(kit, || {
            sign.read(16, &mut answer).is_ok() && answer == [question; 8]
        });
        let mut seen = [0u8; 4];
        sign.read(4, &mut seen)?;
        Ok(u32::from_le_bytes(seen))
    };
    let (before, own_before) = (sees(1)?, word(own));
    drop(device);
    let next = registry.claim("edu", 0)?.device;
    let (after, own_after) = (sees(2)?, word(own));
    fact!(
        "mmio.claim-ended",
        other_before = before == u32::MAX,
        own_before = own_before == u32::MAX,
        other_after = after,
        own_after = own_after,
        read = outcome(&mmio.read(ID, 4)),
        write = outcome(&mmio.write(LIVENESS, 4, 0)),
        map = outcome(&mmio.map(LISTED, PAGE)),
        unmap = outcome(&mmio.unmap(own)),
        info = outcome(&mmio.info()),
        keeper = kit.ended(&keeper)?.kind
    );
    let mmio = next.mmio(0)?.mmio;
    let arrived = mmio.write(LIVENESS, 4, 7)?.read_back;
    let mapped = word(mmio.map(LISTED, PAGE)?.address);
    fact!(
        "mmio.successor",
        write = arrived == u64::from(!7_u32),
        map = mapped == u32::MAX
    );
    Ok(())
}
