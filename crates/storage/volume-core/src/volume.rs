//! A mounted volume: the open group, its commit, and what undoes it.

use alloc::vec::Vec;

use volume_format::{Label, Layout, Ptr, PtrKind, Root, Seed, Stamp};

use crate::commit::{Txg, Written};
use crate::space::{Context, Space};
use crate::tree::{Record, Tree, View};
use crate::{Access, Blocks, Durability, Error, Place, push};

/// What a volume's blocks are used for, to the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// All that can be allocated.
    pub capacity: u64,
    /// Free, as the last root counts them.
    pub free: u64,
    /// Of the free ones, those that the group before the last still reaches: free after two more commits.
    pub held: u64,
    /// Of the free ones, those kept back so that things can be deleted.
    pub reserved: u64,
    /// Of those in use, the ones that only snapshots hold.
    pub snapshots: u64,
}

/// Who may use the blocks that are kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    Keep,
    Use,
}

/// Numbers that a root keeps for bindings, beyond those that are taken.
pub(crate) const AHEAD: u64 = 1024;

/// A mounted volume. Changes collect in the open transaction group, which [`commit`](Self::commit) makes durable as a
/// whole and [`roll_back`](Self::roll_back) drops as a whole.
#[derive(Debug)]
pub struct Volume<B: Blocks> {
    pub(crate) disk: B,
    pub(crate) label: Label,
    pub(crate) access: Access,
    pub(crate) root: Option<Root>,
    pub(crate) root_sum: u64,
    /// The space tree of the root before the last.
    pub(crate) before: Option<Ptr>,
    pub(crate) tree: Tree,
    pub(crate) space: Space,
    pub(crate) context: Context,
    pub(crate) next_id: u64,
    /// Names were bound: roots keep numbers for more.
    pub(crate) binds: bool,
    pub(crate) snapshot: u64,
    pub(crate) dead: u64,
    /// Blocks of data that the open group wrote.
    pub(crate) data: u64,
    pub(crate) is_changed: bool,
    /// The last group that [`reclaim`](Self::reclaim) made.
    pub(crate) reclaimed: u64,
    /// The block that roots are made in.
    pub(crate) scratch: Vec<u8>,
}

impl<B: Blocks> Volume<B> {
    /// The label.
    #[must_use]
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Blocks kept back for deletions: 1 % and 32 more.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        let layout: &Layout = &self.label.layout;
        layout.capacity(0, layout.regions()) / 100 + 32
    }

    /// What the last root uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let layout = &self.label.layout;
        Usage {
            capacity: layout.capacity(0, layout.regions()),
            free: self.root.map_or(0, |root| root.free),
            held: self.root.map_or(0, |root| root.freed),
            reserved: self.reserved(),
            snapshots: self.root.map_or(0, |root| root.dead),
        }
    }

    /// Whether it can be written: it was opened so, and no write has failed since.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Blocks that the open group has changed so far, and keeps in memory or has handed over.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.tree.dirty() + self.data
    }

    /// Whether there is something to commit.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The last root.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// The last durable group.
    #[must_use]
    pub fn txg(&self) -> u64 {
        self.root.map_or(0, |root| root.txg)
    }

    /// The number of this mount, which no other mount of the volume that wrote anything has.
    #[must_use]
    pub fn mount_number(&self) -> u32 {
        self.context.mount
    }

    /// The live tree, with what the open group changed.
    #[must_use]
    pub fn live(&self) -> View {
        self.tree.view
    }

    /// Gives the disk back and drops the open group.
    pub fn into_disk(self) -> B {
        self.disk
    }

    /// The disk.
    pub fn disk_mut(&mut self) -> &mut B {
        &mut self.disk
    }

    pub(crate) fn get(
        &mut self,
        view: &View,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        self.tree.get(&mut self.disk, &self.context, view, key)
    }

    pub(crate) fn seek(
        &mut self,
        view: &View,
        key: &[u8],
    ) -> Result<Option<Record>, Error<B::Error>> {
        self.tree.seek(&mut self.disk, &self.context, view, key)
    }

    pub(crate) fn beyond(
        &mut self,
        view: &View,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        self.tree.beyond(&mut self.disk, &self.context, view, key)
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<B::Error>> {
        self.is_changed = true;
        self.tree.put(&mut self.disk, &self.context, key, value)
    }

    pub(crate) fn remove_key(&mut self, key: &[u8]) -> Result<bool, Error<B::Error>> {
        self.is_changed = true;
        self.tree.remove(&mut self.disk, &self.context, key)
    }

    /// Drops a block that the live tree no longer reaches.
    pub(crate) fn drop_block(&mut self, ptr: &Ptr) -> Result<(), Error<B::Error>> {
        self.is_changed = true;
        push(&mut self.tree.drops, *ptr)
    }

    /// Writes a block of data and returns the pointer to it.
    pub(crate) fn write_data(
        &mut self,
        owner: u64,
        position: u64,
        block: &[u8],
    ) -> Result<Ptr, Error<B::Error>> {
        self.is_changed = true;
        let lba = self.space.allocate(&mut self.disk, &self.context)?;
        let place = (lba, PtrKind::Data);
        let ptr = self
            .context
            .write(&mut self.disk, place, (owner, position), block)?;
        self.data += 1;
        Ok(ptr)
    }

    /// Reads a block of data.
    pub(crate) fn read_data(
        &mut self,
        ptr: &Ptr,
        owner: u64,
        position: u64,
        block: &mut [u8],
    ) -> Result<(), Error<B::Error>> {
        self.disk.read(ptr.lba, block).map_err(Error::Disk)?;
        let is_sealed = self.context.is_sealed(ptr, (owner, position), block);
        if !is_sealed && !sabotage::sabotage!(VOLUME_IGNORE_SUM) {
            return Err(Error::Corrupt(Place::Data {
                lba: ptr.lba,
                owner,
                position,
            }));
        }
        Ok(())
    }

    /// Refuses if `data` blocks and `keys` changed keys might not fit, before anything is changed.
    pub(crate) fn room(
        &self,
        data: u64,
        keys: u64,
        reserve: Reserve,
    ) -> Result<(), Error<B::Error>> {
        let path = u64::from(self.tree.view.height) + 2;
        let nodes = self.tree.dirty() + 2 * path + 2 * keys;
        let drops = if self.snapshot == 0 { 0 } else { nodes + data };
        let need = data + nodes + drops + self.space.cost(&self.context);
        let kept = match reserve {
            Reserve::Keep if sabotage::sabotage!(VOLUME_KEEP_NOTHING) => 0,
            Reserve::Keep => self.reserved(),
            Reserve::Use => 0,
        };
        if self.space.usable < need.saturating_add(kept) {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    pub(crate) fn writable(&self) -> Result<(), Error<B::Error>> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(Error::ReadOnly),
        }
    }

    /// Runs a change. If it fails half-way, the open group is dropped.
    pub(crate) fn change<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error<B::Error>>,
    ) -> Result<T, Error<B::Error>> {
        self.writable()?;
        let result = work(self);
        if let Err(error) = &result
            && !error.is_refusal()
        {
            self.fail(error);
        }
        result
    }

    fn fail(&mut self, error: &Error<B::Error>) {
        self.roll_back();
        // After an error of the disk nothing is known of what it holds: no write follows.
        if matches!(error, Error::Disk(_)) {
            self.access = Access::Read;
        }
    }

    /// Drops the open group: the volume is as its last root has it.
    pub fn roll_back(&mut self) {
        let Some(root) = self.root else {
            return;
        };
        self.tree = Tree::new(root.tree, root.height);
        let cursor = self.label.layout.first();
        self.space = Space::new(Some(root.space), self.before, root.free, root.freed, cursor);
        // What the dropped group made may be open, and who bound a name knows the binding by its number: `next_id` stays, and
        // no number that was taken names anything else.
        self.snapshot = root.snapshot;
        self.dead = root.dead;
        self.data = 0;
        self.is_changed = false;
    }

    /// Makes the open group durable. With nothing changed it does nothing.
    ///
    /// # Errors
    /// The group is dropped then, and after an error of the disk the volume is read-only.
    pub fn commit(&mut self, durability: Durability, now: Stamp) -> Result<(), Error<B::Error>> {
        self.writable()?;
        if !self.is_changed {
            return Ok(());
        }
        let result = self.commit_open(durability, now);
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    /// Whether [`reclaim`](Self::reclaim) may free anything. Every group holds something of its own, so that another two free
    /// nothing where nothing was changed since the last that it made.
    #[must_use]
    pub fn can_reclaim(&self) -> bool {
        self.is_changed || self.txg() != self.reclaimed
    }

    /// Commits twice, so that everything that was freed before can be used.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn reclaim(&mut self, now: Stamp) -> Result<(), Error<B::Error>> {
        self.commit_anyway(now)?;
        self.commit_anyway(now)?;
        self.reclaimed = self.txg();
        Ok(())
    }

    /// Commits even if nothing changed, so that what the group before the last held becomes free.
    pub(crate) fn commit_anyway(&mut self, now: Stamp) -> Result<(), Error<B::Error>> {
        self.writable()?;
        self.is_changed = true;
        self.commit(Durability::Checkpoint, now)
    }

    fn commit_open(&mut self, durability: Durability, now: Stamp) -> Result<(), Error<B::Error>> {
        self.settle_drops()?;
        let (top, nodes) = self
            .tree
            .write(&mut self.disk, &self.context, &mut self.space)?;
        let (space, tables) = self.space.write(&mut self.disk, &self.context)?;
        let last = self.root.map(|root| root.txg);
        let txg = Txg::<Written>::written(Root {
            txg: self.context.txg,
            previous: last.unwrap_or(0),
            previous_sum: self.root_sum,
            mount: self.context.mount,
            flags: 0,
            tree: top,
            height: self.tree.view.height,
            space,
            free: self.space.free,
            freed: self.space.freed,
            next_id: self.next_for_root(),
            snapshot: self.snapshot,
            dead: self.dead,
            written: self.data + nodes + tables,
            stamp: now,
        });
        let (uuid, layout) = (self.context.uuid, self.context.layout);
        let verifiable = match durability {
            Durability::Sync => txg.verifiable(),
            Durability::Checkpoint => Err(txg),
        };
        let (disk, scratch) = (&mut self.disk, &mut self.scratch);
        let rooted = match verifiable {
            Ok(txg) => txg.write_root(disk, &uuid, &layout, scratch)?,
            Err(txg) => txg.flush(disk)?.write_root(disk, &uuid, &layout, scratch)?,
        };
        let (root, sum) = rooted.flush(disk)?.publish();
        self.before = self.root.map(|root| root.space);
        self.space.publish(root.space);
        self.root = Some(root);
        self.root_sum = sum;
        self.context.txg = root.txg + 1;
        self.data = 0;
        self.is_changed = false;
        Ok(())
    }

    /// The number from which on the next mount takes its own. What is between here and there was kept for bindings.
    fn next_for_root(&self) -> u64 {
        let kept = self.kept_ids().max(self.next_id);
        match self.binds && kept - self.next_id < AHEAD / 2 {
            true => self.next_id.saturating_add(AHEAD),
            false => kept,
        }
    }

    /// The number from which on the next mount would take its own if the open group was lost now.
    pub(crate) fn kept_ids(&self) -> u64 {
        self.root.map_or(0, |root| root.next_id)
    }

    /// Frees what was dropped, or notes it where a snapshot has it. The notes change the tree, which drops more: every
    /// node once in a group.
    fn settle_drops(&mut self) -> Result<(), Error<B::Error>> {
        while let Some(ptr) = self.tree.drops.pop() {
            if ptr.birth > self.snapshot {
                self.space
                    .release(&mut self.disk, &self.context, ptr.lba, ptr.birth)?;
            } else {
                let key = volume_format::Key::Dead(self.snapshot, ptr.lba).encode();
                self.put(key.as_bytes(), &ptr.birth.to_le_bytes())?;
                self.dead += 1;
            }
        }
        Ok(())
    }

    /// Where a sum of the tree begins; for readers of whole trees.
    #[must_use]
    pub fn node_seed(&self, ptr: &Ptr, level: u8) -> Seed {
        ptr.seed(&self.context.uuid, Seed::TREE, level.into())
    }
}
