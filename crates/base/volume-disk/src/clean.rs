//! Blocks that the device has as well, kept to be read again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use volume_format::BLOCK;

use crate::CLEAN_BLOCKS;

/// The blocks by number, and in the order in which they came. One that is asked for again stays longer.
#[derive(Debug, Default)]
pub(crate) struct Clean {
    blocks: BTreeMap<u64, Kept>,
    /// The next one to go is in front. A number without a block is skipped.
    order: VecDeque<u64>,
}

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    was_read: bool,
}

impl Clean {
    pub fn get(&mut self, lba: u64) -> Option<&[u8]> {
        let kept = self.blocks.get_mut(&lba)?;
        kept.was_read = true;
        Some(&kept.bytes)
    }

    pub fn drop(&mut self, lba: u64) {
        self.blocks.remove(&lba);
    }

    /// Keeps a block, if there is memory for it.
    pub fn keep(&mut self, lba: u64, block: &[u8]) {
        if let Some(kept) = self.blocks.get_mut(&lba) {
            kept.bytes.copy_from_slice(block);
            return;
        }
        // What was dropped leaves its number behind, so the order may be longer than the map.
        while self.order.len() >= CLEAN_BLOCKS {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            match self.blocks.get_mut(&oldest) {
                Some(kept) if kept.was_read => {
                    kept.was_read = false;
                    self.order.push_back(oldest);
                }
                Some(_) => drop(self.blocks.remove(&oldest)),
                None => {}
            }
        }
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(BLOCK).is_err() || self.order.try_reserve(1).is_err() {
            return;
        }
        bytes.extend_from_slice(block);
        let was_read = false;
        self.blocks.insert(lba, Kept { bytes, was_read });
        self.order.push_back(lba);
    }
}
