//! Directory records (9.1) and the numbers in them.

use crate::SECTOR_BYTES;
use crate::error::Rule;
use crate::name::Name;

/// Bytes of a record before its identifier.
const FIXED_BYTES: usize = 33;
/// Flags (9.1.6): a directory; a file whose other parts follow.
const DIRECTORY: u8 = 1 << 1;
const MULTI_EXTENT: u8 = 1 << 7;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    File,
    /// Names.
    Directory,
}

/// Where bytes lie; always inside the volume it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First sector.
    pub lba: u32,
    /// Bytes.
    pub bytes: u32,
}

impl Extent {
    /// Sectors it touches.
    #[must_use]
    pub const fn sectors(self) -> u32 {
        self.bytes.div_ceil(SECTOR_BYTES as u32)
    }
}

/// A file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Where it lies.
    pub extent: Extent,
    /// When it was recorded: seconds since 1970, UTC; `None` where the date is none.
    pub modified: Option<i64>,
}

/// Which record of a directory this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Own,
    Parent,
    Named(Name),
}

/// A record as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub which: Which,
    pub kind: Kind,
    pub extent: Extent,
    pub modified: Option<i64>,
    /// Bytes to the next record.
    pub len: usize,
}

/// A 32-bit number in both orders (7.3.3).
pub(crate) fn both32(bytes: &[u8], at: usize) -> Result<u32, Rule> {
    let part = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    let little = u32::from_le_bytes(part(at).ok_or(Rule::Record)?);
    let big = u32::from_be_bytes(part(at + 4).ok_or(Rule::Record)?);
    (little == big).then_some(little).ok_or(Rule::BothOrders)
}

/// A 16-bit number in both orders (7.2.3).
pub(crate) fn both16(bytes: &[u8], at: usize) -> Result<u16, Rule> {
    let part = |at: usize| -> Option<[u8; 2]> { bytes.get(at..at + 2)?.try_into().ok() };
    let little = u16::from_le_bytes(part(at).ok_or(Rule::Record)?);
    let big = u16::from_be_bytes(part(at + 2).ok_or(Rule::Record)?);
    (little == big).then_some(little).ok_or(Rule::BothOrders)
}

impl Record {
    /// The record at the start of `bytes`, which end where the sector does; `blocks` is the volume's size.
    pub(crate) fn parse(bytes: &[u8], blocks: u32) -> Result<Self, Rule> {
        let len = usize::from(*bytes.first().ok_or(Rule::Record)?);
        let bytes = bytes.get(..len).ok_or(Rule::Record)?;
        let byte = |at: usize| bytes.get(at).copied().ok_or(Rule::Record);
        let identifier_bytes = usize::from(byte(FIXED_BYTES - 1)?);
        let identifier = bytes
            .get(FIXED_BYTES..FIXED_BYTES + identifier_bytes)
            .ok_or(Rule::Record)?;
        let flags = byte(25)?;
        if byte(1)? != 0 || byte(26)? != 0 || byte(27)? != 0 {
            return Err(Rule::Interleaved);
        }
        if flags & MULTI_EXTENT != 0 {
            return Err(Rule::MultiExtent);
        }
        both16(bytes, 28)?;
        let extent = Extent {
            lba: both32(bytes, 2)?,
            bytes: both32(bytes, 10)?,
        };
        // An empty file lies nowhere, whatever number stands there.
        let end = extent.lba.checked_add(extent.sectors());
        if extent.bytes > 0 && end.is_none_or(|end| end > blocks) {
            return Err(Rule::Extent);
        }
        let which = match identifier {
            [0] => Which::Own,
            [1] => Which::Parent,
            name => Which::Named(Name::parse(name).ok_or(Rule::Name)?),
        };
        let kind = if flags & DIRECTORY == 0 {
            Kind::File
        } else {
            Kind::Directory
        };
        let date = bytes.get(18..25).unwrap_or_default();
        Ok(Self {
            which,
            kind,
            extent,
            modified: seconds(date),
            len,
        })
    }
}

/// A recording date (9.1.5): years since 1900, month, day, hour, minute, second, quarters of an hour east of UTC.
fn seconds(date: &[u8]) -> Option<i64> {
    let &[year, month, day, hour, minute, second, zone] = date else {
        return None;
    };
    // Unlike the calendar's, seconds end at 59 here.
    if second > 59 {
        return None;
    }
    let year = 1900 + u16::from(year);
    let time = calendar::unix_time(year, month, day, hour, minute, second)?;
    Some(time - i64::from(zone.cast_signed()) * 900)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn dates_become_seconds() {
        assert_eq!(seconds(&[80, 1, 1, 0, 0, 0, 0]), Some(315_532_800));
        assert_eq!(seconds(&[100, 2, 29, 12, 0, 1, 0]), Some(951_825_601));
        assert_eq!(seconds(&[100, 2, 29, 12, 0, 1, 4]), Some(951_822_001));
        assert_eq!(seconds(&[70, 1, 1, 0, 0, 0, 0xfc]), Some(3600));
        assert_eq!(seconds(&[0; 7]), None);
        assert_eq!(seconds(&[80, 13, 1, 0, 0, 0, 0]), None);
        assert_eq!(seconds(&[101, 2, 29, 0, 0, 0, 0]), None);
        assert_eq!(seconds(&[100, 4, 31, 0, 0, 0, 0]), None);
        assert_eq!(seconds(&[100, 4, 30, 0, 0, 60, 0]), None);
        assert_eq!(seconds(&[80]), None);
    }
}
