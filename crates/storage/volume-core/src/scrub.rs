//! Reading everything, some of it at a time, so that rot is found before it is needed.
//!
//! Nothing is kept between two steps but the key to go on from: the volume may change meanwhile, and whoever scrubs may go away.

use alloc::vec::Vec;

use volume_format::{Inode, KEY_BYTES, Kind, Parsed, Ptr, PtrKind, parse};

use crate::tree::View;
use crate::{Blocks, Error, Place, Volume, new_block};

/// What a step has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Files and objects, and the bytes that they have.
    pub files: u64,
    /// As above.
    pub bytes: u64,
    /// Blocks of data that were read and compared.
    pub blocks: u64,
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It does not add up, or contradicts others.
    Damaged(Place),
    /// The disk does not give it.
    Unreadable {
        /// The block.
        lba: u64,
        /// The inode.
        owner: u64,
        /// The block of the file.
        position: u64,
    },
}

impl Flaw {
    /// The file or object that it is about.
    #[must_use]
    pub const fn owner(&self) -> Option<u64> {
        match self {
            Self::Damaged(Place::Data { owner, .. }) | Self::Unreadable { owner, .. } => {
                Some(*owner)
            }
            Self::Damaged(_) => None,
        }
    }
}

/// What a flaw is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A file or a directory, by its path without a slash before it.
    Path(Vec<u8>),
    /// An object, by its address; without one where that is not found soon, or not at all.
    Object(Option<[u8; 32]>),
}

/// An object as a sentence names it.
#[derive(Clone, Copy, Debug)]
pub struct ObjectNamed(pub Option<[u8; 32]>);

impl core::fmt::Display for ObjectNamed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Some(address) = self.0 else {
            return f.write_str("an object");
        };
        f.write_str("object ")?;
        address.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Display for Flaw {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Damaged(place) => write!(f, "damaged: {place}"),
            Self::Unreadable {
                lba,
                owner,
                position,
            } => write!(
                f,
                "damaged: the disk does not give block {lba}, which is block {position} of inode {owner}"
            ),
        }
    }
}

/// Directories above one another that a path is made of, at most.
const MAX_NAMED_DEPTH: usize = 64;
/// Names of one directory that are looked at for the one of an inode.
const MAX_NAMES: u64 = 4096;

impl<B: Blocks> Volume<B> {
    /// Reads what lies behind the key `after`, `most` keys of it, with the data that they lead to, and gives what is wrong to
    /// `found`. Returns the key to go on from, `None` at the end. Begin with nothing; any bytes may be given.
    ///
    /// Where a node of the tree is damaged, what lies below it cannot be had, and the walk goes on behind it.
    ///
    /// # Errors
    /// No memory; the disk's, where it does not give a node.
    pub fn scrub(
        &mut self,
        view: &View,
        after: &[u8],
        most: u32,
        seen: &mut Scrubbed,
        mut found: impl FnMut(&mut Self, Flaw),
    ) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        let mut at = key(after)?;
        let mut block = new_block().ok_or(Error::NoMemory)?;
        for _ in 0..most {
            match self.seek(view, &at) {
                Ok(None) => return Ok(None),
                Ok(Some((found_at, value))) => {
                    let flaw = self.look(&found_at, &value, seen, &mut block)?;
                    if let Some(flaw) = flaw {
                        found(self, flaw);
                    }
                    at = found_at;
                    // The next one in the order of bytes.
                    crate::push(&mut at, 0)?;
                }
                Err(Error::Corrupt(place)) => {
                    found(self, Flaw::Damaged(place));
                    match self.beyond(view, &at)? {
                        Some(next) if next > at => at = next,
                        _ => return Ok(None),
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(Some(at))
    }

    /// Looks at one record, and reads what it leads to.
    fn look(
        &mut self,
        key: &[u8],
        value: &[u8],
        seen: &mut Scrubbed,
        block: &mut [u8],
    ) -> Result<Option<Flaw>, Error<B::Error>> {
        let item = |id| Some(Flaw::Damaged(Place::Item { id }));
        match parse(key) {
            Some(Parsed::Inode(id)) => match Inode::decode(value) {
                Some(inode) if inode.kind != Kind::Dir => {
                    seen.files += 1;
                    seen.bytes += inode.size;
                }
                Some(_) => {}
                None => return Ok(item(id)),
            },
            Some(Parsed::Extent(owner, position)) => {
                let newest = self.context.txg;
                let ptr = Ptr::decode(value, PtrKind::Data, &self.context.layout, newest);
                let Some(ptr) = ptr else {
                    return Ok(item(owner));
                };
                seen.blocks += 1;
                return match self.read_data(&ptr, owner, position, block) {
                    Ok(()) => Ok(None),
                    Err(Error::Corrupt(place)) => Ok(Some(Flaw::Damaged(place))),
                    Err(Error::Disk(_)) => Ok(Some(Flaw::Unreadable {
                        lba: ptr.lba,
                        owner,
                        position,
                    })),
                    Err(other) => Err(other),
                };
            }
            Some(_) => {}
            None => return Ok(item(0)),
        }
        Ok(None)
    }

    /// The path of a file or directory, without a slash before it, as far as the tree says it. `None` for what has no name, or
    /// whose name is not found soon.
    ///
    /// # Errors
    /// Damage; the disk's.
    pub fn path_of(&mut self, view: &View, id: u64) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        let mut path = Vec::new();
        let mut of = id;
        for _ in 0..MAX_NAMED_DEPTH {
            if of == crate::ROOT_DIR {
                return Ok(Some(path));
            }
            let inode = self.stat(view, of)?;
            if inode.kind == Kind::Object {
                return Ok(None);
            }
            let above = inode.parent;
            let Some(mut name) = self.name_of(view, above, of)? else {
                return Ok(None);
            };
            let room = path.len() + usize::from(!path.is_empty());
            name.try_reserve(room).map_err(|_| Error::NoMemory)?;
            if !path.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(&path);
            path = name;
            of = above;
        }
        Ok(None)
    }

    /// What a flaw is in; `None` where it is in the tree itself, or in what has no name. Of the objects, at most `most` are asked
    /// for their inodes.
    pub fn owner_of(&mut self, view: &View, flaw: &Flaw, most: u64) -> Option<Owner> {
        let id = flaw.owner()?;
        if self.stat(view, id).ok()?.kind != Kind::Object {
            return self.path_of(view, id).ok().flatten().map(Owner::Path);
        }
        let mut after = None;
        for _ in 0..most {
            // What cannot be read of the tree is a flaw of its own.
            let Ok(Some(address)) = self.next_object(view, after) else {
                break;
            };
            if matches!(self.object(view, address), Ok(found) if found == id) {
                return Some(Owner::Object(Some(address)));
            }
            after = Some(address);
        }
        Some(Owner::Object(None))
    }

    fn name_of(
        &mut self,
        view: &View,
        dir: u64,
        id: u64,
    ) -> Result<Option<Vec<u8>>, Error<B::Error>> {
        let mut after = Vec::new();
        for _ in 0..MAX_NAMES {
            match self.next_name(view, dir, &after)? {
                Some((name, named)) if named.id == id => return Ok(Some(name)),
                Some((name, _)) => after = name,
                None => break,
            }
        }
        Ok(None)
    }
}

/// A copy of a key that somebody gave; what is longer than any key leads to the same place as what is as long as one.
fn key<E>(bytes: &[u8]) -> Result<Vec<u8>, Error<E>> {
    let bytes = bytes.get(..KEY_BYTES + 1).unwrap_or(bytes);
    let mut owned = Vec::new();
    let room = owned.try_reserve_exact(bytes.len() + 1);
    room.map_err(|_| Error::NoMemory)?;
    owned.extend_from_slice(bytes);
    Ok(owned)
}
