//! A mounted volume: its shape, and finding things in it by name.

use crate::boot::{BOOT_BYTES, Geometry, free_clusters};
use crate::dir::{DirWalk, Entry, Node, SLOT_BYTES, Slot, SlotKind, Step, attribute};
use crate::error::Error;
use crate::name::{MAX_NAME_BYTES, ShortName, eq_fold};
use crate::{Blocks, read_exact};

/// Directories that a path may be deep.
const MAX_DEPTH: usize = 256;
/// Where the copy of a FAT32 boot sector lies, in sectors (FATGEN, BPB_BkBootSec: "no value other than 6 is recommended").
const BACKUP_SECTOR: u64 = 6;
/// Slots of the root directory that are searched for the label.
const LABEL_SLOTS: u64 = 4096;

/// Width of a FAT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    /// 12 bits.
    Fat12,
    /// 16 bits.
    Fat16,
    /// 28 of 32 bits.
    Fat32,
}

impl core::fmt::Display for FatKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
        })
    }
}

/// The checked shape of a volume. It holds no device: each operation is given one, and it must be the same.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    geometry: Geometry,
    device_bytes: u64,
    label: ShortName,
    free_hint: Option<u32>,
}

impl Volume {
    /// Reads and checks the boot sector; then, as far as they can be read, the free hint and the label.
    ///
    /// A volume that is longer than its device is mounted if its FATs are there: what is missing is reported when it
    /// is read ([`Error::BeyondDevice`]) and by [`missing_bytes`](Self::missing_bytes).
    pub fn mount<B: Blocks>(blocks: &mut B) -> Result<Self, Error<B::Error>> {
        let device_bytes = blocks.len_bytes();
        let mut sector = [0; BOOT_BYTES];
        let geometry = match read_exact(blocks, 0, &mut sector) {
            Ok(()) => Geometry::parse(&sector, device_bytes)?,
            Err(unreadable) => Self::second_boot_sector(blocks, &mut sector).ok_or(unreadable)?,
        };
        let mut volume = Self {
            geometry,
            device_bytes,
            label: geometry.label,
            free_hint: None,
        };
        if let Some(at) = geometry.info_at
            && read_exact(blocks, at, &mut sector).is_ok()
        {
            volume.free_hint = free_clusters(&sector, geometry.clusters);
        }
        if let Ok(label) = volume.root_label(blocks) {
            volume.label = label.unwrap_or(ShortName::EMPTY);
        }
        Ok(volume)
    }

    /// FAT32 keeps a copy of the boot sector, mostly in sector 6. It counts if it says so itself.
    fn second_boot_sector<B: Blocks>(
        blocks: &mut B,
        sector: &mut [u8; BOOT_BYTES],
    ) -> Option<Geometry> {
        let device_bytes = blocks.len_bytes();
        [512, 4096].into_iter().find_map(|sector_bytes| {
            read_exact(blocks, BACKUP_SECTOR * sector_bytes, sector).ok()?;
            let geometry = Geometry::parse::<B::Error>(sector, device_bytes).ok()?;
            let fits = geometry.backup_at == Some(BACKUP_SECTOR * sector_bytes);
            fits.then_some(geometry)
        })
    }

    /// Returns the width of a FAT entry.
    pub fn kind(&self) -> FatKind {
        self.geometry.kind
    }

    /// Returns the size of a sector in bytes.
    pub fn sector_bytes(&self) -> u32 {
        self.geometry.sector_bytes
    }

    /// Returns the size of a cluster in bytes: a power of two from 512 to 512 KiB.
    pub fn cluster_bytes(&self) -> u32 {
        self.geometry.cluster_bytes
    }

    /// Returns the number of clusters that can hold data.
    pub fn clusters(&self) -> u32 {
        self.geometry.clusters
    }

    /// Returns the size of the volume in bytes, as its boot sector says.
    pub fn total_bytes(&self) -> u64 {
        self.geometry.total_bytes
    }

    /// Returns how many bytes of the volume its device does not have. Not zero means a truncated image.
    pub fn missing_bytes(&self) -> u64 {
        self.geometry.total_bytes.saturating_sub(self.device_bytes)
    }

    /// Returns the volume label; empty without one.
    pub fn label(&self) -> &str {
        self.label.as_str()
    }

    /// Returns the volume serial number; 0 without one.
    pub fn serial(&self) -> u32 {
        self.geometry.serial
    }

    /// Returns the number of free bytes that FSInfo claims. A hint: nothing keeps it right.
    pub fn free_bytes_hint(&self) -> Option<u64> {
        self.free_hint
            .map(|clusters| u64::from(clusters) * u64::from(self.cluster_bytes()))
    }

    /// Returns the root directory.
    pub fn root(&self) -> Node {
        Node {
            position: 0,
            first_cluster: self.geometry.root_cluster,
            size: 0,
            attributes: attribute::DIRECTORY,
            created: None,
            modified: None,
            accessed: None,
        }
    }

    /// Reads the node whose entry lies at `position` (see [`Node::position`]), for instance after a restart.
    ///
    /// Any entry-like 32 bytes of the data area are accepted, so positions must come from this crate and be kept
    /// where no client can change them.
    pub fn node_at<B: Blocks>(
        &self,
        blocks: &mut B,
        position: u64,
    ) -> Result<Node, Error<B::Error>> {
        if position == 0 {
            return Ok(self.root());
        }
        let begin = if self.has_wide_clusters() {
            self.geometry.data_at
        } else {
            self.geometry.root_at
        };
        if !position.is_multiple_of(SLOT_BYTES)
            || !(begin..self.geometry.total_bytes).contains(&position)
        {
            return Err(Error::BadPosition);
        }
        let mut bytes = [0; SLOT_BYTES as usize];
        read_exact(blocks, position, &mut bytes)?;
        let slot = Slot::new(bytes, position);
        if slot.kind() == SlotKind::Entry {
            Ok(slot.node(self))
        } else {
            Err(Error::BadPosition)
        }
    }

    /// Visits the entries of the directory of `walk` from `cursor` on (0: from the first) and returns where to go on,
    /// or `None` when all have been seen. "." and ".." and the volume label are left out.
    ///
    /// An error is reported only when no entry was visited before it, and again by each later call from there: what
    /// can be read is listed first.
    pub fn list<B: Blocks>(
        &self,
        blocks: &mut B,
        walk: &mut DirWalk,
        cursor: u64,
        visit: impl FnMut(&Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        walk.list(self, blocks, cursor, visit)
    }

    /// Finds the entry of directory `dir` with the long or short name `name`, without regard to case.
    pub fn lookup<B: Blocks>(
        &self,
        blocks: &mut B,
        dir: &Node,
        name: &str,
    ) -> Result<Entry, Error<B::Error>> {
        check_name(name)?;
        let mut walk = DirWalk::new(self, dir)?;
        let mut cursor = Some(0);
        let mut found = None;
        while let Some(at) = cursor {
            cursor = walk.list(self, blocks, at, |entry| {
                if eq_fold(entry.name.as_str(), name) || eq_fold(entry.alias.as_str(), name) {
                    found = Some(entry.clone());
                    Step::StopAfter
                } else {
                    Step::Continue
                }
            })?;
            if let Some(entry) = found {
                return Ok(entry);
            }
        }
        Err(Error::NotFound)
    }

    /// Finds the node at `path` below directory `from`; components are separated by '/', empty ones and "." mean
    /// nothing, ".." goes back one step of this path, out of at most 256 directories, and never above `from`.
    pub fn resolve<B: Blocks>(
        &self,
        blocks: &mut B,
        from: &Node,
        path: &str,
    ) -> Result<Node, Error<B::Error>> {
        // Positions of the directories passed. The ".." entries on the volume are not asked: they may lie.
        let mut above = [0; MAX_DEPTH];
        let mut depth = 0;
        let mut node = *from;
        for component in path.split('/') {
            if !node.is_directory() {
                return Err(Error::NotADirectory);
            }
            match component {
                "" | "." => {}
                ".." => {
                    depth = usize::saturating_sub(depth, 1);
                    let &position = above.get(depth).ok_or(Error::PathTooDeep)?;
                    node = if depth > 0 {
                        self.node_at(blocks, position)?
                    } else {
                        *from
                    };
                }
                name => {
                    let next = self.lookup(blocks, &node, name)?.node;
                    // Deeper down there is no way back, but any way on.
                    if let Some(place) = above.get_mut(depth) {
                        *place = node.position;
                    }
                    depth += 1;
                    node = next;
                }
            }
        }
        Ok(node)
    }

    /// Searches the root directory for the label entry. A directory without one means that somebody took the label away:
    /// they leave the boot sector's copy. An error means that nobody knows.
    fn root_label<B: Blocks>(&self, blocks: &mut B) -> Result<Option<ShortName>, Error<B::Error>> {
        let mut walk = DirWalk::new(self, &self.root())?;
        for number in 0..LABEL_SLOTS {
            let Some(slot) = walk.slot(self, blocks, number)? else {
                return Ok(None);
            };
            match slot.kind() {
                SlotKind::End => return Ok(None),
                SlotKind::Label => return Ok(Some(ShortName::decode_label(&slot.raw_name()))),
                _ => {}
            }
        }
        Err(Error::DirectoryTooLong)
    }

    /// Returns whether a cluster number is one of this volume.
    pub(crate) fn has_cluster(&self, cluster: u32) -> bool {
        cluster
            .checked_sub(2)
            .is_some_and(|at| at < self.geometry.clusters)
    }

    /// Returns where a cluster begins, in bytes.
    pub(crate) fn cluster_at(&self, cluster: u32) -> u64 {
        let number = u64::from(cluster.saturating_sub(2));
        self.geometry.data_at + number * u64::from(self.geometry.cluster_bytes)
    }

    /// Returns whether directory entries hold the high half of a cluster number, as on FAT32.
    pub(crate) fn has_wide_clusters(&self) -> bool {
        self.geometry.kind == FatKind::Fat32
    }

    pub(crate) fn fat_at(&self) -> u64 {
        self.geometry.fat_at
    }

    /// The FAT that is written together with the active one, if there is one.
    pub(crate) fn mirror_at(&self) -> Option<u64> {
        self.geometry.mirror_at
    }

    pub(crate) fn fat_bytes(&self) -> u64 {
        self.geometry.fat_bytes
    }

    pub(crate) fn root_at(&self) -> u64 {
        self.geometry.root_at
    }

    pub(crate) fn root_slots(&self) -> u32 {
        self.geometry.root_slots
    }
}

/// Checks whether a directory entry could have this name.
///
/// # Errors
/// [`Error::InvalidName`].
pub fn check_name<E>(name: &str) -> Result<(), Error<E>> {
    let impossible = |c: char| c.is_control() || c == '/';
    if matches!(name, "" | "." | "..") || name.len() > MAX_NAME_BYTES || name.contains(impossible) {
        return Err(Error::InvalidName);
    }
    Ok(())
}
