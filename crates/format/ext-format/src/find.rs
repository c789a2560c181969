//! Paths, and the symbolic links in them.

use alloc::vec::Vec;

use sabotage::sabotage;

use crate::dir::Left;
use crate::error::{Error, Place, corrupt};
use crate::inode::{Inode, Kind};
use crate::volume::{ROOT, Volume};
use crate::{Blocks, MAX_DEPTH, MAX_LINKS, MAX_PATH_BYTES};

/// Where a link's target lies in its inode if it is shorter than this ("Symbolic Links").
const INLINE_TARGET: u64 = 60;

/// What is left of a path, and where it has led.
struct Route {
    /// Bytes to go, those of links spliced in.
    rest: Vec<u8>,
    at: usize,
    /// The directories from the one that the path began in.
    above: Vec<Inode>,
    links: u32,
}

impl Route {
    /// The next component.
    fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest.get(self.at..).unwrap_or_default();
        let skipped = rest.iter().take_while(|byte| **byte == b'/').count();
        let name = rest.get(skipped..).unwrap_or_default();
        let end = name.iter().position(|byte| *byte == b'/');
        let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
        self.at += skipped + name.len();
        (!name.is_empty()).then(|| name.to_vec())
    }

    /// Goes on with a link's target.
    fn splice<E>(&mut self, target: &[u8]) -> Result<(), Error<E>> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Error::TooManyLinks);
        }
        let rest = self.rest.get(self.at..).unwrap_or_default();
        if target.len() + 1 + rest.len() > MAX_PATH_BYTES {
            return Err(Error::PathTooLong);
        }
        if target.first() == Some(&b'/') {
            // Only who was given the root was given what such a link means.
            if self
                .above
                .first()
                .is_none_or(|first| first.number() != ROOT)
            {
                return Err(Error::LinkLeaves);
            }
            self.above.truncate(1);
        }
        self.rest = [target, b"/", rest].concat();
        self.at = 0;
        Ok(())
    }
}

impl Volume {
    /// Finds what `path` names below `from`; components are separated by '/', and empty ones and "." mean nothing. Symbolic
    /// links are followed, the last one too, but never out of `from`: "a/../b" is taken by its names, as far as `from`, and a
    /// target that begins with '/' only where `from` is the root.
    ///
    /// # Errors
    /// [`Error`].
    pub fn resolve<B: Blocks>(
        &self,
        blocks: &mut B,
        from: &Inode,
        path: &str,
    ) -> Result<Inode, Error<B::Error>> {
        if path.len() > MAX_PATH_BYTES {
            return Err(Error::PathTooLong);
        }
        let mut route = Route {
            rest: path.as_bytes().to_vec(),
            at: 0,
            above: [*from].to_vec(),
            links: 0,
        };
        let mut left = Left::of(blocks);
        let mut file = None;
        while let Some(name) = route.next() {
            if file.is_some() {
                return Err(Error::NotADirectory);
            }
            match name.as_slice() {
                b"." => continue,
                b".." if route.above.len() > 1 => {
                    route.above.pop();
                    continue;
                }
                b".." if sabotage!(EXT_LEAVE_BY_LINK) => continue,
                b".." => return Err(Error::LinkLeaves),
                _ => {}
            }
            let Some(directory) = route.above.last().copied() else {
                return Err(Error::NotADirectory);
            };
            let number = self.lookup(blocks, &directory, &name, &mut left)?;
            let found = self.inode(blocks, number)?;
            match found.kind() {
                Kind::Link => route.splice(&self.target(blocks, &found)?)?,
                Kind::Directory if route.above.len() > MAX_DEPTH => return Err(Error::PathTooLong),
                Kind::Directory => route.above.push(found),
                Kind::File | Kind::Special => file = Some(found),
            }
        }
        file.or(route.above.pop()).ok_or(Error::NotFound)
    }

    /// Where a symbolic link leads.
    fn target<B: Blocks>(&self, blocks: &mut B, link: &Inode) -> Result<Vec<u8>, Error<B::Error>> {
        let place = Place::Inode(link.number());
        let most = MAX_PATH_BYTES.min(self.block_bytes() as usize);
        let length = usize::try_from(link.size)
            .ok()
            .filter(|length| *length > 0 && *length < most)
            .ok_or(corrupt(place, "is a symbolic link of an impossible length"))?;
        if link.size < INLINE_TARGET && !link.has_extents() {
            return Ok(link.block.get(..length).unwrap_or_default().to_vec());
        }
        link.readable()?;
        let piece = self.map(blocks, link, 0)?;
        let Some(block) = piece.place else {
            return Err(corrupt(place, "is a symbolic link without a target"));
        };
        let mut target = alloc::vec![0; length];
        self.read(blocks, block, 0, &mut target)?;
        Ok(target)
    }
}
