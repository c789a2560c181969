//! Objects by content, and names bound to them.

use volume_format::{Bind, Key, Kind, MAX_NAME, Object, Stamp};

use crate::tree::View;
use crate::volume::Reserve;
use crate::{Blocks, Error, Place, Volume};

impl<B: Blocks> Volume<B> {
    /// Puts an object under its content address, which the caller computed: the BLAKE3 of `data`. What is there stays.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::NoSpace`].
    pub fn put_object(
        &mut self,
        hash: [u8; 32],
        data: &[u8],
        now: Stamp,
    ) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let key = Key::Object(hash).encode();
            if volume.get(&volume.live(), key.as_bytes())?.is_some() {
                return Ok(());
            }
            if data.len() as u64 > volume.label.max_file {
                return Err(Error::TooLarge);
            }
            let blocks = (data.len() / volume_format::BLOCK + 2) as u64;
            volume.room(blocks, blocks + 4, Reserve::Keep)?;
            let id = volume.new_inode(Kind::Object, 0, now)?;
            volume.put(key.as_bytes(), &Object { id }.encode())?;
            let inode = volume.stat(&volume.live(), id)?;
            volume.write_bytes(id, inode, 0, data, now)
        })
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

    /// Deletes an object.
    ///
    /// # Errors
    /// [`Error::NotFound`]; damage.
    pub fn delete_object(&mut self, hash: [u8; 32], now: Stamp) -> Result<(), Error<B::Error>> {
        self.change(|volume| {
            let id = volume.object(&volume.live(), hash)?;
            volume.room(0, 4, Reserve::Use)?;
            volume.remove_key(Key::Object(hash).encode().as_bytes())?;
            volume.orphan(id)
        })?;
        self.reap(now)
    }

    /// Binds a name of a namespace to an object that is there, and returns the binding's version.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the object, [`Error::BadName`], [`Error::NoSpace`].
    pub fn bind(
        &mut self,
        space: u64,
        name: &[u8],
        hash: [u8; 32],
    ) -> Result<u64, Error<B::Error>> {
        self.change(|volume| {
            if !(1..=MAX_NAME).contains(&name.len()) {
                return Err(Error::BadName);
            }
            volume.object(&volume.live(), hash)?;
            let version = match volume.resolve(&volume.live(), space, name) {
                Ok(bind) => bind.version + 1,
                Err(Error::NotFound) => 1,
                Err(error) => return Err(error),
            };
            volume.room(0, 1, Reserve::Keep)?;
            let key = Key::Bind(space, name).encode();
            volume.put(key.as_bytes(), &Bind { hash, version }.encode())?;
            Ok(version)
        })
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
        let value = self
            .get(view, Key::Bind(space, name).encode().as_bytes())?
            .ok_or(Error::NotFound)?;
        Bind::decode(&value).ok_or(Error::Corrupt(Place::Item { id: space }))
    }
}
