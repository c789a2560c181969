//! The volumes of a device, as `volume` serves them.

use fat_core::{Directory, Facts, Fault, Node, OpenFile, Source, read_file, refusal};
use sdk::{BlockDevice, Refusal, Window, alloc::string::ToString, storage::directory};
use volume::{Info, Part, Problem, Step, Tree, Which};

use crate::shelf::{Live, Shelf, no_disk};

/// Everything on one device, looked at when somebody first asks.
pub struct Fat {
    device: Option<BlockDevice>,
    shelf: Option<Shelf>,
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

impl volume::Objects for Fat {}

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
            format: volume.format(),
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
        mounted
            .find(cache, names, from.node(), path)
            .map_err(to_client)
    }

    fn file(&self, node: Node) -> Result<OpenFile, Refusal> {
        OpenFile::new(node).map_err(to_client)
    }

    fn again(directory: &Directory) -> Directory {
        Directory::from(*directory.node())
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
        mounted
            .list(cache, directory, cursor, |name, facts| {
                match take(name, stat(facts)) {
                    Step::Continue => fat_core::Step::Continue,
                    Step::StopBefore => fat_core::Step::StopBefore,
                }
            })
            .map_err(to_client)
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
        stat(node.facts())
    }

    fn file_stat(&mut self, _: usize, file: &mut OpenFile) -> Result<directory::Stat, Refusal> {
        Ok(Self::stat(&file.node))
    }
}

const fn stat(facts: Facts) -> directory::Stat {
    directory::Stat {
        bytes: facts.bytes,
        kind: match facts.directory {
            true => directory::Kind::Directory,
            false => directory::Kind::File,
        },
        created_ns: facts.created_ns,
        modified_ns: facts.modified_ns,
        time_source: match facts.source {
            Source::None => directory::TimeSource::None,
            Source::Local => directory::TimeSource::FatMetadata,
            Source::Utc => directory::TimeSource::MediumMetadata,
        },
        read_only: facts.read_only,
        hidden: facts.hidden,
        system: facts.system,
    }
}

/// What a client is told about an error of the volume.
fn to_client(error: Fault<Refusal>) -> Refusal {
    let told = refusal(&error, |device| device);
    if matches!(
        told,
        Refusal::Corrupt | Refusal::NotSupported | Refusal::NotGranted
    ) {
        // The refusal is one word; what exactly is wrong with the volume stands in the log.
        sdk::warn!("{error}");
    }
    told
}
