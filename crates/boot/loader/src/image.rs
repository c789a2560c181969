//! Placing the kernel: one contiguous run of physical memory with all its segments.

use elf_image::Image;

use crate::error::Error;
use crate::map::{Kind, MemoryMap};
use crate::memory::PhysMemory;

/// Copies the segments of `image` into fresh memory, zeroes all the rest, and returns the physical address of its first page.
pub(crate) fn place<M: PhysMemory>(
    memory: &mut M,
    map: &mut MemoryMap,
    image: &Image<'_>,
) -> Result<u64, Error> {
    let span = image.span();
    let base = map.take(
        span.end - span.start,
        memory.reach(),
        Kind::Image,
        "the kernel",
    )?;
    let mut filled = span.start;
    for segment in image.segments() {
        let bytes = image.bytes(segment);
        memory.zero(base + (filled - span.start), segment.vaddr - filled);
        memory.write(base + (segment.vaddr - span.start), bytes);
        filled = segment.vaddr + bytes.len() as u64;
    }
    memory.zero(base + (filled - span.start), span.end - filled);
    Ok(base)
}
