//! Where what lies, by the volume's size alone.

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Blocks of a region, each a bit of its bitmap.
pub const REGION: u64 = 32768;
/// Roots of a ring.
pub const RING_SLOTS: u64 = 64;
/// A label, a ring and as much again at the end, and as many blocks to use.
pub const MIN_BLOCKS: u64 = 260;
/// 2^44 blocks are 64 PiB.
pub const MAX_BLOCKS: u64 = 1 << 44;

/// A volume's places. The first block and the last hold the label; beside each lies a ring of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    blocks: u64,
}

impl Layout {
    /// The places of a volume of so many blocks, or nothing if there is no such volume.
    #[must_use]
    pub fn new(blocks: u64) -> Option<Self> {
        (MIN_BLOCKS..=MAX_BLOCKS)
            .contains(&blocks)
            .then_some(Self { blocks })
    }

    /// All blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The two copies of the label.
    #[must_use]
    pub fn labels(&self) -> [u64; 2] {
        [0, self.blocks - 1]
    }

    /// The first blocks of the two rings.
    #[must_use]
    pub fn rings(&self) -> [u64; 2] {
        [1, self.blocks - 1 - RING_SLOTS]
    }

    /// The blocks of a transaction group's root, one in each ring.
    #[must_use]
    pub fn roots(&self, txg: u64) -> [u64; 2] {
        self.rings().map(|ring| ring + txg % RING_SLOTS)
    }

    /// The first block that can be allocated.
    #[must_use]
    pub fn first(&self) -> u64 {
        1 + RING_SLOTS
    }

    /// The first block after those that can be allocated.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.blocks - 1 - RING_SLOTS
    }

    /// Whether a block can be allocated.
    #[must_use]
    pub fn holds(&self, lba: u64) -> bool {
        (self.first()..self.end()).contains(&lba)
    }

    /// The number of regions; the last may be short.
    #[must_use]
    pub fn regions(&self) -> u64 {
        self.blocks.div_ceil(REGION)
    }

    /// The height of the space tree: the level of its topmost table. Level 0 are the bitmaps.
    #[must_use]
    pub fn space_height(&self) -> u8 {
        let (mut height, mut covered) = (1, crate::FANOUT);
        while covered < self.regions() {
            covered *= crate::FANOUT;
            height += 1;
        }
        height
    }

    /// How many blocks of these regions can be allocated while none is.
    #[must_use]
    pub fn capacity(&self, first_region: u64, regions: u64) -> u64 {
        let from = first_region.saturating_mul(REGION).max(self.first());
        let to = first_region
            .saturating_add(regions)
            .saturating_mul(REGION)
            .min(self.end());
        to.saturating_sub(from)
    }

    /// Writes the bitmap of a region in which nothing is allocated: set are what cannot be and what does not exist.
    pub fn empty_bitmap(&self, region: u64, bitmap: &mut [u8]) {
        bitmap.fill(0);
        for (index, byte) in bitmap.iter_mut().enumerate() {
            for bit in 0..8 {
                let lba = region.saturating_mul(REGION) + (index as u64) * 8 + bit;
                if !self.holds(lba) {
                    *byte |= 1 << bit;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bitmap_has_the_capacity() {
        for blocks in [MIN_BLOCKS, 32768, 32769, 70000] {
            let layout = Layout::new(blocks).unwrap();
            let mut whole = 0;
            for region in 0..layout.regions() {
                let mut bitmap = [0; BLOCK];
                layout.empty_bitmap(region, &mut bitmap);
                let free: u64 = bitmap
                    .iter()
                    .map(|byte| u64::from(byte.count_zeros()))
                    .sum();
                assert_eq!(free, layout.capacity(region, 1), "{blocks} {region}");
                whole += free;
            }
            assert_eq!(whole, layout.end() - layout.first());
            assert_eq!(whole, layout.capacity(0, layout.regions()));
        }
        assert!(Layout::new(MIN_BLOCKS - 1).is_none() && Layout::new(MAX_BLOCKS + 1).is_none());
    }

    #[test]
    fn the_space_tree_is_as_high_as_it_must_be() {
        assert_eq!(Layout::new(85 * REGION).unwrap().space_height(), 1);
        assert_eq!(Layout::new(85 * REGION + 1).unwrap().space_height(), 2);
        assert!(Layout::new(MAX_BLOCKS).unwrap().space_height() <= 5);
    }
}
