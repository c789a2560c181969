//! Where a file's blocks lie: extents ("Extent Tree") and pointers ("Direct/Indirect Block Addressing").

use crate::Blocks;
use crate::error::{Error, Place, corrupt};
use crate::inode::Inode;
use crate::volume::{NOWHERE, Volume};

/// Consecutive blocks of a file that lie consecutively, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First block on the volume; `None` where the file has a hole.
    pub place: Option<u64>,
    /// How many there are: at least one.
    pub blocks: u64,
}

const EXTENT_MAGIC: u16 = 0xf30a;
const ENTRY_BYTES: u32 = 12;
/// Levels of a tree below its root.
const MAX_LEVELS: u16 = 5;
/// Longer extents are said by this much more, and were never written.
const UNWRITTEN: u32 = 32768;
/// First number of a block that no file has.
const END: u64 = 1 << 32;
/// Pointers that an inode has itself.
const DIRECT: u64 = 12;

/// A node of an extent tree.
#[derive(Clone, Copy)]
struct Node {
    /// `None` in the inode.
    block: Option<u64>,
    entries: u32,
    depth: u16,
}

/// What a node says of a block of the file.
struct Found {
    /// The last entry that begins at the block or before it.
    entry: Option<[u8; ENTRY_BYTES as usize]>,
    /// Where the next one begins.
    next: u64,
}

impl Volume {
    /// Where the block `logical` of a file lies, and those behind it as far as they lie alike.
    pub(crate) fn map<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        logical: u32,
    ) -> Result<Piece, Error<B::Error>> {
        match inode.has_extents() {
            true => self.map_extent(blocks, inode, logical),
            false => self.map_pointer(blocks, inode, logical.into()),
        }
    }

    fn map_extent<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        logical: u32,
    ) -> Result<Piece, Error<B::Error>> {
        let at = u64::from(logical);
        let mut node = self.extent_node(blocks, inode, None)?;
        let mut end = END;
        loop {
            let found = self.search(blocks, inode, node, at)?;
            end = end.min(found.next);
            let hole = Piece {
                place: None,
                blocks: end.saturating_sub(at).max(1),
            };
            let Some(entry) = found.entry else {
                return Ok(hole);
            };
            let place = Place::Tree {
                inode: inode.number,
                block: node.block.unwrap_or(0),
            };
            let high = u64::from(le::u16(&entry, if node.depth == 0 { 6 } else { 8 })) << 32;
            let low = le::u32(&entry, if node.depth == 0 { 8 } else { 4 });
            let begin = high | u64::from(low);
            if node.depth > 0 {
                if !self.has_blocks(begin, 1) {
                    return Err(corrupt(place, "leads out of the volume"));
                }
                let below = self.extent_node(blocks, inode, Some(begin))?;
                // What ends every walk: each node stands one level lower.
                if below.depth + 1 != node.depth {
                    return Err(corrupt(place, "leads to a node of another level"));
                }
                node = below;
                continue;
            }
            let (first, length) = (u64::from(le::u32(&entry, 0)), extent_blocks(&entry));
            if !self.has_blocks(begin, length) {
                return Err(corrupt(place, "has blocks outside of the volume"));
            }
            let within = at - first;
            return Ok(match length.checked_sub(within) {
                None | Some(0) => hole,
                Some(left) => Piece {
                    place: (u32::from(le::u16(&entry, 4)) <= UNWRITTEN).then_some(begin + within),
                    blocks: left,
                },
            });
        }
    }

    /// Reads a node's head, and compares its sum.
    fn extent_node<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        block: Option<u64>,
    ) -> Result<Node, Error<B::Error>> {
        let place = Place::Tree {
            inode: inode.number,
            block: block.unwrap_or(0),
        };
        let mut head = [0; ENTRY_BYTES as usize];
        self.node_bytes(blocks, inode, block, 0, &mut head)?;
        let (entries, most) = (le::u16(&head, 2), le::u16(&head, 4));
        let depth = le::u16(&head, 6);
        let room = match block {
            Some(_) => self.superblock.block_bytes,
            None => inode.block.len() as u32,
        };
        if le::u16(&head, 0) != EXTENT_MAGIC {
            return Err(corrupt(place, "does not begin as a node does"));
        }
        let end = ENTRY_BYTES * (1 + u32::from(most));
        if entries > most || end > room || depth > MAX_LEVELS {
            return Err(corrupt(place, "has more entries or levels than can be"));
        }
        if let (Some(block), Some(seed)) = (block, inode.seed) {
            let mut stands = [0; 4];
            if end + 4 > room {
                return Err(corrupt(place, "has no room for its sum"));
            }
            self.read(blocks, block, end, &mut stands)?;
            if self.sum(blocks, seed, block, 0..end, [NOWHERE, NOWHERE])?
                != u32::from_le_bytes(stands)
            {
                return Err(corrupt(place, "does not have the sum that it says it has"));
            }
        }
        Ok(Node {
            block,
            entries: entries.into(),
            depth,
        })
    }

    /// Bytes of a node, wherever it is.
    fn node_bytes<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        block: Option<u64>,
        at: u32,
        buf: &mut [u8],
    ) -> Result<(), Error<B::Error>> {
        if let Some(block) = block {
            return self.read(blocks, block, at, buf);
        }
        let held = inode.block.get(at as usize..).unwrap_or_default();
        for (to, from) in buf.iter_mut().zip(held) {
            *to = *from;
        }
        Ok(())
    }

    fn search<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        node: Node,
        at: u64,
    ) -> Result<Found, Error<B::Error>> {
        let mut piece = [0; 42 * ENTRY_BYTES as usize];
        let mut found = Found {
            entry: None,
            next: END,
        };
        let mut before = 0;
        let mut number = 0;
        while number < node.entries {
            let count = (node.entries - number).min(42);
            let piece = piece.get_mut(..(count * ENTRY_BYTES) as usize);
            let piece = piece.unwrap_or_default();
            self.node_bytes(blocks, inode, node.block, ENTRY_BYTES * (1 + number), piece)?;
            for entry in piece.chunks_exact(ENTRY_BYTES as usize) {
                let first = u64::from(le::u32(entry, 0));
                let length = match node.depth {
                    0 => extent_blocks(entry),
                    _ => 1,
                };
                if first < before || length == 0 {
                    let place = Place::Tree {
                        inode: inode.number,
                        block: node.block.unwrap_or(0),
                    };
                    return Err(corrupt(place, "has entries out of order, or empty ones"));
                }
                before = first + length;
                if first > at {
                    found.next = first;
                    return Ok(found);
                }
                found.entry = Some(le::array(entry, 0));
            }
            number += count;
        }
        Ok(found)
    }

    fn map_pointer<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        logical: u64,
    ) -> Result<Piece, Error<B::Error>> {
        if logical < DIRECT {
            let held = inode.block.get(4 * logical as usize..4 * DIRECT as usize);
            return self.alike(inode, 0, held.unwrap_or_default());
        }
        let in_block = u64::from(self.superblock.block_bytes / 4);
        let mut rest = logical - DIRECT;
        let mut span = 1;
        for level in 1..=3 {
            span *= in_block;
            if rest < span {
                let pointer = le::u32(&inode.block, 4 * (DIRECT as usize + level - 1));
                return self.follow(blocks, inode, pointer, span, rest);
            }
            rest -= span;
        }
        let fault = "is longer than its pointers reach";
        Err(corrupt(Place::Inode(inode.number), fault))
    }

    /// Goes down from a pointer that leads to `span` blocks, to the one that is `rest` behind the first.
    fn follow<B: Blocks>(
        &self,
        blocks: &mut B,
        inode: &Inode,
        pointer: u32,
        mut span: u64,
        mut rest: u64,
    ) -> Result<Piece, Error<B::Error>> {
        let in_block = u64::from(self.superblock.block_bytes / 4);
        let mut block = u64::from(pointer);
        loop {
            if block == 0 {
                return Ok(Piece {
                    place: None,
                    blocks: span - rest,
                });
            }
            if !self.has_blocks(block, 1) {
                let fault = "leads out of the volume";
                return Err(corrupt(Place::Inode(inode.number), fault));
            }
            span /= in_block;
            let index = rest / span;
            rest %= span;
            if span == 1 {
                let mut held = [0; 512];
                let count = (in_block - index).min(128) as usize;
                let held = held.get_mut(..4 * count).unwrap_or_default();
                self.read(blocks, block, 4 * index as u32, held)?;
                return self.alike(inode, block, held);
            }
            let mut next = [0; 4];
            self.read(blocks, block, 4 * index as u32, &mut next)?;
            block = u32::from_le_bytes(next).into();
        }
    }

    /// The piece that the first of some pointers begins.
    fn alike<E>(&self, inode: &Inode, block: u64, pointers: &[u8]) -> Result<Piece, Error<E>> {
        let first = u64::from(le::u32(pointers, 0));
        let others = pointers.chunks_exact(4).map(|pointer| le::u32(pointer, 0));
        let count = others
            .zip(0..)
            .take_while(|(pointer, number)| match first {
                0 => *pointer == 0,
                _ => u64::from(*pointer) == first + number,
            })
            .count() as u64;
        if first != 0 && !self.has_blocks(first, count) {
            let place = Place::Tree {
                inode: inode.number,
                block,
            };
            return Err(corrupt(place, "has blocks outside of the volume"));
        }
        Ok(Piece {
            place: (first != 0).then_some(first),
            blocks: count.max(1),
        })
    }
}

/// Blocks of an extent, written or not.
fn extent_blocks(entry: &[u8]) -> u64 {
    let length = u32::from(le::u16(entry, 4));
    u64::from(if length > UNWRITTEN {
        length - UNWRITTEN
    } else {
        length
    })
}
