//! A region in memory that can lose power.

use alloc::vec;
use alloc::vec::Vec;

use crate::{CELL_BYTES, Region};

/// Blocks that a disk writes as a whole.
pub const BLOCK: usize = 512;

/// One write, as whole blocks.
#[derive(Clone)]
pub struct Write {
    pub at: usize,
    pub bytes: Vec<u8>,
}

#[derive(Clone)]
pub struct Ram {
    pub bytes: Vec<u8>,
    /// Every write since [`Self::recording`].
    pub writes: Vec<Write>,
    unflushed: usize,
    /// The most writes that stood between two flushes.
    pub most_unflushed: usize,
}

impl Ram {
    pub fn new(cells: usize) -> Self {
        Self {
            bytes: vec![0; cells * CELL_BYTES],
            writes: Vec::new(),
            unflushed: 0,
            most_unflushed: 0,
        }
    }

    /// Applies one write, of its blocks only those that `keep` names.
    pub fn apply(&mut self, write: &Write, keep: impl Fn(usize) -> bool) {
        for (number, block) in write.bytes.chunks(BLOCK).enumerate() {
            if keep(number) {
                let at = write.at + number * BLOCK;
                self.bytes[at..at + block.len()].copy_from_slice(block);
            }
        }
    }
}

impl Region for Ram {
    type Error = ();

    fn cells(&self) -> u64 {
        (self.bytes.len() / CELL_BYTES) as u64
    }

    fn read(&mut self, cell: u64, to: &mut [u8]) -> Result<(), ()> {
        let at = cell as usize * CELL_BYTES;
        to.copy_from_slice(self.bytes.get(at..at + to.len()).ok_or(())?);
        Ok(())
    }

    fn write(&mut self, cell: u64, from: &[u8]) -> Result<(), ()> {
        let write = Write {
            at: cell as usize * CELL_BYTES,
            bytes: from.to_vec(),
        };
        if write.at + from.len() > self.bytes.len() {
            return Err(());
        }
        self.apply(&write, |_| true);
        self.writes.push(write);
        self.unflushed += 1;
        self.most_unflushed = self.most_unflushed.max(self.unflushed);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        self.unflushed = 0;
        Ok(())
    }
}
