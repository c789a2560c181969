//! The page tables a kernel starts on: its own image with its permissions, and the higher-half direct map.
//!
//! Bit layout: Intel SDM volume 3A, section 4.5 (4-level paging).

use elf_image::{Access, Image};

use crate::error::Error;
use crate::handover::Cpu;
use crate::map::{Kind, MemoryMap};
use crate::memory::{PAGE_BYTES, PhysMemory, read_u64};
use crate::{HHDM, KERNEL_BASE};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const MIB2: u64 = 2 << 20;
const GIB1: u64 = 1 << 30;
/// The direct map covers this much whatever the memory map says.
const ALWAYS_MAPPED: u64 = 4 << 30;
/// The direct map may fill every top-level slot of the higher half but the last, which is the kernel's.
const DIRECT_MAP_END: u64 = 255 << 39;

/// How deep a leaf sits: the level whose entry maps it.
#[derive(Clone, Copy)]
enum Leaf {
    Page = 0,
    Mib2 = 1,
    Gib1 = 2,
}

/// Page tables under construction.
pub(crate) struct Tables<'m, M> {
    memory: &'m mut M,
    map: &'m mut MemoryMap,
    root: u64,
}

impl<'m, M: PhysMemory> Tables<'m, M> {
    /// An empty top-level table.
    pub fn new(memory: &'m mut M, map: &'m mut MemoryMap) -> Result<Self, Error> {
        let mut tables = Self {
            memory,
            map,
            root: 0,
        };
        tables.root = tables.table()?;
        Ok(tables)
    }

    /// Physical address of the top-level table.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// A second top-level table that also has the direct map at its physical addresses, in the lower half. A front end runs
    /// on it for the few instructions between its own tables and the kernel's.
    pub fn bridge(&mut self) -> Result<u64, Error> {
        const HALF: u64 = PAGE_BYTES / 2;
        let bridge = self.table()?;
        self.memory.copy(bridge, self.root + HALF, HALF);
        self.memory.copy(bridge + HALF, self.root + HALF, HALF);
        // The last slot of a half is the kernel's, which has no place in the lower one.
        self.memory.zero(bridge + HALF - 8, 8);
        Ok(bridge)
    }

    /// Maps the first 4 GiB, and above them every region that the protocol puts there, at [`HHDM`]: writable, executable,
    /// write-back, as base revision 2 has it.
    pub fn map_direct(&mut self, cpu: Cpu) -> Result<(), Error> {
        let mut at = 0;
        while at < ALWAYS_MAPPED {
            self.leaf(HHDM + at, at, Leaf::Mib2, WRITABLE)?;
            at += MIB2;
        }
        for index in 0..self.map.regions().len() {
            let Some(&region) = self.map.regions().get(index) else {
                break;
            };
            if !region.kind.in_direct_map() || region.end <= ALWAYS_MAPPED {
                continue;
            }
            if region.end > DIRECT_MAP_END {
                return Err(Error::MapTooHigh(region.base));
            }
            let mut at = region.base.max(ALWAYS_MAPPED);
            at -= at % MIB2;
            while at < region.end {
                // A large page only where the region itself has all of it: a neighbour may have tables there already.
                let whole = at % GIB1 == 0 && at >= region.base && at + GIB1 <= region.end;
                let (leaf, step) = if cpu.gib_pages && whole {
                    (Leaf::Gib1, GIB1)
                } else {
                    (Leaf::Mib2, MIB2)
                };
                self.leaf(HHDM + at, at, leaf, WRITABLE)?;
                at += step;
            }
        }
        Ok(())
    }

    /// Maps the pages of `image`, which lies in one piece at `base`, with each segment's permissions.
    pub fn map_image(&mut self, image: &Image<'_>, base: u64, cpu: Cpu) -> Result<(), Error> {
        let start = image.span().start;
        for segment in image.segments() {
            let flags = match segment.access {
                Access::Read => NO_EXECUTE,
                Access::ReadWrite => WRITABLE | NO_EXECUTE,
                Access::ReadExecute => 0,
            };
            let flags = if cpu.no_execute {
                flags
            } else {
                flags & !NO_EXECUTE
            };
            let mut at = segment.pages().start;
            while at < segment.pages().end {
                self.leaf(at, base + (at - start), Leaf::Page, flags)?;
                at += PAGE_BYTES;
            }
        }
        Ok(())
    }

    /// Writes one leaf entry, making the tables above it. A larger leaf that is there already stays.
    fn leaf(&mut self, virt: u64, phys: u64, leaf: Leaf, flags: u64) -> Result<(), Error> {
        debug_assert!(virt >= KERNEL_BASE || virt - HHDM == phys);
        let mut table = self.root;
        for level in (leaf as u32 + 1..4).rev() {
            let at = table + slot(virt, level);
            let entry = read_u64(self.memory, at);
            if entry & LARGE != 0 {
                return Ok(());
            }
            table = if entry & PRESENT != 0 {
                entry & ADDRESS
            } else {
                // Permissions are decided at the leaf.
                let next = self.table()?;
                self.memory
                    .write(at, &(next | PRESENT | WRITABLE).to_le_bytes());
                next
            };
        }
        let large = if matches!(leaf, Leaf::Page) { 0 } else { LARGE };
        self.memory.write(
            table + slot(virt, leaf as u32),
            &(phys | flags | large | PRESENT).to_le_bytes(),
        );
        Ok(())
    }

    fn table(&mut self) -> Result<u64, Error> {
        let table = self.map.take(
            PAGE_BYTES,
            self.memory.reach(),
            Kind::Reclaimable,
            "a page table",
        )?;
        self.memory.zero(table, PAGE_BYTES);
        Ok(table)
    }
}

/// Byte offset in a table of the entry for `virt`; level 0 maps pages, level 3 is the top.
const fn slot(virt: u64, level: u32) -> u64 {
    ((virt >> (12 + 9 * level)) & 0x1ff) * 8
}
