//! Making a volume, and finding the last root of one.

use alloc::vec::Vec;

use sabotage::sabotage;
use volume_format::{
    BLOCK, Inode, Key, Kind, Label, Layout, RING_SLOTS, RO_COMPAT, Refused, Root, Stamp, VERIFY,
};

use crate::files::ROOT_DIR;
use crate::space::{Context, Space};
use crate::tree::Tree;
use crate::verify::verify;
use crate::{Blocks, Durability, Error, Place, Volume, new_block, push};

/// What a volume is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written.
    Read,
    /// One writer.
    Write,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct NewVolume {
    /// Random, and of no other volume.
    pub uuid: [u8; 16],
    /// What a person calls it, UTF-8 padded with zeroes.
    pub name: [u8; 64],
    /// Bytes of the largest file.
    pub max_file: u64,
    /// Now.
    pub now: Stamp,
}

/// What a mount found.
#[derive(Debug)]
pub struct Mounted<B: Blocks> {
    /// The volume.
    pub volume: Volume<B>,
    /// Groups newer than the one mounted that did not add up. Each was cut in the middle, or was acknowledged and has
    /// rotted since: for the last unconfirmed group one disk cannot tell these apart.
    pub cut: u64,
    /// Read commands it took.
    pub reads: u64,
}

/// Makes an empty volume. What the disk held is gone; until the end it holds no volume.
///
/// # Errors
/// The disk's; its size.
pub fn format<B: Blocks>(mut disk: B, new: &NewVolume) -> Result<Volume<B>, Error<B::Error>> {
    let layout = Layout::new(disk.blocks()).ok_or(Error::Size)?;
    let mut block = new_block().ok_or(Error::NoMemory)?;
    wipe(&mut disk, &layout, &block).map_err(Error::Disk)?;
    let label = Label {
        uuid: new.uuid,
        layout,
        compat: 0,
        ro_compat: 0,
        incompat: 0,
        max_file: new.max_file,
        created: new.now,
        name: new.name,
    };
    let context = Context {
        uuid: new.uuid,
        layout,
        txg: 1,
        mount: 1,
    };
    let free = layout.capacity(0, layout.regions());
    let mut volume = Volume {
        disk,
        label,
        access: Access::Write,
        root: None,
        root_sum: 0,
        before: None,
        tree: Tree::empty().ok_or(Error::NoMemory)?,
        space: Space::new(None, None, free, 0, layout.first()),
        context,
        next_id: ROOT_DIR + 1,
        binds: false,
        snapshot: 0,
        dead: 0,
        data: 0,
        is_changed: true,
        reclaimed: 0,
        scratch: new_block().ok_or(Error::NoMemory)?,
    };
    let top = Inode {
        kind: Kind::Dir,
        size: 0,
        parent: 0,
        created: new.now,
        modified: new.now,
    };
    volume.put(Key::Inode(ROOT_DIR).encode().as_bytes(), &top.encode())?;
    volume.commit(Durability::Checkpoint, new.now)?;
    for lba in layout.labels() {
        label.encode(lba, &mut block);
        volume.disk.write(lba, &block).map_err(Error::Disk)?;
    }
    volume.disk.flush().map_err(Error::Disk)?;
    Ok(volume)
}

/// Writes `zeroes` over every label and root.
fn wipe<B: Blocks>(disk: &mut B, layout: &Layout, zeroes: &[u8]) -> Result<(), B::Error> {
    for lba in layout.labels() {
        disk.write(lba, zeroes)?;
    }
    for ring in layout.rings() {
        for slot in 0..RING_SLOTS {
            disk.write(ring + slot, zeroes)?;
        }
    }
    disk.flush()
}

/// A root that was found, and its sum.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    root: Root,
    sum: u64,
}

impl<B: Blocks> Volume<B> {
    /// Mounts the volume of a disk, in at most 200 read commands whatever its size.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn mount(mut disk: B, access: Access) -> Result<Mounted<B>, Error<B::Error>> {
        if access == Access::Write {
            // What an earlier writer handed over and this one sees becomes durable before anything is built on it.
            disk.flush().map_err(Error::Disk)?;
        }
        let mut reads = 0;
        let label = read_label(&mut disk, &mut reads)?;
        if access == Access::Write && label.ro_compat & !RO_COMPAT != 0 {
            return Err(Error::NoVolume(Refused::Features(
                label.ro_compat & !RO_COMPAT,
            )));
        }
        let candidates = read_rings(&mut disk, &label, &mut reads)?;
        let mount = candidates.iter().map(|found| found.root.mount).max();
        let mut cut = 0;
        for found in &candidates {
            let context = Context {
                uuid: label.uuid,
                layout: label.layout,
                txg: found.root.txg,
                mount: 0,
            };
            let is_whole = found.root.flags & VERIFY == 0
                || sabotage!(VOLUME_SKIP_VERIFY)
                || verify(&mut disk, &context, &found.root, &mut reads)?;
            if !is_whole {
                cut += 1;
                continue;
            }
            let before = candidates.iter().find(|other| {
                other.root.txg == found.root.previous && other.sum == found.root.previous_sum
            });
            let context = Context {
                txg: found.root.txg + 1,
                mount: mount.unwrap_or(0).saturating_add(1),
                ..context
            };
            let volume = with_root(disk, label, access, found, before, context)?;
            return Ok(Mounted { volume, cut, reads });
        }
        Err(Error::Corrupt(Place::Roots))
    }
}

fn with_root<B: Blocks>(
    disk: B,
    label: Label,
    access: Access,
    found: &Candidate,
    before: Option<&Candidate>,
    context: Context,
) -> Result<Volume<B>, Error<B::Error>> {
    let root = found.root;
    let before = before.map(|other| other.root.space);
    Ok(Volume {
        disk,
        label,
        access,
        root: Some(root),
        root_sum: found.sum,
        before,
        tree: Tree::new(root.tree, root.height),
        space: Space::new(
            Some(root.space),
            before,
            root.free,
            root.freed,
            label.layout.first(),
        ),
        context,
        next_id: root.next_id,
        binds: false,
        snapshot: root.snapshot,
        dead: root.dead,
        data: 0,
        is_changed: false,
        reclaimed: 0,
        scratch: new_block().ok_or(Error::NoMemory)?,
    })
}

fn read_label<B: Blocks>(disk: &mut B, reads: &mut u64) -> Result<Label, Error<B::Error>> {
    let mut block = new_block().ok_or(Error::NoMemory)?;
    let blocks = disk.blocks();
    let mut refused = Refused::Foreign;
    for lba in [0, blocks.saturating_sub(1)] {
        *reads += 1;
        disk.read(lba, &mut block).map_err(Error::Disk)?;
        match Label::decode(lba, &block) {
            Ok(label) if label.layout.blocks() > blocks => return Err(Error::Size),
            Ok(label) => return Ok(label),
            // The first copy says most: the last block is the volume's only if the disk has its size.
            Err(other) if refused == Refused::Foreign => refused = other,
            Err(_) => {}
        }
    }
    Err(Error::NoVolume(refused))
}

/// All roots of both rings, newest first, each once.
fn read_rings<B: Blocks>(
    disk: &mut B,
    label: &Label,
    reads: &mut u64,
) -> Result<Vec<Candidate>, Error<B::Error>> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut ring = Vec::new();
    let bytes = RING_SLOTS as usize * BLOCK;
    ring.try_reserve_exact(bytes).map_err(|_| Error::NoMemory)?;
    ring.resize(bytes, 0);
    for first in label.layout.rings() {
        *reads += 1;
        if let Err(error) = disk.read(first, &mut ring) {
            // One ring that cannot be read is what the other is for.
            if first == label.layout.rings()[1] && found.is_empty() {
                return Err(Error::Disk(error));
            }
            continue;
        }
        for (slot, block) in ring.chunks_exact(BLOCK).enumerate() {
            let decoded = Root::decode(block, &label.uuid, slot as u64, &label.layout);
            if let Some((root, sum)) = decoded
                && !found.iter().any(|other| other.root == root)
            {
                push(&mut found, Candidate { root, sum })?;
            }
        }
    }
    // Of two roots of one group, the later mount's is built on the group before: the earlier one was cut.
    found.sort_unstable_by_key(|found| {
        core::cmp::Reverse((found.root.txg, found.root.mount, found.root.flags))
    });
    Ok(found)
}
