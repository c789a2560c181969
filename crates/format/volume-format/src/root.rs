//! Roots: one for each transaction group, in one sector of 512 bytes.

use crate::{Layout, MAX_HEIGHT, Ptr, PtrKind, RING_SLOTS, Seed, Stamp, sum};

const MAGIC: u64 = 0x3174_6f6f_724c_4f56; // "VOLroot1"
/// Bytes of a root with its sum; the rest of its block is zero.
pub const ROOT_BYTES: usize = 512;
const SUMMED: usize = 504;
/// A flag: the root was written without a flush before it. It counts only if all that its group wrote adds up.
pub const VERIFY: u32 = 1;
/// Blocks that a group under [`VERIFY`] may have written, so that a mount can look at all of them.
pub const VERIFY_LIMIT: u64 = 48;

/// What a transaction group made of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The transaction group, from 1.
    pub txg: u64,
    /// The group it was built on; between them are only groups that were cut.
    pub previous: u64,
    /// The sum in the root of `previous`; 0 in the first.
    pub previous_sum: u64,
    /// The mount that wrote it, from 1.
    pub mount: u32,
    /// [`VERIFY`] or 0.
    pub flags: u32,
    /// The topmost node of the tree.
    pub tree: Ptr,
    /// Its level.
    pub height: u8,
    /// The topmost table of the space tree.
    pub space: Ptr,
    /// Blocks free by the bitmaps.
    pub free: u64,
    /// Of them, those that this group freed: they still belong to the group before.
    pub freed: u64,
    /// The next inode's number. What lies between it and the last one that was taken was kept for bindings.
    pub next_id: u64,
    /// The newest snapshot, or 0.
    pub snapshot: u64,
    /// Blocks that only snapshots hold.
    pub dead: u64,
    /// Blocks that this group wrote, nodes, tables, bitmaps and data.
    pub written: u64,
    /// When.
    pub stamp: Stamp,
}

impl Root {
    /// Encodes it into the first [`ROOT_BYTES`] of a block and returns its sum.
    pub fn encode(&self, uuid: &[u8; 16], block: &mut [u8]) -> u64 {
        block.fill(0);
        le::put(block, 0, &MAGIC.to_le_bytes());
        le::put(block, 8, uuid);
        le::put(block, 24, &self.txg.to_le_bytes());
        le::put(block, 32, &self.previous.to_le_bytes());
        le::put(block, 40, &self.previous_sum.to_le_bytes());
        le::put(block, 48, &self.mount.to_le_bytes());
        le::put(block, 52, &self.flags.to_le_bytes());
        le::put(block, 56, &self.tree.encode());
        le::put(block, 96, &[self.height]);
        le::put(block, 104, &self.space.encode());
        le::put(block, 144, &self.free.to_le_bytes());
        le::put(block, 152, &self.freed.to_le_bytes());
        le::put(block, 160, &self.next_id.to_le_bytes());
        le::put(block, 168, &self.snapshot.to_le_bytes());
        le::put(block, 176, &self.dead.to_le_bytes());
        le::put(block, 184, &self.written.to_le_bytes());
        le::put(block, 192, &self.stamp.encode());
        let sum = Self::sum(uuid, self.txg % RING_SLOTS, block);
        le::put(block, SUMMED, &sum.to_le_bytes());
        sum
    }

    /// Decodes the root in a block of slot `slot`, with its sum, if there is one.
    #[must_use]
    pub fn decode(
        block: &[u8],
        uuid: &[u8; 16],
        slot: u64,
        layout: &Layout,
    ) -> Option<(Self, u64)> {
        let found = le::u64(block, SUMMED);
        let names = le::u64(block, 0) == MAGIC && le::array::<16>(block, 8) == *uuid;
        if !names || found != Self::sum(uuid, slot, block) {
            return None;
        }
        let txg = le::u64(block, 24);
        let capacity = layout.capacity(0, layout.regions());
        let root = Self {
            txg,
            previous: le::u64(block, 32),
            previous_sum: le::u64(block, 40),
            mount: le::u32(block, 48),
            flags: le::u32(block, 52),
            tree: Ptr::decode(block.get(56..96)?, PtrKind::Node, layout, txg)?,
            height: le::u8(block, 96),
            space: Ptr::decode(block.get(104..144)?, PtrKind::Table, layout, txg)?,
            free: le::u64(block, 144),
            freed: le::u64(block, 152),
            next_id: le::u64(block, 160),
            snapshot: le::u64(block, 168),
            dead: le::u64(block, 176),
            written: le::u64(block, 184),
            stamp: Stamp::decode(block.get(192..208)?)?,
        };
        let is_sound = (1..u64::MAX - 2 * RING_SLOTS).contains(&txg)
            && txg % RING_SLOTS == slot
            && root.previous < txg
            && root.flags & !VERIFY == 0
            && root.height <= MAX_HEIGHT
            && root.free <= capacity
            && root.freed <= root.free
            && root.dead <= capacity - root.free
            && root.snapshot < txg
            && root.next_id >= 2
            && (root.flags & VERIFY == 0 || root.written <= VERIFY_LIMIT)
            && le::is_zero(block, 97, 104)
            && le::is_zero(block, 208, SUMMED);
        is_sound.then_some((root, found))
    }

    fn sum(uuid: &[u8; 16], slot: u64, block: &[u8]) -> u64 {
        let seed = Seed {
            uuid: *uuid,
            lba: 0,
            birth: 0,
            mount: 0,
            owner: Seed::ROOT,
            position: slot,
        };
        sum(&seed, block.get(..SUMMED).unwrap_or(&[]))
    }
}
