//! What the two protocols that start a 32-bit image have in common: a boot package, one command line, E820-like regions.

use arrayvec::ArrayVec;

use crate::MAX_MODULES;
use crate::error::{Error, Fact};
use crate::map::{Kind, MemoryMap};
use crate::memory::{PhysMemory, reachable, read_array, u32_at, u64_at};

/// Bytes of a region: base, length, number of its kind, and four bytes of no meaning.
pub(crate) const REGION_BYTES: u64 = 24;
/// Longest command line, in bytes.
const MAX_TEXT: u64 = 4096;

/// A file of the boot package that came as a module of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Physical address and length of its path, which begins with [`crate::PACKAGE_PREFIX`].
    pub path: (u64, u64),
    /// Physical address and length of its bytes.
    pub bytes: (u64, u64),
}

/// What a direct start hands over beside the memory map; all of it lies in reach and is claimed in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Physical address and length of the boot archive; both 0 where the package came as [`Direct::files`].
    pub archive: (u64, u64),
    /// The files of the boot package, the kernel's among them, where they came one by one.
    pub files: ArrayVec<Placed, { MAX_MODULES + 1 }>,
    /// Physical address and length (without the zero byte) of the command line; both 0 without one.
    pub command_line: (u64, u64),
    /// Physical address of the ACPI root pointer.
    pub rsdp: Option<u64>,
}

impl Direct {
    pub(crate) fn claim<M: PhysMemory>(
        &self,
        memory: &M,
        map: &mut MemoryMap,
    ) -> Result<(), Error> {
        if self.files.is_empty() {
            let (base, len) = self.archive;
            reachable(memory, Fact::Archive, base, len)?;
            map.claim(base, len, Kind::Reclaimable)?;
        }
        for file in &self.files {
            let (base, len) = file.bytes;
            reachable(memory, Fact::File, base, len)?;
            map.claim(base, len, Kind::Reclaimable)?;
        }
        let (base, len) = self.command_line;
        map.claim(base, len, Kind::Reclaimable)
    }
}

/// Adds the region described at `at`. Kinds this loader does not know are reserved; the numbers are those of the BIOS call
/// E820 in both protocols.
pub(crate) fn add_region<M: PhysMemory>(
    memory: &M,
    at: u64,
    map: &mut MemoryMap,
) -> Result<(), Error> {
    let region: [u8; REGION_BYTES as usize] = read_array(memory, Fact::MemoryMap, at)?;
    let kind = match u32_at(&region, 16) {
        1 => Kind::Usable,
        3 => Kind::AcpiReclaimable,
        4 => Kind::AcpiNvs,
        5 => Kind::Bad,
        _ => Kind::Reserved,
    };
    map.add(u64_at(&region, 0), u64_at(&region, 8), kind)
}

/// Address and length of the zero-terminated text at `at`; address 0 is an empty one.
pub(crate) fn text<M: PhysMemory>(memory: &M, at: u64) -> Result<(u64, u64), Error> {
    if at == 0 {
        return Ok((0, 0));
    }
    for len in 0..=MAX_TEXT {
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
