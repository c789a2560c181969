//! Two sessions on one disk: neither sees the other's window, and a window that comes back is empty.
//!
//! Invariant: it never knows which physical pages it has; it judges by what it reads.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::{Access, BlockDevice, Env, Error, Refusal, Window, fact};
use smoke_rig::outcome;

sdk::entry!(main);

const BYTES: u32 = 64 * 1024;

/// How many bytes of the window are not zero.
fn marked(window: &Window) -> Result<u64, Refusal> {
    let mut page = [0u8; 4096];
    let mut count = 0;
    for offset in (0..u64::from(BYTES)).step_by(4096) {
        window.read(offset, &mut page)?;
        count += page.iter().filter(|b| **b != 0).count() as u64;
    }
    Ok(count)
}

fn main(env: &Env) -> Result<(), Error> {
    let disk: BlockDevice = env.get("block")?;
    let blocks = BYTES / disk.info()?.block_bytes;

    let first = disk.open(BYTES)?;
    let second = disk.open(BYTES)?;
    let a = Window::map(first.window, u64::from(BYTES), Access::Read)?;
    let b = Window::map(second.window, u64::from(BYTES), Access::Read)?;
    fact!("session.fresh", a = marked(&a)?, b = marked(&b)?);

    first.session.read(0, blocks, 0)?;
    fact!(
        "session.one-read",
        a_filled = marked(&a)? > 0,
        b_sees = marked(&b)?
    );

    let beyond = second.session.read(0, 1, BYTES);
    let over = second.session.read(0, blocks + 1, 0);
    let wide = second.session.read(u64::MAX - 1, 4, 0);
    fact!(
        "session.bounds",
        beyond = outcome(&beyond),
        over = outcome(&over),
        wide = outcome(&wide)
    );

    // The window outlives neither its session nor anybody's mapping of it.
    drop(first.session);
    let mut empty = 0;
    for _ in 0..16 {
        let again = disk.open(BYTES)?;
        let c = Window::map(again.window, u64::from(BYTES), Access::Read)?;
        empty += u64::from(marked(&c)? == 0);
        again.session.read(0, blocks, 0)?;
    }
    fact!("session.reopened", times = 16, empty = empty);

    second.session.read(0, blocks, 0)?;
    fact!("session.other-goes-on", b_filled = marked(&b)? > 0);
    Ok(())
}
