//! What can be wrong with a request or a volume.

use core::fmt;

use foreign_bytes::ReadError;

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The bytes could not be read.
    Read(ReadError<E>),
    /// The first sector is not a FAT boot sector.
    NotFat {
        /// What was seen.
        found: &'static str,
    },
    /// The boot sector contradicts itself or the device.
    BootSector(BootFault),
    /// The cluster chain of a file or directory is broken.
    Chain {
        /// How.
        fault: ChainFault,
        /// Bytes from its beginning that are good.
        readable_bytes: u64,
    },
    /// The cluster chain of a file ends before its size.
    Truncated {
        /// Bytes from its beginning that exist.
        readable_bytes: u64,
        /// Bytes that the directory entry promises.
        size_bytes: u64,
    },
    /// No entry has this name.
    NotFound,
    /// A directory was needed and this is a file.
    NotADirectory,
    /// A file was needed and this is a directory.
    IsADirectory,
    /// The name is empty, too long, or holds a character that no name can hold.
    InvalidName,
    /// The path is deeper than 256 directories.
    PathTooDeep,
    /// No live directory entry stands at this position.
    BadPosition,
    /// The directory is longer than 64 MiB, thirty times what the format allows.
    DirectoryTooLong,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::NotFat { found } => write!(f, "not a FAT volume: {found}"),
            Self::BootSector(fault) => write!(f, "bad FAT boot sector: {fault}"),
            Self::Chain {
                fault,
                readable_bytes,
            } => {
                write!(
                    f,
                    "broken cluster chain: {fault}; the first {readable_bytes} bytes are good"
                )
            }
            Self::Truncated {
                readable_bytes,
                size_bytes,
            } => {
                write!(
                    f,
                    "the file says {size_bytes} bytes but its clusters end after {readable_bytes}"
                )
            }
            Self::NotFound => f.write_str("no such file or directory"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::IsADirectory => f.write_str("is a directory"),
            Self::InvalidName => f.write_str("not a possible file name"),
            Self::PathTooDeep => f.write_str("a \"..\" lies deeper than 256 directories"),
            Self::BadPosition => f.write_str("no directory entry at this position"),
            Self::DirectoryTooLong => f.write_str("the directory is longer than 64 MiB"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

impl<E> From<ReadError<E>> for Error<E> {
    fn from(error: ReadError<E>) -> Self {
        Self::Read(error)
    }
}

/// What is wrong with a boot sector. The names are those of FATGEN, "Boot Sector and BPB".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootFault {
    /// BPB_BytsPerSec is not 512, 1024, 2048 or 4096.
    SectorBytes(u16),
    /// BPB_SecPerClus is not a power of two.
    SectorsPerCluster(u8),
    /// BPB_RsvdSecCnt is zero, so the boot sector itself would not be reserved.
    ReservedSectors,
    /// BPB_NumFATs is zero.
    FatCount,
    /// BPB_FATSz16 and BPB_FATSz32 are both zero.
    FatSize,
    /// BPB_RootEntCnt is zero on FAT12/16 or not zero on FAT32.
    RootEntries(u16),
    /// BPB_TotSec16 and BPB_TotSec32 are both zero.
    TotalSectors,
    /// The system area leaves no room for data.
    NoData {
        /// First data sector.
        data_sector: u64,
        /// Sectors of the volume.
        total_sectors: u64,
    },
    /// The FAT has no entry for even one cluster.
    FatTooSmall,
    /// There are more clusters than cluster numbers.
    TooManyClusters(u64),
    /// BPB_FSVer is not 0.0.
    Version(u16),
    /// BPB_RootClus is not a cluster of the volume.
    RootCluster(u32),
    /// BPB_ExtFlags names an active FAT that does not exist.
    ActiveFat(u8),
    /// The device ends before the data area begins.
    DeviceEnds {
        /// Byte where the data area begins.
        data_at: u64,
        /// Bytes of the device.
        device_bytes: u64,
    },
}

impl fmt::Display for BootFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SectorBytes(n) => write!(f, "{n} bytes per sector, not 512, 1024, 2048 or 4096"),
            Self::SectorsPerCluster(n) => write!(f, "{n} sectors per cluster, not a power of two"),
            Self::ReservedSectors => f.write_str("no reserved sectors"),
            Self::FatCount => f.write_str("no FAT"),
            Self::FatSize => f.write_str("FAT size is zero"),
            Self::RootEntries(n) => write!(f, "{n} fixed root entries do not fit this FAT type"),
            Self::TotalSectors => f.write_str("number of sectors is zero"),
            Self::NoData {
                data_sector,
                total_sectors,
            } => {
                write!(
                    f,
                    "data would begin at sector {data_sector} of {total_sectors}"
                )
            }
            Self::FatTooSmall => f.write_str("the FAT is too small for a single cluster"),
            Self::TooManyClusters(n) => {
                write!(f, "{n} clusters, more than this FAT type can number")
            }
            Self::Version(v) => write!(f, "unknown version {}.{}", v >> 8, v & 0xff),
            Self::RootCluster(n) => {
                write!(f, "root directory in cluster {n}, which does not exist")
            }
            Self::ActiveFat(n) => write!(f, "active FAT {n} does not exist"),
            Self::DeviceEnds {
                data_at,
                device_bytes,
            } => {
                write!(
                    f,
                    "data begins at byte {data_at}, the device ends at {device_bytes}"
                )
            }
        }
    }
}

/// How a cluster chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// It comes back to a cluster that it has been at.
    Loop {
        /// A cluster of the loop.
        cluster: u32,
    },
    /// A cluster of the chain is marked free.
    Free {
        /// The cluster.
        cluster: u32,
    },
    /// A cluster of the chain is marked bad.
    Bad {
        /// The cluster.
        cluster: u32,
    },
    /// A cluster of the chain has a reserved value in the FAT.
    Reserved {
        /// The cluster.
        cluster: u32,
    },
    /// The chain goes on outside the volume.
    Outside {
        /// The last cluster that exists.
        cluster: u32,
        /// Where it points.
        next: u32,
    },
    /// The first cluster, in the directory entry, is not a cluster of the volume.
    Start {
        /// The number in the entry.
        cluster: u32,
    },
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop { cluster } => write!(f, "it loops through cluster {cluster}"),
            Self::Free { cluster } => write!(f, "cluster {cluster} is marked free"),
            Self::Bad { cluster } => write!(f, "cluster {cluster} is marked bad"),
            Self::Reserved { cluster } => write!(f, "cluster {cluster} has a reserved value"),
            Self::Outside { cluster, next } => {
                write!(f, "cluster {cluster} points to {next}, outside the volume")
            }
            Self::Start { cluster } => write!(f, "the first cluster {cluster} does not exist"),
        }
    }
}
