//! The boot protocol as a pure library: what a kernel asks for and how it is answered.
//!
//! Owns everything between "here are the files and the firmware's facts" and "load these registers and jump": it reads the
//! kernel image, finds its requests, normalises the memory map, builds page tables and the higher-half map, and writes the
//! answers. The protocol is Limine's, base revision 2 (limine-bootloader/limine, `PROTOCOL.md` of v8.2.0); a test names the
//! fact it holds.
//!
//! Invariant: it touches memory only through [`PhysMemory`], writes only into pages that it took from usable memory itself,
//! and never executes anything. It never reads a file system, a device or a firmware service: that is the front ends' part.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod answer;
mod checks;
mod direct;
mod error;
mod handover;
mod image;
mod map;
mod memory;
pub mod multiboot2;
pub mod pvh;
mod requests;
mod start;
mod tables;

pub use checks::check_files;
pub use direct::{Direct, Placed};
pub use error::{Error, Fact};
pub use handover::{Cpu, EfiMap, File, Firmware, Handover};
pub use map::{Kind, MAX_REGIONS, MemoryMap, Region};
pub use memory::{PAGE_BYTES, PhysMemory};
pub use requests::{BASE_REVISION, MAX_REQUESTS};
pub use start::{Start, build, check_kernel};

/// Where the higher-half direct map starts: physical address `p` is seen at `HHDM + p`.
pub const HHDM: u64 = 0xffff_8000_0000_0000;
/// The lowest virtual address a kernel may be linked at.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Path of the kernel in a boot package, without the leading slash.
pub const KERNEL_PATH: &str = "boot/kernel.elf";
/// Path of the manifest in a boot package, without the leading slash.
pub const MANIFEST_PATH: &str = "boot/manifest.bin";
/// Path of the list of checksums in a boot package, without the leading slash.
pub const CHECKSUMS_PATH: &str = package_sums::PATH;
/// What the path of every module starts with.
pub const PACKAGE_PREFIX: &str = "boot/";
/// Most modules a boot package may hold.
pub const MAX_MODULES: usize = 128;

#[cfg(test)]
mod tests;
