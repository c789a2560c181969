//! What a file system answers, so that it can be served.

use alloc::string::String;
use alloc::vec::Vec;

use sdk::storage::directory;
use sdk::{Refusal, Window};

use crate::{Objects, Part};

/// Why there is no volume: what clients are refused with, and the sentence for a person.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The refusal.
    pub refusal: Refusal,
    /// The sentence.
    pub text: String,
}

/// Which volume of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that stands for the device.
    Main,
    /// A part, by its number in the list.
    Part(u32),
}

/// What a volume is.
#[derive(Clone, Debug)]
pub struct Info<'a> {
    /// What a person calls its format.
    pub format: &'static str,
    /// Its name.
    pub label: &'a str,
    /// Bytes of it.
    pub total_bytes: u64,
    /// Bytes of its unit of allocation.
    pub cluster_bytes: u32,
    /// Nothing can be changed on it.
    pub read_only: bool,
}

/// How a listing goes on after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// With the next one.
    Continue,
    /// Not: the answer is full, and the next one begins with this entry.
    StopBefore,
}

/// What the blocks of a volume are used for.
pub type Space = sdk::storage::volume::Space;

/// What is known of a snapshot.
pub type Kept = sdk::storage::volume_keeper::Kept;

/// What a piece of a scrub found.
#[derive(Debug, Default)]
pub struct Piece {
    /// Where to go on, `None` at the end.
    pub next: Option<Vec<u8>>,
    /// Files that were begun, and the bytes that they have.
    pub files: u64,
    /// As above.
    pub bytes: u64,
    /// What is wrong, each a sentence.
    pub flaws: Vec<String>,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// The last durable group.
    pub group: u64,
    /// Blocks in use, as they were counted.
    pub used: u64,
    /// Blocks that the root says are free.
    pub free: u64,
    /// Files and directories.
    pub inodes: u64,
    /// How much is wrong.
    pub problems: u32,
    /// The first of it, each a sentence.
    pub list: Vec<String>,
}

/// The files of a device: volumes, each with a root from which paths lead down.
///
/// Nothing is looked at before somebody asks, and what could not be read is looked at anew. Paths come without a leading
/// slash and without `..`.
pub trait Tree: Objects {
    /// What is served, in the sentence that says that there is none.
    const WHAT: &'static str;
    /// A file or directory that was found.
    type Node;
    /// A directory that is open, with the walk that its listing is at.
    type Directory;
    /// A file that is open.
    type File;

    /// Looks at the device, unless that was done. How many parts it has, and which stands for it.
    ///
    /// # Errors
    /// Why there is nothing to list.
    fn parts(&mut self) -> Result<(usize, Option<usize>), Problem>;

    /// A part as clients see it.
    fn part(&self, number: usize) -> Option<Part<'_>>;

    /// Finds a volume. Returns the number of its part. Of a service with one volume, which is not asked to say more, that is 0.
    ///
    /// # Errors
    /// Why there is none.
    fn open(&mut self, which: Which) -> Result<usize, Problem> {
        self.parts()?;
        match which {
            Which::Main | Which::Part(0) => Ok(0),
            Which::Part(_) => Err(Problem {
                refusal: Refusal::NotFound,
                text: "there is no such part".into(),
            }),
        }
    }

    /// What a volume is.
    ///
    /// # Errors
    /// It is gone.
    fn info(&mut self, part: usize) -> Result<Info<'_>, Refusal>;

    /// The root directory of a volume.
    ///
    /// # Errors
    /// It is gone.
    fn root(&mut self, part: usize) -> Result<Self::Directory, Refusal>;

    /// Finds what a path names below a directory.
    ///
    /// # Errors
    /// Those of the device and of the path.
    fn find(
        &mut self,
        part: usize,
        from: &Self::Directory,
        path: &str,
    ) -> Result<Self::Node, Refusal>;

    /// Opens a file.
    ///
    /// # Errors
    /// `isDirectory`.
    fn file(&self, node: Self::Node) -> Result<Self::File, Refusal>;

    /// The same directory, opened once more.
    fn again(directory: &Self::Directory) -> Self::Directory;

    /// Opens a directory.
    ///
    /// # Errors
    /// `notDirectory`.
    fn directory(&self, node: Self::Node) -> Result<Self::Directory, Refusal>;

    /// Gives `take` the entries of a directory from `cursor` on, until it stops. Returns where to go on, `None` at the end.
    /// 0 is the start; every other cursor is one that was returned here.
    ///
    /// # Errors
    /// Those of the device.
    fn list(
        &mut self,
        part: usize,
        directory: &mut Self::Directory,
        cursor: u64,
        take: impl FnMut(&str, directory::Stat) -> Step,
    ) -> Result<Option<u64>, Refusal>;

    /// Reads `length` bytes of a file from `offset` on to a client's window, in which they fit. Returns how many; less only
    /// at the end of the file, or before an error.
    ///
    /// # Errors
    /// Those of the device.
    fn read(
        &mut self,
        part: usize,
        file: &mut Self::File,
        offset: u64,
        length: u32,
        window: &mut Window,
        window_offset: u32,
    ) -> Result<u32, Refusal>;

    /// What is known of a file or directory.
    fn stat(node: &Self::Node) -> directory::Stat;

    /// What is known of an open file.
    ///
    /// # Errors
    /// `stale` for one that was removed; those of the device.
    fn file_stat(&mut self, part: usize, file: &mut Self::File)
    -> Result<directory::Stat, Refusal>;

    // Changes, each made whole or not at all. A tree that can only be read has none of what follows.

    /// What the blocks of a volume are used for.
    ///
    /// # Errors
    /// `notSupported`.
    fn space(&mut self, part: usize) -> Result<Space, Refusal> {
        let _ = part;
        Err(Refusal::NotSupported)
    }

    /// Makes everything durable, and keeps the volume as it is then. Returns the snapshot's number.
    ///
    /// # Errors
    /// As the schema has them, here and below.
    fn snapshot(&mut self, part: usize) -> Result<u64, Refusal> {
        let _ = part;
        Err(Refusal::NotSupported)
    }

    /// The snapshot after the one with that number.
    ///
    /// # Errors
    /// As above.
    fn next_snapshot(&mut self, part: usize, after: u64) -> Result<Option<Kept>, Refusal> {
        let _ = (part, after);
        Err(Refusal::NotSupported)
    }

    /// What is known of a snapshot.
    ///
    /// # Errors
    /// `notFound`.
    fn kept(&mut self, part: usize, group: u64) -> Result<Kept, Refusal> {
        let _ = (part, group);
        Err(Refusal::NotSupported)
    }

    /// The root directory of a snapshot.
    ///
    /// # Errors
    /// `notFound`.
    fn snapshot_root(&mut self, part: usize, group: u64) -> Result<Self::Directory, Refusal> {
        let _ = (part, group);
        Err(Refusal::NotSupported)
    }

    /// Lets a snapshot go.
    ///
    /// # Errors
    /// As above.
    fn remove_snapshot(&mut self, part: usize, group: u64) -> Result<(), Refusal> {
        let _ = (part, group);
        Err(Refusal::NotSupported)
    }

    /// Reads a piece of what the volume or a snapshot holds, from behind a place that an earlier piece ended at.
    ///
    /// # Errors
    /// As above.
    fn scrub(&mut self, part: usize, group: u64, after: &[u8]) -> Result<Piece, Refusal> {
        let _ = (part, group, after);
        Err(Refusal::NotSupported)
    }

    /// Counts everything.
    ///
    /// # Errors
    /// As above.
    fn check(&mut self, part: usize) -> Result<Checked, Refusal> {
        let _ = part;
        Err(Refusal::NotSupported)
    }

    /// Makes an empty file and opens it.
    ///
    /// # Errors
    /// As the schema has them, here and below.
    fn create(
        &mut self,
        part: usize,
        from: &Self::Directory,
        path: &str,
    ) -> Result<Self::File, Refusal> {
        let _ = (part, from, path);
        Err(Refusal::ReadOnly)
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    /// As above.
    fn mkdir(&mut self, part: usize, from: &Self::Directory, path: &str) -> Result<(), Refusal> {
        let _ = (part, from, path);
        Err(Refusal::ReadOnly)
    }

    /// Takes a name away, with what it names.
    ///
    /// # Errors
    /// As above.
    fn remove(&mut self, part: usize, from: &Self::Directory, path: &str) -> Result<(), Refusal> {
        let _ = (part, from, path);
        Err(Refusal::ReadOnly)
    }

    /// Gives what a path names another path.
    ///
    /// # Errors
    /// As above.
    fn rename(
        &mut self,
        part: usize,
        from: &Self::Directory,
        path: &str,
        to: &str,
    ) -> Result<(), Refusal> {
        let _ = (part, from, path, to);
        Err(Refusal::ReadOnly)
    }

    /// Writes bytes of a file, at its end without an offset. Returns where.
    ///
    /// # Errors
    /// As above.
    fn write(
        &mut self,
        part: usize,
        file: &mut Self::File,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<u64, Refusal> {
        let _ = (part, file, offset, bytes);
        Err(Refusal::ReadOnly)
    }

    /// Cuts a file, or lets it grow.
    ///
    /// # Errors
    /// As above.
    fn truncate(&mut self, part: usize, file: &mut Self::File, bytes: u64) -> Result<(), Refusal> {
        let _ = (part, file, bytes);
        Err(Refusal::ReadOnly)
    }

    /// Makes everything durable. Returns the number of the last durable group. `seen` counts the losses that this client
    /// knows of: one that it does not is what it is refused with, once.
    ///
    /// # Errors
    /// As above.
    fn sync(&mut self, part: usize, seen: &mut u64) -> Result<u64, Refusal> {
        let _ = (part, seen);
        Err(Refusal::ReadOnly)
    }

    /// How often changes were dropped that had been answered and not synced.
    fn losses(&self, part: usize) -> u64 {
        let _ = part;
        0
    }

    /// Whether an open file is the one that was found.
    fn is_open(file: &Self::File, node: &Self::Node) -> bool {
        let _ = (file, node);
        false
    }

    /// When something is due without a call, in nanoseconds since the start.
    fn deadline_ns(&self) -> u64 {
        sdk::NEVER
    }

    /// Does it.
    fn due(&mut self) {}
}
