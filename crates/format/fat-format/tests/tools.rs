//! Images made by mkfs.fat, mtools and the crate fatfs, compared with what was put in and with what fatfs reads.
//! Without the tools (Debian: dosfstools, mtools) the tests that need them are skipped with a message.

mod common;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{FILE, Forge, Memory, list, long_slots, read_file, short_slot};
use fat_format::{FatKind, FileCursor, Node, Volume};

/// Path below the root to contents; `None` for a directory.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// Runs a tool and returns whether it could be started; it must then succeed.
fn tool(name: &str, args: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = path
        .split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.exists());
    let Some(program) = found else {
        eprintln!("SKIPPED: {name} is not installed (Debian: dosfstools, mtools)");
        return false;
    };
    let status = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("MTOOLS_SKIP_CHECK", "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{name} {args:?}");
    true
}

fn pattern(len: usize, salt: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 13) as u8)
        .collect()
}

/// Files and directories with all kinds of names and sizes.
fn sample() -> Tree {
    let mut tree = Tree::new();
    let mut add = |name: &str, len: usize| {
        tree.insert(name.to_owned(), Some(pattern(len, name.len() as u32)))
    };
    add("UPPER.TXT", 1);
    add("lower.txt", 511);
    add("Mixed.Case", 512);
    add("empty", 0);
    add("a somewhat longer name with spaces.text", 513);
    add("köpfe.dat", 70_000);
    add("øre.ñã", 17);
    add("日本語のファイル名.txt", 4096);
    add("dots.in.the.name.tar.gz", 10);
    add(&"n".repeat(200), 3);
    let mut dir = String::new();
    for depth in 0..40 {
        dir += &format!("d{depth}");
        tree.insert(dir.clone(), None);
        tree.insert(format!("{dir}/file {depth}"), Some(pattern(depth * 37, 1)));
        dir += "/";
    }
    tree
}

/// Makes an image with mkfs.fat and fills it with mtools.
fn make_image(mib: u64, mkfs: &[&str], tree: &Tree) -> Option<Vec<u8>> {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(mib << 20)
        .unwrap();
    let image = image.to_str().unwrap();
    if !tool(
        "mkfs.fat",
        &[mkfs, &["-n", "TESTVOL", "-i", "cafe0123", image]].concat(),
    ) {
        return None;
    }
    let source = home.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    for (path, data) in tree {
        match data {
            Some(data) => std::fs::write(source.join(path), data).unwrap(),
            None => std::fs::create_dir(source.join(path)).unwrap(),
        }
    }
    let tops: Vec<String> = std::fs::read_dir(&source)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    let mut args = vec!["-i", image, "-s", "-Q", "-m"];
    args.extend(tops.iter().map(String::as_str));
    args.push("::/");
    tool("mcopy", &args).then(|| std::fs::read(image).unwrap())
}

/// Reads a whole volume with this crate.
fn read_all(memory: &mut Memory, volume: &Volume) -> (Tree, BTreeMap<String, Node>) {
    let (mut tree, mut nodes) = (Tree::new(), BTreeMap::new());
    let mut todo = vec![(String::new(), volume.root())];
    while let Some((path, dir)) = todo.pop() {
        let (entries, error) = list(memory, volume, &dir, 7);
        assert_eq!(error, None);
        for (name, node) in entries {
            let path = format!("{path}{name}");
            let data = (!node.is_directory()).then(|| {
                let (data, error) = read_file(memory, volume, &node);
                assert_eq!(error, None, "{path}");
                data
            });
            tree.insert(path.clone(), data);
            nodes.insert(path.clone(), node);
            if node.is_directory() {
                todo.push((path + "/", node));
            }
        }
    }
    (tree, nodes)
}

/// Reads a whole volume with fatfs and compares times on the way.
fn read_with_fatfs(image: &[u8], nodes: &BTreeMap<String, Node>) -> Tree {
    let system =
        fatfs::FileSystem::new(Cursor::new(image.to_vec()), fatfs::FsOptions::new()).unwrap();
    let mut tree = Tree::new();
    let mut todo = vec![(String::new(), system.root_dir())];
    while let Some((prefix, dir)) = todo.pop() {
        for entry in dir.iter().map(|entry| entry.unwrap()) {
            let name = entry.file_name();
            if matches!(name.as_str(), "." | "..") {
                continue;
            }
            // fatfs knows no code page: U+FFFD stands for what is not ASCII in a short name.
            let blur = |path: &str| path.replace(|c: char| !c.is_ascii(), "\u{fffd}");
            let path = format!("{prefix}{name}");
            let (path, node) = nodes
                .iter()
                .find(|(ours, _)| **ours == path || blur(ours) == path)
                .expect(&path);
            let path = path.clone();
            assert_eq!(
                node.modified.unwrap().0,
                wall_ns(entry.modified()),
                "{path}"
            );
            if let Some(created) = node.created {
                assert_eq!(created.0, wall_ns(entry.created()), "{path}");
            }
            if entry.is_dir() {
                tree.insert(path.clone(), None);
                todo.push((path + "/", entry.to_dir()));
            } else {
                let mut data = Vec::new();
                entry.to_file().read_to_end(&mut data).unwrap();
                tree.insert(path, Some(data));
            }
        }
    }
    tree
}

/// Counts the nanoseconds of a time day by day.
fn wall_ns(t: fatfs::DateTime) -> u64 {
    // True for all years from 1970 to 2099.
    let leap = |year: u16| u64::from(year.is_multiple_of(4));
    let months = [
        31,
        28 + leap(t.date.year),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let years: u64 = (1970..t.date.year).map(|year| 365 + leap(year)).sum();
    let days =
        years + months[..usize::from(t.date.month) - 1].iter().sum::<u64>() + u64::from(t.date.day)
            - 1;
    let (hour, minute, second) = (
        u64::from(t.time.hour),
        u64::from(t.time.min),
        u64::from(t.time.sec),
    );
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000
        + u64::from(t.time.millis) * 1_000_000
}

/// Who else reads the image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Oracles {
    Mtools,
    MtoolsAndFatfs,
}

fn check(mib: u64, mkfs: &[&str], kind: FatKind, oracles: Oracles) {
    let tree = sample();
    let Some(image) = make_image(mib, mkfs, &tree) else {
        return;
    };
    let mut memory = Memory::new(image.clone());
    let volume = Volume::mount(&mut memory).unwrap();
    assert_eq!(
        (volume.kind(), volume.label(), volume.serial()),
        (kind, "TESTVOL", 0xcafe_0123)
    );
    // mkfs.fat rounds down to whole tracks.
    assert!(((mib << 20) - 32 * 4096..=mib << 20).contains(&volume.total_bytes()));
    assert_eq!(volume.missing_bytes(), 0);
    let (found, nodes) = read_all(&mut memory, &volume);
    assert_eq!(found, tree);
    for (path, node) in &nodes {
        let root = volume.root();
        assert_eq!(volume.resolve(&mut memory, &root, path).as_ref(), Ok(node));
        assert_eq!(
            volume
                .resolve(&mut memory, &root, &path.to_uppercase())
                .as_ref(),
            Ok(node)
        );
        assert_eq!(
            volume.node_at(&mut memory, node.position).as_ref(),
            Ok(node)
        );
    }
    if oracles == Oracles::MtoolsAndFatfs {
        assert_eq!(read_with_fatfs(&image, &nodes), tree);
    }
}

#[test]
fn fat12_image() {
    check(2, &["-F", "12"], FatKind::Fat12, Oracles::MtoolsAndFatfs);
}

#[test]
fn fat16_image() {
    check(16, &["-F", "16"], FatKind::Fat16, Oracles::MtoolsAndFatfs);
}

#[test]
fn fat32_image() {
    check(40, &["-F", "32"], FatKind::Fat32, Oracles::MtoolsAndFatfs);
}

#[test]
fn fat32_image_with_large_clusters() {
    check(
        260,
        &["-F", "32", "-s", "8"],
        FatKind::Fat32,
        Oracles::Mtools,
    );
}

#[test]
fn large_sectors() {
    check(
        300,
        &["-F", "32", "-S", "4096", "-s", "1"],
        FatKind::Fat32,
        Oracles::Mtools,
    );
    check(
        20,
        &["-F", "16", "-S", "2048", "-s", "1"],
        FatKind::Fat16,
        Oracles::Mtools,
    );
}

#[test]
fn a_directory_with_hundreds_of_files_of_mtools() {
    let mut tree = Tree::new();
    tree.insert("many".to_owned(), None);
    for n in 0..200 {
        tree.insert(
            format!("many/file number {n:05}.dat"),
            Some(vec![n as u8; 1]),
        );
    }
    let Some(image) = make_image(40, &["-F", "32"], &tree) else {
        return;
    };
    let mut memory = Memory::new(image);
    let volume = Volume::mount(&mut memory).unwrap();
    assert_eq!(read_all(&mut memory, &volume).0, tree);
}

/// Twenty thousand entries with long names in one fragmented directory, in time that is linear in its length.
#[test]
fn twenty_thousand_entries() {
    let mut forge = Forge::new(32, 70_000);
    let count = 20_000;
    let mut slots = Vec::new();
    for n in 0..count {
        let raw: [u8; 11] = format!("E{n:05}~1TXT").as_bytes()[..11].try_into().unwrap();
        slots.extend(long_slots(
            &format!("Eintrag Nr. {n:05} – größer.txt"),
            &raw,
        ));
        slots.push(short_slot(&raw, FILE, 0, 0));
    }
    // Every other cluster, so that no two are neighbours.
    let chain: Vec<u32> = (0..slots.len().div_ceil(16) as u32)
        .map(|n| 10 + n * 2)
        .collect();
    forge.chain(&chain);
    for (at, slot) in slots.iter().enumerate() {
        forge.cluster(chain[at / 16])[at % 16 * 32..][..32].copy_from_slice(slot);
    }
    forge.root_entry(0, b"BIG        ", common::DIR, 10, 0);
    let image = forge.bytes.clone();
    let (mut memory, volume) = forge.mount();
    let dir = volume.resolve(&mut memory, &volume.root(), "big").unwrap();
    memory.reads = 0;
    let (entries, error) = list(&mut memory, &volume, &dir, 50);
    assert_eq!((entries.len(), error), (count, None));
    for (n, (name, _)) in entries.iter().enumerate() {
        assert_eq!(*name, format!("Eintrag Nr. {n:05} – größer.txt"));
    }
    let linear = chain.len() as u64 * 2;
    assert!(
        memory.reads < linear + 1000,
        "{} reads for {} clusters",
        memory.reads,
        chain.len()
    );
    let last = volume.lookup(&mut memory, &dir, "EINTRAG NR. 19999 – GRÖSSER.TXT");
    assert!(last.is_err(), "ß has no upper-case letter that folds back");
    let last = volume
        .lookup(&mut memory, &dir, "EINTRAG NR. 19999 – GRÖßER.TXT")
        .unwrap();
    assert_eq!(last.node, entries[count - 1].1);
    let system = fatfs::FileSystem::new(Cursor::new(image), fatfs::FsOptions::new()).unwrap();
    let dir = system.root_dir().open_dir("BIG").unwrap();
    let names: Vec<String> = dir.iter().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().eq(entries.iter().map(|(name, _)| name)));
}

/// Files that fatfs wrote in turns, so that they are fragmented, with names in several scripts.
#[test]
fn fragmented_files_of_fatfs() {
    let mut device = Cursor::new(vec![0; 40 << 20]);
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(fatfs::FatType::Fat32)
        .bytes_per_cluster(512);
    fatfs::format_volume(&mut device, options).unwrap();
    let names = ["eins – ε.bin", "zwei.二.bin", "drei.bin", "Четыре"];
    let mut contents = vec![Vec::new(); names.len()];
    {
        let system = fatfs::FileSystem::new(&mut device, fatfs::FsOptions::new()).unwrap();
        let dir = system.root_dir().create_dir("Órdner").unwrap();
        for round in 0..150u32 {
            for (index, name) in names.iter().enumerate() {
                let piece = pattern(300 + index * 700, round);
                let mut file = dir.create_file(name).unwrap();
                std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
                file.write_all(&piece).unwrap();
                contents[index].extend(piece);
            }
        }
        dir.remove("drei.bin").unwrap();
    }
    let image = device.into_inner();
    let mut memory = Memory::new(image.clone());
    let volume = Volume::mount(&mut memory).unwrap();
    let (found, nodes) = read_all(&mut memory, &volume);
    let mut expected = Tree::from([("Órdner".to_owned(), None)]);
    for (name, data) in names
        .iter()
        .zip(&contents)
        .filter(|(name, _)| **name != "drei.bin")
    {
        expected.insert(format!("Órdner/{name}"), Some(data.clone()));
    }
    assert_eq!(found, expected);
    assert_eq!(read_with_fatfs(&image, &nodes), expected);
    // Random positions, in one cursor.
    let data = &contents[3];
    let mut file = FileCursor::new::<()>(&nodes["Órdner/Четыре"]).unwrap();
    assert_eq!(file.survey(&volume, &mut memory), Ok(data.len() as u64));
    let mut buf = vec![0; 5000];
    for step in 0..500usize {
        let at = step * 7_919_777 % data.len();
        let n = file
            .read_at(&volume, &mut memory, at as u64, &mut buf)
            .unwrap();
        assert_eq!(n, 5000.min(data.len() - at));
        assert_eq!(buf[..n], data[at..at + n]);
    }
}
