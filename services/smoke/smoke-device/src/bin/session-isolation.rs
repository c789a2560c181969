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

/// Who may write where: blocks have one writer, and a device that was given to be read has none.
fn writers(disk: &BlockDevice, blocks: u32) -> Result<(), Refusal> {
    let [one, other] = [disk.open(BYTES)?.session, disk.open(BYTES)?.session];
    let unclaimed = outcome(&one.write(0, 1, 0));
    let all = disk.info()?.blocks;
    let far = outcome(&one.claim(all - 1, 2));
    let none = outcome(&one.claim(0, 0));
    one.claim(8, u64::from(blocks))?;
    let again = outcome(&one.claim(64 + u64::from(blocks), 1));
    let within = outcome(&one.write(8, blocks, 0));
    let before = outcome(&one.write(7, 2, 0));
    let behind = outcome(&one.write(8 + u64::from(blocks) - 1, 2, 0));
    fact!(
        "claim.bounds",
        unclaimed = unclaimed,
        far = far,
        none = none,
        again = again,
        within = within,
        before = before,
        behind = behind
    );
    let stranger = outcome(&other.write(8, 1, 0));
    let overlap = outcome(&other.claim(0, 9));
    let reads = outcome(&other.read(8, 1, 0));
    fact!(
        "claim.exclusive",
        stranger = stranger,
        overlap = overlap,
        reads = reads
    );
    let beside = outcome(&other.claim(0, 8));
    let beside_write = outcome(&other.write(7, 1, 0));
    drop(one);
    let heir = disk.open(BYTES)?.session;
    let inherits = outcome(&heir.claim(8, u64::from(blocks)));
    fact!(
        "claim.others",
        beside = beside,
        beside_write = beside_write,
        inherits = inherits
    );
    drop(heir);
    let reader = disk.read_only()?.device;
    let unit = reader.unit(1)?.device;
    let [kept, of_unit] = [reader.open(BYTES)?.session, unit.open(BYTES)?.session];
    fact!(
        "claim.reader",
        claim = outcome(&kept.claim(8, 1)),
        write = outcome(&kept.write(8, 1, 0)),
        unit_claim = outcome(&of_unit.claim(8, 1)),
        reads = outcome(&kept.read(8, 1, 0))
    );
    Ok(())
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
    drop(second.session);
    writers(&disk, blocks)?;
    Ok(())
}
