//! Volumes made by mkfs.exfat or the crate hadris-fat and filled by that crate, checked by fsck.exfat; and the same with bytes altered.
//! Without the tools (Debian: exfatprogs) only what hadris-fat makes is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use exfat_format::{Blocks, Error, FileCursor, Node, Run, Step, Volume};
use hadris_fat::exfat::ExFatOptions;
use hadris_fat::exfat::sync::{ExFatFs, format};
use hadris_fs::sync::Volume as Writer;
use hadris_fs::{MountOptions, OpenOptions};
use hadris_storage::{BlockSize, MemDevice};
use proptest::prelude::*;

/// A walk that takes more reads than this does not end.
const READS: u64 = 3_000_000;
/// Path to contents; `None` for a directory.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

struct Disk {
    bytes: Vec<u8>,
    reads: u64,
}

impl Blocks for Disk {
    type Error = ();

    fn read(&mut self, at: u64, buf: &mut [u8]) -> Result<(), ()> {
        self.reads += 1;
        assert!(self.reads < READS, "a walk that does not end");
        buf.copy_from_slice(&self.bytes[at as usize..][..buf.len()]);
        Ok(())
    }

    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn pattern(len: usize, salt: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 13) as u8)
        .collect()
}

/// Runs a tool and returns whether it could be started; it must then succeed.
fn tool(name: &str, args: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut places = path.split(':').map(|dir| Path::new(dir).join(name));
    let Some(program) = places.find(|file| file.exists()) else {
        eprintln!("SKIPPED: {name} is not installed (Debian: exfatprogs)");
        return false;
    };
    let mut command = Command::new(program);
    let done = command.args(args).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{name} {args:?}: {done:?}");
    true
}

/// What is put on every volume.
fn sample() -> Tree {
    let mut tree = Tree::new();
    let mut add = |name: &str, bytes: Vec<u8>| tree.insert(format!("/{name}"), Some(bytes));
    add("empty", Vec::new());
    add("Small.txt", b"a few bytes\n".to_vec());
    add("größe und Maß.dat", pattern(70_000, 1));
    add("日本語.txt", pattern(4096, 2));
    add(&"n".repeat(255), b"long name".to_vec());
    add("first half, other half", pattern(200_000, 3));
    add("in between", pattern(100_000, 4));
    for number in 0..200 {
        add(
            &format!("many/file number {number}"),
            number.to_string().into_bytes(),
        );
    }
    add("d0/d1/d2/d3/d4/bottom", b"deep down".to_vec());
    let mut directories = vec![String::from("/many")];
    for depth in 0..5 {
        let names: Vec<String> = (0..=depth).map(|n| format!("d{n}")).collect();
        directories.push(format!("/{}", names.join("/")));
    }
    tree.extend(directories.into_iter().map(|path| (path, None)));
    tree
}

/// Writes the sample, two files by turns so that they lie among each other.
fn filled(bytes: Vec<u8>) -> Vec<u8> {
    let device = MemDevice::new(bytes, BlockSize::new(512).unwrap());
    let volume = Writer::new(ExFatFs::mount(device, MountOptions::new()).unwrap());
    let tree = sample();
    for (path, bytes) in &tree {
        if bytes.is_none() {
            volume.create_dir_all(path).unwrap();
        }
    }
    let mut turns = Vec::new();
    for (path, bytes) in &tree {
        let Some(bytes) = bytes else { continue };
        let mut file = volume
            .open(path, OpenOptions::new().write().create())
            .unwrap();
        if bytes.len() < 100_000 {
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                left = &left[file.write(left).unwrap()..];
            }
            file.close().unwrap();
        } else {
            turns.push((file, bytes.as_slice()));
        }
    }
    while turns.iter().any(|(_, left)| !left.is_empty()) {
        for (file, left) in &mut turns {
            let count = left.len().min(9000);
            let done = file.write(&left[..count]).unwrap();
            *left = &left[done..];
        }
    }
    for (file, _) in turns {
        file.close().unwrap();
    }
    let mut volume = volume.into_inner().ok().unwrap();
    volume.sync().unwrap();
    volume.into_inner().into_inner()
}

fn read_file(volume: &Volume, disk: &mut Disk, node: &Node) -> Result<Vec<u8>, Error<()>> {
    let mut cursor = FileCursor::new(node)?;
    let mut bytes = Vec::new();
    while let Some(run) = cursor.next_run(volume, disk, 1 << 20)? {
        match run {
            Run::Zeroes { len } => bytes.resize(bytes.len() + len as usize, 0),
            Run::Stored { byte_offset, len } => {
                bytes.extend(&disk.bytes[byte_offset as usize..][..len as usize]);
            }
        }
        assert!(bytes.len() <= 64 << 20, "more than any file here has");
    }
    Ok(bytes)
}

fn everything(volume: &Volume, disk: &mut Disk) -> Result<Tree, Error<()>> {
    let mut tree = Tree::new();
    let mut left = vec![(String::new(), volume.root(), 0)];
    while let Some((path, at, depth)) = left.pop() {
        let mut found = Vec::new();
        let mut cursor = 0;
        loop {
            let mut room = 50;
            let next = volume.list(disk, &at, cursor, |entry| {
                room -= 1;
                if room == 0 {
                    return Step::StopBefore;
                }
                found.push((entry.name.as_str().to_owned(), entry.node));
                Step::Continue
            })?;
            match next {
                Some(next) if found.len() < 2000 => cursor = next,
                _ => break,
            }
        }
        for (name, node) in found {
            let below = format!("{path}/{name}");
            if node.is_directory() && depth < 8 {
                tree.insert(below.clone(), None);
                left.push((below, node, depth + 1));
            } else if !node.is_directory() && node.size_bytes() < 32 << 20 && tree.len() < 400 {
                tree.insert(below, Some(read_file(volume, disk, &node)?));
            }
        }
    }
    Ok(tree)
}

/// A volume that hadris-fat made and filled, of 4 MiB.
fn small() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut device = MemDevice::new(vec![0; 4 << 20], BlockSize::new(512).unwrap());
        format(&mut device, &ExFatOptions::new()).unwrap();
        filled(device.into_inner())
    })
}

fn use_all(bytes: Vec<u8>) -> Result<Tree, Error<()>> {
    let mut disk = Disk { bytes, reads: 0 };
    let volume = Volume::mount(&mut disk)?;
    let root = volume.root();
    for path in [
        "in between",
        "d0/d1/d2/d3/d4/bottom",
        "x",
        "many/file number 199",
    ] {
        if let Ok(node) = volume.resolve(&mut disk, &root, path)
            && let Ok(mut cursor) = FileCursor::new::<()>(&node)
        {
            for at in [99_999, 0, 50_000, u64::MAX - 3, 1 << 40] {
                cursor.seek(at);
                let _ = cursor.next_run(&volume, &mut disk, 100_000);
            }
        }
    }
    for cursor in [5, 32, 4096, 1 << 40, u64::MAX] {
        let _ = volume.list(&mut disk, &root, cursor, |_| Step::StopBefore);
    }
    everything(&volume, &mut disk)
}

#[test]
fn what_another_wrote_is_read() {
    assert!(use_all(small().to_vec()).unwrap() == sample());
    let mut disk = Disk {
        bytes: small().to_vec(),
        reads: 0,
    };
    let volume = Volume::mount(&mut disk).unwrap();
    let root = volume.root();
    let find = |disk: &mut Disk, path| {
        volume
            .resolve(disk, &root, path)
            .map(|node| node.size_bytes())
    };
    assert_eq!(find(&mut disk, "GRÖSSE UND MASS.DAT"), Err(Error::NotFound));
    assert_eq!(find(&mut disk, "GRÖßE und maß.DAT"), Ok(70_000));
    assert_eq!(find(&mut disk, "/MANY/./File Number 7"), Ok(1));
    assert_eq!(find(&mut disk, "small.TXT/x"), Err(Error::NotADirectory));
    assert_eq!(find(&mut disk, "nothing"), Err(Error::NotFound));
}

#[test]
fn what_the_tools_format_and_find_clean_is_read() {
    let work = tempfile::tempdir().unwrap();
    let image = work.path().join("volume");
    let shown = image.to_str().unwrap();
    for (mib, cluster) in [(8u64, "4K"), (40, "32K")] {
        fs::File::create(&image)
            .unwrap()
            .set_len(mib << 20)
            .unwrap();
        if !tool("mkfs.exfat", &["-L", "Bücher", "-c", cluster, shown]) {
            return;
        }
        fs::write(&image, filled(fs::read(&image).unwrap())).unwrap();
        tool("fsck.exfat", &["-n", shown]);
        let bytes = fs::read(&image).unwrap();
        let mut disk = Disk { bytes, reads: 0 };
        let volume = Volume::mount(&mut disk).unwrap();
        assert_eq!((volume.label(), volume.is_dirty()), ("Bücher", false));
        assert_eq!(volume.total_bytes(), mib << 20);
        assert!(everything(&volume, &mut disk).unwrap() == sample());
        // The copy of the boot region stands in for it, and without both nothing is guessed.
        disk.bytes[100] ^= 1;
        let volume = Volume::mount(&mut disk).unwrap();
        assert!(volume.is_from_backup() && everything(&volume, &mut disk).unwrap() == sample());
        disk.bytes[12 * 512 + 100] ^= 1;
        let error = Volume::mount(&mut disk).unwrap_err();
        assert_eq!(
            error,
            Error::Boot("does not have the sum that it says it has")
        );
        disk.bytes[3] = b'x';
        assert_eq!(Volume::mount(&mut disk).unwrap_err(), Error::NotExfat);
    }
}

#[test]
fn a_wrong_byte_of_an_entry_is_noticed() {
    let name: Vec<u8> = "in between"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let good = small();
    let place = good
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    let set = place - 2 - 64;
    for at in set + 1..set + 96 {
        let mut altered = good.to_vec();
        altered[at] ^= 4;
        let error = use_all(altered).unwrap_err();
        assert!(
            matches!(error, Error::Entry { .. }),
            "{}: {error:?}",
            at - set
        );
    }
}

#[test]
fn a_ring_of_clusters_ends() {
    // Every entry of the FAT leads to its own cluster, or to its neighbour and that back.
    for other in [0u32, 1] {
        let mut bytes = small().to_vec();
        let fat = le(&bytes, 80) as usize * 512;
        for cluster in 2..le(&bytes, 92) + 2 {
            let to = cluster ^ other;
            bytes[fat + 4 * cluster as usize..][..4].copy_from_slice(&to.to_le_bytes());
        }
        let mut disk = Disk { bytes, reads: 0 };
        let volume = Volume::mount(&mut disk).unwrap();
        let root = volume.root();
        // One that lies in pieces: what its chain says is what is followed.
        let node = volume
            .resolve(&mut disk, &root, "first half, other half")
            .unwrap();
        let mut cursor = FileCursor::new::<()>(&node).unwrap();
        cursor.seek(150_000);
        let error = cursor.next_run(&volume, &mut disk, 512).unwrap_err();
        assert!(matches!(error, Error::Chain { .. }), "{error:?}");
        assert!(disk.reads < 5000);
    }
}

#[test]
fn files_in_pieces_are_among_those_that_are_read() {
    let mut disk = Disk {
        bytes: small().to_vec(),
        reads: 0,
    };
    let volume = Volume::mount(&mut disk).unwrap();
    let node = volume
        .resolve(&mut disk, &volume.root(), "first half, other half")
        .unwrap();
    let mut cursor = FileCursor::new::<()>(&node).unwrap();
    let mut runs = 0;
    while cursor
        .next_run(&volume, &mut disk, 1 << 20)
        .unwrap()
        .is_some()
    {
        runs += 1;
    }
    assert!(runs > 5, "{runs}");
}

fn le(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nothing_panics_whatever_is_altered(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4usize), 1..24),
        sealed in any::<bool>(),
    ) {
        let mut bytes = small().to_vec();
        let room = bytes.len().min(160 << 10);
        for (at, value, run) in changes {
            let at = at.index(room - 8);
            bytes[at..=at + run].fill(value);
        }
        if sealed {
            // Behind a sum that is right again, other rules must hold.
            for region in [0, 12 * 512] {
                let mut sum = 0u32;
                for (index, byte) in bytes[region..region + 11 * 512].iter().enumerate() {
                    if !matches!(index, 106 | 107 | 112) {
                        sum = sum.rotate_right(1).wrapping_add(u32::from(*byte));
                    }
                }
                for place in bytes[region + 11 * 512..region + 12 * 512].chunks_exact_mut(4) {
                    place.copy_from_slice(&sum.to_le_bytes());
                }
            }
        }
        let _ = use_all(bytes);
    }

    #[test]
    fn nothing_panics_whatever_is_cut_off(at in any::<prop::sample::Index>()) {
        let bytes = small();
        let _ = use_all(bytes[..at.index(bytes.len())].to_vec());
    }
}
