//! Nodes of the tree: sorted keys with their values, packed into a block in one form only.
//!
//! ```text
//! 0 magic | 4 level, 0 | 6 count | 8 used | 10 zero .. 16 | offsets, 2 bytes each | records in key order | zero
//! record: key bytes (2) | value bytes (2) | key | value
//! ```

use crate::{BLOCK, KEY_BYTES};

const MAGIC: u32 = 0x4e4c_4f56; // "VOLN"
/// Bytes before the offsets.
pub const NODE_HEADER: usize = 16;
/// Bytes of the longest value.
pub const MAX_VALUE: usize = 256;
/// The level of the topmost node there can be. A node holds four records at least, so this is never in the way.
pub const MAX_HEIGHT: u8 = 12;
const RECORD: usize = 4;

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// It is no node.
    Magic,
    /// It is of another level than the one above it says.
    Level,
    /// Counts, lengths or offsets do not fit.
    Shape,
    /// Keys are not in order.
    Order,
    /// Bytes that must be zero are not.
    Spare,
}

/// A sound node, to read.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    block: &'a [u8],
}

impl<'a> Node<'a> {
    /// Checks a block that is to be a node of a level.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(block: &'a [u8], level: u8) -> Result<Self, NodeFault> {
        if block.len() != BLOCK || le::u32(block, 0) != MAGIC {
            return Err(NodeFault::Magic);
        }
        if le::u8(block, 4) != level {
            return Err(NodeFault::Level);
        }
        let node = Self { block };
        let mut at = NODE_HEADER + 2 * node.len();
        for index in 0..node.len() {
            if usize::from(le::u16(block, NODE_HEADER + 2 * index)) != at || at + RECORD > BLOCK {
                return Err(NodeFault::Shape);
            }
            let (key, value) = (le::u16(block, at), le::u16(block, at + 2));
            let (key, value) = (usize::from(key), usize::from(value));
            at += RECORD + key + value;
            if key > KEY_BYTES || value > MAX_VALUE || at > BLOCK {
                return Err(NodeFault::Shape);
            }
            if index > 0 && node.key(index - 1) >= node.key(index) {
                return Err(NodeFault::Order);
            }
        }
        if at > BLOCK || usize::from(le::u16(block, 8)) != at {
            return Err(NodeFault::Shape);
        }
        let spare = le::u8(block, 5) == 0 && le::is_zero(block, 10, NODE_HEADER);
        if !spare || !le::is_zero(block, at, BLOCK) {
            return Err(NodeFault::Spare);
        }
        Ok(node)
    }

    /// A block that this crate made or checked before.
    #[must_use]
    pub fn of(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// Its level; 0 is a leaf.
    #[must_use]
    pub fn level(&self) -> u8 {
        le::u8(self.block, 4)
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(le::u16(self.block, 6))
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        usize::from(le::u16(self.block, 8))
    }

    fn record(&self, index: usize) -> (usize, usize, usize) {
        let at = usize::from(le::u16(self.block, NODE_HEADER + 2 * index));
        let key = usize::from(le::u16(self.block, at));
        (at, key, usize::from(le::u16(self.block, at + 2)))
    }

    /// A record's key; empty where there is none.
    #[must_use]
    pub fn key(&self, index: usize) -> &'a [u8] {
        if index >= self.len() {
            return &[];
        }
        let (at, key, _) = self.record(index);
        self.block
            .get(at + RECORD..at + RECORD + key)
            .unwrap_or(&[])
    }

    /// A record's value; empty where there is none.
    #[must_use]
    pub fn value(&self, index: usize) -> &'a [u8] {
        if index >= self.len() {
            return &[];
        }
        let (at, key, value) = self.record(index);
        let from = at + RECORD + key;
        self.block.get(from..from + value).unwrap_or(&[])
    }

    /// The place of a key: where it is, or where it would go.
    ///
    /// # Errors
    /// The place where it would go.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle).cmp(key) {
                core::cmp::Ordering::Equal => return Ok(middle),
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The child below which a key belongs. The first child takes what is below its own key, too.
    #[must_use]
    pub fn child(&self, key: &[u8]) -> usize {
        match self.find(key) {
            Ok(index) => index,
            Err(index) => index.saturating_sub(1),
        }
    }
}

/// A sound node, to change.
#[derive(Debug)]
pub struct NodeMut<'a> {
    block: &'a mut [u8],
}

impl<'a> NodeMut<'a> {
    /// Makes an empty node.
    pub fn start(block: &'a mut [u8], level: u8) -> Self {
        block.fill(0);
        le::put(block, 0, &MAGIC.to_le_bytes());
        le::put(block, 4, &[level]);
        le::put(block, 8, &(NODE_HEADER as u16).to_le_bytes());
        Self { block }
    }

    /// A block that this crate made or checked before.
    pub fn of(block: &'a mut [u8]) -> Self {
        Self { block }
    }

    /// To read it.
    #[must_use]
    pub fn node(&self) -> Node<'_> {
        Node { block: self.block }
    }

    /// Whether a record would fit.
    #[must_use]
    pub fn fits(&self, key: usize, value: usize) -> bool {
        self.node().used() + 2 + RECORD + key + value <= BLOCK
    }

    /// Puts a record at `index`, which keeps the order. Says whether it fitted.
    pub fn insert(&mut self, index: usize, key: &[u8], value: &[u8]) -> bool {
        let (count, used) = (self.node().len(), self.node().used());
        let is_sound = key.len() <= KEY_BYTES && value.len() <= MAX_VALUE && index <= count;
        if !is_sound || !self.fits(key.len(), value.len()) {
            return false;
        }
        let slot = NODE_HEADER + 2 * index;
        let at = if index < count {
            usize::from(le::u16(self.block, slot))
        } else {
            used
        };
        let bytes = RECORD + key.len() + value.len();
        // The records behind it move by one record and one offset, those before it by one offset.
        self.block.copy_within(at..used, at + bytes + 2);
        self.block.copy_within(slot..at, slot + 2);
        for other in 0..=count {
            let place = NODE_HEADER + 2 * other;
            let shift = match other.cmp(&index) {
                core::cmp::Ordering::Less => 2,
                core::cmp::Ordering::Equal => {
                    le::put(self.block, place, &((at + 2) as u16).to_le_bytes());
                    continue;
                }
                core::cmp::Ordering::Greater => bytes + 2,
            };
            let moved = le::u16(self.block, place) + shift as u16;
            le::put(self.block, place, &moved.to_le_bytes());
        }
        le::put(self.block, at + 2, &(key.len() as u16).to_le_bytes());
        le::put(self.block, at + 4, &(value.len() as u16).to_le_bytes());
        le::put(self.block, at + 2 + RECORD, key);
        le::put(self.block, at + 2 + RECORD + key.len(), value);
        self.set(count + 1, used + bytes + 2);
        true
    }

    /// Takes a record out.
    pub fn remove(&mut self, index: usize) {
        let (count, used) = (self.node().len(), self.node().used());
        if index >= count {
            return;
        }
        let (at, key, value) = self.node().record(index);
        let bytes = RECORD + key + value;
        let slot = NODE_HEADER + 2 * index;
        self.block.copy_within(slot + 2..at, slot);
        self.block.copy_within(at + bytes..used, at - 2);
        for other in 0..count - 1 {
            let place = NODE_HEADER + 2 * other;
            let shift = if other < index { 2 } else { bytes + 2 };
            let moved = le::u16(self.block, place).wrapping_sub(shift as u16);
            le::put(self.block, place, &moved.to_le_bytes());
        }
        let now = used - bytes - 2;
        if let Some(spare) = self.block.get_mut(now..used) {
            spare.fill(0);
        }
        self.set(count - 1, now);
    }

    /// Writes over a value of the same length.
    pub fn replace(&mut self, index: usize, value: &[u8]) -> bool {
        if self.node().value(index).len() != value.len() {
            return false;
        }
        let (at, key, _) = self.node().record(index);
        le::put(self.block, at + RECORD + key, value);
        true
    }

    /// Moves the upper half, by bytes, into `upper`, which becomes a node of the same level. At least one record stays
    /// and one moves where there are two.
    pub fn split(&mut self, upper: &mut [u8]) {
        let mut high = NodeMut::start(upper, self.node().level());
        let half = NODE_HEADER + (self.node().used() - NODE_HEADER) / 2;
        let count = self.node().len();
        let mut from = 1.min(count);
        let mut bytes = NODE_HEADER;
        for index in 0..count {
            let (_, key, value) = self.node().record(index);
            bytes += 2 + RECORD + key + value;
            if bytes > half {
                from = index.clamp(1, count.saturating_sub(1).max(1));
                break;
            }
        }
        for index in from..count {
            let node = self.node();
            high.insert(index - from, node.key(index), node.value(index));
        }
        while self.node().len() > from {
            self.remove(self.node().len() - 1);
        }
    }

    fn set(&mut self, count: usize, used: usize) {
        le::put(self.block, 6, &(count as u16).to_le_bytes());
        le::put(self.block, 8, &(used as u16).to_le_bytes());
    }
}
