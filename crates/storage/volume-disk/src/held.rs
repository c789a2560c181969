//! What was handed over and is not yet durable.

use alloc::vec::Vec;

use volume_format::BLOCK;

use crate::{HELD_BLOCKS, RUN_BLOCKS};

/// The blocks, by number.
///
/// The lists have their room from the beginning. Memory of blocks is taken as it is needed, and stays.
#[derive(Debug)]
pub(crate) struct Held {
    blocks: Vec<(u64, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl Held {
    /// With nothing in it. `None`: no memory.
    pub fn new() -> Option<Self> {
        let (mut blocks, mut spare) = (Vec::new(), Vec::new());
        blocks.try_reserve_exact(HELD_BLOCKS).ok()?;
        spare.try_reserve_exact(HELD_BLOCKS).ok()?;
        Some(Self { blocks, spare })
    }

    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    fn find(&self, lba: u64) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&lba, |(at, _)| *at)
    }

    pub fn get(&self, lba: u64) -> Option<&[u8]> {
        let (_, block) = self.blocks.get(self.find(lba).ok()?)?;
        Some(block)
    }

    /// Takes a block, in place of an earlier one. `None`: no memory, or no room.
    pub fn put(&mut self, lba: u64, block: &[u8]) -> Option<()> {
        let at = match self.find(lba) {
            Ok(at) => {
                let (_, own) = self.blocks.get_mut(at)?;
                own.copy_from_slice(block);
                return Some(());
            }
            Err(at) => at,
        };
        if self.blocks.len() >= HELD_BLOCKS {
            return None;
        }
        let mut own = match self.spare.pop() {
            Some(spare) => spare,
            None => crate::zeroes(BLOCK)?,
        };
        own.copy_from_slice(block);
        self.blocks.insert(at, (lba, own));
        Some(())
    }

    /// Puts the first blocks from `from` on that follow one another into `run`. Where they begin, and how many they are.
    pub fn run(&self, from: u64, run: &mut [u8]) -> Option<(u64, usize)> {
        let begin = self.find(from).unwrap_or_else(|at| at);
        let blocks = self.blocks.get(begin..)?;
        let (first, _) = blocks.first()?;
        let mut count = 0;
        let slots = run.chunks_exact_mut(BLOCK).take(RUN_BLOCKS);
        for (slot, (at, block)) in slots.zip(blocks) {
            if *at != first + count as u64 {
                break;
            }
            slot.copy_from_slice(block);
            count += 1;
        }
        Some((*first, count))
    }

    /// Gives everything up: each block goes to `to`, which gives other memory for it.
    pub fn give_up(&mut self, mut to: impl FnMut(u64, Vec<u8>) -> Option<Vec<u8>>) {
        for (lba, block) in self.blocks.drain(..) {
            // There is room: what is spare and what is held were never more than this together.
            if let Some(memory) = to(lba, block)
                && self.spare.len() < HELD_BLOCKS
            {
                self.spare.push(memory);
            }
        }
    }
}
