//! Page tables of x86-64 with four levels (Intel SDM volume 3, section 4.5).

use anyhow::Result;

use crate::image::Image;

pub(crate) const PRESENT: u64 = 1;
pub(crate) const WRITE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
pub(crate) const CACHE_DISABLE: u64 = 1 << 4;
pub(crate) const LARGE: u64 = 1 << 7;
pub(crate) const NO_EXECUTE: u64 = 1 << 63;
/// What the processor itself sets: accessed, dirty.
pub(crate) const USED: u64 = 3 << 5;
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Where the kernel's direct map begins.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;

/// One mapping: what the processor would find at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    pub(crate) address: u64,
    pub(crate) physical: u64,
    pub(crate) bytes: u64,
    /// The last entry's bits.
    pub(crate) entry: u64,
    /// Every entry on the way allows it.
    pub(crate) write: bool,
    pub(crate) user: bool,
    pub(crate) execute: bool,
}

/// What a walk comes across.
pub(crate) trait Visitor {
    /// A table that an entry of `parent` names. `false`: do not go into it.
    fn table(&mut self, parent: u64, table: u64, address: u64) -> bool;
    /// A mapping.
    fn leaf(&mut self, leaf: Leaf);
}

#[derive(Clone, Copy)]
struct Rights {
    write: bool,
    user: bool,
    execute: bool,
}

/// Walks the entries `range` of the root at `root`.
pub(crate) fn walk(
    image: &dyn Image,
    root: u64,
    range: std::ops::Range<usize>,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    let all = Rights {
        write: true,
        user: true,
        execute: true,
    };
    below(image, (root & ADDRESS, 3), range, 0, all, visitor)
}

fn below(
    image: &dyn Image,
    (table, level): (u64, u32),
    range: std::ops::Range<usize>,
    base: u64,
    rights: Rights,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    let entries = image.table(table)?;
    let bytes = 4096 << (9 * level);
    for (at, entry) in entries.iter().copied().enumerate() {
        if !range.contains(&at) || entry & PRESENT == 0 {
            continue;
        }
        let mut address = base + at as u64 * bytes;
        if level == 3 && at >= 256 {
            address |= 0xffff_0000_0000_0000;
        }
        let rights = Rights {
            write: rights.write && entry & WRITE != 0,
            user: rights.user && entry & USER != 0,
            execute: rights.execute && entry & NO_EXECUTE == 0,
        };
        if level == 0 || (level < 3 && entry & LARGE != 0) {
            visitor.leaf(Leaf {
                address,
                physical: entry & ADDRESS & !(bytes - 1),
                bytes,
                entry,
                write: rights.write,
                user: rights.user,
                execute: rights.execute,
            });
        } else {
            let next = entry & ADDRESS;
            if visitor.table(table, next, address) {
                below(image, (next, level - 1), 0..512, address, rights, visitor)?;
            }
        }
    }
    Ok(())
}

/// The physical address behind a virtual one.
pub(crate) fn translate(image: &dyn Image, root: u64, address: u64) -> Result<Option<u64>> {
    let mut table = root & ADDRESS;
    for level in (0..4).rev() {
        let index = (address >> (12 + 9 * level)) & 511;
        let entry = image.word(table + index * 8)?;
        if entry & PRESENT == 0 {
            return Ok(None);
        }
        if level == 0 || (level < 3 && entry & LARGE != 0) {
            let inside = (4096_u64 << (9 * level)) - 1;
            return Ok(Some((entry & ADDRESS & !inside) | (address & inside)));
        }
        table = entry & ADDRESS;
    }
    Ok(None)
}
