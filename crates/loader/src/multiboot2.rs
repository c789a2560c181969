//! What GRUB hands over: the boot information of the Multiboot2 Specification 2.0, section 3.6.
//!
//! Invariant: nothing is read outside the structure's own size and [`PhysMemory::reach`]; a tag that does not move forward
//! ends the walk with an error.

use crate::direct::{Direct, REGION_BYTES, add_region, text};
use crate::error::{Error, Fact};
use crate::map::{Kind, MemoryMap};
use crate::memory::{PhysMemory, reachable, read_array, u32_at};

/// What a Multiboot2 loader leaves in `eax`.
pub const MAGIC: u32 = 0x36d7_6289;

const TAG_END: u32 = 0;
const TAG_COMMAND_LINE: u32 = 1;
const TAG_MODULE: u32 = 3;
const TAG_MEMORY_MAP: u32 = 6;
const TAG_OLD_RSDP: u32 = 14;
const TAG_NEW_RSDP: u32 = 15;
/// Bytes of a tag's type and size, and of the structure's own head.
const HEAD_BYTES: u64 = 8;

/// Reads the structure at `at`: adds its regions to `map` and claims it and what it points to. The first module is the boot
/// archive. The ACPI root pointer is the copy inside the structure, the newer one where there are two.
///
/// # Errors
/// It is malformed, lies out of reach, or has no memory map or module.
pub fn read<M: PhysMemory>(memory: &M, at: u64, map: &mut MemoryMap) -> Result<Direct, Error> {
    let malformed = Error::Unknown(Fact::StartInfo);
    let size = u64::from(u32_at(&read_array::<8, M>(memory, Fact::StartInfo, at)?, 0));
    reachable(memory, Fact::StartInfo, at, size)?;
    let end = at + size;

    let mut direct = Direct {
        archive: (0, 0),
        command_line: (0, 0),
        rsdp: None,
    };
    let mut new_rsdp = None;
    let mut next = at + HEAD_BYTES;
    loop {
        if next + HEAD_BYTES > end {
            return Err(malformed);
        }
        let head: [u8; 8] = read_array(memory, Fact::StartInfo, next)?;
        let (tag, size) = (u32_at(&head, 0), u64::from(u32_at(&head, 4)));
        if size < HEAD_BYTES || next + size > end {
            return Err(malformed);
        }
        let body = next + HEAD_BYTES;
        let body_bytes = size - HEAD_BYTES;
        match tag {
            TAG_END => break,
            TAG_COMMAND_LINE => direct.command_line = text(memory, body)?,
            TAG_MODULE if direct.archive == (0, 0) && body_bytes >= 8 => {
                let module: [u8; 8] = read_array(memory, Fact::ModuleList, body)?;
                let (first, last) = (u64::from(u32_at(&module, 0)), u64::from(u32_at(&module, 4)));
                direct.archive = (first, last.checked_sub(first).ok_or(malformed)?);
            }
            TAG_MEMORY_MAP => regions(memory, body, body_bytes, map)?,
            TAG_OLD_RSDP => direct.rsdp = Some(body),
            TAG_NEW_RSDP => new_rsdp = Some(body),
            _ => {}
        }
        next = (next + size).next_multiple_of(8);
    }
    if map.regions().is_empty() {
        return Err(Error::Missing(Fact::MemoryMap));
    }
    if direct.archive == (0, 0) {
        return Err(Error::Missing(Fact::Archive));
    }
    direct.rsdp = new_rsdp.or(direct.rsdp);
    map.claim(at, size, Kind::Reclaimable)?;
    direct.claim(memory, map)?;
    Ok(direct)
}

/// The entries of a memory-map tag: their size, their version, then the entries.
fn regions<M: PhysMemory>(
    memory: &M,
    body: u64,
    bytes: u64,
    map: &mut MemoryMap,
) -> Result<(), Error> {
    let malformed = Error::Unknown(Fact::MemoryMap);
    if bytes < HEAD_BYTES {
        return Err(malformed);
    }
    let entry_bytes = u64::from(u32_at(
        &read_array::<8, M>(memory, Fact::MemoryMap, body)?,
        0,
    ));
    if entry_bytes < REGION_BYTES {
        return Err(malformed);
    }
    let mut at = body + HEAD_BYTES;
    while at + entry_bytes <= body + bytes {
        add_region(memory, at, map)?;
        at += entry_bytes;
    }
    Ok(())
}
