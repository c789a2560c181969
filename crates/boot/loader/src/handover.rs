//! What a front end knows.

use crate::map::MemoryMap;
use crate::memory::PAGE_BYTES;

/// Which firmware started the front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Firmware {
    /// A BIOS, or a hypervisor that starts an image directly.
    Bios = 0,
    /// 64-bit UEFI.
    Uefi64 = 2,
}

/// What the processor can do, as far as page tables are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Pages can be made non-executable (CPUID `0x8000_0001` EDX bit 20).
    pub no_execute: bool,
    /// 1 GiB pages exist (CPUID `0x8000_0001` EDX bit 26).
    pub gib_pages: bool,
}

/// A file of the boot package in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Its path without the leading slash.
    pub path: &'a str,
    /// Physical address of its first byte.
    pub base: u64,
    /// Its bytes.
    pub len: u64,
}

/// A copy of the EFI memory map, in memory that is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfiMap {
    /// Physical address.
    pub base: u64,
    /// Bytes of the whole map.
    pub len: u64,
    /// Bytes from one descriptor to the next.
    pub descriptor_bytes: u64,
    /// Version of the descriptors.
    pub version: u64,
}

/// What a front end knows. Memory that holds any of it is claimed in the map before [`build`](crate::build) runs.
#[derive(Clone, Copy, Debug)]
pub struct Handover<'a> {
    /// The front end's name, for the bootloader-info answer.
    pub front_end: &'a str,
    /// Which firmware it runs on.
    pub firmware: Firmware,
    /// What the processor can do.
    pub cpu: Cpu,
    /// The bytes of the kernel file.
    pub kernel: &'a [u8],
    /// The same file as an address.
    pub kernel_file: File<'a>,
    /// The kernel's command line.
    pub command_line: &'a [u8],
    /// All other files of the boot package.
    pub modules: &'a [File<'a>],
    /// Physical address of the ACPI root pointer.
    pub rsdp: Option<u64>,
    /// Physical addresses of the 32-bit and the 64-bit SMBIOS entry point.
    pub smbios: [Option<u64>; 2],
    /// Physical address of the EFI system table.
    pub efi_system_table: Option<u64>,
    /// The EFI memory map.
    pub efi_map: Option<EfiMap>,
    /// UNIX time of this boot, in seconds.
    pub boot_time: Option<i64>,
}

/// Whether the kernel can be given the file where it lies.
pub(crate) fn in_place(map: &MemoryMap, file: &File<'_>) -> bool {
    file.base.is_multiple_of(PAGE_BYTES) && map.is_memory(file.base, file.len)
}
