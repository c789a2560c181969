//! Why a volume, a directory or a file is refused.

use core::fmt;

/// What a sector breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It does not begin as a volume descriptor does (8.1).
    Signature,
    /// No primary volume descriptor among the first sixteen.
    NoPrimary,
    /// Blocks are not of 2048 bytes, or the descriptor is of an unknown version (8.4).
    Shape,
    /// A number that is written in both byte orders differs between them (7.2.3, 7.3.3).
    BothOrders,
    /// The volume is larger than the medium.
    Truncated,
    /// A file or directory lies outside the volume.
    Extent,
    /// A directory record is cut off or inconsistent (9.1).
    Record,
    /// A directory is empty, no whole number of sectors, or too large.
    DirectorySize,
    /// A directory is one of its own parents, or does not name itself first.
    Loop,
    /// A file in several pieces (9.1.6, bit 7).
    MultiExtent,
    /// An interleaved file, or one with an extended attribute record (9.1.2, 9.1.7).
    Interleaved,
    /// A name with characters that plain names do not have, or too long a one (7.5.1).
    Name,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "no volume descriptor",
            Self::NoPrimary => "no primary volume descriptor",
            Self::Shape => "a volume of an unknown shape",
            Self::BothOrders => "a number whose two byte orders differ",
            Self::Truncated => "a volume that is larger than the medium",
            Self::Extent => "a file outside the volume",
            Self::Record => "a broken directory record",
            Self::DirectorySize => "a directory of a wrong size",
            Self::Loop => "a directory that is its own parent",
            Self::MultiExtent => "a file in several pieces",
            Self::Interleaved => "an interleaved file",
            Self::Name => "a name that plain ISO 9660 does not have",
        })
    }
}

/// Where which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The sector that holds the bytes.
    pub lba: u32,
    /// What they break.
    pub rule: Rule,
}

/// Why nothing was read; `E` is the medium's own reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The medium could not be read.
    Medium(E),
    /// What was read is not as it should be.
    Malformed(Fault),
    /// No file or directory of this path.
    NotFound,
    /// A directory was wanted and this is a file, or the other way round.
    WrongKind,
    /// The path has too many parts, or one that no plain name can be.
    BadPath,
}

impl<E> Error<E> {
    pub(crate) const fn malformed(lba: u32, rule: Rule) -> Self {
        Self::Malformed(Fault { lba, rule })
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => error.fmt(f),
            Self::Malformed(Fault { lba, rule }) => write!(f, "sector {lba} holds {rule}"),
            Self::NotFound => f.write_str("it is not there"),
            Self::WrongKind => f.write_str("it is not of the kind that was asked for"),
            Self::BadPath => f.write_str("no such path can be on a CD"),
        }
    }
}
