//! Entries of directories: sets of a file, its stream and its name (7.4, 7.6, 7.7).

use crate::chain::Chain;
use crate::name::{MAX_UNITS, Name};
use crate::time::{Time, time};

/// Bytes of one entry.
pub(crate) const ENTRY_BYTES: usize = 32;
/// Entries behind the first of a set.
pub(crate) const MAX_SECONDARY: usize = 18;
/// Units of a name that one entry holds.
const NAME_UNITS: usize = 15;

/// Types of entries, with the bit that says they are in use.
pub(crate) mod entry_type {
    pub(crate) const END: u8 = 0;
    pub(crate) const FILE: u8 = 0x85;
    pub(crate) const STREAM: u8 = 0xc0;
    pub(crate) const NAME: u8 = 0xc1;
    /// In use, and behind another.
    pub(crate) const SECONDARY: u8 = 0xc0;
    /// Whoever does not know it may leave it out.
    pub(crate) const BENIGN: u8 = 0x20;
}

/// FileAttributes (7.4.4).
pub mod attribute {
    /// It shall not be written.
    pub const READ_ONLY: u16 = 0x01;
    /// It is not shown.
    pub const HIDDEN: u16 = 0x02;
    /// It belongs to the system.
    pub const SYSTEM: u16 = 0x04;
    /// It is a directory.
    pub const DIRECTORY: u16 = 0x10;
}

/// A file or directory.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// FileAttributes.
    pub attributes: u16,
    /// Bytes of it; of the root, whose length nothing says, all that there can be.
    pub(crate) size: u64,
    /// Bytes from its beginning that were written; the others are zeroes (7.6.5).
    pub(crate) valid: u64,
    first: u32,
    straight: bool,
    /// When it was made.
    pub created: Option<Time>,
    /// When it was changed.
    pub modified: Option<Time>,
}

impl Node {
    pub(crate) const fn root(first: u32) -> Self {
        Self {
            attributes: attribute::DIRECTORY,
            size: u64::MAX,
            valid: u64::MAX,
            first,
            straight: false,
            created: None,
            modified: None,
        }
    }

    /// Whether it is a directory.
    pub const fn is_directory(&self) -> bool {
        self.attributes & attribute::DIRECTORY != 0
    }

    /// Bytes of it.
    pub const fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Its clusters.
    pub(crate) fn chain(&self, cluster_bytes: u32) -> Chain {
        let count = self.size.div_ceil(u64::from(cluster_bytes));
        let straight = self.straight;
        Chain::new(
            self.first,
            straight.then_some(u32::try_from(count).unwrap_or(u32::MAX)),
        )
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name.
    pub name: Name,
    /// What it names.
    pub node: Node,
}

/// The entries of a set, one behind the other.
pub(crate) type Set = [[u8; ENTRY_BYTES]; 1 + MAX_SECONDARY];

/// Reads a set of `count` entries; `None` where one of them must be known to be understood, and is not.
pub(crate) fn decode(set: &Set, count: usize) -> Result<Option<Entry>, &'static str> {
    let held = set.get(..count).unwrap_or_default();
    let (file, stream) = (&set[0], &set[1]);
    if sum(held) != le::u16(file, 2) {
        return Err("begins a set that does not have the sum that it says it has");
    }
    if count < 3 || stream[0] != entry_type::STREAM {
        return Err("begins a set without a stream or a name");
    }
    let length = usize::from(stream[3]);
    let mut units = [0u16; MAX_UNITS];
    let mut named = 0;
    for entry in held.get(2..).unwrap_or_default() {
        match entry[0] {
            entry_type::NAME => {
                let places = units.iter_mut().skip(named * NAME_UNITS).take(NAME_UNITS);
                for (index, unit) in places.enumerate() {
                    *unit = le::u16(entry, 2 + 2 * index);
                }
                named += 1;
            }
            other if other & entry_type::BENIGN != 0 => {}
            _ => return Ok(None),
        }
    }
    if length == 0 || named < length.div_ceil(NAME_UNITS) {
        return Err("begins a set without its whole name");
    }
    let name = Name::new(units.get(..length).unwrap_or_default());
    let (size, valid) = (le::u64(stream, 24), le::u64(stream, 8));
    let node = Node {
        attributes: le::u16(file, 4),
        size,
        valid,
        first: le::u32(stream, 20),
        straight: stream[1] & 2 != 0,
        created: time(le::u32(file, 8), file[20], file[22]),
        modified: time(le::u32(file, 12), file[21], file[23]),
    };
    if valid > size {
        return Err("says that more of it was written than there is");
    }
    Ok(Some(Entry { name, node }))
}

/// SetChecksum (6.3.3).
fn sum(set: &[[u8; ENTRY_BYTES]]) -> u16 {
    let bytes = set.iter().flatten().enumerate();
    bytes
        .filter(|(index, _)| !matches!(index, 2 | 3))
        .fold(0u16, |sum, (_, byte)| {
            sum.rotate_right(1).wrapping_add(u16::from(*byte))
        })
}
