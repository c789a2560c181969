//! The checked shape of a volume.

use crate::boot::{FatKind, Geometry};
use crate::name::ShortName;

/// How whoever used a volume last left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In order, as far as it says anything.
    Clean,
    /// Without unmounting it.
    Dirty,
    /// After it met sectors that could not be read or written.
    Failed,
}

/// The checked shape of a volume. It holds no device: each operation is given one, and it must be the same.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    pub(crate) geometry: Geometry,
    pub(crate) device_bytes: u64,
    pub(crate) label: ShortName,
    pub(crate) free_hint: Option<u32>,
    pub(crate) condition: Condition,
}

impl Volume {
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

    /// Returns how it was left.
    pub fn condition(&self) -> Condition {
        self.condition
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
