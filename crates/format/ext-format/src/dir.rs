//! Directories ("Directory Entries"): blocks of entries, one behind the other. The trees of names that larger ones have
//! besides look to this walk like blocks without entries, as they were made to.

use crate::error::{Error, Place, corrupt};
use crate::inode::{Inode, Kind};
use crate::map::Piece;
use crate::name::Name;
use crate::volume::{NOWHERE, Volume};
use crate::{Blocks, MAX_SCAN_BYTES};

/// Bytes of an entry before its name.
const HEAD_BYTES: usize = 8;
/// Bytes of the entry without a name at a block's end that holds the block's sum.
const TAIL_BYTES: u32 = 12;
const TAIL_TYPE: u8 = 0xde;

/// A name in a directory.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The inode that it names.
    pub inode: u32,
    /// What that is, where the directory says it.
    pub kind: Option<Kind>,
    raw: [u8; 255],
    len: u8,
}

impl Entry {
    /// The name's bytes.
    pub(crate) fn raw(&self) -> &[u8] {
        self.raw.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The name as it is shown.
    pub fn name(&self) -> Name {
        Name::new(self.raw())
    }

    /// Whether `name` names it: by its bytes, or as it is shown.
    fn is(&self, name: &[u8]) -> bool {
        let raw = self.raw();
        raw == name || (!raw.is_ascii() && self.name().as_str().as_bytes() == name)
    }
}

/// How a listing goes on after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// With the next one.
    Continue,
    /// Not: the next listing begins with this entry.
    StopBefore,
    /// Not: the next listing begins behind it.
    StopAfter,
}

/// Bytes of directories that a request may still look at.
pub(crate) struct Left(u64);

impl Left {
    /// No more than the device has: a longer directory has blocks twice.
    pub(crate) fn of<B: Blocks>(blocks: &B) -> Self {
        Self(MAX_SCAN_BYTES.min(blocks.len_bytes()))
    }

    fn take<E>(&mut self, bytes: u32) -> Result<(), Error<E>> {
        let left = self.0.checked_sub(bytes.into());
        self.0 = left.ok_or(Error::DirectoryTooLong)?;
        Ok(())
    }
}

/// One entry as it stands: where the next one begins, and what it names, if anything.
struct Read {
    next: u32,
    entry: Option<Entry>,
}

impl Volume {
    /// Gives `take` the entries of a directory from `cursor` on, until it stops. Returns where to go on, `None` at the end.
    /// 0 is the start; every other cursor is one that was returned here, and any other number is no danger.
    ///
    /// # Errors
    /// [`Error`], after the entries before it were taken.
    pub fn list<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Inode,
        cursor: u64,
        take: impl FnMut(&mut B, &Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        let mut left = Left::of(blocks);
        self.walk(blocks, directory, cursor, &mut left, take)
    }

    pub(crate) fn walk<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Inode,
        cursor: u64,
        left: &mut Left,
        mut take: impl FnMut(&mut B, &Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        if !directory.is_directory() {
            return Err(Error::NotADirectory);
        }
        directory.readable()?;
        let size = u64::from(self.block_bytes());
        let mut logical = cursor / size;
        let mut known: Option<(u64, Piece)> = None;
        while logical < directory.size.div_ceil(size) {
            let block = self.directory_block(blocks, directory, logical, &mut known)?;
            left.take(self.block_bytes())?;
            let mut at = 0;
            while at < self.block_bytes() {
                let own = logical * size + u64::from(at);
                let read = self.entry(blocks, directory, block, own)?;
                if let Some(entry) = read.entry.filter(|_| own >= cursor) {
                    match take(blocks, &entry) {
                        Step::Continue => {}
                        Step::StopBefore => return Ok(Some(own)),
                        Step::StopAfter => return Ok(Some(logical * size + u64::from(read.next))),
                    }
                }
                at = read.next;
            }
            logical += 1;
        }
        Ok(None)
    }

    /// Finds a block of a directory, and compares its sum.
    fn directory_block<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Inode,
        logical: u64,
        known: &mut Option<(u64, Piece)>,
    ) -> Result<u64, Error<B::Error>> {
        let place = Place::Directory {
            inode: directory.number,
            at: logical * u64::from(self.block_bytes()),
        };
        let held = known.filter(|(first, piece)| logical - first < piece.blocks);
        let (first, piece) = match held {
            Some(held) => held,
            None => {
                let number = u32::try_from(logical).unwrap_or(u32::MAX);
                (logical, self.map(blocks, directory, number)?)
            }
        };
        *known = Some((first, piece));
        let Some(begin) = piece.place else {
            return Err(corrupt(place, "is a hole, which no directory has"));
        };
        let block = begin + (logical - first);
        if let Some(seed) = directory.seed
            && !self.is_index(blocks, directory, block, logical)?
        {
            let end = self.block_bytes() - TAIL_BYTES;
            let mut tail = [0; TAIL_BYTES as usize];
            self.read(blocks, block, end, &mut tail)?;
            let is_tail = le::u32(&tail, 0) == 0
                && le::u16(&tail, 4) == TAIL_BYTES as u16
                && tail[6..8] == [0, TAIL_TYPE];
            let sum = self.sum(blocks, seed, block, 0..end, [NOWHERE, NOWHERE])?;
            if !is_tail || sum != le::u32(&tail, 8) {
                return Err(corrupt(
                    place,
                    "begins a block without the sum that it should have",
                ));
            }
        }
        Ok(block)
    }

    /// Whether a block is one of the tree of names ("Hash Tree Directories"): it has no entries but the root's dots.
    fn is_index<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Inode,
        block: u64,
        logical: u64,
    ) -> Result<bool, Error<B::Error>> {
        if !directory.is_indexed() || logical == 0 {
            return Ok(directory.is_indexed());
        }
        let mut head = [0; HEAD_BYTES];
        self.read(blocks, block, 0, &mut head)?;
        Ok(le::u32(&head, 0) == 0 && self.entry_bytes(&head) == self.block_bytes())
    }

    /// Length of an entry: that of blocks of 64 KiB does not fit into its field.
    fn entry_bytes(&self, head: &[u8]) -> u32 {
        let length = u32::from(le::u16(head, 4));
        match (self.block_bytes(), length) {
            (65536.., 0 | 65535) => 65536,
            _ => length,
        }
    }

    fn entry<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Inode,
        block: u64,
        own: u64,
    ) -> Result<Read, Error<B::Error>> {
        let place = Place::Directory {
            inode: directory.number,
            at: own,
        };
        let at = (own % u64::from(self.block_bytes())) as u32;
        let left = self.block_bytes() - at;
        let mut bytes = [0; HEAD_BYTES + 255];
        let held = bytes.len().min(left as usize);
        if held < TAIL_BYTES as usize {
            return Err(corrupt(place, "has no room for an entry"));
        }
        self.read(blocks, block, at, bytes.get_mut(..held).unwrap_or_default())?;
        let inode = le::u32(&bytes, 0);
        let length = self.entry_bytes(&bytes);
        let name = match self.superblock.file_types {
            true => u32::from(bytes[6]),
            false => u32::from(le::u16(&bytes, 6)),
        };
        let fits = length >= TAIL_BYTES && length.is_multiple_of(4) && length <= left;
        if !fits || (inode != 0 && (name > 255 || HEAD_BYTES as u32 + name > length)) {
            return Err(corrupt(place, "has an entry of an impossible length"));
        }
        let mut read = Read {
            next: at + length,
            entry: None,
        };
        let raw = bytes.get(HEAD_BYTES..HEAD_BYTES + name as usize);
        let Some(raw) = raw.filter(|raw| inode != 0 && !matches!(*raw, b"." | b"..")) else {
            return Ok(read);
        };
        if raw.is_empty() || inode > self.superblock.inodes {
            return Err(corrupt(
                place,
                "has an entry without a name, or of no inode",
            ));
        }
        let mut entry = Entry {
            inode,
            kind: self.superblock.file_types.then(|| kind(bytes[7])).flatten(),
            raw: [0; 255],
            len: name as u8,
        };
        for (to, from) in entry.raw.iter_mut().zip(raw) {
            *to = *from;
        }
        read.entry = Some(entry);
        Ok(read)
    }

    /// Finds the entry of that name.
    pub(crate) fn lookup<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Inode,
        name: &[u8],
        left: &mut Left,
    ) -> Result<u32, Error<B::Error>> {
        let mut found = None;
        self.walk(blocks, directory, 0, left, |_, entry| {
            if entry.is(name) {
                found = Some(entry.inode);
                return Step::StopAfter;
            }
            Step::Continue
        })?;
        found.ok_or(Error::NotFound)
    }

    /// What an entry names.
    ///
    /// # Errors
    /// [`Error`].
    pub fn named<B: Blocks>(
        &self,
        blocks: &mut B,
        entry: &Entry,
    ) -> Result<Inode, Error<B::Error>> {
        self.inode(blocks, entry.inode)
    }
}

const fn kind(file_type: u8) -> Option<Kind> {
    match file_type {
        1 => Some(Kind::File),
        2 => Some(Kind::Directory),
        7 => Some(Kind::Link),
        3..=6 => Some(Kind::Special),
        _ => None,
    }
}
