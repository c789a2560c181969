//! What a volume refuses, and who can cause it.

use volume_format::Refused;

/// The structure that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// No root of either ring is sound.
    Roots,
    /// A node of the tree.
    Node {
        /// Its block.
        lba: u64,
    },
    /// A file's or an object's bytes.
    Data {
        /// Its block.
        lba: u64,
        /// The inode.
        owner: u64,
        /// The block of the file.
        position: u64,
    },
    /// A table or bitmap of the space tree.
    Space {
        /// Its block.
        lba: u64,
    },
    /// An item of the tree does not decode or contradicts another one; the inode or snapshot it belongs to.
    Item {
        /// Its number.
        id: u64,
    },
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The disk failed a command.
    Disk(E),
    /// The volume is damaged there.
    Corrupt(Place),
    /// The disk holds no volume of ours, or one that cannot be read.
    NoVolume(Refused),
    /// The disk is smaller than its volume, or no volume of its size exists.
    Size,
    /// Opened to read, or made read-only by a failed write.
    ReadOnly,
    /// There is no room, and nothing was changed.
    NoSpace,
    /// There is no memory.
    NoMemory,
    /// No such name, object or snapshot.
    NotFound,
    /// The name is taken.
    Exists,
    /// A directory where a file is needed, or the other way round.
    WrongKind,
    /// The directory has entries.
    NotEmpty,
    /// A name that cannot be: empty, too long, `.` or `..`, or with `/` or a zero byte in it.
    BadName,
    /// Beyond the largest file.
    TooLarge,
    /// A directory would lie below itself.
    Loop,
}

impl<E> Error<E> {
    /// Whether it was found before anything changed. Any other error drops the open group.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Disk(_) | Self::Corrupt(_) | Self::NoMemory)
    }
}
