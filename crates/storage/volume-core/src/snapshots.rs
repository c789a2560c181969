//! Snapshots: the tree as a root had it, kept by not freeing what it reaches.

use volume_format::{Key, Parsed, Snap, Stamp, parse};

use crate::tree::{Link, View};
use crate::volume::Reserve;
use crate::{Blocks, Durability, Error, Place, Volume};

/// Keys that one change touches while blocks are freed.
const PIECE: u64 = 64;
/// The same on a volume that has room for little more.
const SMALL_PIECE: u64 = 8;
/// Changes of one call of [`Volume::free_gone`].
const PIECES: u32 = 16;
/// Nodes of a group after which it is committed.
const DIRTY: u64 = 64;

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

    /// Deletes a snapshot and frees what only it reached, some at a time.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoSpace`]; damage.
    pub fn delete_snapshot(&mut self, txg: u64, now: Stamp) -> Result<(), Error<B::Error>> {
        self.let_go(txg, now)?;
        while self.free_gone(now)? {}
        Ok(())
    }

    /// Lets a snapshot go: it is there no more, and [`free_gone`](Self::free_gone) frees what only it reached.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoSpace`]; damage.
    pub fn let_go(&mut self, txg: u64, now: Stamp) -> Result<(), Error<B::Error>> {
        self.commit(Durability::Checkpoint, now)?;
        self.change(|volume| {
            volume.snapshot(txg)?;
            volume.room(0, 4, Reserve::Use)?;
            let earlier = volume.before_snapshot(txg)?;
            volume.remove_key(Key::Snap(txg).encode().as_bytes())?;
            volume.put(Key::Gone(txg).encode().as_bytes(), &[])?;
            // What is dropped from now on, younger than the one before, nobody holds.
            if volume.snapshot == txg {
                volume.snapshot = earlier;
            }
            Ok(())
        })
    }

    /// The newest snapshot older than `txg`, 0 where there is none.
    fn before_snapshot(&mut self, txg: u64) -> Result<u64, Error<B::Error>> {
        let (mut earlier, mut at) = (0, 0);
        while let Some(other) = self.next_snapshot(at)?.filter(|other| *other < txg) {
            (earlier, at) = (other, other);
        }
        Ok(earlier)
    }

    /// Goes through some of the blocks that snapshots which were let go held; says whether there may be more. The group is
    /// committed when it has become long: what was freed so far stays free, whatever comes.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; damage; the disk's.
    pub fn free_gone(&mut self, now: Stamp) -> Result<bool, Error<B::Error>> {
        for _ in 0..PIECES {
            let more = self.change(|volume| {
                let found = volume.seek(&volume.live(), Key::Gone(0).encode().as_bytes())?;
                let Some((key, _)) = found else {
                    return Ok(false);
                };
                let Some(Parsed::Gone(txg)) = parse(&key) else {
                    return Ok(false);
                };
                let keys = match volume.room(0, PIECE, Reserve::Use) {
                    Ok(()) => PIECE,
                    Err(_) => SMALL_PIECE,
                };
                volume.relieve(keys, now)?;
                if volume.free_dead(txg, keys / 2)? {
                    volume.remove_key(&key)?;
                }
                Ok(true)
            })?;
            if !more {
                return Ok(false);
            }
            if self.tree.dirty() >= DIRTY {
                self.commit(Durability::Checkpoint, now)?;
            }
        }
        Ok(true)
    }

    /// Goes through some of the blocks dropped while `txg` was the newest snapshot: the newest one before it holds what is as
    /// old as that. Says whether those were all.
    fn free_dead(&mut self, txg: u64, count: u64) -> Result<bool, Error<B::Error>> {
        let earlier = self.before_snapshot(txg)?;
        for _ in 0..count {
            let from = Key::Dead(txg, 0).encode();
            let Some((key, value)) = self.seek(&self.live(), from.as_bytes())? else {
                return Ok(true);
            };
            let Some(Parsed::Dead(of, lba)) = parse(&key).filter(|_| value.len() == 8) else {
                return Ok(true);
            };
            if of != txg {
                return Ok(true);
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
        Ok(false)
    }
}
