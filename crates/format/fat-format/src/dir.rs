//! Directories: slots, long names and the entries made of them (FATGEN, "FAT Directory Structure").

use foreign_bytes::read_exact;

use crate::Blocks;
use crate::chain::{Chain, Extent};
use crate::error::Error;
use crate::name::{MAX_UNITS, Name, ShortName, checksum};
use crate::time::{LocalNs, local_ns};
use crate::volume::Volume;

pub(crate) const SLOT_BYTES: u64 = 32;
const CHUNK_BYTES: u64 = 512;
/// Longest directory that is followed.
const MAX_DIR_BYTES: u64 = 64 << 20;

/// Bits of DIR_Attr.
pub mod attribute {
    /// ATTR_READ_ONLY.
    pub const READ_ONLY: u8 = 0x01;
    /// ATTR_HIDDEN.
    pub const HIDDEN: u8 = 0x02;
    /// ATTR_SYSTEM.
    pub const SYSTEM: u8 = 0x04;
    /// ATTR_VOLUME_ID.
    pub const VOLUME_ID: u8 = 0x08;
    /// ATTR_DIRECTORY.
    pub const DIRECTORY: u8 = 0x10;
    /// ATTR_ARCHIVE.
    pub const ARCHIVE: u8 = 0x20;
    /// ATTR_LONG_NAME: the four lowest bits, which together mark a slot of a long name.
    pub const LONG_NAME: u8 = 0x0f;
}

/// One 32-byte slot of a directory.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    bytes: [u8; SLOT_BYTES as usize],
    /// Where it lies, in bytes from the beginning of the volume.
    position: u64,
}

/// What a slot is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// Free, and all behind it too.
    End,
    /// Free.
    Free,
    /// Part of a long name.
    Long,
    /// The volume label.
    Label,
    /// "." or "..".
    Dot,
    /// A file or directory.
    Entry,
}

impl Slot {
    pub(crate) fn new(bytes: [u8; SLOT_BYTES as usize], position: u64) -> Self {
        Self { bytes, position }
    }

    pub(crate) fn kind(&self) -> SlotKind {
        let attributes = le::u8(&self.bytes, 11) & 0x3f;
        match le::u8(&self.bytes, 0) {
            0x00 => SlotKind::End,
            0xe5 => SlotKind::Free,
            _ if attributes == attribute::LONG_NAME => SlotKind::Long,
            _ if attributes & attribute::VOLUME_ID != 0 => SlotKind::Label,
            _ if matches!(&self.raw_name(), b".          " | b"..         ") => SlotKind::Dot,
            _ => SlotKind::Entry,
        }
    }

    pub(crate) fn raw_name(&self) -> [u8; 11] {
        le::array(&self.bytes, 0)
    }

    /// Reads the fields of a slot of kind [`SlotKind::Entry`].
    pub(crate) fn node(&self, volume: &Volume) -> Node {
        let field = |at| le::u16(&self.bytes, at);
        let high = if volume.has_wide_clusters() {
            u32::from(field(20)) << 16
        } else {
            0
        };
        Node {
            position: self.position,
            first_cluster: high | u32::from(field(26)),
            size: le::u32(&self.bytes, 28),
            attributes: le::u8(&self.bytes, 11),
            created: local_ns(field(16), field(14), le::u8(&self.bytes, 13)),
            modified: local_ns(field(24), field(22), 0),
            accessed: local_ns(field(18), 0, 0),
        }
    }

    fn short_name(&self) -> ShortName {
        ShortName::decode(&self.raw_name(), le::u8(&self.bytes, 12))
    }
}

/// A file or directory, as its directory entry describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where its entry lies, in bytes from the beginning of the volume; 0 for the root directory. It identifies the
    /// node on this volume, and [`Volume::node_at`] finds the node again by it.
    pub position: u64,
    /// First cluster, unchecked; 0 for an empty file.
    pub first_cluster: u32,
    /// Size in bytes, of a file.
    pub size: u32,
    /// Bits of [`attribute`].
    pub attributes: u8,
    /// Creation, where it is recorded.
    pub created: Option<LocalNs>,
    /// Last write.
    pub modified: Option<LocalNs>,
    /// Last access, where it is recorded: a day.
    pub accessed: Option<LocalNs>,
}

impl Node {
    /// Returns whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.attributes & attribute::DIRECTORY != 0
    }

    /// Returns whether this is the root directory.
    pub fn is_root(&self) -> bool {
        self.position == 0
    }
}

/// An entry of a directory. About 900 bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// A listing from this position on begins with this entry.
    pub at: u64,
    /// Its name: the long one where there is a valid one, else the short one.
    pub name: Name,
    /// Its short name, which finds it as well.
    pub alias: ShortName,
    /// What it stands for.
    pub node: Node,
}

/// What a visitor wants after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next one.
    Continue,
    /// No more; the next listing begins behind this entry.
    StopAfter,
    /// No more, and this entry did not count; the next listing begins with it.
    StopBefore,
}

/// The slots of a long name, collected from the last to the first until their short name comes.
struct LongName {
    units: [u16; MAX_UNITS],
    /// Number of the slot that came last; 0 without a name in progress, 1 when it is complete.
    at: u8,
    slots: u8,
    checksum: u8,
}

impl LongName {
    const FIRST: u8 = 0x40;
    const UNIT_OFFSETS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

    fn new() -> Self {
        Self {
            units: [0; MAX_UNITS],
            at: 0,
            slots: 0,
            checksum: 0,
        }
    }

    fn reset(&mut self) {
        self.at = 0;
    }

    /// Takes a slot; returns whether it begins a name. Whatever does not continue the name drops it.
    fn push(&mut self, slot: &Slot) -> bool {
        let (order, sum) = (le::u8(&slot.bytes, 0), le::u8(&slot.bytes, 13));
        let (begins, number) = (order & Self::FIRST != 0, order & !Self::FIRST);
        if begins && (1..=20).contains(&number) {
            (self.slots, self.checksum) = (number, sum);
        } else if begins || number == 0 || self.at != number + 1 || sum != self.checksum {
            self.reset();
            return false;
        }
        self.at = number;
        let start = usize::from(number - 1) * Self::UNIT_OFFSETS.len();
        for (unit, offset) in self.units.iter_mut().skip(start).zip(Self::UNIT_OFFSETS) {
            *unit = le::u16(&slot.bytes, offset);
        }
        begins
    }

    /// Writes the name to `name` if it is complete and belongs to the short name `raw`.
    fn take(&mut self, raw: &[u8; 11], name: &mut Name) -> bool {
        let complete = self.at == 1 && self.checksum == checksum(raw);
        self.reset();
        let len = usize::from(self.slots) * Self::UNIT_OFFSETS.len();
        complete && name.decode_long(self.units.get(..len).unwrap_or_default())
    }
}

/// A walk over one directory, with what has been learnt about its clusters. About 1 KiB.
///
/// Listing positions are slot numbers and mean the same with any walk of the directory; keeping the walk only saves
/// following the chain again. So a client may hold and even forge positions: it sees no other directory with them.
#[derive(Clone)]
pub struct DirWalk {
    /// The slots lie in the fixed root directory of FAT12/16 and not in a chain.
    is_fixed: bool,
    chain: Chain,
    /// How far the chain goes, once that is known.
    extent: Option<Extent>,
    chunk: [u8; CHUNK_BYTES as usize],
    /// Where the chunk lies on the device; `u64::MAX` without one.
    chunk_at: u64,
}

impl DirWalk {
    /// Begins a walk of `node`. Reads nothing.
    pub fn new<E>(volume: &Volume, node: &Node) -> Result<Self, Error<E>> {
        if !node.is_directory() {
            return Err(Error::NotADirectory);
        }
        Ok(Self {
            is_fixed: node.is_root() && !volume.has_wide_clusters(),
            chain: Chain::new(node.first_cluster),
            extent: None,
            chunk: [0; CHUNK_BYTES as usize],
            chunk_at: u64::MAX,
        })
    }

    /// Returns slot `number`, or `None` behind the last one.
    ///
    /// The chain is followed to its end before the first slot is returned, so that no slot ever comes twice.
    pub(crate) fn slot<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        number: u64,
    ) -> Result<Option<Slot>, Error<B::Error>> {
        let Some(offset) = number.checked_mul(SLOT_BYTES) else {
            return Ok(None);
        };
        let position = if self.is_fixed {
            if number >= u64::from(volume.root_slots()) {
                return Ok(None);
            }
            volume.root_at() + offset
        } else {
            let Some(cluster_at) = self.cluster_at(volume, blocks, offset)? else {
                return Ok(None);
            };
            cluster_at + offset % u64::from(volume.cluster_bytes())
        };
        let chunk_at = position & !(CHUNK_BYTES - 1);
        if self.chunk_at != chunk_at {
            self.chunk_at = u64::MAX;
            read_exact(blocks, chunk_at, &mut self.chunk)?;
            self.chunk_at = chunk_at;
        }
        Ok(Some(Slot::new(
            le::array(&self.chunk, (position - chunk_at) as usize),
            position,
        )))
    }

    /// Returns where the cluster that holds byte `offset` of the directory begins, or `None` behind the last one.
    fn cluster_at<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        offset: u64,
    ) -> Result<Option<u64>, Error<B::Error>> {
        let cluster_bytes = u64::from(volume.cluster_bytes());
        // At most 64 MiB / 512.
        let limit = (MAX_DIR_BYTES / cluster_bytes) as u32;
        let extent = match self.extent {
            Some(extent) => extent,
            None => *self
                .extent
                .insert(self.chain.survey(volume, blocks, limit)?),
        };
        let index = offset / cluster_bytes;
        if index < u64::from(extent.clusters) {
            let cluster = self.chain.cluster(volume, blocks, index as u32)?;
            return Ok(cluster.map(|cluster| volume.cluster_at(cluster)));
        }
        match extent.fault {
            Some(fault) => {
                let readable_bytes = u64::from(extent.clusters) * cluster_bytes;
                Err(Error::Chain {
                    fault,
                    readable_bytes,
                })
            }
            None if extent.clusters == limit => Err(Error::DirectoryTooLong),
            None => Ok(None),
        }
    }

    /// Visits the entries from slot `cursor` on and returns where to go on, or `None` when all have been seen.
    ///
    /// An error is reported only when no entry was visited before it, and again by each later call from there.
    pub(crate) fn list<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        cursor: u64,
        mut visit: impl FnMut(&Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        let mut entry = Entry {
            at: cursor,
            name: Name::EMPTY,
            alias: ShortName::EMPTY,
            node: volume.root(),
        };
        let mut long = LongName::new();
        let mut long_at = cursor;
        let mut visited = false;
        let mut at = cursor;
        loop {
            let slot = match self.slot(volume, blocks, at) {
                Ok(Some(slot)) => slot,
                Ok(None) => return Ok(None),
                Err(_) if visited => return Ok(Some(at)),
                Err(error) => return Err(error),
            };
            match slot.kind() {
                SlotKind::End => return Ok(None),
                SlotKind::Free | SlotKind::Label | SlotKind::Dot => long.reset(),
                SlotKind::Long => {
                    if long.push(&slot) {
                        long_at = at;
                    }
                }
                SlotKind::Entry => {
                    entry.alias = slot.short_name();
                    entry.node = slot.node(volume);
                    let has_long = long.take(&slot.raw_name(), &mut entry.name);
                    entry.at = if has_long { long_at } else { at };
                    if !has_long {
                        entry.name.decode_short(&entry.alias);
                    }
                    match visit(&entry) {
                        Step::Continue => visited = true,
                        Step::StopAfter => return Ok(Some(at + 1)),
                        Step::StopBefore => return Ok(Some(entry.at)),
                    }
                }
            }
            at += 1;
        }
    }
}
