//! The volume: its descriptor, paths, and files' bytes.

use crate::directory::{Entries, check};
use crate::error::{Error, Rule};
use crate::name::Name;
use crate::record::{Entry, Extent, Kind, Record, Which, both16, both32};
use crate::{Medium, SECTOR_BYTES, Sector};

/// The first volume descriptor's sector (6.2.1: sixteen are the system's).
const FIRST_DESCRIPTOR: u32 = 16;
/// Most descriptors before the one that ends the list.
const MAX_DESCRIPTORS: u32 = 16;
/// What every descriptor has after its type (8.1).
const SIGNATURE: &[u8] = b"CD001\x01";
const PRIMARY: u8 = 1;
const TERMINATOR: u8 = 255;
/// In the primary descriptor (8.4): the root's record, and its bytes.
const ROOT_AT: usize = 156;
const ROOT_BYTES: usize = 34;
/// The volume set identifier, and its bytes.
const SET_AT: usize = 190;
/// Bytes of an identity.
pub const IDENTITY_BYTES: usize = 128;
/// Most parts of a path (6.8.2.1: eight levels, the root among them).
pub const MAX_DEPTH: usize = 8;

/// The volume set identifier, which says which medium this is; padded with spaces.
pub type Identity = [u8; IDENTITY_BYTES];

/// A volume whose descriptor was checked.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    blocks: u32,
    root: Extent,
    set: Identity,
}

impl Volume {
    /// Reads and checks the primary volume descriptor of a medium of `sectors`.
    ///
    /// # Errors
    /// There is none, or it is not one of the volumes this crate reads.
    pub fn open<M: Medium>(medium: &mut M, sectors: u32) -> Result<Self, Error<M::Error>> {
        let mut sector: Sector = [0; SECTOR_BYTES];
        for lba in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MAX_DESCRIPTORS {
            if lba >= sectors {
                return Err(Error::malformed(lba, Rule::Truncated));
            }
            medium.read(lba, &mut sector).map_err(Error::Medium)?;
            let broken = |rule| Error::malformed(lba, rule);
            if sector.get(1..7) != Some(SIGNATURE) {
                return Err(broken(Rule::Signature));
            }
            match sector.first() {
                Some(&PRIMARY) => return Self::parse(&sector, sectors).map_err(broken),
                Some(&TERMINATOR) => return Err(broken(Rule::NoPrimary)),
                _ => {}
            }
        }
        Err(Error::malformed(FIRST_DESCRIPTOR, Rule::NoPrimary))
    }

    fn parse(sector: &Sector, sectors: u32) -> Result<Self, Rule> {
        let blocks = both32(sector, 80)?;
        if usize::from(both16(sector, 128)?) != SECTOR_BYTES || sector.get(881) != Some(&1) {
            return Err(Rule::Shape);
        }
        if blocks > sectors {
            return Err(Rule::Truncated);
        }
        let record = sector
            .get(ROOT_AT..ROOT_AT + ROOT_BYTES)
            .ok_or(Rule::Record)?;
        let root = Record::parse(record, blocks)?;
        if root.which != Which::Own || root.kind != Kind::Directory {
            return Err(Rule::Record);
        }
        check(root.extent)?;
        let set = sector.get(SET_AT..).and_then(|tail| tail.first_chunk());
        Ok(Self {
            blocks,
            root: root.extent,
            set: *set.ok_or(Rule::Shape)?,
        })
    }

    /// Sectors of the volume.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Which medium this is, without the spaces that pad it.
    #[must_use]
    pub fn identity(&self) -> &[u8] {
        self.set.trim_ascii_end()
    }

    /// The root directory.
    #[must_use]
    pub const fn root(&self) -> Extent {
        self.root
    }

    /// The names of a directory of this volume.
    ///
    /// # Errors
    /// `WrongKind` for a file; and `Malformed` for an extent that was not read from this volume.
    pub fn entries<E>(&self, entry: &Entry) -> Result<Entries, Error<E>> {
        if entry.kind != Kind::Directory {
            return Err(Error::WrongKind);
        }
        self.inside(entry.extent)?;
        check(entry.extent).map_err(|rule| Error::malformed(entry.extent.lba, rule))?;
        Ok(Entries::new(entry.extent, self.blocks))
    }

    /// The root's names.
    #[must_use]
    pub fn root_entries(&self) -> Entries {
        Entries::new(self.root, self.blocks)
    }

    fn inside<E>(&self, extent: Extent) -> Result<(), Error<E>> {
        let end = extent.lba.checked_add(extent.sectors());
        if extent.bytes > 0 && end.is_none_or(|end| end > self.blocks) {
            return Err(Error::malformed(extent.lba, Rule::Extent));
        }
        Ok(())
    }

    /// The file or directory at `path`, from the root: parts with `/` between, spelled in any way whose plain form is the
    /// name on the volume. There is no way up.
    ///
    /// # Errors
    /// `BadPath`, `NotFound`, `WrongKind` where a file is taken for a directory, and whatever reading brings.
    pub fn find<M: Medium>(&self, medium: &mut M, path: &str) -> Result<Entry, Error<M::Error>> {
        self.find_in(medium, None, path)
    }

    /// As [`Volume::find`], from the directory `from` on; `None` is the root.
    ///
    /// # Errors
    /// As [`Volume::find`].
    pub fn find_in<M: Medium>(
        &self,
        medium: &mut M,
        from: Option<&Entry>,
        path: &str,
    ) -> Result<Entry, Error<M::Error>> {
        let mut above = [0; MAX_DEPTH];
        let (mut entries, mut here) = match from {
            Some(entry) => (self.entries(entry)?, entry.extent),
            None => (self.root_entries(), self.root),
        };
        let mut found = None;
        for (depth, part) in path.split('/').enumerate() {
            *above.get_mut(depth).ok_or(Error::BadPath)? = here.lba;
            let wanted = match part {
                "." | ".." => return Err(Error::BadPath),
                part => Name::plain(part).ok_or(Error::BadPath)?,
            };
            if let Some(entry) = &found {
                entries = self.entries(entry)?;
            }
            let entry = loop {
                match entries.next(medium)? {
                    Some(entry) if entry.name == wanted => break entry,
                    Some(_) => {}
                    None => return Err(Error::NotFound),
                }
            };
            if entry.kind == Kind::Directory && above.contains(&entry.extent.lba) {
                return Err(Error::malformed(here.lba, Rule::Loop));
            }
            here = entry.extent;
            found = Some(entry);
        }
        found.ok_or(Error::BadPath)
    }

    /// Reads a file's bytes from `offset` on until `into` is full or the file ends; returns how many.
    ///
    /// # Errors
    /// `WrongKind` for a directory, and whatever reading brings.
    pub fn read<M: Medium>(
        &self,
        medium: &mut M,
        file: &Entry,
        offset: u32,
        into: &mut [u8],
    ) -> Result<usize, Error<M::Error>> {
        if file.kind != Kind::File {
            return Err(Error::WrongKind);
        }
        self.inside(file.extent)?;
        let left = file.extent.bytes.saturating_sub(offset) as usize;
        let wanted = left.min(into.len());
        let into = into.get_mut(..wanted).unwrap_or_default();
        let mut lba = (file.extent.lba).saturating_add(offset / SECTOR_BYTES as u32);
        let mut skip = offset as usize % SECTOR_BYTES;
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let whole = rest.len() / SECTOR_BYTES * SECTOR_BYTES;
            let read = match rest.get_mut(..whole) {
                Some(whole) if skip == 0 && !whole.is_empty() => {
                    medium.read(lba, whole).map_err(Error::Medium)?;
                    whole.len()
                }
                _ => {
                    let mut sector: Sector = [0; SECTOR_BYTES];
                    medium.read(lba, &mut sector).map_err(Error::Medium)?;
                    let part = sector.get(skip..).unwrap_or_default();
                    let len = part.len().min(rest.len());
                    if let (Some(to), Some(from)) = (rest.get_mut(..len), part.get(..len)) {
                        to.copy_from_slice(from);
                    }
                    len
                }
            };
            lba += ((skip + read) / SECTOR_BYTES) as u32;
            skip = (skip + read) % SECTOR_BYTES;
            done += read;
        }
        Ok(wanted)
    }
}
