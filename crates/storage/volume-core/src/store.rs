//! Objects by content, and names bound to them.

use alloc::vec::Vec;

use volume_format::{Bind, Inode, Key, Kind, MAX_NAME, Object, Parsed, Stamp, parse};

use crate::tree::View;
use crate::volume::Reserve;
use crate::{Blocks, Error, Place, Volume, new_block};

/// A name of a namespace, and what it is bound to.
pub type Binding = (Vec<u8>, Bind);

/// What a name must be bound to before that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// To nothing.
    Nothing,
    /// The binding of that version.
    Version(u64),
    /// Whatever it is.
    Anything,
}

impl Expect {
    fn check<E>(self, bound: Option<&Bind>) -> Result<(), Error<E>> {
        match (self, bound) {
            (Self::Anything, _) | (Self::Nothing, None) => Ok(()),
            (Self::Nothing, Some(_)) => Err(Error::Exists),
            (Self::Version(_), None) => Err(Error::NotFound),
            (Self::Version(version), Some(bound)) if bound.version == version => Ok(()),
            (Self::Version(_), Some(_)) => Err(Error::Conflict),
        }
    }
}

impl<B: Blocks> Volume<B> {
    /// Puts an object under its content address, which the caller computed: the BLAKE3 of `data`. What is there stays, if all
    /// of it can be read. Says whether it was not there.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NoSpace`]; damage of what is there, which changes nothing.
    pub fn put_object(
        &mut self,
        hash: [u8; 32],
        data: &[u8],
        now: Stamp,
    ) -> Result<bool, Error<B::Error>> {
        self.writable()?;
        match self.object(&self.live(), hash) {
            Ok(id) => {
                self.reads_back(id)?;
                return Ok(false);
            }
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.change(|volume| {
            let key = Key::Object(hash).encode();
            if data.len() as u64 > volume.label.max_file {
                return Err(Error::TooLarge);
            }
            let blocks = (data.len() / volume_format::BLOCK + 2) as u64;
            // All of it is asked for at once: what is refused after the first key would leave an address without its bytes.
            volume.room(blocks, blocks + 4, Reserve::Keep)?;
            let id = volume.new_inode(Kind::Object, 0, now)?;
            volume.put(key.as_bytes(), &Object { id }.encode())?;
            let inode = volume.stat(&volume.live(), id)?;
            volume.fill(id, inode, 0, data, now)?;
            Ok(true)
        })
    }

    /// Reads all of an object.
    fn reads_back(&mut self, id: u64) -> Result<(), Error<B::Error>> {
        let view = self.live();
        let size = self.stat(&view, id)?.size;
        let mut block = new_block().ok_or(Error::NoMemory)?;
        let mut at = 0;
        while at < size {
            match self.read(&view, id, at, &mut block)? {
                0 => return Err(Error::Corrupt(Place::Item { id })),
                bytes => at += bytes as u64,
            }
        }
        Ok(())
    }

    /// The inode that holds an object's bytes, for [`stat`](Self::stat) and [`read`](Self::read).
    ///
    /// # Errors
    /// [`Error::NotFound`]; damage.
    pub fn object(&mut self, view: &View, hash: [u8; 32]) -> Result<u64, Error<B::Error>> {
        let value = self
            .get(view, Key::Object(hash).encode().as_bytes())?
            .ok_or(Error::NotFound)?;
        let object = Object::decode(&value).ok_or(Error::Corrupt(Place::Item { id: 0 }))?;
        Ok(object.id)
    }

    /// The first object after the one with that address, the first at all without one.
    ///
    /// # Errors
    /// Damage; the disk's.
    pub fn next_object(
        &mut self,
        view: &View,
        after: Option<[u8; 32]>,
    ) -> Result<Option<[u8; 32]>, Error<B::Error>> {
        let key = Key::Object(after.unwrap_or_default()).encode();
        let found = match after {
            None => self.seek(view, key.as_bytes())?,
            Some(_) => self.seek(view, &behind(key.as_bytes())?)?,
        };
        Ok(found.and_then(|(key, _)| match parse(&key) {
            Some(Parsed::Object(hash)) => Some(hash),
            _ => None,
        }))
    }

    /// The first namespace after that one with a name in it.
    ///
    /// # Errors
    /// Damage; the disk's.
    pub fn next_namespace(
        &mut self,
        view: &View,
        after: u64,
    ) -> Result<Option<u64>, Error<B::Error>> {
        let Some(from) = after.checked_add(1) else {
            return Ok(None);
        };
        let found = self.seek(view, Key::Bind(from, &[]).encode().as_bytes())?;
        Ok(found.and_then(|(key, _)| match parse(&key) {
            Some(Parsed::Bind(space, _)) => Some(space),
            _ => None,
        }))
    }

    /// Deletes an object that no name is bound to. Works on a full volume.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Bound`]; damage.
    pub fn delete_object(&mut self, hash: [u8; 32], now: Stamp) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let id = volume.object(&volume.live(), hash)?;
            let names = volume.stat(&volume.live(), id)?.parent;
            if names != 0 && !sabotage::sabotage!(VOLUME_DELETE_BOUND) {
                return Err(Error::Bound);
            }
            volume.relieve(4, now)?;
            volume.remove_key(Key::Object(hash).encode().as_bytes())?;
            volume.orphan(id)
        })?;
        self.reap(now)
    }

    /// Binds a name of a namespace to an object that is there, and returns the binding's version, which no other binding of
    /// the volume has had, nor any that was lost with its group. Now and then it commits what was changed before.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the object, or for a name that is not bound, [`Error::BadName`], [`Error::Exists`] and
    /// [`Error::Conflict`] where something else is bound than is expected, [`Error::NoSpace`].
    pub fn bind(
        &mut self,
        space: u64,
        name: &[u8],
        hash: [u8; 32],
        expect: Expect,
        now: Stamp,
    ) -> Result<u64, Error<B::Error>> {
        self.change(|volume| {
            if !(1..=MAX_NAME).contains(&name.len()) {
                return Err(Error::BadName);
            }
            let view = volume.live();
            let id = volume.object(&view, hash)?;
            let bound = volume.bound(&view, space, name)?;
            expect.check(bound.as_ref())?;
            volume.room(0, 4, Reserve::Keep)?;
            let version = volume.new_version(now)?;
            match bound {
                Some(bound) if bound.hash == hash => {}
                Some(bound) => {
                    volume.unbound(space, &bound)?;
                    volume.counted(id)?;
                }
                None => volume.counted(id)?,
            }
            let key = Key::Bind(space, name).encode();
            volume.put(key.as_bytes(), &Bind { hash, version }.encode())?;
            Ok(version)
        })
    }

    /// A number for a binding. It is told before its group is durable, so the last durable root has to keep it already:
    /// otherwise the next mount would give it once more after a loss, and who expects it would change somebody else's binding.
    fn new_version(&mut self, now: Stamp) -> Result<u64, Error<B::Error>> {
        self.binds = true;
        let version = self.next_id;
        let next = version.checked_add(1).ok_or(Error::NoSpace)?;
        if next > self.kept_ids() && !sabotage::sabotage!(VOLUME_KEEP_NO_NUMBERS) {
            self.commit_anyway(now)?;
            // Of what the commit freed nothing can be used yet, and it took some itself.
            self.room(0, 4, Reserve::Keep)?;
        }
        self.next_id = next;
        Ok(version)
    }

    /// Takes a name away. Works on a full volume.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Exists`] and [`Error::Conflict`] as [`bind`](Self::bind); damage.
    pub fn unbind(
        &mut self,
        space: u64,
        name: &[u8],
        expect: Expect,
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let bound = volume.resolve(&volume.live(), space, name)?;
            expect.check(Some(&bound))?;
            volume.relieve(3, now)?;
            volume.remove_key(Key::Bind(space, name).encode().as_bytes())?;
            volume.unbound(space, &bound)
        })
    }

    /// Counts one more name that leads to an object.
    fn counted(&mut self, id: u64) -> Result<(), Error<B::Error>> {
        let inode = self.stat(&self.live(), id)?;
        let names = inode.parent.checked_add(1);
        let parent = names.ok_or(Error::Corrupt(Place::Item { id }))?;
        self.set_inode(id, &Inode { parent, ..inode })
    }

    /// Counts one less.
    fn unbound(&mut self, space: u64, bound: &Bind) -> Result<(), Error<B::Error>> {
        let damaged = Error::Corrupt(Place::Item { id: space });
        let id = match self.object(&self.live(), bound.hash) {
            Err(Error::NotFound) => return Err(damaged),
            found => found?,
        };
        let inode = self.stat(&self.live(), id)?;
        let parent = inode.parent.checked_sub(1).ok_or(damaged)?;
        self.set_inode(id, &Inode { parent, ..inode })
    }

    fn bound(
        &mut self,
        view: &View,
        space: u64,
        name: &[u8],
    ) -> Result<Option<Bind>, Error<B::Error>> {
        match self.resolve(view, space, name) {
            Ok(bound) => Ok(Some(bound)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a name of a namespace is bound to.
    ///
    /// # Errors
    /// [`Error::NotFound`]; damage.
    pub fn resolve(
        &mut self,
        view: &View,
        space: u64,
        name: &[u8],
    ) -> Result<Bind, Error<B::Error>> {
        if !(1..=MAX_NAME).contains(&name.len()) {
            return Err(Error::BadName);
        }
        let value = self
            .get(view, Key::Bind(space, name).encode().as_bytes())?
            .ok_or(Error::NotFound)?;
        Bind::decode(&value).ok_or(Error::Corrupt(Place::Item { id: space }))
    }

    /// The first name of a namespace after `after`, in the order of bytes; the first at all after an empty one.
    ///
    /// # Errors
    /// Damage; the disk's.
    pub fn next_bind(
        &mut self,
        view: &View,
        space: u64,
        after: &[u8],
    ) -> Result<Option<Binding>, Error<B::Error>> {
        let from = behind(Key::Bind(space, after).encode().as_bytes())?;
        let Some((key, value)) = self.seek(view, &from)? else {
            return Ok(None);
        };
        match parse(&key) {
            Some(Parsed::Bind(of, name)) if of == space => {
                let damaged = Error::Corrupt(Place::Item { id: space });
                let bind = Bind::decode(&value).ok_or(damaged)?;
                Ok(Some((copied(name, 0)?, bind)))
            }
            _ => Ok(None),
        }
    }
}

/// The first key behind another one.
fn behind<E>(key: &[u8]) -> Result<Vec<u8>, Error<E>> {
    let mut from = copied(key, 1)?;
    from.push(0);
    Ok(from)
}

/// A copy, with room for `more` bytes.
fn copied<E>(bytes: &[u8], more: usize) -> Result<Vec<u8>, Error<E>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len() + more)
        .map_err(|_| Error::NoMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
