//! What direct boot hands over: the `hvm_start_info` structure (Xen `public/arch-x86/hvm/start_info.h`, version 1).
//!
//! Invariant: nothing is read that does not lie inside [`PhysMemory::reach`].

use crate::error::{Error, Fact};
use crate::map::{Kind, MemoryMap};
use crate::memory::{PhysMemory, reachable, read_array, u32_at, u64_at};

/// What the structure starts with.
const MAGIC: u32 = 0x336e_c578;
const INFO_BYTES: usize = 56;
const MODULE_BYTES: usize = 32;
const REGION_BYTES: usize = 24;
/// Longest command line, in bytes.
const MAX_COMMAND_LINE: u64 = 4096;

/// The start information, read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartInfo {
    /// Physical address and length of the first module: the boot archive.
    pub archive: (u64, u64),
    /// Physical address and length (without the zero byte) of the command line.
    pub command_line: (u64, u64),
    /// Physical address of the ACPI root pointer.
    pub rsdp: Option<u64>,
    memory_map: (u64, u32),
}

impl StartInfo {
    /// Reads the structure at `at`.
    ///
    /// # Errors
    /// It is not version 1 or later, lies out of reach, or has no memory map or module.
    pub fn read<M: PhysMemory>(memory: &M, at: u64) -> Result<Self, Error> {
        let info: [u8; INFO_BYTES] = read_array(memory, Fact::StartInfo, at)?;
        if u32_at(&info, 0) != MAGIC || u32_at(&info, 4) < 1 {
            return Err(Error::Unknown(Fact::StartInfo));
        }
        let memory_map = (u64_at(&info, 40), u32_at(&info, 48));
        if memory_map.0 == 0 || memory_map.1 == 0 {
            return Err(Error::Missing(Fact::MemoryMap));
        }
        let modules = (u64_at(&info, 16), u32_at(&info, 12));
        if modules.0 == 0 || modules.1 == 0 {
            return Err(Error::Missing(Fact::Archive));
        }
        let module: [u8; MODULE_BYTES] = read_array(memory, Fact::ModuleList, modules.0)?;
        let archive = (u64_at(&module, 0), u64_at(&module, 8));
        reachable(memory, Fact::Archive, archive.0, archive.1)?;
        let rsdp = u64_at(&info, 32);
        Ok(Self {
            archive,
            command_line: command_line(memory, u64_at(&info, 24))?,
            rsdp: (rsdp != 0).then_some(rsdp),
            memory_map,
        })
    }

    /// Adds the memory map's regions to `map`. Kinds this loader does not know are reserved.
    ///
    /// # Errors
    /// The table lies out of reach or has too many regions.
    pub fn regions<M: PhysMemory>(&self, memory: &M, map: &mut MemoryMap) -> Result<(), Error> {
        for index in 0..u64::from(self.memory_map.1) {
            let at = self.memory_map.0.checked_add(index * REGION_BYTES as u64);
            let at = at.ok_or(Error::OutOfReach {
                fact: Fact::MemoryMap,
                at: self.memory_map.0,
            })?;
            let region: [u8; REGION_BYTES] = read_array(memory, Fact::MemoryMap, at)?;
            let kind = e820_kind(u32_at(&region, 16));
            map.add(u64_at(&region, 0), u64_at(&region, 8), kind)?;
        }
        Ok(())
    }
}

/// The numbering that the BIOS call E820, direct boot and Multiboot2 share.
pub(crate) const fn e820_kind(number: u32) -> Kind {
    match number {
        1 => Kind::Usable,
        3 => Kind::AcpiReclaimable,
        4 => Kind::AcpiNvs,
        5 => Kind::Bad,
        _ => Kind::Reserved,
    }
}

/// Finds the end of the zero-terminated text at `at`; address 0 is an empty one.
fn command_line<M: PhysMemory>(memory: &M, at: u64) -> Result<(u64, u64), Error> {
    if at == 0 {
        return Ok((0, 0));
    }
    for len in 0..=MAX_COMMAND_LINE {
        let end = at.checked_add(len).ok_or(Error::OutOfReach {
            fact: Fact::CommandLine,
            at,
        })?;
        let [byte] = read_array(memory, Fact::CommandLine, end)?;
        if byte == 0 {
            return Ok((at, len));
        }
    }
    Err(Error::Unknown(Fact::CommandLine))
}
