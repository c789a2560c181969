//! Whether a root's last group reached the disk whole.

use alloc::vec::Vec;

use volume_format::{
    FANOUT, Node, Parsed, Ptr, PtrKind, Root, Seed, VERIFY_LIMIT, get_entry, parse,
};

use crate::space::Context;
use crate::tree::read_node;
use crate::{Blocks, Error, new_block, push};

/// Whether everything that the group of this root wrote is there. What is older was durable before it. `reads` counts
/// the blocks looked at.
pub(crate) fn verify<B: Blocks>(
    disk: &mut B,
    context: &Context,
    root: &Root,
    reads: &mut u64,
) -> Result<bool, Error<B::Error>> {
    let mut walk = Walk {
        disk,
        context,
        root,
        left: VERIFY_LIMIT,
    };
    let tree = walk.tree();
    *reads += VERIFY_LIMIT - walk.left;
    let is_whole = tree.and_then(|is_whole| {
        walk.left = VERIFY_LIMIT;
        let space = if is_whole { walk.space() } else { Ok(false) };
        *reads += VERIFY_LIMIT - walk.left;
        space
    });
    match is_whole {
        Err(Error::Corrupt(_)) => Ok(false),
        other => other,
    }
}

/// A walk over what one group wrote.
struct Walk<'a, B> {
    disk: &'a mut B,
    context: &'a Context,
    root: &'a Root,
    /// Blocks that it may still read.
    left: u64,
}

impl<B: Blocks> Walk<'_, B> {
    /// Takes one read off the bound of the walk. `false`: more is reachable than a group that asks for this may write.
    fn may_read(&mut self) -> bool {
        let may = self.left > 0;
        self.left -= u64::from(may);
        may
    }

    /// The pointer in a value, if the group wrote what it leads to.
    fn newest(&self, value: &[u8], kind: PtrKind) -> Option<Ptr> {
        Ptr::decode(value, kind, &self.context.layout, self.root.txg)
            .filter(|ptr| ptr.birth == self.root.txg)
    }

    /// The nodes, and the data that leaves point to.
    fn tree(&mut self) -> Result<bool, Error<B::Error>> {
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let mut left: Vec<(Ptr, u8)> = Vec::new();
        if self.root.tree.birth == self.root.txg {
            push(&mut left, (self.root.tree, self.root.height))?;
        }
        while let Some((ptr, level)) = left.pop() {
            if !self.may_read() {
                return Ok(false);
            }
            let bytes = read_node(self.disk, self.context, &ptr, level)?;
            let node = Node::of(&bytes);
            for index in 0..node.len() {
                let value = node.value(index);
                if level > 0 {
                    if let Some(child) = self.newest(value, PtrKind::Node) {
                        push(&mut left, (child, level - 1))?;
                    }
                } else if let Some(Parsed::Extent(owner, position)) = parse(node.key(index))
                    && let Some(data) = self.newest(value, PtrKind::Data)
                    && !self.block(&data, (owner, position), &mut block)?
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Tables and bitmaps of the space map.
    fn space(&mut self) -> Result<bool, Error<B::Error>> {
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let (layout, txg) = (self.context.layout, self.root.txg);
        let mut left: Vec<(Ptr, u8, u64)> = Vec::new();
        push(&mut left, (self.root.space, layout.space_height(), 0))?;
        while let Some((ptr, level, index)) = left.pop() {
            if ptr.birth != txg {
                continue;
            }
            let position = u64::from(level) << 56 | index;
            if !self.block(&ptr, (Seed::SPACE, position), &mut block)? {
                return Ok(false);
            }
            let slots = if level == 0 { 0 } else { FANOUT };
            for slot in 0..slots {
                let child = index * FANOUT + slot;
                let entry = get_entry(&block, level, slot, &layout, txg, u64::MAX);
                if let Some(below) = entry.and_then(|entry| entry.ptr) {
                    push(&mut left, (below, level - 1, child))?;
                }
            }
        }
        Ok(true)
    }

    /// Whether one block is the one that its pointer was made for.
    fn block(
        &mut self,
        ptr: &Ptr,
        sealed: (u64, u64),
        block: &mut [u8],
    ) -> Result<bool, Error<B::Error>> {
        if !self.may_read() {
            return Ok(false);
        }
        self.disk.read(ptr.lba, block).map_err(Error::Disk)?;
        Ok(self.context.is_sealed(ptr, sealed, block))
    }
}
