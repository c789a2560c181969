//! Finding things in a volume by name.

use foreign_bytes::read_exact;

use crate::Blocks;
use crate::dir::{DirWalk, Entry, Node, SLOT_BYTES, Slot, SlotKind, Step, attribute};
use crate::error::Error;
use crate::name::{MAX_NAME_BYTES, eq_fold};
use crate::volume::Volume;

/// Directories that a path may be deep.
const MAX_DEPTH: usize = 256;

impl Volume {
    /// Returns the root directory.
    pub fn root(&self) -> Node {
        Node {
            position: 0,
            first_cluster: self.geometry.root_cluster,
            size: 0,
            attributes: attribute::DIRECTORY,
            created: None,
            modified: None,
            accessed: None,
        }
    }

    /// Reads the node whose entry lies at `position` (see [`Node::position`]), for instance after a restart.
    ///
    /// Any entry-like 32 bytes of the data area are accepted, so positions must come from this crate and be kept
    /// where no client can change them.
    pub fn node_at<B: Blocks>(
        &self,
        blocks: &mut B,
        position: u64,
    ) -> Result<Node, Error<B::Error>> {
        if position == 0 {
            return Ok(self.root());
        }
        let begin = if self.has_wide_clusters() {
            self.geometry.data_at
        } else {
            self.geometry.root_at
        };
        if !position.is_multiple_of(SLOT_BYTES)
            || !(begin..self.geometry.total_bytes).contains(&position)
        {
            return Err(Error::BadPosition);
        }
        let mut bytes = [0; SLOT_BYTES as usize];
        read_exact(blocks, position, &mut bytes)?;
        let slot = Slot::new(bytes, position);
        if slot.kind() == SlotKind::Entry {
            Ok(slot.node(self))
        } else {
            Err(Error::BadPosition)
        }
    }

    /// Visits the entries of the directory of `walk` from `cursor` on (0: from the first) and returns where to go on,
    /// or `None` when all have been seen. "." and ".." and the volume label are left out.
    ///
    /// An error is reported only when no entry was visited before it, and again by each later call from there: what
    /// can be read is listed first.
    pub fn list<B: Blocks>(
        &self,
        blocks: &mut B,
        walk: &mut DirWalk,
        cursor: u64,
        visit: impl FnMut(&Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        walk.list(self, blocks, cursor, visit)
    }

    /// Finds the entry of directory `dir` with the long or short name `name`, without regard to case.
    pub fn lookup<B: Blocks>(
        &self,
        blocks: &mut B,
        dir: &Node,
        name: &str,
    ) -> Result<Entry, Error<B::Error>> {
        check_name(name)?;
        let mut walk = DirWalk::new(self, dir)?;
        let mut cursor = Some(0);
        let mut found = None;
        while let Some(at) = cursor {
            cursor = walk.list(self, blocks, at, |entry| {
                if eq_fold(entry.name.as_str(), name) || eq_fold(entry.alias.as_str(), name) {
                    found = Some(entry.clone());
                    Step::StopAfter
                } else {
                    Step::Continue
                }
            })?;
            if let Some(entry) = found {
                return Ok(entry);
            }
        }
        Err(Error::NotFound)
    }

    /// Finds the node at `path` below directory `from`; components are separated by '/', empty ones and "." mean
    /// nothing, ".." goes back one step of this path, out of at most 256 directories, and never above `from`.
    pub fn resolve<B: Blocks>(
        &self,
        blocks: &mut B,
        from: &Node,
        path: &str,
    ) -> Result<Node, Error<B::Error>> {
        // Positions of the directories passed. The ".." entries on the volume are not asked: they may lie.
        let mut above = [0; MAX_DEPTH];
        let mut depth = 0;
        let mut node = *from;
        for component in path.split('/') {
            if !node.is_directory() {
                return Err(Error::NotADirectory);
            }
            match component {
                "" | "." => {}
                ".." => {
                    depth = usize::saturating_sub(depth, 1);
                    let &position = above.get(depth).ok_or(Error::PathTooDeep)?;
                    node = if depth > 0 {
                        self.node_at(blocks, position)?
                    } else {
                        *from
                    };
                }
                name => {
                    let next = self.lookup(blocks, &node, name)?.node;
                    // Deeper down there is no way back, but any way on.
                    if let Some(place) = above.get_mut(depth) {
                        *place = node.position;
                    }
                    depth += 1;
                    node = next;
                }
            }
        }
        Ok(node)
    }
}

/// Checks whether a directory entry could have this name.
///
/// # Errors
/// [`Error::InvalidName`].
pub fn check_name<E>(name: &str) -> Result<(), Error<E>> {
    let impossible = |c: char| c.is_control() || c == '/';
    if matches!(name, "" | "." | "..") || name.len() > MAX_NAME_BYTES || name.contains(impossible) {
        return Err(Error::InvalidName);
    }
    Ok(())
}
