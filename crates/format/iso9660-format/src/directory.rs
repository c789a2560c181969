//! Walking a directory, one sector in memory at a time.

use crate::error::{Error, Rule};
use crate::record::{Entry, Extent, Kind, Record, Which};
use crate::{Medium, SECTOR_BYTES, Sector};

/// Most sectors of a directory: above 2000 names, more than any boot medium of ours has.
const MAX_SECTORS: u32 = 64;

/// The names of a directory, in the order in which they stand there. It ends for good at the first error.
pub struct Entries {
    directory: Extent,
    blocks: u32,
    /// The next sector to read, from the start of the directory.
    next: u32,
    sector: Sector,
    /// Where in the sector the next record begins; at its end, a sector is read first.
    at: usize,
    /// Records so far; the first two stand for the directory and its parent.
    count: u32,
}

impl Entries {
    pub(crate) fn new(directory: Extent, blocks: u32) -> Self {
        Self {
            directory,
            blocks,
            next: 0,
            sector: [0; SECTOR_BYTES],
            at: SECTOR_BYTES,
            count: 0,
        }
    }

    /// The next file or directory; `None` at the end.
    ///
    /// # Errors
    /// What cannot be read, or which record breaks what.
    pub fn next<M: Medium>(&mut self, medium: &mut M) -> Result<Option<Entry>, Error<M::Error>> {
        let found = self.step(medium);
        if found.is_err() {
            self.next = self.directory.sectors();
            self.at = SECTOR_BYTES;
        }
        found
    }

    fn step<M: Medium>(&mut self, medium: &mut M) -> Result<Option<Entry>, Error<M::Error>> {
        loop {
            let rest = self.sector.get(self.at..).unwrap_or_default();
            // A length of 0 ends the records of a sector (6.8.1.1).
            if rest.first().is_none_or(|len| *len == 0) {
                if !self.fill(medium)? {
                    return Ok(None);
                }
                continue;
            }
            let lba = self.directory.lba + self.next - 1;
            let broken = |rule| Error::malformed(lba, rule);
            let record = Record::parse(rest, self.blocks).map_err(broken)?;
            self.at += record.len;
            let first = self.count;
            self.count += 1;
            match (first, record.which) {
                (0, Which::Own) if record.extent == self.directory => {}
                (0, _) => return Err(broken(Rule::Loop)),
                (1, Which::Parent) => {}
                (1, _) | (_, Which::Own | Which::Parent) => return Err(broken(Rule::Record)),
                (_, Which::Named(name)) => {
                    if record.kind == Kind::Directory {
                        check(record.extent).map_err(broken)?;
                    }
                    return Ok(Some(Entry {
                        name,
                        kind: record.kind,
                        extent: record.extent,
                        modified: record.modified,
                    }));
                }
            }
        }
    }

    /// Reads the next sector. `false` where there is none.
    fn fill<M: Medium>(&mut self, medium: &mut M) -> Result<bool, Error<M::Error>> {
        if self.next >= self.directory.sectors() {
            return Ok(false);
        }
        let lba = self.directory.lba + self.next;
        medium.read(lba, &mut self.sector).map_err(Error::Medium)?;
        self.next += 1;
        self.at = 0;
        Ok(true)
    }
}

/// Refuses a directory of a size that none has.
pub(crate) fn check(directory: Extent) -> Result<(), Rule> {
    let whole = directory.bytes.is_multiple_of(SECTOR_BYTES as u32);
    if directory.bytes == 0 || !whole || directory.sectors() > MAX_SECTORS {
        return Err(Rule::DirectorySize);
    }
    Ok(())
}
