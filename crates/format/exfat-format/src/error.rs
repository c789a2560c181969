//! What can be wrong with a request or a volume.

use core::fmt;

use foreign_bytes::ReadError;

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The bytes could not be read.
    Read(ReadError<E>),
    /// The first sector does not say that it is exFAT's.
    NotExfat,
    /// The boot region contradicts itself or the device.
    Boot(&'static str),
    /// The chain of a file's or directory's clusters is broken.
    Chain {
        /// The cluster whose entry of the FAT is wrong.
        cluster: u32,
        /// How.
        fault: &'static str,
    },
    /// The chain of a file's clusters ends before the file does.
    Short {
        /// It has no cluster of this number, counted from 0.
        clusters: u32,
    },
    /// A directory's entry contradicts itself.
    Entry {
        /// Byte of its directory.
        at: u64,
        /// How.
        fault: &'static str,
    },
    /// No entry has this name.
    NotFound,
    /// A directory was needed and this is a file.
    NotADirectory,
    /// A file was needed and this is a directory.
    IsADirectory,
    /// The request would look at more than [`MAX_SCAN_BYTES`](crate::MAX_SCAN_BYTES) of a directory.
    DirectoryTooLong,
    /// The request would follow more than [`MAX_STEPS`](crate::MAX_STEPS) clusters.
    ChainTooLong,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REPAIR: &str = "fsck.exfat or chkdsk repairs it on the system it comes from";
        match self {
            Self::Read(error) => error.fmt(f),
            Self::NotExfat => f.write_str("not an exFAT volume"),
            Self::Boot(fault) => write!(f, "the exFAT boot region {fault}; {REPAIR}"),
            Self::Chain { cluster, fault } => {
                write!(f, "the FAT's entry of cluster {cluster} {fault}; {REPAIR}")
            }
            Self::Short { clusters } => write!(
                f,
                "the chain of the file's clusters has none of number {clusters}, where the file goes on; {REPAIR}"
            ),
            Self::Entry { at, fault } => {
                write!(
                    f,
                    "the entry at byte {at} of the directory {fault}; {REPAIR}"
                )
            }
            Self::NotFound => f.write_str("no such file or directory"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::IsADirectory => f.write_str("is a directory"),
            Self::DirectoryTooLong => {
                f.write_str("more than 64 MiB of a directory would have to be read")
            }
            Self::ChainTooLong => f.write_str(
                "more than 4194304 clusters would have to be followed to this place of the file",
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

impl<E> From<ReadError<E>> for Error<E> {
    fn from(error: ReadError<E>) -> Self {
        Self::Read(error)
    }
}
