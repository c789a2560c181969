//! The formats that are read here, as one: what a volume says of itself, its directories and its files.

use core::fmt;

use fat_format::DirWalk;

use crate::{Cache, CacheError, Disk, Names, Part};

/// A volume of any of them.
#[derive(Clone)]
pub enum Volume {
    /// FAT12, FAT16 or FAT32.
    Fat(fat_format::Volume),
    /// ext2, ext3 or ext4.
    Ext(ext_format::Volume),
    /// exFAT.
    Exfat(exfat_format::Volume),
}

impl Volume {
    /// What a person calls the format.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Fat(volume) => match volume.kind() {
                fat_format::FatKind::Fat12 => "FAT12",
                fat_format::FatKind::Fat16 => "FAT16",
                fat_format::FatKind::Fat32 => "FAT32",
            },
            Self::Ext(volume) => volume.format(),
            Self::Exfat(_) => "exFAT",
        }
    }

    /// Its name; empty if it has none.
    pub fn label(&self) -> &str {
        match self {
            Self::Fat(volume) => volume.label(),
            Self::Ext(volume) => volume.label(),
            Self::Exfat(volume) => volume.label(),
        }
    }

    /// Bytes of it.
    pub fn total_bytes(&self) -> u64 {
        match self {
            Self::Fat(volume) => volume.total_bytes(),
            Self::Ext(volume) => volume.total_bytes(),
            Self::Exfat(volume) => volume.total_bytes(),
        }
    }

    /// Bytes of its unit of allocation.
    pub fn cluster_bytes(&self) -> u32 {
        match self {
            Self::Fat(volume) => volume.cluster_bytes(),
            Self::Ext(volume) => volume.block_bytes(),
            Self::Exfat(volume) => volume.cluster_bytes(),
        }
    }

    /// What whoever reads it should know: how it was left, and what was read in place of what.
    pub fn remark(&self) -> Option<Remark> {
        match self {
            Self::Fat(volume) => match volume.condition() {
                fat_format::Condition::Clean => None,
                fat_format::Condition::Dirty => Some(Remark::Dirty),
                fat_format::Condition::Failed => Some(Remark::Failed),
            },
            Self::Ext(volume) => match volume.replayed_blocks() {
                0 => None,
                blocks => Some(Remark::Replayed(blocks)),
            },
            Self::Exfat(volume) if volume.is_from_backup() => Some(Remark::Backup),
            Self::Exfat(volume) if volume.has_failed() => Some(Remark::Failed),
            Self::Exfat(volume) => volume.is_dirty().then_some(Remark::Dirty),
        }
    }

    /// The root directory.
    pub fn root(&self) -> Node {
        match self {
            Self::Fat(volume) => Node::Fat(volume.root()),
            Self::Ext(volume) => Node::Ext(*volume.root()),
            Self::Exfat(volume) => Node::Exfat(volume.root()),
        }
    }
}

/// How a volume was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// So many blocks are read from the journal.
    Replayed(usize),
    /// The copy of the boot region had to do.
    Backup,
    /// Whoever used it last met sectors that could not be read or written.
    Failed,
    /// It was not unmounted.
    Dirty,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replayed(blocks) => write!(
                f,
                "it was not unmounted; {blocks} blocks are read from its journal, which stays as it is"
            ),
            Self::Backup => f.write_str("its boot region is damaged; the copy is used"),
            Self::Failed => f.write_str("whoever used it last met sectors that failed"),
            Self::Dirty => {
                f.write_str("it was not unmounted; what was written last may be missing")
            }
        }
    }
}

/// A file or directory.
#[derive(Clone, Copy)]
pub enum Node {
    /// Of a FAT volume.
    Fat(fat_format::Node),
    /// Of an ext volume.
    Ext(ext_format::Inode),
    /// Of an exFAT volume.
    Exfat(exfat_format::Node),
}

/// Where times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// There are none.
    None,
    /// A clock on a wall, of an unknown zone.
    Local,
    /// The medium, in UTC.
    Utc,
}

/// What is known of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes of a file; 0 of a directory.
    pub bytes: u64,
    /// Whether it is a directory.
    pub directory: bool,
    /// Nanoseconds since 1970, 0 where unknown.
    pub created_ns: i64,
    /// As above.
    pub modified_ns: i64,
    /// Where both come from.
    pub source: Source,
    /// It is not to be written.
    pub read_only: bool,
    /// It is not to be shown.
    pub hidden: bool,
    /// It belongs to the system.
    pub system: bool,
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        match self {
            Self::Fat(node) => node.is_directory(),
            Self::Ext(inode) => inode.is_directory(),
            Self::Exfat(node) => node.is_directory(),
        }
    }

    /// What is known of it.
    pub fn facts(&self) -> Facts {
        match self {
            Self::Fat(node) => of_fat(node),
            Self::Ext(inode) => of_ext(inode),
            Self::Exfat(node) => of_exfat(node),
        }
    }
}

fn of_fat(node: &fat_format::Node) -> Facts {
    use fat_format::attribute;
    let has = |bit| node.attributes & bit != 0;
    let ns = |time: Option<fat_format::LocalNs>| {
        time.map_or(0, |time| i64::try_from(time.0).unwrap_or(0))
    };
    Facts {
        bytes: match node.is_directory() {
            true => 0,
            false => node.size.into(),
        },
        directory: node.is_directory(),
        created_ns: ns(node.created),
        modified_ns: ns(node.modified),
        source: match node.created.or(node.modified) {
            Some(_) => Source::Local,
            None => Source::None,
        },
        read_only: has(attribute::READ_ONLY),
        hidden: has(attribute::HIDDEN),
        system: has(attribute::SYSTEM),
    }
}

/// A link that a listing shows is as long as what it says; a device or pipe is empty.
fn of_ext(inode: &ext_format::Inode) -> Facts {
    use ext_format::Kind;
    Facts {
        bytes: match inode.kind() {
            Kind::File | Kind::Link => inode.size_bytes(),
            Kind::Directory | Kind::Special => 0,
        },
        directory: inode.is_directory(),
        created_ns: inode.created_ns.unwrap_or(0),
        modified_ns: inode.modified_ns,
        source: Source::Utc,
        read_only: inode.is_read_only(),
        hidden: false,
        system: false,
    }
}

fn of_exfat(node: &exfat_format::Node) -> Facts {
    use exfat_format::attribute;
    let has = |bit| node.attributes & bit != 0;
    let times = [node.created, node.modified];
    let ns = |time: Option<exfat_format::Time>| time.map_or(0, |time| time.ns);
    let known = || times.iter().flatten();
    Facts {
        bytes: match node.is_directory() {
            true => 0,
            false => node.size_bytes(),
        },
        directory: node.is_directory(),
        created_ns: ns(node.created),
        modified_ns: ns(node.modified),
        source: match (known().count(), known().all(|time| time.is_utc)) {
            (0, _) => Source::None,
            (_, true) => Source::Utc,
            (_, false) => Source::Local,
        },
        read_only: has(attribute::READ_ONLY),
        hidden: has(attribute::HIDDEN),
        system: has(attribute::SYSTEM),
    }
}

/// What went wrong on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// Of a FAT volume.
    Fat(fat_format::Error<CacheError<E>>),
    /// Of an ext volume.
    Ext(ext_format::Error<CacheError<E>>),
    /// Of an exFAT volume.
    Exfat(exfat_format::Error<CacheError<E>>),
    /// The device failed where file data was read.
    Data(CacheError<E>),
    /// What was asked of one volume is of another.
    Mixed,
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fat(error) => error.fmt(f),
            Self::Ext(error) => error.fmt(f),
            Self::Exfat(error) => error.fmt(f),
            Self::Data(error) => write!(f, "the device failed: {error}"),
            Self::Mixed => f.write_str("it is of another volume"),
        }
    }
}

/// How a listing goes on after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// With the next one.
    Continue,
    /// Not: the next listing begins with this entry.
    StopBefore,
}

/// A directory that is open, with the walk that its listing is at.
pub struct Directory {
    node: Node,
    walk: Option<DirWalk>,
}

impl From<Node> for Directory {
    fn from(node: Node) -> Self {
        Self { node, walk: None }
    }
}

impl Directory {
    /// The directory.
    pub const fn node(&self) -> &Node {
        &self.node
    }
}

/// A volume, and where on its disk it lies.
#[derive(Clone)]
pub struct Mounted {
    /// The volume.
    pub volume: Volume,
    /// First byte on the disk.
    pub first_byte: u64,
    /// Bytes of its partition.
    pub bytes: u64,
}

impl Mounted {
    /// The volume's bytes.
    pub const fn part<'a, D: Disk>(&self, cache: &'a mut Cache<D>) -> Part<'a, D> {
        Part {
            cache,
            first_byte: self.first_byte,
            bytes: self.bytes,
        }
    }

    /// Finds what `path` names below `from`; components are separated by '/', and empty ones and "." mean nothing.
    ///
    /// # Errors
    /// The volume's.
    pub fn find<D: Disk>(
        &self,
        cache: &mut Cache<D>,
        names: &mut Names,
        from: &Node,
        path: &str,
    ) -> Result<Node, Fault<D::Error>> {
        let mut part = self.part(cache);
        match (&self.volume, from) {
            (Volume::Fat(volume), Node::Fat(from)) => names
                .resolve(volume, &mut part, from, path)
                .map(Node::Fat)
                .map_err(Fault::Fat),
            (Volume::Ext(volume), Node::Ext(from)) => volume
                .resolve(&mut part, from, path)
                .map(Node::Ext)
                .map_err(Fault::Ext),
            (Volume::Exfat(volume), Node::Exfat(from)) => volume
                .resolve(&mut part, from, path)
                .map(Node::Exfat)
                .map_err(Fault::Exfat),
            _ => Err(Fault::Mixed),
        }
    }

    /// Gives `take` the entries of a directory from `cursor` on, until it stops. Returns where to go on, `None` at the end.
    /// 0 is the start; every other cursor is one that was returned here. An entry of which nothing can be read but its name is
    /// given as an empty file: whoever opens it learns why.
    ///
    /// # Errors
    /// The volume's.
    pub fn list<D: Disk>(
        &self,
        cache: &mut Cache<D>,
        directory: &mut Directory,
        cursor: u64,
        mut take: impl FnMut(&str, Facts) -> Step,
    ) -> Result<Option<u64>, Fault<D::Error>> {
        let mut part = self.part(cache);
        match (&self.volume, &directory.node) {
            (Volume::Fat(volume), Node::Fat(node)) => {
                let mut at = match directory.walk.take() {
                    Some(walk) => walk,
                    None => DirWalk::new(volume, node).map_err(Fault::Fat)?,
                };
                let next = volume
                    .list(&mut part, &mut at, cursor, |entry| {
                        match take(entry.name.as_str(), of_fat(&entry.node)) {
                            Step::Continue => fat_format::Step::Continue,
                            Step::StopBefore => fat_format::Step::StopBefore,
                        }
                    })
                    .map_err(Fault::Fat)?;
                directory.walk = Some(at);
                Ok(next)
            }
            (Volume::Ext(volume), Node::Ext(node)) => volume
                .list(&mut part, node, cursor, |part, entry| {
                    let facts = match volume.named(part, entry) {
                        Ok(inode) => of_ext(&inode),
                        Err(_) => unknown(entry),
                    };
                    match take(entry.name().as_str(), facts) {
                        Step::Continue => ext_format::Step::Continue,
                        Step::StopBefore => ext_format::Step::StopBefore,
                    }
                })
                .map_err(Fault::Ext),
            (Volume::Exfat(volume), Node::Exfat(node)) => volume
                .list(&mut part, node, cursor, |entry| {
                    match take(entry.name.as_str(), of_exfat(&entry.node)) {
                        Step::Continue => exfat_format::Step::Continue,
                        Step::StopBefore => exfat_format::Step::StopBefore,
                    }
                })
                .map_err(Fault::Exfat),
            _ => Err(Fault::Mixed),
        }
    }
}

/// What a name alone says.
fn unknown(entry: &ext_format::Entry) -> Facts {
    Facts {
        bytes: 0,
        directory: entry.kind == Some(ext_format::Kind::Directory),
        created_ns: 0,
        modified_ns: 0,
        source: Source::None,
        read_only: true,
        hidden: false,
        system: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Image, mounted};
    use crate::{OpenFile, read_file};
    use alloc::{string::String, vec, vec::Vec};

    /// A seed of the fuzz targets as the whole disk, behind the window of a client.
    fn disk(seed: &[u8]) -> (Cache<Image>, Mounted) {
        let mut bytes = seed.to_vec();
        bytes.resize(1 << 20, 0);
        let mut cache = Cache::new(Image::new(bytes, 512));
        let on = mounted(&mut cache);
        (cache, on)
    }

    fn read(cache: &mut Cache<Image>, on: &Mounted, path: &str) -> Result<Vec<u8>, Fault<u8>> {
        let mut names = Names::default();
        let node = on.find(cache, &mut names, &on.volume.root(), path)?;
        let mut file = OpenFile::new(node)?;
        let mut bytes = Vec::new();
        loop {
            // What is not overwritten is no zero.
            let mut window = vec![b'?'; 700];
            let at = bytes.len() as u64;
            let count = read_file(cache, on, &mut file, at, 600, &mut window, 50)?;
            if count == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&window[50..50 + count as usize]);
            assert!(
                window[50 + count as usize..]
                    .iter()
                    .all(|byte| *byte == b'?')
            );
        }
    }

    fn names_of(cache: &mut Cache<Image>, on: &Mounted, path: &str) -> Vec<(String, Facts)> {
        let mut names = Names::default();
        let node = on.find(cache, &mut names, &on.volume.root(), path);
        let mut directory = Directory::from(node.unwrap_or_else(|e| panic!("{e}")));
        let (mut found, mut cursor) = (Vec::new(), 0);
        loop {
            let mut room = 2;
            let next = on.list(cache, &mut directory, cursor, |name, facts| {
                room -= 1;
                if room == 0 {
                    return Step::StopBefore;
                }
                found.push((name.into(), facts));
                Step::Continue
            });
            match next.unwrap_or_else(|e| panic!("{e}")) {
                Some(next) => cursor = next,
                None => return found,
            }
        }
    }

    #[test]
    fn ext_and_its_holes_come_through_a_window() {
        let seeds: [(&[u8], &str); 2] = [
            (include_bytes!("../../../../fuzz/corpus/ext/ext4"), "ext4"),
            (include_bytes!("../../../../fuzz/corpus/ext/ext2"), "ext2"),
        ];
        for (seed, format) in seeds {
            let (mut cache, on) = disk(seed);
            assert_eq!(on.volume.format(), format);
            let text = read(&mut cache, &on, "a/link");
            assert_eq!(text, Ok(b"text of a file\n".to_vec()));
            let mut expected = vec![0; 11 * 2048 + 4];
            for place in expected.chunks_mut(2048) {
                place[..4].copy_from_slice(b"here");
            }
            assert!(read(&mut cache, &on, "holes") == Ok(expected));
            let names = names_of(&mut cache, &on, "a");
            let link = names.iter().find(|(name, _)| name == "link");
            assert_eq!(names.len(), 2);
            assert_eq!(
                link.map(|(_, facts)| (facts.bytes, facts.directory)),
                Some((4, false))
            );
            let error = read(&mut cache, &on, "a").unwrap_err();
            assert_eq!(error, Fault::Ext(ext_format::Error::IsADirectory));
        }
    }

    #[test]
    fn exfat_and_what_was_never_written_come_through_a_window() {
        let seed = include_bytes!("../../../../fuzz/corpus/exfat/small");
        let (mut cache, on) = disk(seed);
        assert_eq!((on.volume.format(), on.volume.label()), ("exFAT", "SEED"));
        assert!(read(&mut cache, &on, "a/c.txt") == Ok(vec![b'c'; 1300]));
        let mut expected = vec![b's'; 600];
        expected.resize(1000, 0);
        let long = "Straight and LONG named.bin";
        assert!(read(&mut cache, &on, long) == Ok(expected));
        let names = names_of(&mut cache, &on, "");
        assert_eq!(names.len(), 2);
        assert_eq!((names[1].1.bytes, names[1].1.source), (1000, Source::Utc));
        // The link of one format leads nowhere on another's volume.
        let (_, other) = disk(include_bytes!("../../../../fuzz/corpus/ext/ext2"));
        let mut directory = Directory::from(other.volume.root());
        let mixed = on.list(&mut cache, &mut directory, 0, |_, _| Step::Continue);
        assert_eq!(mixed, Err(Fault::Mixed));
    }
}
