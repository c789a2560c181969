//! Tables of the space tree: pointers to bitmaps or to further tables, each with how much is free below it.

use crate::{BLOCK, Layout, PTR_BYTES, Ptr, PtrKind};

/// Entries of a table.
pub const FANOUT: u64 = 85;
const MAGIC: u32 = 0x5350_5643; // "CVPS"
const HEADER: usize = 16;
const ENTRY: usize = PTR_BYTES + 8;

/// One entry. Where there is no pointer, nothing below was ever allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// To the bitmap or the table.
    pub ptr: Option<Ptr>,
    /// Free blocks below it.
    pub free: u64,
}

/// Makes an empty table of a level, 1 or more.
pub fn start_table(block: &mut [u8], level: u8) {
    block.fill(0);
    le::put(block, 0, &MAGIC.to_le_bytes());
    le::put(block, 4, &[level]);
}

/// Whether it is a table of that level.
#[must_use]
pub fn table_is_sound(block: &[u8], level: u8) -> bool {
    block.len() == BLOCK
        && le::u32(block, 0) == MAGIC
        && le::u8(block, 4) == level
        && le::is_zero(block, 5, HEADER)
}

/// An entry of a sound table, or nothing where it is not sound: `capacity` is what could be free below it.
#[must_use]
pub fn get_entry(
    block: &[u8],
    level: u8,
    index: u64,
    layout: &Layout,
    newest: u64,
    capacity: u64,
) -> Option<TableEntry> {
    let at = HEADER + usize::try_from(index).ok()?.checked_mul(ENTRY)?;
    let bytes = block.get(at..at.checked_add(ENTRY)?)?;
    let free = le::u64(bytes, PTR_BYTES);
    if le::is_zero(bytes, 0, PTR_BYTES) {
        return (free == capacity).then_some(TableEntry { ptr: None, free });
    }
    let kind = if level == 1 {
        PtrKind::Bitmap
    } else {
        PtrKind::Table
    };
    let ptr = Ptr::decode(bytes.get(..PTR_BYTES)?, kind, layout, newest)?;
    (free <= capacity).then_some(TableEntry {
        ptr: Some(ptr),
        free,
    })
}

/// Writes an entry.
pub fn put_entry(block: &mut [u8], index: u64, entry: &TableEntry) {
    let Some(at) = usize::try_from(index)
        .ok()
        .filter(|index| *index < FANOUT as usize)
        .map(|index| HEADER + index * ENTRY)
    else {
        return;
    };
    let ptr = entry.ptr.map_or([0; PTR_BYTES], |ptr| ptr.encode());
    le::put(block, at, &ptr);
    le::put(block, at + PTR_BYTES, &entry.free.to_le_bytes());
}
