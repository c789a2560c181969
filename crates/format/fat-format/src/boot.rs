//! The boot sector and FSInfo sector (FATGEN, "Boot Sector and BPB" and "FAT32 FSInfo Sector Structure").

use crate::error::{BootFault, Error};
use crate::name::ShortName;

/// Bytes of a boot sector that carry fields.
pub(crate) const BOOT_BYTES: usize = 512;

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

/// What the boot sector says, checked; all places in bytes from the beginning of the volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) kind: FatKind,
    pub(crate) sector_bytes: u32,
    pub(crate) cluster_bytes: u32,
    /// Beginning of the active FAT.
    pub(crate) fat_at: u64,
    pub(crate) fat_bytes: u64,
    /// Beginning of a second FAT that is kept the same as the active one.
    pub(crate) mirror_at: Option<u64>,
    /// Beginning and slots of the fixed root directory of FAT12/16.
    pub(crate) root_at: u64,
    pub(crate) root_slots: u32,
    /// First cluster of the FAT32 root directory, else 0.
    pub(crate) root_cluster: u32,
    pub(crate) data_at: u64,
    /// Clusters 2 to `clusters + 1` exist and have a FAT entry.
    pub(crate) clusters: u32,
    pub(crate) total_bytes: u64,
    /// Where FSInfo lies, if anywhere.
    pub(crate) info_at: Option<u64>,
    /// Where the copy of a FAT32 boot sector lies, if anywhere.
    pub(crate) backup_at: Option<u64>,
    pub(crate) label: ShortName,
    pub(crate) serial: u32,
}

/// Whether BS_FilSysType says FAT. Nothing but firmware needs the signature, and floppies may lack it.
fn says_fat(boot: &[u8; BOOT_BYTES]) -> bool {
    let at = |offset| le::array::<8>(boot, offset);
    [b"FAT12   ", b"FAT16   ", b"FAT     "].contains(&&at(54)) || &at(82) == b"FAT32   "
}

impl Geometry {
    /// Checks a boot sector against itself and against the length of the device.
    pub(crate) fn parse<E>(boot: &[u8; BOOT_BYTES], device_bytes: u64) -> Result<Self, Error<E>> {
        match &le::array::<8>(boot, 3) {
            b"EXFAT   " => {
                return Err(Error::NotFat {
                    found: "it is an exFAT volume",
                });
            }
            b"NTFS    " => {
                return Err(Error::NotFat {
                    found: "it is an NTFS volume",
                });
            }
            _ => {}
        }
        if boot.iter().all(|&byte| byte == 0) {
            return Err(Error::NotFat {
                found: "the first sector is empty",
            });
        }
        if le::array(boot, 510) != [0x55, 0xaa] && !says_fat(boot) {
            return Err(Error::NotFat {
                found: "the first sector lacks the 55 AA signature",
            });
        }
        Self::check(boot, device_bytes).map_err(Error::BootSector)
    }

    fn check(boot: &[u8; BOOT_BYTES], device_bytes: u64) -> Result<Self, BootFault> {
        let counts = Counts::of(boot)?;
        let mut geometry = counts.lay_out(device_bytes)?;
        let extended_at = if counts.wide {
            geometry.check_wide(boot, counts.fats, counts.reserved)?;
            64
        } else {
            36
        };
        // BS_BootSig 29 says that serial number and label are there.
        if le::u8(boot, extended_at + 2) == 0x29 {
            geometry.serial = le::u32(boot, extended_at + 3);
            let raw = le::array(boot, extended_at + 7);
            if &raw != b"NO NAME    " {
                geometry.label = ShortName::decode_label(&raw);
            }
        }
        Ok(geometry)
    }

    /// Checks the fields that only FAT32 has.
    fn check_wide(
        &mut self,
        boot: &[u8; BOOT_BYTES],
        fats: u8,
        reserved: u64,
    ) -> Result<(), BootFault> {
        let version = le::u16(boot, 42);
        if version != 0 {
            return Err(BootFault::Version(version));
        }
        self.root_cluster = le::u32(boot, 44);
        if self
            .root_cluster
            .checked_sub(2)
            .is_none_or(|at| at >= self.clusters)
        {
            return Err(BootFault::RootCluster(self.root_cluster));
        }
        // With bit 7 set the FATs are not mirrored and the low bits name the one in use.
        let flags = le::u16(boot, 40);
        if flags & 0x80 != 0 {
            let active = (flags & 0x0f) as u8;
            if active >= fats {
                return Err(BootFault::ActiveFat(active));
            }
            self.fat_at += u64::from(active) * self.fat_bytes;
            self.mirror_at = None;
        }
        let info = u64::from(le::u16(boot, 48));
        self.info_at = (1..reserved)
            .contains(&info)
            .then_some(info * u64::from(self.sector_bytes));
        let backup = u64::from(le::u16(boot, 50));
        self.backup_at = (1..reserved)
            .contains(&backup)
            .then_some(backup * u64::from(self.sector_bytes));
        Ok(())
    }
}

/// What the boot sector counts, each number legal by itself.
struct Counts {
    sector_bytes: u32,
    sectors_per_cluster: u8,
    reserved: u64,
    fats: u8,
    fat_sectors: u64,
    root_entries: u16,
    total: u64,
    /// It has the fields that only FAT32 has.
    wide: bool,
}

impl Counts {
    fn of(boot: &[u8; BOOT_BYTES]) -> Result<Self, BootFault> {
        let sector_bytes = match le::u16(boot, 11) {
            size @ (512 | 1024 | 2048 | 4096) => u32::from(size),
            size => return Err(BootFault::SectorBytes(size)),
        };
        let sectors_per_cluster = le::u8(boot, 13);
        if !sectors_per_cluster.is_power_of_two() {
            return Err(BootFault::SectorsPerCluster(sectors_per_cluster));
        }
        let reserved = match le::u16(boot, 14) {
            0 => return Err(BootFault::ReservedSectors),
            sectors => u64::from(sectors),
        };
        let fats = match le::u8(boot, 16) {
            0 => return Err(BootFault::FatCount),
            fats => fats,
        };
        let root_entries = le::u16(boot, 17);
        let total = match (le::u16(boot, 19), le::u32(boot, 32)) {
            (0, 0) => return Err(BootFault::TotalSectors),
            (0, total) => u64::from(total),
            (total, _) => u64::from(total),
        };
        // FATGEN tells the type by the number of clusters alone, but formatters do make small FAT32 volumes, and
        // those are known by the field that FAT32 always leaves zero.
        let (fat_sectors, wide) = match (le::u16(boot, 22), le::u32(boot, 36)) {
            (0, 0) => return Err(BootFault::FatSize),
            (0, sectors) => (u64::from(sectors), true),
            (sectors, _) => (u64::from(sectors), false),
        };
        if wide != (root_entries == 0) {
            return Err(BootFault::RootEntries(root_entries));
        }
        Ok(Self {
            sector_bytes,
            sectors_per_cluster,
            reserved,
            fats,
            fat_sectors,
            root_entries,
            total,
            wide,
        })
    }

    /// The type, and how many clusters there are between `data_sector` and the end.
    fn clusters(&self, data_sector: u64) -> Result<(FatKind, u64), BootFault> {
        let in_clusters =
            self.total.saturating_sub(data_sector) / u64::from(self.sectors_per_cluster);
        if in_clusters == 0 {
            return Err(BootFault::NoData {
                data_sector,
                total_sectors: self.total,
            });
        }
        let kind = match in_clusters {
            _ if self.wide => FatKind::Fat32,
            0..=4084 => FatKind::Fat12,
            _ => FatKind::Fat16,
        };
        let fat_bytes = self.fat_sectors * u64::from(self.sector_bytes);
        let (entries, most) = match kind {
            FatKind::Fat12 => (fat_bytes * 2 / 3, 4084),
            FatKind::Fat16 => (fat_bytes / 2, 65_524),
            FatKind::Fat32 => (fat_bytes / 4, 0x0fff_fff5),
        };
        if in_clusters > most {
            return Err(BootFault::TooManyClusters(in_clusters));
        }
        // A cluster without a FAT entry cannot be part of any chain.
        let clusters = in_clusters.min(entries.saturating_sub(2));
        if clusters == 0 {
            return Err(BootFault::FatTooSmall);
        }
        Ok((kind, clusters))
    }

    /// Where everything lies, if it fits together and on the device.
    fn lay_out(&self, device_bytes: u64) -> Result<Geometry, BootFault> {
        let &Self {
            sector_bytes,
            sectors_per_cluster,
            reserved,
            fats,
            fat_sectors,
            root_entries,
            total,
            wide: _,
        } = self;
        let sector = u64::from(sector_bytes);
        // Each factor has at most 32 bits and the sums stay below 2^41 sectors of 2^12 bytes.
        let root_sector = reserved + u64::from(fats) * fat_sectors;
        let data_sector = root_sector + (u64::from(root_entries) * 32).div_ceil(sector);
        let (kind, clusters) = self.clusters(data_sector)?;
        let data_at = data_sector * sector;
        if data_at >= device_bytes {
            return Err(BootFault::DeviceEnds {
                data_at,
                device_bytes,
            });
        }
        Ok(Geometry {
            kind,
            sector_bytes,
            cluster_bytes: sector_bytes * u32::from(sectors_per_cluster),
            fat_at: reserved * sector,
            fat_bytes: fat_sectors * sector,
            mirror_at: (fats > 1).then_some((reserved + fat_sectors) * sector),
            root_at: root_sector * sector,
            root_slots: u32::from(root_entries),
            root_cluster: 0,
            data_at,
            clusters: clusters as u32,
            total_bytes: total * sector,
            info_at: None,
            backup_at: None,
            label: ShortName::EMPTY,
            serial: 0,
        })
    }
}

/// Reads the number of free clusters from FSInfo, if it is one and has one.
pub(crate) fn free_clusters(info: &[u8; BOOT_BYTES], clusters: u32) -> Option<u32> {
    let signed = le::u32(info, 0) == 0x4161_5252
        && le::u32(info, 484) == 0x6141_7272
        && le::u32(info, 508) == 0xaa55_0000;
    Some(le::u32(info, 488)).filter(|&free| signed && free <= clusters)
}
