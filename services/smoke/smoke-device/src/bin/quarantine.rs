//! A controller falls silent while it has memory: the machine takes its registers away behind everybody's back.
//!
//! Invariant: that it fell silent is what its registers show, and nothing that anybody told it.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, io};
use sdk::{Access, DeviceRegistry, Env, Error, Refusal, Window, fact};
use smoke::{Kit, outcome};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{completions, into};

sdk::entry!(main);

const PAGE: u64 = 4096;
const VERSION: u64 = 0x08;
const MORE_BYTES: u64 = 4 << 20;

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "quarantine")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let mmio = rig.device.mmio(0)?.mmio;
    let buffer = rig.buffer(PAGE)?;
    let more = rig
        .device
        .pool(MORE_BYTES)?
        .pool
        .allocate(MORE_BYTES, sdk::Layout::Scattered)?
        .buffer;
    let memory = buffer.window(sdk::WindowAccess::ReadWrite)?.memory;
    let window = Window::map(memory, PAGE, Access::ReadWrite)?;
    let read = Command::transfer(io::READ, 1, 0, 8).ok_or(Refusal::BadArgument)?;
    submit(&rig.io, 1, &read, &[into(&buffer, 0, PAGE as u32)])?;
    let status = completions(&rig.io, &kit.timer, 1)?
        .first()
        .map(|one| one.status);
    window.write(0, &[1])?;
    fact!("silent.before", read_status = status.unwrap_or(u16::MAX));
    // No controller has version 0; a bus without one reads as ones, QEMU's as zeros.
    let gone = || {
        let version = mmio.read(VERSION, 4);
        version.is_ok_and(|read| matches!(read.value, 0 | 0xffff_ffff))
    };
    let gone = smoke::wait_until(&kit, gone) || smoke::wait_until(&kit, gone);
    let before = kit.free_kib()?;
    fact!("silent.gone", no_registers = gone);
    let reset = rig.device.reset();
    let state = rig.device.info()?.state as u16;
    fact!(
        "silent.reset",
        reset = outcome(&reset),
        quarantined = state == 4,
        claim = outcome(&registry.claim("nvme", 0))
    );
    fact!(
        "silent.refused",
        enable = outcome(&rig.device.enable()),
        pool = outcome(&rig.device.pool(PAGE)),
        submit = outcome(&submit(&rig.io, 2, &read, &[into(&buffer, 0, PAGE as u32)])),
        free = outcome(&buffer.free()),
        map = outcome(&more.map(1)),
        mmio = outcome(&mmio.read(VERSION, 4)),
        window_shows = marked(&window)
    );
    drop((rig, buffer, more));
    kit.pause_ms(200)?;
    let back = kit.free_kib()?.saturating_sub(before);
    fact!(
        "silent.for-good",
        claim = outcome(&registry.claim("nvme", 0)),
        memory_kept = back < MORE_BYTES / 1024 / 2,
        back_kib ~ back
    );
    Ok(())
}

/// The page holds something.
fn marked(window: &Window) -> bool {
    let mut page = [0u8; PAGE as usize];
    window.read(0, &mut page).is_ok() && page.iter().any(|byte| *byte != 0)
}
