//! Keys of the tree. They sort as bytes; numbers in them are big-endian.

/// Bytes of the longest key.
pub const KEY_BYTES: usize = 288;
/// Bytes of the longest name.
pub const MAX_NAME: usize = 255;

const INODE: u8 = 1;
const NAME: u8 = 2;
const EXTENT: u8 = 3;
const OBJECT: u8 = 4;
const BIND: u8 = 5;
const SNAP: u8 = 6;
const DEAD: u8 = 7;
const ORPHAN: u8 = 8;
const GONE: u8 = 9;

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A file, directory or object by number.
    Inode(u64),
    /// A name in a directory.
    Name(u64, &'a [u8]),
    /// A block of a file or an object, by the number of either and the block's place in it.
    Extent(u64, u64),
    /// An object of the store by the BLAKE3 of what it holds.
    Object([u8; 32]),
    /// A name of a namespace.
    Bind(u64, &'a [u8]),
    /// A snapshot by the transaction group that it shows.
    Snap(u64),
    /// A block that only snapshots hold: the newest snapshot when it was dropped, and the block.
    Dead(u64, u64),
    /// A file that has no name any more and still has blocks.
    Orphan(u64),
    /// A snapshot that was let go and still has blocks, by its transaction group.
    Gone(u64),
}

/// A decoded key.
pub type Parsed<'a> = Key<'a>;

/// An encoded key.
#[derive(Clone, Copy, Debug)]
pub struct KeyBuf {
    bytes: [u8; KEY_BYTES],
    len: usize,
}

impl KeyBuf {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Key<'_> {
    /// Encodes it. Names are cut at [`MAX_NAME`], which their maker checks.
    #[must_use]
    pub fn encode(&self) -> KeyBuf {
        let mut buf = KeyBuf {
            bytes: [0; KEY_BYTES],
            len: 0,
        };
        let two = |buf: &mut KeyBuf, tag: u8, first: u64, second: &[u8]| {
            buf.push(&[tag]);
            buf.push(&first.to_be_bytes());
            buf.push(second.get(..MAX_NAME).unwrap_or(second));
        };
        match *self {
            Self::Inode(id) => two(&mut buf, INODE, id, &[]),
            Self::Name(dir, name) => two(&mut buf, NAME, dir, name),
            Self::Extent(id, block) => two(&mut buf, EXTENT, id, &block.to_be_bytes()),
            Self::Object(hash) => {
                buf.push(&[OBJECT]);
                buf.push(&hash);
            }
            Self::Bind(space, name) => two(&mut buf, BIND, space, name),
            Self::Snap(txg) => two(&mut buf, SNAP, txg, &[]),
            Self::Dead(snap, lba) => two(&mut buf, DEAD, snap, &lba.to_be_bytes()),
            Self::Orphan(id) => two(&mut buf, ORPHAN, id, &[]),
            Self::Gone(txg) => two(&mut buf, GONE, txg, &[]),
        }
        buf
    }
}

/// Decodes a key.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Parsed<'_>> {
    let (tag, rest) = bytes.split_first()?;
    if *tag == OBJECT {
        return Some(Key::Object(rest.try_into().ok()?));
    }
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let first = u64::from_be_bytes(*first);
    let second = || Some(u64::from_be_bytes(rest.try_into().ok()?));
    let name_is_sound = (1..=MAX_NAME).contains(&rest.len());
    match *tag {
        INODE if rest.is_empty() => Some(Key::Inode(first)),
        NAME if name_is_sound => Some(Key::Name(first, rest)),
        EXTENT => Some(Key::Extent(first, second()?)),
        BIND if name_is_sound => Some(Key::Bind(first, rest)),
        SNAP if rest.is_empty() => Some(Key::Snap(first)),
        DEAD => Some(Key::Dead(first, second()?)),
        ORPHAN if rest.is_empty() => Some(Key::Orphan(first)),
        GONE if rest.is_empty() => Some(Key::Gone(first)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort_by_number() {
        let keys = [
            Key::Inode(1),
            Key::Inode(256),
            Key::Name(1, b"a"),
            Key::Name(1, b"a b"),
            Key::Name(1, b"b"),
            Key::Extent(5, 0),
            Key::Extent(5, 300),
            Key::Object([9; 32]),
            Key::Bind(1, &[0xff; 255]),
            Key::Snap(7),
            Key::Dead(7, 99),
            Key::Orphan(3),
            Key::Gone(7),
        ];
        for pair in keys.windows(2) {
            assert!(pair[0].encode().as_bytes() < pair[1].encode().as_bytes());
        }
        for key in keys {
            assert_eq!(parse(key.encode().as_bytes()), Some(key));
        }
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[2, 0, 0, 0, 0, 0, 0, 0, 1]), None);
    }
}
