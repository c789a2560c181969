//! The guest's memory, by physical address.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

/// Guest-physical memory without a hole, from address 0.
pub trait Image {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// Fills `out` from physical address `at`.
    ///
    /// # Errors
    /// The range is not inside the memory, or cannot be read.
    fn read(&self, at: u64, out: &mut [u8]) -> Result<()>;

    /// The 8-byte word at physical address `at`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    fn word(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// One page table.
    ///
    /// # Errors
    /// As for [`Self::read`].
    fn table(&self, at: u64) -> Result<[u64; 512]> {
        let mut bytes = [0; 4096];
        self.read(at, &mut bytes)?;
        let mut entries = [0; 512];
        for (entry, bytes) in entries.iter_mut().zip(bytes.chunks_exact(8)) {
            *entry = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        Ok(entries)
    }
}

impl Image for File {
    fn bytes(&self) -> u64 {
        self.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        self.read_exact_at(out, at)
            .with_context(|| format!("no memory of the guest at {at:#x}"))
    }
}

impl Image for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let from = usize::try_from(at)?;
        let bytes = from
            .checked_add(out.len())
            .and_then(|end| self.get(from..end))
            .with_context(|| format!("no memory of the guest at {at:#x}"))?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}
