//! Snapshots: the tree as a root had it, kept by not freeing what it reaches.

use volume_format::{Key, Parsed, Snap, Stamp, parse};

use crate::tree::{Link, View};
use crate::volume::Reserve;
use crate::{Blocks, Durability, Error, Place, Volume};

impl<B: Blocks> Volume<B> {
    /// Commits what is open and keeps the volume as it is then. Returns the snapshot's number.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; the disk's.
    pub fn create_snapshot(&mut self, now: Stamp) -> Result<u64, Error<B::Error>> {
        self.commit(Durability::Checkpoint, now)?;
        self.change(|volume| {
            let root = volume.root.ok_or(Error::NotFound)?;
            volume.room(0, 1, Reserve::Keep)?;
            let snap = Snap {
                tree: root.tree,
                height: root.height,
                created: now,
            };
            volume.snapshot = root.txg;
            volume.put(Key::Snap(root.txg).encode().as_bytes(), &snap.encode())?;
            Ok(root.txg)
        })
    }

    fn snap(&mut self, txg: u64) -> Result<Snap, Error<B::Error>> {
        let value = self
            .get(&self.live(), Key::Snap(txg).encode().as_bytes())?
            .ok_or(Error::NotFound)?;
        Snap::decode(&value, &self.context.layout, txg)
            .ok_or(Error::Corrupt(Place::Item { id: txg }))
    }

    /// When a snapshot was made.
    ///
    /// # Errors
    /// [`Error::NotFound`]; damage.
    pub fn snapshot_made(&mut self, txg: u64) -> Result<Stamp, Error<B::Error>> {
        Ok(self.snap(txg)?.created)
    }

    /// A snapshot's tree.
    ///
    /// # Errors
    /// [`Error::NotFound`]; damage.
    pub fn snapshot(&mut self, txg: u64) -> Result<View, Error<B::Error>> {
        let snap = self.snap(txg)?;
        Ok(View {
            top: Link::Disk(snap.tree),
            height: snap.height,
        })
    }

    /// The first snapshot after `after`.
    ///
    /// # Errors
    /// Damage.
    pub fn next_snapshot(&mut self, after: u64) -> Result<Option<u64>, Error<B::Error>> {
        let from = Key::Snap(after.saturating_add(1)).encode();
        let found = self.seek(&self.live(), from.as_bytes())?;
        Ok(found.and_then(|(key, _)| match parse(&key) {
            Some(Parsed::Snap(txg)) => Some(txg),
            _ => None,
        }))
    }

    /// Deletes a snapshot and frees what only it reached.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoSpace`]; damage.
    pub fn delete_snapshot(&mut self, txg: u64, now: Stamp) -> Result<(), Error<B::Error>> {
        self.commit(Durability::Checkpoint, now)?;
        self.change(|volume| {
            volume.snapshot(txg)?;
            volume.room(0, 4, Reserve::Use)?;
            let (mut earlier, mut at) = (0, 0);
            while let Some(other) = volume.next_snapshot(at)?.filter(|other| *other < txg) {
                (earlier, at) = (other, other);
            }
            volume.remove_key(Key::Snap(txg).encode().as_bytes())?;
            if volume.snapshot == txg {
                volume.snapshot = earlier;
            }
            volume.free_dead(txg, earlier)
        })
    }

    /// Goes through the blocks dropped while `txg` was the newest snapshot: the one before holds what is as old as it.
    fn free_dead(&mut self, txg: u64, earlier: u64) -> Result<(), Error<B::Error>> {
        loop {
            let from = Key::Dead(txg, 0).encode();
            let Some((key, value)) = self.seek(&self.live(), from.as_bytes())? else {
                return Ok(());
            };
            let Some(Parsed::Dead(of, lba)) = parse(&key).filter(|_| value.len() == 8) else {
                return Ok(());
            };
            if of != txg {
                return Ok(());
            }
            let birth = u64::from_le_bytes(value.as_slice().try_into().unwrap_or([0; 8]));
            self.remove_key(&key)?;
            if birth > earlier {
                self.space
                    .release(&mut self.disk, &self.context, lba, birth)?;
                self.dead = self.dead.saturating_sub(1);
            } else {
                self.put(Key::Dead(earlier, lba).encode().as_bytes(), &value)?;
            }
        }
    }
}
