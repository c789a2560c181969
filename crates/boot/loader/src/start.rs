//! From a front end's facts to the registers a kernel starts with.

use elf_image::Image;

use crate::answer::{Answers, Facts};
use crate::error::{Error, Fact};
use crate::handover::{File, Handover, in_place};
use crate::image;
use crate::map::{Kind, MemoryMap};
use crate::memory::{PAGE_BYTES, PhysMemory, reachable};
use crate::requests::{Feature, Requests};
use crate::tables::Tables;
use crate::{HHDM, KERNEL_BASE};

/// Smallest stack the protocol allows.
const MIN_STACK_BYTES: u64 = 64 << 10;
/// Largest stack a kernel gets.
const MAX_STACK_BYTES: u64 = 16 << 20;
/// The last page is left out so that no address computation over the image can wrap.
const KERNEL_END: u64 = 0xffff_ffff_ffff_f000;

/// The descriptors the protocol asks for: null, then code and data in 16, 32 and 64 bits.
const DESCRIPTORS: [u64; 7] = [
    0,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x0020_9b00_0000_0000,
    0x0000_9300_0000_0000,
];

/// What to load before the jump into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Physical address of the top-level table that has the kernel's mappings and, in the lower half, the direct map at its
    /// physical addresses.
    pub bridge: u64,
    /// Physical address of the top-level table the kernel starts on.
    pub tables: u64,
    /// Virtual address of the 10-byte operand for `lgdt`; 64-bit code is selector 0x28, data 0x30.
    pub gdt: u64,
    /// Virtual address of the end of the stack, 16-byte aligned.
    pub stack: u64,
    /// Virtual address of the first instruction.
    pub entry: u64,
}

/// Refuses a kernel that could not be started, before anything is changed. [`build`] checks again.
///
/// # Errors
/// What is wrong with the kernel image or its requests.
pub fn check_kernel(kernel: &[u8]) -> Result<(), Error> {
    let image = Image::parse(kernel, KERNEL_BASE..KERNEL_END)?;
    entry_point(&image, &Requests::find(&image)?).map(|_| ())
}

/// Loads the kernel, answers its requests, and says how to start it. `map` holds the firmware's regions and the front end's
/// claims; afterwards it is what the kernel was told.
///
/// # Errors
/// Nothing is started; memory that was taken is lost.
pub fn build<M: PhysMemory>(
    memory: &mut M,
    map: &mut MemoryMap,
    handover: &Handover<'_>,
) -> Result<Start, Error> {
    let image = Image::parse(handover.kernel, KERNEL_BASE..KERNEL_END)?;
    let requests = Requests::find(&image)?;
    let entry = entry_point(&image, &requests)?;
    if let Some(request) = requests.get(Feature::PagingMode)
        && request.revision >= 1
        && request.extra[2] > 0
    {
        return Err(Error::PagingMode);
    }
    if !map
        .regions()
        .iter()
        .any(|region| region.kind == Kind::Usable)
    {
        return Err(Error::Missing(Fact::MemoryMap));
    }

    // The files keep their places where they can, so they are claimed before anything is taken.
    let wanted_file = requests.get(Feature::ExecutableFile).is_some();
    claim_file(map, memory, &handover.kernel_file, Kind::Reclaimable)?;
    for module in handover.modules {
        claim_file(map, memory, module, Kind::Image)?;
    }
    let physical_base = image::place(memory, map, &image)?;

    let mut tables = Tables::new(memory, map)?;
    tables.map_direct(handover.cpu)?;
    tables.map_image(&image, physical_base, handover.cpu)?;
    let bridge = tables.bridge()?;
    let tables = tables.root();

    let stack_bytes = match requests.get(Feature::StackSize) {
        Some(request) if request.extra[0] > MAX_STACK_BYTES => {
            return Err(Error::StackSize(request.extra[0]));
        }
        Some(request) => request.extra[0]
            .max(MIN_STACK_BYTES)
            .next_multiple_of(PAGE_BYTES),
        None => MIN_STACK_BYTES,
    };
    let stack =
        map.take(stack_bytes, memory.reach(), Kind::Reclaimable, "the stack")? + stack_bytes + HHDM;

    let facts = Facts {
        handover,
        virtual_base: image.span().start,
        physical_base,
    };
    let mut answers = Answers::new(memory, map, facts);
    let gdt = answers.gdt(&DESCRIPTORS)?;
    answers.base_revision(&requests)?;
    let file = match wanted_file {
        true => Some(answers.kernel_file()?),
        false => None,
    };
    answers.all(&requests, file)?;
    Ok(Start {
        bridge,
        tables,
        gdt,
        stack,
        entry,
    })
}

/// Where the kernel starts: its entry-point request, else its ELF header; in either case inside its code.
fn entry_point(image: &Image<'_>, requests: &Requests) -> Result<u64, Error> {
    let Some(request) = requests.get(Feature::EntryPoint) else {
        return Ok(image.entry());
    };
    let at = request.extra[0];
    let in_code = image.segments().iter().any(|segment| {
        segment.access == elf_image::Access::ReadExecute
            && at >= segment.vaddr
            && at - segment.vaddr < segment.memsz
    });
    if in_code {
        Ok(at)
    } else {
        Err(Error::EntryPoint(at))
    }
}

/// Keeps a file's memory from being handed out again.
fn claim_file<M: PhysMemory>(
    map: &mut MemoryMap,
    memory: &M,
    file: &File<'_>,
    kind: Kind,
) -> Result<(), Error> {
    reachable(memory, Fact::File, file.base, file.len)?;
    // One that does not start on a page is copied; until then it stays where it is, as the loader's own.
    let kind = if in_place(map, file) {
        kind
    } else {
        Kind::Reclaimable
    };
    map.claim(file.base, file.len, kind)
}
