//! The memory that QEMU handed over: what a device can reach without asking.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

const READABLE: u32 = 1;
const WRITABLE: u32 = 2;

/// Why memory cannot be reached this way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryError {
    /// Nothing was mapped there, or not all of it.
    NotMapped,
    /// It was mapped without a file: only messages reach it.
    NoFile,
    /// It was mapped for the other direction.
    Direction,
    /// The file did not answer.
    Failed,
}

#[derive(Debug)]
struct Range {
    bytes: u64,
    offset: u64,
    flags: u32,
    file: Option<File>,
}

/// All ranges, by their first device address.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<u64, Range>);

impl Memory {
    /// Adds a range; `false` if it is empty, has no end, or lies over another one.
    pub(crate) fn map(
        &mut self,
        address: u64,
        bytes: u64,
        offset: u64,
        flags: u32,
        file: Option<OwnedFd>,
    ) -> bool {
        let Some(end) = address.checked_add(bytes).filter(|_| bytes > 0) else {
            return false;
        };
        let before = self.0.range(..end).next_back();
        let free = before.is_none_or(|(start, range)| start + range.bytes <= address);
        if !free || offset.checked_add(bytes).is_none() {
            return false;
        }
        let file = file.map(File::from);
        let range = Range {
            bytes,
            offset,
            flags,
            file,
        };
        self.0.insert(address, range);
        true
    }

    /// Takes every range away that lies in this one; `false` if there is none, or one lies across an end.
    pub(crate) fn unmap(&mut self, address: u64, bytes: u64) -> bool {
        let Some(end) = address.checked_add(bytes) else {
            return false;
        };
        let inside: Vec<u64> = self
            .0
            .range(address..end)
            .map(|(start, _)| *start)
            .collect();
        let whole = |start: &u64| {
            self.0
                .get(start)
                .is_some_and(|range| start + range.bytes <= end)
        };
        if inside.is_empty() || !inside.iter().all(whole) {
            return false;
        }
        for start in inside {
            self.0.remove(&start);
        }
        true
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Lists the ranges, with whether there is a file behind each.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64, bool)> {
        let one = |(start, range): (&u64, &Range)| (*start, range.bytes, range.file.is_some());
        self.0.iter().map(one)
    }

    /// Reads.
    ///
    /// # Errors
    /// Those of [`MemoryError`].
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let (file, at) = self.find(address, buffer.len(), READABLE)?;
        file.read_exact_at(buffer, at).map_err(failed)
    }

    /// Writes.
    ///
    /// # Errors
    /// Those of [`MemoryError`].
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let (file, at) = self.find(address, bytes.len(), WRITABLE)?;
        file.write_all_at(bytes, at).map_err(failed)
    }

    fn find(&self, address: u64, bytes: usize, right: u32) -> Result<(&File, u64), MemoryError> {
        let (start, range) = self
            .0
            .range(..=address)
            .next_back()
            .ok_or(MemoryError::NotMapped)?;
        let into = address - start;
        let end = into
            .checked_add(bytes as u64)
            .filter(|end| *end <= range.bytes);
        if end.is_none() {
            return Err(MemoryError::NotMapped);
        }
        if range.flags & right == 0 {
            return Err(MemoryError::Direction);
        }
        let file = range.file.as_ref().ok_or(MemoryError::NoFile)?;
        Ok((file, range.offset + into))
    }
}

fn failed(_: io::Error) -> MemoryError {
    MemoryError::Failed
}
