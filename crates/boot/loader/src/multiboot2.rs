//! What GRUB hands over: the boot information of the Multiboot2 Specification 2.0, section 3.6.
//!
//! Invariant: nothing is read outside the structure's own size and [`PhysMemory::reach`]; a tag that does not move forward
//! ends the walk with an error.

use arrayvec::ArrayVec;

use crate::PACKAGE_PREFIX;
use crate::direct::{Direct, Placed, REGION_BYTES, add_region, text};
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

/// Reads the structure at `at`: adds its regions to `map` and claims it and what it points to. A module whose text begins with
/// [`PACKAGE_PREFIX`] is the file of that path; without any such the first module is the boot archive. The ACPI root pointer
/// is the copy inside the structure, the newer one where there are two.
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
        files: ArrayVec::new(),
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
            TAG_MODULE => module(memory, body, body_bytes, &mut direct)?,
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
    if !direct.files.is_empty() {
        direct.archive = (0, 0);
    } else if direct.archive == (0, 0) {
        return Err(Error::Missing(Fact::Archive));
    }
    direct.rsdp = new_rsdp.or(direct.rsdp);
    map.claim(at, size, Kind::Reclaimable)?;
    direct.claim(memory, map)?;
    Ok(direct)
}

/// A module tag: where it begins and ends, then its text.
fn module<M: PhysMemory>(
    memory: &M,
    body: u64,
    bytes: u64,
    direct: &mut Direct,
) -> Result<(), Error> {
    let malformed = Error::Unknown(Fact::ModuleList);
    let text_bytes = bytes
        .checked_sub(HEAD_BYTES)
        .filter(|bytes| *bytes > 0)
        .ok_or(malformed)?;
    let range: [u8; 8] = read_array(memory, Fact::ModuleList, body)?;
    let (first, last) = (u64::from(u32_at(&range, 0)), u64::from(u32_at(&range, 4)));
    let range = (first, last.checked_sub(first).ok_or(malformed)?);
    let path = text(memory, body + HEAD_BYTES)?;
    if path.1 >= text_bytes {
        return Err(malformed);
    }
    if has_prefix(memory, path)? {
        // An empty file has no place of its own; GRUB says 0.
        let bytes = if range.1 == 0 { (path.0, 0) } else { range };
        let file = Placed { path, bytes };
        return direct
            .files
            .try_push(file)
            .map_err(|_| Error::TooManyModules);
    }
    if direct.archive == (0, 0) {
        direct.archive = range;
    }
    Ok(())
}

fn has_prefix<M: PhysMemory>(memory: &M, (at, len): (u64, u64)) -> Result<bool, Error> {
    const LEN: usize = PACKAGE_PREFIX.len();
    if len <= LEN as u64 {
        return Ok(false);
    }
    let start: [u8; LEN] = read_array(memory, Fact::ModuleList, at)?;
    Ok(start == *PACKAGE_PREFIX.as_bytes())
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
