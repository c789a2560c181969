//! The one way this library touches memory.

use crate::error::{Error, Fact};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;

/// Physical memory as a front end can reach it.
///
/// The library checks addresses that come from outside against [`PhysMemory::reach`] before it uses them; an
/// implementation may rely on `at + len <= reach()` and on the range being ordinary memory.
pub trait PhysMemory {
    /// First physical address that cannot be touched.
    fn reach(&self) -> u64;
    /// Reads `into.len()` bytes at `at`.
    fn read(&self, at: u64, into: &mut [u8]);
    /// Writes `bytes` at `at`.
    fn write(&mut self, at: u64, bytes: &[u8]);
    /// Writes `len` zero bytes at `at`.
    fn zero(&mut self, at: u64, len: u64);
    /// Copies `len` bytes; the ranges do not overlap.
    fn copy(&mut self, to: u64, from: u64, len: u64);
}

/// Refuses `fact` if it does not lie inside what `memory` can reach; address 0 is where nothing is ever handed over.
pub(crate) fn reachable<M: PhysMemory>(
    memory: &M,
    fact: Fact,
    at: u64,
    len: u64,
) -> Result<(), Error> {
    match at.checked_add(len) {
        Some(end) if at != 0 && end <= memory.reach() => Ok(()),
        _ => Err(Error::OutOfReach { fact, at }),
    }
}

/// A fixed number of bytes of `fact`, checked against the reach.
pub(crate) fn read_array<const N: usize, M: PhysMemory>(
    memory: &M,
    fact: Fact,
    at: u64,
) -> Result<[u8; N], Error> {
    reachable(memory, fact, at, N as u64)?;
    let mut bytes = [0; N];
    memory.read(at, &mut bytes);
    Ok(bytes)
}

/// A little-endian word of a page that this library wrote itself.
pub(crate) fn read_u64<M: PhysMemory>(memory: &M, at: u64) -> u64 {
    let mut bytes = [0; 8];
    memory.read(at, &mut bytes);
    u64::from_le_bytes(bytes)
}

/// The little-endian word at `offset` of `bytes`; zero past the end, which no caller asks for.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let word = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// Like [`u64_at`], half as wide.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let word = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_le_bytes(*word))
}
