//! The volume as `volume` serves it.

use sdk::alloc::{vec, vec::Vec};
use sdk::{BlockDevice, Cap, NEVER, Refusal, Timer, WallClock, Window, storage::directory};
use volume::{Checked, Info, Kept, Part, Piece, Problem, Space, Step, Tree};
use volume_core::{Access, Durability, Error, ROOT_DIR, View};
use volume_format::{BLOCK, Inode, Kind};

use crate::live::{Live, reported};
use crate::options::Options;
use crate::paths::{find, parent};
use crate::stat::stat;

/// What a person calls the format.
const FORMAT: &str = "capOS volume";
/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 16 * BLOCK;

/// The volume of a disk, mounted when somebody first asks.
pub struct Store {
    device: Option<BlockDevice>,
    timer: Timer,
    wall: Option<WallClock>,
    options: Options,
    live: Option<Live>,
    /// What a piece of a file is read into, before it goes to a client's window.
    piece: Vec<u8>,
}

/// What something was found in: a snapshot, by its number, or the volume as it is.
type Of = Option<u64>;

/// Something that was found.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    id: u64,
    inode: Inode,
    of: Of,
}

/// A directory, and where its listing is.
pub struct Directory {
    id: u64,
    of: Of,
    /// The number of the next entry, and the name before it.
    at: (u64, Vec<u8>),
}

/// A file.
pub struct File {
    id: u64,
    of: Of,
}

/// Another holder of the same capability.
fn share<I: sdk::Interface<Cap>>(one: &I) -> I {
    I::from_object(one.object().share())
}

impl Store {
    /// The volume of `device`; without one there is none, which every client is told.
    pub fn new(
        device: Option<BlockDevice>,
        (timer, wall): (Timer, Option<WallClock>),
        options: Options,
    ) -> Self {
        Self {
            device,
            timer,
            wall,
            options,
            live: None,
            piece: vec![0; PIECE_BYTES],
        }
    }

    pub(crate) fn live(&mut self) -> Result<&mut Live, Refusal> {
        self.live.as_mut().ok_or(Refusal::NoDevice)
    }

    /// The inode of something that is open, and the tree that it is in: `stale` if it was removed, or its snapshot was.
    fn inode(&mut self, (of, id): (Of, u64)) -> Result<(View, Inode), Refusal> {
        let volume = &mut self.live()?.volume;
        let view = match of {
            None => Ok(volume.live()),
            Some(group) => volume.snapshot(group),
        };
        let found = view.and_then(|view| Ok((view, volume.stat(&view, id)?)));
        match found {
            Err(Error::NotFound) => Err(Refusal::Stale),
            other => other.map_err(|error| reported(&error)),
        }
    }
}

impl Tree for Store {
    const WHAT: &'static str = "volume";
    type Node = Node;
    type Directory = Directory;
    type File = File;

    fn parts(&mut self) -> Result<(usize, Option<usize>), Problem> {
        if self.live.is_none() {
            let device = self.device.as_ref().ok_or_else(|| Problem {
                refusal: Refusal::NoDevice,
                text: "no disk".into(),
            })?;
            let clocks = (share(&self.timer), self.wall.as_ref().map(share));
            self.live = Some(Live::open(device, clocks, &self.options)?);
        }
        Ok((1, Some(0)))
    }

    fn part(&self, number: usize) -> Option<Part<'_>> {
        let live = self.live.as_ref().filter(|_| number == 0)?;
        Some(Part {
            name: "",
            what: FORMAT,
            label: "",
            bytes: live.volume.label().layout.blocks() * BLOCK as u64,
            readable: true,
            main: true,
        })
    }

    fn info(&mut self, _: usize) -> Result<Info<'_>, Refusal> {
        let live = self.live()?;
        Ok(Info {
            format: FORMAT,
            label: &live.label,
            total_bytes: live.volume.label().layout.blocks() * BLOCK as u64,
            cluster_bytes: BLOCK as u32,
            read_only: live.volume.access() == Access::Read,
        })
    }

    fn root(&mut self, _: usize) -> Result<Directory, Refusal> {
        self.root_of(None)
    }

    fn find(&mut self, _: usize, from: &Directory, path: &str) -> Result<Node, Refusal> {
        let (view, _) = self.inode((from.of, from.id))?;
        let volume = &mut self.live()?.volume;
        let id = find(volume, &view, from.id, path)?.id;
        let inode = volume.stat(&view, id).map_err(|error| reported(&error))?;
        Ok(Node {
            id,
            inode,
            of: from.of,
        })
    }

    fn file(&self, node: Node) -> Result<File, Refusal> {
        match node.inode.kind {
            Kind::Dir => Err(Refusal::IsDirectory),
            _ => Ok(File {
                id: node.id,
                of: node.of,
            }),
        }
    }

    fn again(directory: &Directory) -> Directory {
        Directory {
            id: directory.id,
            of: directory.of,
            at: (0, Vec::new()),
        }
    }

    fn directory(&self, node: Node) -> Result<Directory, Refusal> {
        match node.inode.kind {
            Kind::Dir => Ok(Directory {
                id: node.id,
                of: node.of,
                at: (0, Vec::new()),
            }),
            _ => Err(Refusal::NotDirectory),
        }
    }

    fn list(
        &mut self,
        _: usize,
        directory: &mut Directory,
        cursor: u64,
        mut take: impl FnMut(&str, directory::Stat) -> Step,
    ) -> Result<Option<u64>, Refusal> {
        let (view, _) = self.inode((directory.of, directory.id))?;
        let volume = &mut self.live()?.volume;
        // A cursor that is not where the last answer ended begins the walk anew.
        if directory.at.0 != cursor {
            directory.at = (0, Vec::new());
        }
        loop {
            let next = volume.next_name(&view, directory.id, &directory.at.1);
            let Some((name, named)) = next.map_err(|error| reported(&error))? else {
                return Ok(None);
            };
            if directory.at.0 >= cursor {
                let inode = volume.stat(&view, named.id);
                let inode = inode.map_err(|error| reported(&error))?;
                let text = sdk::alloc::string::String::from_utf8_lossy(&name);
                if take(&text, stat(&inode)) == Step::StopBefore {
                    return Ok(Some(directory.at.0));
                }
            }
            directory.at = (directory.at.0 + 1, name);
        }
    }

    fn read(
        &mut self,
        _: usize,
        file: &mut File,
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let (view, _) = self.inode((file.of, file.id))?;
        self.read_inode((&view, file.id), offset, length, window, window_offset)
    }

    fn stat(node: &Node) -> directory::Stat {
        stat(&node.inode)
    }

    fn file_stat(&mut self, _: usize, file: &mut File) -> Result<directory::Stat, Refusal> {
        Ok(stat(&self.inode((file.of, file.id))?.1))
    }

    fn space(&mut self, _: usize) -> Result<Space, Refusal> {
        let usage = self.live()?.volume.usage();
        Ok(Space {
            block_bytes: BLOCK as u32,
            capacity: usage.capacity,
            free: usage.free,
            held: usage.held,
            reserved: usage.reserved,
            snapshots: usage.snapshots,
        })
    }

    fn snapshot(&mut self, _: usize) -> Result<u64, Refusal> {
        self.live()?.snapshot()
    }

    fn next_snapshot(&mut self, _: usize, after: u64) -> Result<Option<Kept>, Refusal> {
        self.live()?.next_snapshot(after)
    }

    fn kept(&mut self, _: usize, group: u64) -> Result<Kept, Refusal> {
        self.live()?.kept(group)
    }

    fn snapshot_root(&mut self, _: usize, group: u64) -> Result<Directory, Refusal> {
        self.live()?.kept(group)?;
        self.root_of(Some(group))
    }

    fn remove_snapshot(&mut self, _: usize, group: u64) -> Result<(), Refusal> {
        self.live()?.remove_snapshot(group)
    }

    fn scrub(&mut self, _: usize, group: u64, after: &[u8]) -> Result<Piece, Refusal> {
        self.live()?.scrub(group, after)
    }

    fn check(&mut self, _: usize) -> Result<Checked, Refusal> {
        self.live()?.check()
    }

    fn create(&mut self, _: usize, from: &Directory, path: &str) -> Result<File, Refusal> {
        Ok(File {
            id: self.make(from, path, Kind::File)?,
            of: None,
        })
    }

    fn mkdir(&mut self, _: usize, from: &Directory, path: &str) -> Result<(), Refusal> {
        self.make(from, path, Kind::Dir).map(|_| ())
    }

    fn remove(&mut self, _: usize, from: &Directory, path: &str) -> Result<(), Refusal> {
        self.inode((None, from.id))?;
        let live = self.live()?;
        let (dir, name) = parent(&mut live.volume, from.id, path)?;
        live.change(|volume, now| volume.remove(dir, name, now))
    }

    fn rename(&mut self, _: usize, from: &Directory, path: &str, to: &str) -> Result<(), Refusal> {
        self.inode((None, from.id))?;
        let live = self.live()?;
        let old = parent(&mut live.volume, from.id, path)?;
        let new = parent(&mut live.volume, from.id, to)?;
        live.change(|volume, now| volume.rename(old, new, now))
    }

    fn write(
        &mut self,
        _: usize,
        file: &mut File,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<u64, Refusal> {
        let (_, inode) = self.inode((None, file.id))?;
        let offset = offset.unwrap_or(inode.size);
        let id = file.id;
        self.live()?
            .change(|volume, now| volume.write(id, offset, bytes, now))?;
        Ok(offset)
    }

    fn truncate(&mut self, _: usize, file: &mut File, bytes: u64) -> Result<(), Refusal> {
        self.inode((None, file.id))?;
        let id = file.id;
        self.live()?
            .change(|volume, now| volume.truncate(id, bytes, now))
    }

    fn sync(&mut self, _: usize, seen: &mut u64) -> Result<u64, Refusal> {
        self.live()?.sync(seen)
    }

    fn losses(&self, _: usize) -> u64 {
        self.live.as_ref().map_or(0, |live| live.losses)
    }

    fn is_open(file: &File, node: &Node) -> bool {
        file.id == node.id && node.of.is_none()
    }

    fn deadline_ns(&self) -> u64 {
        let Some(live) = &self.live else {
            return NEVER;
        };
        match live.is_freeing {
            // As soon as nobody asks for anything.
            true => 1,
            false => live.due_ns.unwrap_or(NEVER),
        }
    }

    fn due(&mut self) {
        match &mut self.live {
            Some(live) if live.is_freeing => live.free(),
            Some(live) => live.commit(Durability::Checkpoint),
            None => {}
        }
    }
}

impl Store {
    /// Reads bytes of an inode to a client's window, in which they fit.
    pub(crate) fn read_inode(
        &mut self,
        (view, id): (&View, u64),
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let live = self.live.as_mut().ok_or(Refusal::NoDevice)?;
        let mut done = 0;
        while done < length {
            let wanted = self.piece.len().min((length - done) as usize);
            let part = self.piece.get_mut(..wanted).unwrap_or_default();
            let at = offset.saturating_add(u64::from(done));
            let read = match live.volume.read(view, id, at, part) {
                Ok(read) => read,
                // What was read before is given; the refusal comes with the next read.
                Err(_) if done > 0 => break,
                Err(error) => return Err(reported(&error)),
            };
            if read == 0 {
                break;
            }
            let part = part.get(..read).unwrap_or_default();
            window.write(u64::from(window_offset) + u64::from(done), part)?;
            done += u32::try_from(read).map_err(|_| Refusal::OutOfRange)?;
        }
        Ok(done)
    }

    /// The root directory of a snapshot, or of the volume as it is.
    pub(crate) fn root_of(&mut self, of: Of) -> Result<Directory, Refusal> {
        let (_, inode) = self.inode((of, ROOT_DIR))?;
        self.directory(Node {
            id: ROOT_DIR,
            inode,
            of,
        })
    }

    fn make(&mut self, from: &Directory, path: &str, kind: Kind) -> Result<u64, Refusal> {
        self.inode((None, from.id))?;
        let live = self.live()?;
        let (dir, name) = parent(&mut live.volume, from.id, path)?;
        live.change(|volume, now| volume.create(dir, name, kind, now))
    }
}
