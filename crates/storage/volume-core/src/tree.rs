//! The tree: one sorted map of keys to values, copied where it is changed.
//!
//! Changed nodes lie in an arena until they are written. A pointer to one has the form that no pointer on a disk has.

use alloc::vec::Vec;

use sabotage::sabotage;
use volume_format::{
    BLOCK, KEY_BYTES, MAX_HEIGHT, MAX_VALUE, NODE_HEADER, Node, NodeMut, PTR_BYTES, Ptr, PtrKind,
    Seed,
};

use crate::space::{Context, Space};
use crate::{Blocks, Error, Place, new_block, push};

/// Below this many bytes a node looks for a neighbour to become one with.
const SPARSE: usize = BLOCK / 4;
/// Beyond this many they would soon part again.
const JOINED: usize = BLOCK * 3 / 4;

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Disk(Ptr),
    Dirty(u32),
}

/// A tree to read: the live one, or a snapshot's.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub(crate) top: Link,
    pub(crate) height: u8,
}

/// A key and its value.
pub(crate) type Record = (Vec<u8>, Vec<u8>);

/// The live tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pub view: View,
    arena: Vec<Option<Vec<u8>>>,
    spare: Vec<u32>,
    /// Blocks of nodes that were copied or went.
    pub drops: Vec<Ptr>,
}

impl Tree {
    pub fn new(top: Ptr, height: u8) -> Self {
        let top = Link::Disk(top);
        Self {
            view: View { top, height },
            arena: Vec::new(),
            spare: Vec::new(),
            drops: Vec::new(),
        }
    }

    /// A tree with nothing in it.
    pub fn empty() -> Option<Self> {
        let mut block = new_block()?;
        NodeMut::start(&mut block, 0);
        let mut arena = Vec::new();
        arena.try_reserve(1).ok()?;
        arena.push(Some(block));
        Some(Self {
            view: View {
                top: Link::Dirty(0),
                height: 0,
            },
            arena,
            spare: Vec::new(),
            drops: Vec::new(),
        })
    }

    /// Nodes that a commit will write.
    pub fn dirty(&self) -> u64 {
        (self.arena.len() - self.spare.len()) as u64
    }

    fn page(&self, index: u32) -> &[u8] {
        let page = self.arena.get(index as usize).and_then(Option::as_deref);
        page.unwrap_or(&[])
    }

    fn page_mut(&mut self, index: u32) -> NodeMut<'_> {
        let page = self.arena.get_mut(index as usize);
        NodeMut::of(page.and_then(Option::as_deref_mut).unwrap_or(&mut []))
    }

    fn add<E>(&mut self, block: Vec<u8>) -> Result<u32, Error<E>> {
        if let Some(index) = self.spare.pop() {
            if let Some(place) = self.arena.get_mut(index as usize) {
                *place = Some(block);
            }
            return Ok(index);
        }
        push(&mut self.arena, Some(block))?;
        // As many as can be are taken back without asking for memory.
        self.spare
            .try_reserve(self.arena.len())
            .map_err(|_| Error::NoMemory)?;
        Ok(self.arena.len() as u32 - 1)
    }

    fn discard(&mut self, index: u32) {
        if let Some(place) = self.arena.get_mut(index as usize) {
            *place = None;
            self.spare.push(index);
        }
    }

    /// The first record at or after a key.
    pub fn seek<B: Blocks>(
        &self,
        disk: &mut B,
        context: &Context,
        view: &View,
        key: &[u8],
    ) -> Result<Option<Record>, Error<B::Error>> {
        let mut key = own(key)?;
        loop {
            let mut beyond: Option<Vec<u8>> = None;
            let (mut link, mut level) = (view.top, view.height);
            loop {
                let read;
                let node = match link {
                    Link::Dirty(index) => Node::of(self.page(index)),
                    Link::Disk(ptr) => {
                        read = read_node(disk, context, &ptr, level)?;
                        Node::of(&read)
                    }
                };
                if level == 0 {
                    let index = node.find(&key).unwrap_or_else(|index| index);
                    if index < node.len() {
                        return Ok(Some((own(node.key(index))?, own(node.value(index))?)));
                    }
                    break;
                }
                let child = node.child(&key);
                if child + 1 < node.len() {
                    beyond = Some(own(node.key(child + 1))?);
                }
                link = link_of(context, node.value(child)).ok_or(corrupt(link))?;
                level -= 1;
            }
            match beyond {
                Some(next) if next > key => key = next,
                _ => return Ok(None),
            }
        }
    }

    /// The first key behind the damaged node that keeps [`seek`](Self::seek) from `key`, by the nodes above it; `key` itself where
    /// nothing keeps it, `None` where nothing lies behind.
    pub fn beyond<B: Blocks>(
        &self,
        disk: &mut B,
        context: &Context,
        view: &View,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        let mut key = own(key)?;
        loop {
            let mut beyond: Option<Vec<u8>> = None;
            let (mut link, mut level) = (view.top, view.height);
            loop {
                let read;
                let node = match link {
                    Link::Dirty(index) => Node::of(self.page(index)),
                    Link::Disk(ptr) => match read_node(disk, context, &ptr, level) {
                        Ok(block) => {
                            read = block;
                            Node::of(&read)
                        }
                        Err(Error::Corrupt(_)) => return Ok(beyond),
                        Err(other) => return Err(other),
                    },
                };
                if level == 0 {
                    if node.find(&key).unwrap_or_else(|index| index) < node.len() {
                        return Ok(Some(key));
                    }
                    break;
                }
                let child = node.child(&key);
                if child + 1 < node.len() {
                    beyond = Some(own(node.key(child + 1))?);
                }
                let Some(below) = link_of(context, node.value(child)) else {
                    return Ok(beyond);
                };
                link = below;
                level -= 1;
            }
            match beyond {
                Some(next) if next > key => key = next,
                _ => return Ok(None),
            }
        }
    }

    /// The value of a key.
    pub fn get<B: Blocks>(
        &self,
        disk: &mut B,
        context: &Context,
        view: &View,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        let found = self.seek(disk, context, view, key)?;
        Ok(found.filter(|(at, _)| at == key).map(|(_, value)| value))
    }

    /// Makes every node from the top to a key's leaf a dirty one. Returns them with the child taken in each.
    fn open<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        key: &[u8],
    ) -> Result<Vec<(u32, usize)>, Error<B::Error>> {
        let mut path = Vec::new();
        let mut index = self.dirty_node(disk, context, self.view.top, self.view.height)?;
        self.view.top = Link::Dirty(index);
        for level in (1..=self.view.height).rev() {
            let child = Node::of(self.page(index)).child(key);
            push(&mut path, (index, child))?;
            index = self.dirty_child(disk, context, index, child, level - 1)?;
        }
        push(&mut path, (index, 0))?;
        Ok(path)
    }

    fn dirty_child<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        parent: u32,
        child: usize,
        level: u8,
    ) -> Result<u32, Error<B::Error>> {
        let link = link_of(context, Node::of(self.page(parent)).value(child))
            .ok_or(corrupt(self.view.top))?;
        let index = self.dirty_node(disk, context, link, level)?;
        self.page_mut(parent).replace(child, &dirty_link(index));
        Ok(index)
    }

    fn dirty_node<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        link: Link,
        level: u8,
    ) -> Result<u32, Error<B::Error>> {
        match link {
            Link::Dirty(index) => Ok(index),
            Link::Disk(ptr) => {
                let block = read_node(disk, context, &ptr, level)?;
                push(&mut self.drops, ptr)?;
                self.add(block)
            }
        }
    }

    /// Puts a value under a key, over one that may be there.
    pub fn put<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error<B::Error>> {
        if key.is_empty() || key.len() > KEY_BYTES || value.len() > MAX_VALUE {
            return Err(Error::BadName);
        }
        let mut path = self.open(disk, context, key)?;
        let Some((leaf, _)) = path.pop() else {
            return Ok(());
        };
        let at = match Node::of(self.page(leaf)).find(key) {
            Ok(index) => {
                self.page_mut(leaf).remove(index);
                index
            }
            Err(index) => index,
        };
        let (mut index, mut at) = (leaf, at);
        let (mut key, mut value) = (own(key)?, own(value)?);
        loop {
            if self.page_mut(index).insert(at, &key, &value) {
                return Ok(());
            }
            let (upper, first) = self.split(index)?;
            let target = if key >= first { upper } else { index };
            at = Node::of(self.page(target))
                .find(&key)
                .unwrap_or_else(|at| at);
            self.page_mut(target).insert(at, &key, &value);
            (key, value) = (first, own(&dirty_link(upper))?);
            match path.pop() {
                Some((parent, child)) => (index, at) = (parent, child + 1),
                None => return self.raise(index, &key, &value),
            }
        }
    }

    fn split<E>(&mut self, index: u32) -> Result<(u32, Vec<u8>), Error<E>> {
        let mut block = new_block().ok_or(Error::NoMemory)?;
        self.page_mut(index).split(&mut block);
        let first = own(Node::of(&block).key(0))?;
        Ok((self.add(block)?, first))
    }

    /// A new top above the one that was split.
    fn raise<E>(&mut self, low: u32, key: &[u8], high: &[u8]) -> Result<(), Error<E>> {
        if self.view.height >= MAX_HEIGHT {
            return Err(Error::NoSpace);
        }
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let mut top = NodeMut::start(&mut block, self.view.height + 1);
        top.insert(0, &[], &dirty_link(low));
        top.insert(1, key, high);
        self.view = View {
            top: Link::Dirty(self.add(block)?),
            height: self.view.height + 1,
        };
        Ok(())
    }

    /// Takes a key out. Says whether it was there.
    pub fn remove<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        key: &[u8],
    ) -> Result<bool, Error<B::Error>> {
        let mut path = self.open(disk, context, key)?;
        let Some((leaf, _)) = path.pop() else {
            return Ok(false);
        };
        let Ok(at) = Node::of(self.page(leaf)).find(key) else {
            return Ok(false);
        };
        self.page_mut(leaf).remove(at);
        let mut index = leaf;
        let mut level = 0;
        while let Some((parent, child)) = path.pop() {
            let node = Node::of(self.page(index));
            if node.is_empty() {
                self.discard(index);
                self.unlink(parent, child)?;
            } else if node.used() < SPARSE {
                self.join(disk, context, parent, child, level)?;
            }
            index = parent;
            level += 1;
        }
        self.lower(context)?;
        Ok(true)
    }

    /// Takes a child out of its parent. The first child's bound stays the first bound.
    fn unlink<E>(&mut self, parent: u32, child: usize) -> Result<(), Error<E>> {
        let bound = own(Node::of(self.page(parent)).key(child))?;
        let mut node = self.page_mut(parent);
        node.remove(child);
        if child == 0 && !node.node().is_empty() {
            let next = own(node.node().value(0))?;
            node.remove(0);
            node.insert(0, &bound, &next);
        }
        Ok(())
    }

    /// Makes a sparse node one with a neighbour, if both fit well.
    fn join<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        parent: u32,
        child: usize,
        level: u8,
    ) -> Result<(), Error<B::Error>> {
        let len = Node::of(self.page(parent)).len();
        let left = if child + 1 < len {
            child
        } else if child > 0 {
            child - 1
        } else {
            return Ok(());
        };
        let low = self.dirty_child(disk, context, parent, left, level)?;
        let high = self.dirty_child(disk, context, parent, left + 1, level)?;
        let bytes = Node::of(self.page(low)).used() + Node::of(self.page(high)).used();
        if bytes - NODE_HEADER > JOINED {
            return Ok(());
        }
        let Some(block) = self.arena.get_mut(high as usize).and_then(Option::take) else {
            return Ok(());
        };
        let upper = Node::of(&block);
        let mut lower = self.page_mut(low);
        for index in 0..upper.len() {
            let end = lower.node().len();
            lower.insert(end, upper.key(index), upper.value(index));
        }
        self.discard(high);
        self.unlink(parent, left + 1)
    }

    /// Takes tops away that have one child only, or none.
    fn lower<E>(&mut self, context: &Context) -> Result<(), Error<E>> {
        while let (Link::Dirty(top), true) = (self.view.top, self.view.height > 0) {
            let node = Node::of(self.page(top));
            match node.len() {
                0 => {
                    let mut block = new_block().ok_or(Error::NoMemory)?;
                    NodeMut::start(&mut block, 0);
                    self.discard(top);
                    self.view = View {
                        top: Link::Dirty(self.add(block)?),
                        height: 0,
                    };
                }
                1 => {
                    let link = link_of(context, node.value(0)).ok_or(corrupt(self.view.top))?;
                    self.discard(top);
                    self.view = View {
                        top: link,
                        height: self.view.height - 1,
                    };
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Writes every dirty node, leaves first, and returns the top with the number of blocks written.
    pub fn write<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        space: &mut Space,
    ) -> Result<(Ptr, u64), Error<B::Error>> {
        let mut written: Vec<Option<Ptr>> = Vec::new();
        written
            .try_reserve_exact(self.arena.len())
            .map_err(|_| Error::NoMemory)?;
        written.resize(self.arena.len(), None);
        let mut count = 0;
        for level in 0..=self.view.height {
            for index in 0..self.arena.len() {
                let Some(Some(block)) = self.arena.get_mut(index) else {
                    continue;
                };
                if Node::of(block).level() != level {
                    continue;
                }
                settle(block, &written);
                let lba = space.allocate(disk, context)?;
                let ptr = context.write(
                    disk,
                    (lba, PtrKind::Node),
                    (Seed::TREE, level.into()),
                    block,
                )?;
                if let Some(place) = written.get_mut(index) {
                    *place = Some(ptr);
                }
                count += 1;
            }
        }
        let top = match self.view.top {
            Link::Disk(ptr) => ptr,
            Link::Dirty(index) => written
                .get(index as usize)
                .copied()
                .flatten()
                .ok_or(corrupt(self.view.top))?,
        };
        self.view.top = Link::Disk(top);
        self.arena.clear();
        self.spare.clear();
        Ok((top, count))
    }
}

/// Puts the pointers of written children in the place of links to them.
fn settle(block: &mut [u8], written: &[Option<Ptr>]) {
    let mut node = NodeMut::of(block);
    if node.node().level() == 0 {
        return;
    }
    for child in 0..node.node().len() {
        let ptr = dirty_index(node.node().value(child))
            .and_then(|index| written.get(index as usize).copied().flatten());
        if let Some(ptr) = ptr {
            node.replace(child, &ptr.encode());
        }
    }
}

/// Reads a node and checks all of it.
pub(crate) fn read_node<B: Blocks>(
    disk: &mut B,
    context: &Context,
    ptr: &Ptr,
    level: u8,
) -> Result<Vec<u8>, Error<B::Error>> {
    let mut block = new_block().ok_or(Error::NoMemory)?;
    disk.read(ptr.lba, &mut block).map_err(Error::Disk)?;
    let is_sealed = context.is_sealed(ptr, (Seed::TREE, level.into()), &block);
    if !is_sealed && !sabotage!(VOLUME_IGNORE_SUM) {
        return Err(Error::Corrupt(Place::Node { lba: ptr.lba }));
    }
    let is_sound = Node::check(&block, level).is_ok_and(|node| {
        // A link to the arena never comes from a disk, and an inner node leads somewhere.
        let mut children = 0..node.len();
        level == 0
            || !node.is_empty() && children.all(|child| dirty_index(node.value(child)).is_none())
    });
    if !is_sound {
        return Err(Error::Corrupt(Place::Node { lba: ptr.lba }));
    }
    Ok(block)
}

fn own<E>(bytes: &[u8]) -> Result<Vec<u8>, Error<E>> {
    let mut owned = Vec::new();
    owned
        .try_reserve_exact(bytes.len())
        .map_err(|_| Error::NoMemory)?;
    owned.extend_from_slice(bytes);
    Ok(owned)
}

fn dirty_link(index: u32) -> [u8; PTR_BYTES] {
    let mut bytes = [0xff; PTR_BYTES];
    if let Some(place) = bytes.get_mut(8..12) {
        place.copy_from_slice(&index.to_le_bytes());
    }
    bytes
}

fn dirty_index(bytes: &[u8]) -> Option<u32> {
    let is_dirty = bytes.get(..8) == Some(&[0xff; 8]);
    let index = bytes.get(8..12).filter(|_| is_dirty)?;
    Some(u32::from_le_bytes(index.try_into().ok()?))
}

/// A link in a node. In what was read from a disk there is no dirty one: [`read_node`] sees to it.
fn link_of(context: &Context, bytes: &[u8]) -> Option<Link> {
    match dirty_index(bytes) {
        Some(index) => Some(Link::Dirty(index)),
        None => Ptr::decode(bytes, PtrKind::Node, &context.layout, context.txg).map(Link::Disk),
    }
}

fn corrupt<E>(link: Link) -> Error<E> {
    let lba = match link {
        Link::Disk(ptr) => ptr.lba,
        Link::Dirty(_) => 0,
    };
    Error::Corrupt(Place::Node { lba })
}
