//! Block groups: where an inode lies ("Block Group Descriptors").

use crate::Blocks;
use crate::crc::carry;
use crate::error::{Error, Place, corrupt};
use crate::volume::{NOWHERE, Volume};

impl Volume {
    /// The first block of a group's table of inodes.
    pub(crate) fn inode_table<B: Blocks>(
        &self,
        blocks: &mut B,
        group: u32,
    ) -> Result<u64, Error<B::Error>> {
        let place = Place::Group(group);
        let known = &self.superblock;
        let (block, at) = known.descriptor_at(group);
        if !self.has_blocks(block, 1) {
            return Err(corrupt(place, "lies outside of the volume"));
        }
        let mut bytes = [0; 64];
        let wide = known.descriptor_bytes >= 64;
        let held = if wide { 64 } else { 32 };
        self.read(blocks, block, at, &mut bytes[..held])?;
        if let Some(seed) = known.seed {
            let sum = self.sum(
                blocks,
                carry(seed, &group.to_le_bytes()),
                block,
                at..at + known.descriptor_bytes,
                [at + 0x1e..at + 0x20, NOWHERE],
            )?;
            if sum as u16 != le::u16(&bytes, 0x1e) {
                return Err(corrupt(place, "does not have the sum that it says it has"));
            }
        }
        let high = if wide { le::u32(&bytes, 0x28) } else { 0 };
        let table = u64::from(high) << 32 | u64::from(le::u32(&bytes, 8));
        let table_bytes = u64::from(known.inodes_per_group) * u64::from(known.inode_bytes);
        let table_blocks = table_bytes.div_ceil(known.block_bytes.into());
        if !self.has_blocks(table, table_blocks) {
            return Err(corrupt(place, "has its inodes outside of the volume"));
        }
        Ok(table)
    }
}
