//! The FAT volumes of a device, as `volume` serves them.

use fat_core::{OpenFile, read_file, refusal};
use fat_format::{DirWalk, Error, LocalNs, Node, attribute};
use sdk::{BlockDevice, Refusal, Window, alloc::string::ToString, storage::directory};
use volume::{Info, Part, Problem, Step, Tree, Which};

use crate::shelf::{Live, Shelf, format_name, no_disk};

/// Everything on one device, looked at when somebody first asks.
pub struct Fat {
    device: Option<BlockDevice>,
    shelf: Option<Shelf>,
}

/// A directory, with the walk that its listing is at.
pub struct Directory {
    node: Node,
    walk: Option<DirWalk>,
}

impl From<Node> for Directory {
    fn from(node: Node) -> Self {
        Self { node, walk: None }
    }
}

impl Fat {
    /// The volumes of `device`; without one there are none, which every client is told.
    pub const fn new(device: Option<BlockDevice>) -> Self {
        Self {
            device,
            shelf: None,
        }
    }

    /// Everything on the device, looked at now if it was not.
    fn shelf(&mut self) -> Result<&mut Shelf, Problem> {
        if self.shelf.is_none() {
            let device = self.device.as_ref().ok_or_else(no_disk)?;
            self.shelf = Some(Shelf::open(device)?);
        }
        self.shelf.as_mut().ok_or_else(no_disk)
    }

    /// The volume of a part.
    fn live(&mut self, part: usize) -> Result<Live<'_>, Refusal> {
        self.shelf.as_mut().ok_or(Refusal::NoDevice)?.live(part)
    }

    fn numbered(&mut self, number: u32) -> Result<usize, Problem> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        match self.shelf()?.parts.get(number).map(|part| &part.content) {
            Some(Ok(_)) => Ok(number),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err(Problem {
                refusal: Refusal::NotFound,
                text: "there is no such part".to_string(),
            }),
        }
    }
}

impl Tree for Fat {
    const WHAT: &'static str = "volume";
    type Node = Node;
    type Directory = Directory;
    type File = OpenFile;

    fn parts(&mut self) -> Result<(usize, Option<usize>), Problem> {
        let shelf = self.shelf()?;
        Ok((shelf.parts.len(), shelf.main))
    }

    fn part(&self, number: usize) -> Option<Part<'_>> {
        let shelf = self.shelf.as_ref()?;
        let part = shelf.parts.get(number)?;
        Some(Part {
            name: &part.name,
            what: &part.what,
            label: &part.label,
            bytes: part.bytes,
            readable: part.content.is_ok(),
            main: shelf.main == Some(number),
        })
    }

    /// Where nothing on the device could be read it is looked at anew: a device that comes late, or a provider that was
    /// restarted, needs nobody's help.
    fn open(&mut self, which: Which) -> Result<usize, Problem> {
        if let Which::Part(number) = which {
            return self.numbered(number);
        }
        if self.shelf.as_ref().is_some_and(|s| s.main.is_none()) {
            self.shelf = None;
        }
        let shelf = self.shelf()?;
        shelf.main.ok_or_else(|| shelf.problem.clone())
    }

    fn info(&mut self, part: usize) -> Result<Info<'_>, Refusal> {
        let volume = &self.live(part)?.mounted.volume;
        Ok(Info {
            format: format_name(volume.kind()),
            label: volume.label(),
            total_bytes: volume.total_bytes(),
            cluster_bytes: volume.cluster_bytes(),
            read_only: true,
        })
    }

    fn root(&mut self, part: usize) -> Result<Directory, Refusal> {
        Ok(self.live(part)?.mounted.volume.root().into())
    }

    fn find(&mut self, part: usize, from: &Directory, path: &str) -> Result<Node, Refusal> {
        let Live {
            cache,
            mounted,
            names,
        } = self.live(part)?;
        names
            .resolve(&mounted.volume, &mut mounted.part(cache), &from.node, path)
            .map_err(to_client)
    }

    fn file(&self, node: Node) -> Result<OpenFile, Refusal> {
        OpenFile::new(node).map_err(to_client)
    }

    fn again(directory: &Directory) -> Directory {
        directory.node.into()
    }

    fn directory(&self, node: Node) -> Result<Directory, Refusal> {
        if node.is_directory() {
            Ok(node.into())
        } else {
            Err(Refusal::NotDirectory)
        }
    }

    fn list(
        &mut self,
        part: usize,
        directory: &mut Directory,
        cursor: u64,
        mut take: impl FnMut(&str, directory::Stat) -> Step,
    ) -> Result<Option<u64>, Refusal> {
        let Live { cache, mounted, .. } = self.live(part)?;
        let mut at = match directory.walk.take() {
            Some(walk) => walk,
            None => DirWalk::new(&mounted.volume, &directory.node).map_err(to_client)?,
        };
        let next = mounted
            .volume
            .list(
                &mut mounted.part(cache),
                &mut at,
                cursor,
                |entry| match take(entry.name.as_str(), Self::stat(&entry.node)) {
                    Step::Continue => fat_format::Step::Continue,
                    Step::StopBefore => fat_format::Step::StopBefore,
                },
            )
            .map_err(to_client)?;
        directory.walk = Some(at);
        Ok(next)
    }

    fn read(
        &mut self,
        part: usize,
        file: &mut OpenFile,
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let Live { cache, mounted, .. } = self.live(part)?;
        let to = window_offset as usize;
        read_file(cache, mounted, file, offset, length, window, to).map_err(to_client)
    }

    fn stat(node: &Node) -> directory::Stat {
        let has = |bit| node.attributes & bit != 0;
        let (kind, bytes) = match node.is_directory() {
            true => (directory::Kind::Directory, 0),
            false => (directory::Kind::File, node.size.into()),
        };
        directory::Stat {
            bytes,
            kind,
            created_ns: ns(node.created),
            modified_ns: ns(node.modified),
            time_source: if node.modified.is_some() || node.created.is_some() {
                directory::TimeSource::FatMetadata
            } else {
                directory::TimeSource::None
            },
            read_only: has(attribute::READ_ONLY),
            hidden: has(attribute::HIDDEN),
            system: has(attribute::SYSTEM),
        }
    }

    fn file_stat(&mut self, _: usize, file: &mut OpenFile) -> Result<directory::Stat, Refusal> {
        Ok(Self::stat(&file.node))
    }
}

fn ns(time: Option<LocalNs>) -> i64 {
    time.map_or(0, |t| i64::try_from(t.0).unwrap_or(0))
}

/// What a client is told about an error of the volume.
fn to_client(error: Error<fat_core::CacheError<Refusal>>) -> Refusal {
    let told = refusal(&error, |device| device);
    if told == Refusal::Corrupt {
        // The refusal is one word; what exactly is wrong with the volume stands in the log.
        sdk::warn!("{error}");
    }
    told
}
