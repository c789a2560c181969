//! Directories and files.

use alloc::vec::Vec;

use volume_format::{BLOCK, Inode, Key, Kind, MAX_NAME, Named, Parsed, Ptr, PtrKind, Stamp, parse};

use crate::tree::View;
use crate::volume::Reserve;
use crate::{Blocks, Durability, Error, Place, Volume, new_block};

/// The number of the root directory.
pub const ROOT_DIR: u64 = 1;
/// A name and what it leads to.
pub type Entry = (Vec<u8>, Named);
/// Blocks of a file that one step takes away.
const STEP: u64 = 512;
/// Directories above one another.
const MAX_DEPTH: usize = 4096;

impl<B: Blocks> Volume<B> {
    /// What an inode says.
    ///
    /// # Errors
    /// [`Error::NotFound`]; damage.
    pub fn stat(&mut self, view: &View, id: u64) -> Result<Inode, Error<B::Error>> {
        let value = self
            .get(view, Key::Inode(id).encode().as_bytes())?
            .ok_or(Error::NotFound)?;
        Inode::decode(&value).ok_or(Error::Corrupt(Place::Item { id }))
    }

    pub(crate) fn set_inode(&mut self, id: u64, inode: &Inode) -> Result<(), Error<B::Error>> {
        self.put(Key::Inode(id).encode().as_bytes(), &inode.encode())
    }

    fn directory(&mut self, view: &View, id: u64) -> Result<Inode, Error<B::Error>> {
        let inode = self.stat(view, id)?;
        if inode.kind != Kind::Dir {
            return Err(Error::WrongKind);
        }
        Ok(inode)
    }

    /// What a name of a directory leads to.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongKind`]; damage.
    pub fn lookup(&mut self, view: &View, dir: u64, name: &[u8]) -> Result<Named, Error<B::Error>> {
        check_name(name)?;
        self.directory(view, dir)?;
        let value = self
            .get(view, Key::Name(dir, name).encode().as_bytes())?
            .ok_or(Error::NotFound)?;
        Named::decode(&value).ok_or(Error::Corrupt(Place::Item { id: dir }))
    }

    fn must_be_free(&mut self, dir: u64, name: &[u8]) -> Result<(), Error<B::Error>> {
        let view = self.live();
        match self.lookup(&view, dir, name) {
            Ok(_) => Err(Error::Exists),
            Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first name after `after`, in the order of bytes; the first at all after an empty one.
    ///
    /// # Errors
    /// [`Error::WrongKind`]; damage.
    pub fn next_name(
        &mut self,
        view: &View,
        dir: u64,
        after: &[u8],
    ) -> Result<Option<Entry>, Error<B::Error>> {
        let prefix = Key::Name(dir, after).encode();
        let mut from = Vec::new();
        from.try_reserve_exact(prefix.as_bytes().len() + 1)
            .map_err(|_| Error::NoMemory)?;
        from.extend_from_slice(prefix.as_bytes());
        from.push(0);
        let Some((key, value)) = self.seek(view, &from)? else {
            return Ok(None);
        };
        match parse(&key) {
            Some(Parsed::Name(of, name)) if of == dir => {
                let named = Named::decode(&value).ok_or(Error::Corrupt(Place::Item { id: dir }))?;
                let mut owned = Vec::new();
                owned
                    .try_reserve_exact(name.len())
                    .map_err(|_| Error::NoMemory)?;
                owned.extend_from_slice(name);
                Ok(Some((owned, named)))
            }
            _ => Ok(None),
        }
    }

    /// Makes a file or a directory and returns its number.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::BadName`], [`Error::NotFound`] for the directory, [`Error::NoSpace`].
    pub fn create(
        &mut self,
        dir: u64,
        name: &[u8],
        kind: Kind,
        now: Stamp,
    ) -> Result<u64, Error<B::Error>> {
        self.change(|volume| {
            volume.must_be_free(dir, name)?;
            if kind == Kind::Object {
                return Err(Error::WrongKind);
            }
            volume.room(0, 3, Reserve::Keep)?;
            let id = volume.new_inode(kind, dir, now)?;
            volume.name(dir, name, Named { id, kind }, now)?;
            Ok(id)
        })
    }

    pub(crate) fn new_inode(
        &mut self,
        kind: Kind,
        parent: u64,
        now: Stamp,
    ) -> Result<u64, Error<B::Error>> {
        let id = self.next_id;
        self.next_id = id.checked_add(1).ok_or(Error::NoSpace)?;
        let inode = Inode {
            kind,
            size: 0,
            parent,
            created: now,
            modified: now,
        };
        self.set_inode(id, &inode)?;
        Ok(id)
    }

    fn name(
        &mut self,
        dir: u64,
        name: &[u8],
        named: Named,
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        self.put(Key::Name(dir, name).encode().as_bytes(), &named.encode())?;
        let mut above = self.directory(&self.live(), dir)?;
        above.size += 1;
        above.modified = now;
        self.set_inode(dir, &above)
    }

    fn unname(&mut self, dir: u64, name: &[u8], now: Stamp) -> Result<(), Error<B::Error>> {
        self.remove_key(Key::Name(dir, name).encode().as_bytes())?;
        let mut above = self.directory(&self.live(), dir)?;
        above.size = above
            .size
            .checked_sub(1)
            .ok_or(Error::Corrupt(Place::Item { id: dir }))?;
        above.modified = now;
        self.set_inode(dir, &above)
    }

    /// Takes a name away, with the file or the empty directory that it names. Works on a full volume.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotEmpty`]; damage.
    pub fn remove(&mut self, dir: u64, name: &[u8], now: Stamp) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let view = volume.live();
            let named = volume.lookup(&view, dir, name)?;
            if named.kind == Kind::Dir && volume.next_name(&view, named.id, &[])?.is_some() {
                return Err(Error::NotEmpty);
            }
            volume.relieve(4, now)?;
            volume.unname(dir, name, now)?;
            if named.kind == Kind::Dir {
                volume.remove_key(Key::Inode(named.id).encode().as_bytes())?;
                return Ok(());
            }
            volume.orphan(named.id)
        })?;
        self.reap(now)
    }

    /// Notes that an inode has no name any more, and its blocks are to go.
    pub(crate) fn orphan(&mut self, id: u64) -> Result<(), Error<B::Error>> {
        let mut inode = self.stat(&self.live(), id)?;
        inode.parent = 0;
        self.set_inode(id, &inode)?;
        self.put(Key::Orphan(id).encode().as_bytes(), &[])
    }

    /// Takes the blocks of what has no name any more, some at a time.
    ///
    /// # Errors
    /// Damage; the disk's.
    pub fn reap(&mut self, now: Stamp) -> Result<(), Error<B::Error>> {
        loop {
            let done = self.change(|volume| {
                let view = volume.live();
                let found = volume.seek(&view, Key::Orphan(0).encode().as_bytes())?;
                let Some((key, _)) = found else {
                    return Ok(true);
                };
                let Some(Parsed::Orphan(id)) = parse(&key) else {
                    return Ok(true);
                };
                volume.relieve(4, now)?;
                if volume.drop_extents(id, 0, STEP)? == STEP {
                    return Ok(false);
                }
                volume.remove_key(Key::Inode(id).encode().as_bytes())?;
                volume.remove_key(&key)?;
                Ok(false)
            })?;
            if done {
                return Ok(());
            }
            if self.tree.drops.len() as u64 >= STEP {
                self.commit(Durability::Checkpoint, now)?;
            }
        }
    }

    /// Makes room for a change that frees: twice a commit, if need be, so that what was freed can be used.
    pub(crate) fn relieve(&mut self, keys: u64, now: Stamp) -> Result<(), Error<B::Error>> {
        for _ in 0..2 {
            if self.room(0, keys, Reserve::Use).is_ok() {
                return Ok(());
            }
            self.commit_anyway(now)?;
        }
        self.room(0, keys, Reserve::Use)
    }

    /// Drops at most `limit` blocks of a file from block `from` on; says how many.
    fn drop_extents(&mut self, id: u64, from: u64, limit: u64) -> Result<u64, Error<B::Error>> {
        for count in 0..limit {
            let found = self.seek(&self.live(), Key::Extent(id, from).encode().as_bytes())?;
            let Some((key, value)) = found else {
                return Ok(count);
            };
            match parse(&key) {
                Some(Parsed::Extent(of, _)) if of == id => {}
                _ => return Ok(count),
            }
            let ptr = self.data_ptr(id, &value)?;
            self.drop_block(&ptr)?;
            self.remove_key(&key)?;
        }
        Ok(limit)
    }

    fn data_ptr(&self, id: u64, value: &[u8]) -> Result<Ptr, Error<B::Error>> {
        let (layout, newest) = (&self.context.layout, self.context.txg);
        Ptr::decode(value, PtrKind::Data, layout, newest).ok_or(Error::Corrupt(Place::Item { id }))
    }

    /// Gives a name of one directory another name, in the same directory or another one. The new name must be free.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::Loop`] for a directory that would lie below itself.
    pub fn rename(
        &mut self,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let named = volume.lookup(&volume.live(), from.0, from.1)?;
            volume.must_be_free(to.0, to.1)?;
            if named.kind == Kind::Dir {
                volume.must_not_be_above(named.id, to.0)?;
            }
            volume.room(0, 6, Reserve::Keep)?;
            volume.unname(from.0, from.1, now)?;
            volume.name(to.0, to.1, named, now)?;
            let mut inode = volume.stat(&volume.live(), named.id)?;
            inode.parent = to.0;
            volume.set_inode(named.id, &inode)
        })
    }

    fn must_not_be_above(&mut self, id: u64, mut below: u64) -> Result<(), Error<B::Error>> {
        for _ in 0..MAX_DEPTH {
            if below == id {
                return Err(Error::Loop);
            }
            if below == ROOT_DIR {
                return Ok(());
            }
            below = self.directory(&self.live(), below)?.parent;
        }
        Err(Error::Loop)
    }

    /// Reads bytes of a file or an object; says how many there were. What was never written reads as zero.
    ///
    /// # Errors
    /// [`Error::WrongKind`]; damage, with the file's block.
    pub fn read(
        &mut self,
        view: &View,
        id: u64,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Error<B::Error>> {
        let inode = self.stat(view, id)?;
        if inode.kind == Kind::Dir {
            return Err(Error::WrongKind);
        }
        let there = usize::try_from(inode.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = there.min(buf.len());
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (position, skip) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let piece = (BLOCK - skip).min(len - done);
            self.load(view, id, position, &mut block)?;
            if let (Some(to), Some(from)) = (
                buf.get_mut(done..done + piece),
                block.get(skip..skip + piece),
            ) {
                to.copy_from_slice(from);
            }
            done += piece;
        }
        Ok(len)
    }

    /// Fills `block` with a block of a file, and returns the pointer to it.
    fn load(
        &mut self,
        view: &View,
        id: u64,
        position: u64,
        block: &mut [u8],
    ) -> Result<Option<Ptr>, Error<B::Error>> {
        let key = Key::Extent(id, position).encode();
        let Some(value) = self.get(view, key.as_bytes())? else {
            block.fill(0);
            return Ok(None);
        };
        let ptr = self.data_ptr(id, &value)?;
        self.read_data(&ptr, id, position, block)?;
        Ok(Some(ptr))
    }

    /// Writes bytes of a file, which grows as needed.
    ///
    /// # Errors
    /// [`Error::WrongKind`], [`Error::TooLarge`], [`Error::NoSpace`]: nothing was written then.
    pub fn write(
        &mut self,
        id: u64,
        offset: u64,
        data: &[u8],
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let inode = volume.stat(&volume.live(), id)?;
            if inode.kind != Kind::File {
                return Err(Error::WrongKind);
            }
            volume.write_bytes(id, inode, offset, data, now)
        })
    }

    fn write_bytes(
        &mut self,
        id: u64,
        inode: Inode,
        offset: u64,
        data: &[u8],
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        let max_file = self.label.max_file;
        offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= max_file)
            .ok_or(Error::TooLarge)?;
        let blocks = (data.len() / BLOCK + 2) as u64;
        self.room(blocks, blocks + 1, Reserve::Keep)?;
        self.fill(id, inode, offset, data, now)
    }

    /// Writes bytes for which the caller has asked whether they fit.
    pub(crate) fn fill(
        &mut self,
        id: u64,
        mut inode: Inode,
        offset: u64,
        data: &[u8],
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (position, skip) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let piece = (BLOCK - skip).min(data.len() - done);
            let key = Key::Extent(id, position).encode();
            let old = if piece == BLOCK {
                let value = self.get(&self.live(), key.as_bytes())?;
                value.map(|value| self.data_ptr(id, &value)).transpose()?
            } else {
                self.load(&self.live(), id, position, &mut block)?
            };
            if let (Some(to), Some(from)) = (
                block.get_mut(skip..skip + piece),
                data.get(done..done + piece),
            ) {
                to.copy_from_slice(from);
            }
            self.store(id, position, old, &block)?;
            done += piece;
        }
        inode.size = inode.size.max(offset.saturating_add(data.len() as u64));
        inode.modified = now;
        self.set_inode(id, &inode)
    }

    fn store(
        &mut self,
        id: u64,
        position: u64,
        old: Option<Ptr>,
        block: &[u8],
    ) -> Result<(), Error<B::Error>> {
        let ptr = self.write_data(id, position, block)?;
        if let Some(old) = old {
            self.drop_block(&old)?;
        }
        self.put(Key::Extent(id, position).encode().as_bytes(), &ptr.encode())
    }

    /// Cuts a file or lets it grow by zeroes.
    ///
    /// # Errors
    /// [`Error::WrongKind`], [`Error::TooLarge`], [`Error::NoSpace`].
    pub fn truncate(&mut self, id: u64, size: u64, now: Stamp) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let mut inode = volume.stat(&volume.live(), id)?;
            if inode.kind != Kind::File {
                return Err(Error::WrongKind);
            }
            if size > volume.label.max_file {
                return Err(Error::TooLarge);
            }
            volume.relieve(3, now)?;
            if size < inode.size {
                volume.cut(id, size)?;
            }
            inode.size = size;
            inode.modified = now;
            volume.set_inode(id, &inode)
        })
    }

    /// Drops what lies beyond a file's new end, and zeroes the rest of its last block.
    fn cut(&mut self, id: u64, size: u64) -> Result<(), Error<B::Error>> {
        let (whole, rest) = (size / BLOCK as u64, (size % BLOCK as u64) as usize);
        self.drop_extents(id, size.div_ceil(BLOCK as u64), u64::MAX)?;
        if rest == 0 {
            return Ok(());
        }
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let Some(old) = self.load(&self.live(), id, whole, &mut block)? else {
            return Ok(());
        };
        if let Some(tail) = block.get_mut(rest..) {
            tail.fill(0);
        }
        self.store(id, whole, Some(old), &block)
    }
}

fn check_name<E>(name: &[u8]) -> Result<(), Error<E>> {
    let is_sound = (1..=MAX_NAME).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if is_sound {
        Ok(())
    } else {
        Err(Error::BadName)
    }
}
