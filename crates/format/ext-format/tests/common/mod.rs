//! Volumes made by mke2fs and debugfs, and a walk over everything in one.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ext_format::{Blocks, Error, FileCursor, Inode, Kind, Run, Step, Volume};

/// Runs a tool and returns whether it could be started; it must then succeed.
pub fn tool(name: &str, args: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = path
        .split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.exists());
    let Some(program) = found else {
        eprintln!("SKIPPED: {name} is not installed (Debian: e2fsprogs)");
        return false;
    };
    let done = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // e2fsck says by 1 that it changed something.
    let good = done.status.success() || (name == "e2fsck" && done.status.code() == Some(1));
    assert!(
        good,
        "{name} {args:?}: {} {}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    true
}

pub fn pattern(len: usize, salt: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 13) as u8)
        .collect()
}

/// A folder with all kinds of names, sizes and links.
pub fn sample(at: &Path) {
    fs::create_dir(at).unwrap();
    let add = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    add("empty", b"");
    add("small.txt", b"a few bytes\n");
    add("Small.txt", b"another: case counts\n");
    add("köpfe.dat", &pattern(70_000, 1));
    add(&"n".repeat(255), b"long name");
    add("large.bin", &pattern(1 << 20 | 77, 2));
    let sparse = File::create(at.join("sparse.bin")).unwrap();
    sparse.write_all_at(b"begin", 0).unwrap();
    sparse.write_all_at(&pattern(9000, 3), 700_001).unwrap();
    sparse.write_all_at(b"end", 12 << 20).unwrap();
    let mut deep = at.to_path_buf();
    for depth in 0..40 {
        deep.push(format!("d{depth}"));
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("bottom"), b"deep down").unwrap();
    fs::create_dir(at.join("many")).unwrap();
    for number in 0..600 {
        let name = format!("many/file with a somewhat longer name {number}");
        add(&name, number.to_string().as_bytes());
    }
    fs::create_dir(at.join("links")).unwrap();
    let link = |to: &str, name: &str| symlink(to, at.join("links").join(name)).unwrap();
    link("../small.txt", "short");
    link("/d0/d1", "absolute");
    link("round", "round");
    link("nowhere", "broken");
    link("../../small.txt", "above the root");
    link(&format!("./{}../small.txt", "././".repeat(40)), "long");
}

/// Makes a volume of a folder. `None` where the tool is not installed.
pub fn make(work: &Path, from: &Path, mib: u64, args: &[&str]) -> Option<PathBuf> {
    let image = work.join("volume");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let (folder, shown) = (from.to_str().unwrap(), image.to_str().unwrap());
    let mut all = vec!["-q", "-F", "-L", "SAMPLE", "-d", folder];
    all.extend(args);
    all.push(shown);
    tool("mke2fs", &all).then_some(image)
}

/// A volume in a file or in memory, of which nothing outside is asked, and not too much.
pub enum Store {
    File(File, u64),
    Bytes(Vec<u8>),
}

pub struct Disk {
    pub store: Store,
    pub reads: u64,
}

/// A walk that takes more reads than this does not end.
pub const READS: u64 = 3_000_000;

impl Disk {
    pub fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let len = file.metadata().unwrap().len();
        Self {
            store: Store::File(file, len),
            reads: 0,
        }
    }

    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self {
            store: Store::Bytes(bytes),
            reads: 0,
        }
    }
}

impl Blocks for Disk {
    type Error = ();

    fn read(&mut self, at: u64, buf: &mut [u8]) -> Result<(), ()> {
        self.reads += 1;
        assert!(self.reads < READS, "a walk that does not end");
        assert!(at + buf.len() as u64 <= self.len_bytes(), "outside");
        match &self.store {
            Store::File(file, _) => file.read_exact_at(buf, at).unwrap(),
            Store::Bytes(bytes) => buf.copy_from_slice(&bytes[at as usize..][..buf.len()]),
        }
        Ok(())
    }

    fn len_bytes(&self) -> u64 {
        match &self.store {
            Store::File(_, len) => *len,
            Store::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// Path to contents; `None` for a directory.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

pub fn read_file(volume: &Volume, disk: &mut Disk, inode: &Inode) -> Result<Vec<u8>, Error<()>> {
    let mut cursor = FileCursor::new(inode)?;
    let mut bytes = Vec::new();
    while let Some(run) = cursor.next_run(volume, disk, 1 << 20)? {
        match run {
            Run::Zeroes { len } => bytes.resize(bytes.len() + len as usize, 0),
            Run::Stored { byte_offset, len } => {
                let mut piece = vec![0; len as usize];
                disk.read(byte_offset, &mut piece).unwrap();
                bytes.extend(piece);
            }
        }
        assert!(bytes.len() <= 64 << 20, "more than any file here has");
    }
    Ok(bytes)
}

pub fn list(volume: &Volume, disk: &mut Disk, at: &Inode) -> Result<Vec<(String, u32)>, Error<()>> {
    let mut names = Vec::new();
    let mut cursor = 0;
    // In pieces of 100, as a client asks for them.
    loop {
        let mut left = 100;
        let next = volume.list(disk, at, cursor, |_, entry| {
            if left == 0 {
                return Step::StopBefore;
            }
            left -= 1;
            names.push((entry.name().as_str().to_owned(), entry.inode));
            Step::Continue
        })?;
        match next {
            Some(next) => cursor = next,
            None => return Ok(names),
        }
    }
}

/// Everything that a volume holds but links, and `lost+found`.
pub fn everything(volume: &Volume, disk: &mut Disk) -> Result<Tree, Error<()>> {
    let mut tree = Tree::new();
    let mut left = vec![(String::new(), *volume.root())];
    while let Some((path, at)) = left.pop() {
        for (name, _) in list(volume, disk, &at)? {
            if name == "lost+found" {
                continue;
            }
            let below = format!("{path}/{name}");
            let inode = match volume.resolve(disk, &at, &name) {
                Ok(inode) if !path.starts_with("/links") => inode,
                _ => continue,
            };
            match inode.kind() {
                Kind::Directory => {
                    tree.insert(below.clone(), None);
                    left.push((below, inode));
                }
                _ => {
                    let bytes = read_file(volume, disk, &inode)?;
                    tree.insert(below, Some(bytes));
                }
            }
        }
    }
    Ok(tree)
}

/// The same of a folder of this machine.
pub fn folder(at: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![(String::new(), at.to_path_buf())];
    while let Some((path, at)) = left.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let below = format!("{path}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_symlink() {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                tree.insert(below.clone(), None);
                left.push((below, entry.path()));
            } else {
                tree.insert(below, Some(fs::read(entry.path()).unwrap()));
            }
        }
    }
    tree
}
