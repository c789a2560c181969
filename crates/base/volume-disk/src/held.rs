//! What was handed over and is not yet durable.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use volume_format::BLOCK;

use crate::RUN_BLOCKS;

/// The blocks, by number.
#[derive(Debug, Default)]
pub(crate) struct Held {
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Held {
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    pub fn get(&self, lba: u64) -> Option<&[u8]> {
        self.blocks.get(&lba).map(Vec::as_slice)
    }

    /// Takes a block, in place of an earlier one. `None`: no memory.
    pub fn put(&mut self, lba: u64, block: &[u8]) -> Option<()> {
        let mut own = Vec::new();
        own.try_reserve_exact(BLOCK).ok()?;
        own.extend_from_slice(block);
        self.blocks.insert(lba, own);
        Some(())
    }

    /// Puts the first blocks from `from` on that follow one another into `run`. Where they begin, and how many they are.
    pub fn run(&self, from: u64, run: &mut [u8]) -> Option<(u64, usize)> {
        let (&first, _) = self.blocks.range(from..).next()?;
        let mut count = 0;
        let slots = run.chunks_exact_mut(BLOCK).take(RUN_BLOCKS);
        for (slot, (at, block)) in slots.zip(self.blocks.range(first..)) {
            if *at != first + count as u64 {
                break;
            }
            slot.copy_from_slice(block);
            count += 1;
        }
        Some((first, count))
    }

    /// Gives everything up.
    pub fn take(&mut self) -> impl Iterator<Item = (u64, Vec<u8>)> + use<> {
        core::mem::take(&mut self.blocks).into_iter()
    }
}
