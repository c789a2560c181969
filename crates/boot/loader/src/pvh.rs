//! What direct boot hands over: the `hvm_start_info` structure (Xen `public/arch-x86/hvm/start_info.h`, version 1).
//!
//! Invariant: nothing is read that does not lie inside [`PhysMemory::reach`].

use arrayvec::ArrayVec;

use crate::direct::{Direct, REGION_BYTES, add_region, text};
use crate::error::{Error, Fact};
use crate::map::MemoryMap;
use crate::memory::{PhysMemory, read_array, u32_at, u64_at};

/// What the structure starts with.
const MAGIC: u32 = 0x336e_c578;
const INFO_BYTES: usize = 56;
const MODULE_BYTES: usize = 32;

/// Reads the structure at `at`: adds its regions to `map` and claims what it points to.
///
/// # Errors
/// It is not version 1 or later, lies out of reach, or has no memory map or module.
pub fn read<M: PhysMemory>(memory: &M, at: u64, map: &mut MemoryMap) -> Result<Direct, Error> {
    let info: [u8; INFO_BYTES] = read_array(memory, Fact::StartInfo, at)?;
    if u32_at(&info, 0) != MAGIC || u32_at(&info, 4) < 1 {
        return Err(Error::Unknown(Fact::StartInfo));
    }
    let (regions, count) = (u64_at(&info, 40), u32_at(&info, 48));
    if regions == 0 || count == 0 {
        return Err(Error::Missing(Fact::MemoryMap));
    }
    for index in 0..u64::from(count) {
        let region_at = regions.checked_add(index * REGION_BYTES);
        let region_at = region_at.ok_or(Error::OutOfReach {
            fact: Fact::MemoryMap,
            at: regions,
        })?;
        add_region(memory, region_at, map)?;
    }
    let (modules, count) = (u64_at(&info, 16), u32_at(&info, 12));
    if modules == 0 || count == 0 {
        return Err(Error::Missing(Fact::Archive));
    }
    let module: [u8; MODULE_BYTES] = read_array(memory, Fact::ModuleList, modules)?;
    let rsdp = u64_at(&info, 32);
    let direct = Direct {
        archive: (u64_at(&module, 0), u64_at(&module, 8)),
        files: ArrayVec::new(),
        command_line: text(memory, u64_at(&info, 24))?,
        rsdp: (rsdp != 0).then_some(rsdp),
    };
    direct.claim(memory, map)?;
    Ok(direct)
}
