//! The files of the boot medium, as `volume` serves them.

use iso9660_format::{Entries, Entry, Error, Kind, SECTOR_BYTES, Volume};
use sdk::{
    BootMedium, Cap, Interface as _, Object as _, Refusal, VirtualMemory, Window,
    alloc::{boxed::Box, format, string::ToString, vec, vec::Vec},
    storage::directory,
};
use volume::{Info, Part, Problem, Step, Tree};

use crate::medium::Cd;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 16 * SECTOR_BYTES;
/// What a person calls the format.
const FORMAT: &str = "ISO 9660";

/// The boot medium, looked at when somebody first asks.
pub struct Iso {
    medium: Option<BootMedium>,
    vm: VirtualMemory,
    live: Option<Live>,
}

/// The volume, once its descriptor was read.
struct Live {
    cd: Cd,
    volume: Volume,
    /// What a piece of a file is read into, before it goes to a client's window.
    piece: Vec<u8>,
}

/// A directory, the root without an entry, with the walk that its listing is at.
pub struct Directory {
    entry: Option<Entry>,
    walk: Option<Box<Walk>>,
}

/// Where a listing is.
struct Walk {
    /// Number of the next entry.
    at: u64,
    entries: Entries,
    /// The next entry, if it was read already.
    read: Option<Entry>,
}

impl Walk {
    fn next(&mut self, cd: &mut Cd) -> Result<Option<Entry>, Refusal> {
        match self.read.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.entries.next(cd).map_err(reported),
        }
    }
}

impl Live {
    fn open(medium: Option<&BootMedium>, vm: &VirtualMemory) -> Result<Self, Problem> {
        let problem = |refusal, text| Problem { refusal, text };
        let medium = medium
            .ok_or_else(|| problem(Refusal::NoDevice, "no boot medium was granted".to_string()))?;
        let medium = BootMedium::from_object(Cap::borrowed(medium.object().handle()));
        let mut cd = Cd::open(medium, vm).map_err(|refusal| match refusal {
            Refusal::NoDevice => problem(
                refusal,
                "this machine was not booted from a CD that the kernel reads itself".to_string(),
            ),
            other => problem(refusal, format!("the boot medium: {other}")),
        })?;
        let sectors = cd.sectors();
        let volume = Volume::open(&mut cd, sectors)
            .map_err(|error| problem(refusal(&error), format!("the boot medium: {error}")))?;
        sdk::fact!("install.source", sectors ~ volume.blocks());
        Ok(Self {
            cd,
            volume,
            piece: vec![0; PIECE_BYTES],
        })
    }

    fn bytes(&self) -> u64 {
        u64::from(self.volume.blocks()) * SECTOR_BYTES as u64
    }
}

impl Iso {
    /// The files of `medium`; without one there are none, which every client is told.
    pub const fn new(medium: Option<BootMedium>, vm: VirtualMemory) -> Self {
        Self {
            medium,
            vm,
            live: None,
        }
    }

    fn live(&mut self) -> Result<&mut Live, Refusal> {
        self.live.as_mut().ok_or(Refusal::NoDevice)
    }
}

impl volume::Objects for Iso {}

impl Tree for Iso {
    const WHAT: &'static str = "install source";
    type Node = Entry;
    type Directory = Directory;
    type File = Entry;

    fn parts(&mut self) -> Result<(usize, Option<usize>), Problem> {
        if self.live.is_none() {
            self.live = Some(Live::open(self.medium.as_ref(), &self.vm)?);
        }
        Ok((1, Some(0)))
    }

    fn part(&self, number: usize) -> Option<Part<'_>> {
        let live = self.live.as_ref().filter(|_| number == 0)?;
        Some(Part {
            name: "",
            what: FORMAT,
            label: "",
            bytes: live.bytes(),
            readable: true,
            main: true,
        })
    }

    fn info(&mut self, _: usize) -> Result<Info<'_>, Refusal> {
        let live = self.live()?;
        Ok(Info {
            format: FORMAT,
            label: "",
            total_bytes: live.bytes(),
            cluster_bytes: SECTOR_BYTES as u32,
            read_only: true,
        })
    }

    fn root(&mut self, _: usize) -> Result<Directory, Refusal> {
        Ok(Directory {
            entry: None,
            walk: None,
        })
    }

    fn find(&mut self, _: usize, from: &Directory, path: &str) -> Result<Entry, Refusal> {
        let Live { cd, volume, .. } = self.live()?;
        volume
            .find_in(cd, from.entry.as_ref(), path)
            .map_err(reported)
    }

    fn file(&self, entry: Entry) -> Result<Entry, Refusal> {
        match entry.kind {
            Kind::File => Ok(entry),
            Kind::Directory => Err(Refusal::IsDirectory),
        }
    }

    fn again(directory: &Directory) -> Directory {
        Directory {
            entry: directory.entry,
            walk: None,
        }
    }

    fn directory(&self, entry: Entry) -> Result<Directory, Refusal> {
        match entry.kind {
            Kind::Directory => Ok(Directory {
                entry: Some(entry),
                walk: None,
            }),
            Kind::File => Err(Refusal::NotDirectory),
        }
    }

    fn list(
        &mut self,
        _: usize,
        directory: &mut Directory,
        cursor: u64,
        mut take: impl FnMut(&str, directory::Stat) -> Step,
    ) -> Result<Option<u64>, Refusal> {
        let Live { cd, volume, .. } = self.live()?;
        // A cursor that is not where the last answer ended begins the walk anew.
        let mut walk = match directory.walk.take().filter(|walk| walk.at == cursor) {
            Some(walk) => walk,
            None => Box::new(Walk {
                at: 0,
                entries: match &directory.entry {
                    Some(entry) => volume.entries(entry).map_err(reported)?,
                    None => volume.root_entries(),
                },
                read: None,
            }),
        };
        while let Some(entry) = walk.next(cd)? {
            if walk.at >= cursor
                && take(entry.name.as_str(), Self::stat(&entry)) == Step::StopBefore
            {
                walk.read = Some(entry);
                let next = walk.at;
                directory.walk = Some(walk);
                return Ok(Some(next));
            }
            walk.at += 1;
        }
        Ok(None)
    }

    fn read(
        &mut self,
        _: usize,
        entry: &mut Entry,
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let Live { cd, volume, piece } = self.live()?;
        // Files are smaller than 4 GiB, and nothing lies behind their end.
        let Ok(start) = u32::try_from(offset) else {
            return Ok(0);
        };
        let mut done = 0;
        while done < length {
            let wanted = piece.len().min((length - done) as usize);
            let part = piece.get_mut(..wanted).unwrap_or_default();
            let at = start.saturating_add(done);
            let read = volume.read(cd, entry, at, part).map_err(reported)?;
            if read == 0 {
                break;
            }
            let part = piece.get(..read).unwrap_or_default();
            window.write(u64::from(window_offset + done), part)?;
            done += u32::try_from(read).map_err(|_| Refusal::OutOfRange)?;
        }
        Ok(done)
    }

    fn stat(entry: &Entry) -> directory::Stat {
        let (kind, bytes) = match entry.kind {
            Kind::File => (directory::Kind::File, entry.extent.bytes.into()),
            Kind::Directory => (directory::Kind::Directory, 0),
        };
        let ns = |seconds: i64| seconds.saturating_mul(1_000_000_000);
        directory::Stat {
            bytes,
            kind,
            created_ns: 0,
            modified_ns: entry.modified.map_or(0, ns),
            time_source: if entry.modified.is_some() {
                directory::TimeSource::MediumMetadata
            } else {
                directory::TimeSource::None
            },
            read_only: true,
            hidden: false,
            system: false,
        }
    }

    fn file_stat(&mut self, _: usize, entry: &mut Entry) -> Result<directory::Stat, Refusal> {
        Ok(Self::stat(entry))
    }
}

const fn refusal(error: &Error<Refusal>) -> Refusal {
    match error {
        Error::Medium(refusal) => *refusal,
        Error::Malformed(_) => Refusal::Corrupt,
        Error::NotFound => Refusal::NotFound,
        Error::WrongKind => Refusal::NotDirectory,
        Error::BadPath => Refusal::BadArgument,
    }
}

/// What a client is told; the refusal is one word, what is wrong with the medium stands in the log.
fn reported(error: Error<Refusal>) -> Refusal {
    let answer = refusal(&error);
    if answer == Refusal::Corrupt {
        sdk::warn!("{error}");
    }
    answer
}
