//! What a volume refuses, and who can cause it.

use core::fmt;

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
    /// Names are bound to the object.
    Bound,
    /// The name is bound by another version than was expected.
    Conflict,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roots => f.write_str("no root is sound in either ring"),
            Self::Node { lba } => write!(f, "the tree's node in block {lba} does not add up"),
            Self::Data {
                lba,
                owner,
                position,
            } => write!(
                f,
                "block {lba}, which is block {position} of inode {owner}, does not add up"
            ),
            Self::Space { lba } => {
                write!(f, "the space map's table in block {lba} does not add up")
            }
            Self::Item { id } => write!(f, "what the tree says of inode {id} contradicts itself"),
        }
    }
}

/// A sentence for whoever has the volume: what is wrong, where, and what to do.
impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "the disk failed: {error}"),
            Self::Corrupt(Place::Roots) => write!(
                f,
                "the capOS volume is damaged: {}; it cannot be mounted, and capos-store check --repair writes good copies over bad ones",
                Place::Roots
            ),
            Self::Corrupt(place) => write!(
                f,
                "the capOS volume is damaged: {place}; capos-store scrub names all that is lost, and export saves the rest"
            ),
            Self::NoVolume(refused) => write!(f, "{refused}"),
            Self::Size => f.write_str(
                "the disk is smaller than its capOS volume, or than any volume: attach the whole disk, or a larger one",
            ),
            Self::ReadOnly => f.write_str("the volume is open to be read only"),
            Self::NoSpace => f.write_str("the volume is full; removing something makes room"),
            Self::NoMemory => f.write_str("there is no memory for it"),
            Self::NotFound => f.write_str("there is nothing of that name"),
            Self::Exists => f.write_str("the name is taken"),
            Self::WrongKind => f.write_str("it is a directory where a file is needed, or the other way round"),
            Self::NotEmpty => f.write_str("the directory has entries"),
            Self::BadName => f.write_str(
                "a name has 1 to 255 bytes, is not . or .., and has no / and no zero byte in it",
            ),
            Self::TooLarge => f.write_str("the file would be larger than the volume's label allows"),
            Self::Loop => f.write_str("a directory cannot lie below itself"),
            Self::Bound => f.write_str("names are bound to the object"),
            Self::Conflict => f.write_str("the name was bound anew since"),
        }
    }
}

impl<E> Error<E> {
    /// Whether it was found before anything changed. Any other error drops the open group.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Disk(_) | Self::Corrupt(_) | Self::NoMemory)
    }
}
