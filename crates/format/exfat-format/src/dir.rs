//! Walks over directories (section 6), and paths.

use foreign_bytes::read_exact;

use crate::boot::Volume;
use crate::chain::{Chain, Steps};
use crate::error::Error;
use crate::name::eq_fold;
use crate::set::{ENTRY_BYTES, Entry, MAX_SECONDARY, Node, Set, decode, entry_type};
use crate::{Blocks, MAX_SCAN_BYTES};

/// How a listing goes on after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// With the next one.
    Continue,
    /// Not: the next listing begins with this entry.
    StopBefore,
}

/// What a request may still look at, and has followed.
pub(crate) struct Scan {
    left: u64,
    steps: Steps,
}

impl Scan {
    /// No more than the device has: a longer directory has clusters twice.
    pub(crate) fn of<B: Blocks>(blocks: &B) -> Self {
        Self {
            left: MAX_SCAN_BYTES.min(blocks.len_bytes()),
            steps: Steps::default(),
        }
    }
}

/// Reads a directory entry by entry.
pub(crate) struct Reader {
    chain: Chain,
    at: u64,
    size: u64,
    /// Byte on the device at which the cluster of that number begins.
    cluster: Option<(u64, u64)>,
}

impl Reader {
    pub(crate) fn new(volume: &Volume, directory: &Node, at: u64) -> Self {
        Self {
            chain: directory.chain(volume.cluster_bytes()),
            at: at - at % ENTRY_BYTES as u64,
            size: directory.size_bytes(),
            cluster: None,
        }
    }

    /// The next entry, in use or not; `None` at the end.
    pub(crate) fn next<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        scan: &mut Scan,
    ) -> Result<Option<[u8; ENTRY_BYTES]>, Error<B::Error>> {
        let left = scan.left.checked_sub(ENTRY_BYTES as u64);
        scan.left = left.ok_or(Error::DirectoryTooLong)?;
        if self.at >= self.size {
            return Ok(None);
        }
        let bytes = u64::from(volume.cluster_bytes());
        let (number, within) = (self.at / bytes, self.at % bytes);
        let begin = match self.cluster {
            Some((known, begin)) if known == number => begin,
            _ => {
                let wanted = u32::try_from(number).unwrap_or(u32::MAX);
                let found = self
                    .chain
                    .cluster(volume, blocks, wanted, &mut scan.steps)?;
                let Some(cluster) = found else {
                    return Ok(None);
                };
                let begin = volume.cluster_at(cluster);
                self.cluster = Some((number, begin));
                begin
            }
        };
        let mut entry = [0; ENTRY_BYTES];
        read_exact(blocks, begin + within, &mut entry)?;
        if entry[0] == entry_type::END {
            return Ok(None);
        }
        self.at += ENTRY_BYTES as u64;
        Ok(Some(entry))
    }
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
        directory: &Node,
        cursor: u64,
        take: impl FnMut(&Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        let mut scan = Scan::of(blocks);
        self.walk(blocks, directory, cursor, &mut scan, take)
    }

    fn walk<B: Blocks>(
        &self,
        blocks: &mut B,
        directory: &Node,
        cursor: u64,
        scan: &mut Scan,
        mut take: impl FnMut(&Entry) -> Step,
    ) -> Result<Option<u64>, Error<B::Error>> {
        if !directory.is_directory() {
            return Err(Error::NotADirectory);
        }
        let mut reader = Reader::new(self, directory, cursor);
        loop {
            let at = reader.at;
            let Some(first) = reader.next(self, blocks, scan)? else {
                return Ok(None);
            };
            if first[0] != entry_type::FILE {
                continue;
            }
            let wrong = |fault| Error::Entry { at, fault };
            let count = 1 + usize::from(first[1]);
            if count > 1 + MAX_SECONDARY {
                return Err(wrong("begins a set with more entries than sets have"));
            }
            let mut set: Set = [[0; ENTRY_BYTES]; 1 + MAX_SECONDARY];
            set[0] = first;
            for place in set.iter_mut().take(count).skip(1) {
                let next = reader.next(self, blocks, scan)?;
                match next.filter(|entry| entry[0] & entry_type::SECONDARY == entry_type::SECONDARY)
                {
                    Some(entry) => *place = entry,
                    None => return Err(wrong("begins a set that is not whole")),
                }
            }
            if let Some(entry) = decode(&set, count).map_err(wrong)?
                && take(&entry) == Step::StopBefore
            {
                return Ok(Some(at));
            }
        }
    }

    /// Finds what `path` names below `from`, without regard to case; components are separated by '/', and empty ones and "."
    /// mean nothing. There is no "..".
    ///
    /// # Errors
    /// [`Error`].
    pub fn resolve<B: Blocks>(
        &self,
        blocks: &mut B,
        from: &Node,
        path: &str,
    ) -> Result<Node, Error<B::Error>> {
        let mut node = *from;
        // One for the whole path: a longer one may not look at more.
        let mut scan = Scan::of(blocks);
        for name in path.split('/') {
            if !node.is_directory() {
                return Err(Error::NotADirectory);
            }
            if matches!(name, "" | ".") {
                continue;
            }
            let mut found = None;
            self.walk(blocks, &node, 0, &mut scan, |entry| {
                if eq_fold(entry.name.as_str(), name) {
                    found = Some(entry.node);
                    return Step::StopBefore;
                }
                Step::Continue
            })?;
            node = found.ok_or(Error::NotFound)?;
        }
        Ok(node)
    }
}
