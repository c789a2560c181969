//! What can be wrong with a request or a volume.

use core::fmt;

use foreign_bytes::ReadError;

/// A structure of a volume, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The superblock, at byte 1024.
    Superblock,
    /// The descriptor of a block group.
    Group(u32),
    /// An inode.
    Inode(u32),
    /// A node of the tree that leads to a file's blocks.
    Tree {
        /// The file.
        inode: u32,
        /// The node's block; 0 for the root, which lies in the inode.
        block: u64,
    },
    /// A place in a directory.
    Directory {
        /// The directory.
        inode: u32,
        /// Byte of it.
        at: u64,
    },
    /// A block of the journal, counted from its beginning.
    Journal(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("the superblock"),
            Self::Group(number) => write!(f, "the descriptor of block group {number}"),
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::Tree { inode, block: 0 } => write!(f, "the block tree in inode {inode}"),
            Self::Tree { inode, block } => {
                write!(f, "block {block} of the block tree of inode {inode}")
            }
            Self::Directory { inode, at } => {
                write!(f, "byte {at} of the directory of inode {inode}")
            }
            Self::Journal(block) => write!(f, "block {block} of the journal"),
        }
    }
}

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The bytes could not be read.
    Read(ReadError<E>),
    /// There is no ext superblock.
    NotExt,
    /// It is sound as far as can be told, and needs what is not done here.
    Unsupported {
        /// What asks for it.
        place: Place,
        /// What it has.
        what: &'static str,
    },
    /// It contradicts itself.
    Corrupt {
        /// What does.
        place: Place,
        /// How.
        fault: &'static str,
    },
    /// No entry has this name.
    NotFound,
    /// A directory was needed and this is something else.
    NotADirectory,
    /// A file was needed and this is a directory.
    IsADirectory,
    /// A file was needed and this is a device, a pipe or a socket.
    NotAFile,
    /// The path is longer than [`MAX_PATH_BYTES`](crate::MAX_PATH_BYTES) or deeper than [`MAX_DEPTH`](crate::MAX_DEPTH), links included.
    PathTooLong,
    /// The path leads over more than [`MAX_LINKS`](crate::MAX_LINKS) symbolic links.
    TooManyLinks,
    /// A symbolic link leads out of the directory that the path began in.
    LinkLeaves,
    /// The request would look at more than [`MAX_SCAN_BYTES`](crate::MAX_SCAN_BYTES) of directories, or more than the device has.
    DirectoryTooLong,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::NotExt => f.write_str("not an ext2, ext3 or ext4 file system"),
            Self::Unsupported { place, what } => write!(f, "{place} {what}"),
            Self::Corrupt { place, fault } => write!(
                f,
                "{place} {fault}; e2fsck repairs it on the system it comes from"
            ),
            Self::NotFound => f.write_str("no such file or directory"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::IsADirectory => f.write_str("is a directory"),
            Self::NotAFile => f.write_str("a device, pipe or socket, which has no bytes to read"),
            Self::PathTooLong => f.write_str("the path, with its links, is too long"),
            Self::TooManyLinks => f.write_str("the path leads over more than 40 symbolic links"),
            Self::LinkLeaves => {
                f.write_str("a symbolic link leads out of the directory that was opened")
            }
            Self::DirectoryTooLong => f.write_str(
                "more than 64 MiB of directories would have to be read, or more than there are",
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

pub(crate) const fn corrupt<E>(place: Place, fault: &'static str) -> Error<E> {
    Error::Corrupt { place, fault }
}
