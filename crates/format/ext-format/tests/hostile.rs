//! Volumes of which bytes were altered: nothing panics, nothing is read outside, every walk ends, and what has a sum is noticed.

mod common;

use common::{Disk, folder, make, read_file};
use ext_format::{Error, Kind, Place, Step, Volume};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// A small volume of each kind: with sums and extents, without sums, with pointers, with a journal that has something in it.
const KINDS: [&[&str]; 4] = [
    &["-t", "ext4", "-b", "1024", "-N", "64", "-O", "^has_journal"],
    &[
        "-t",
        "ext4",
        "-b",
        "1024",
        "-N",
        "64",
        "-O",
        "^metadata_csum,^has_journal",
    ],
    &["-t", "ext2", "-b", "1024", "-N", "64"],
    &["-t", "ext4", "-b", "1024", "-N", "64", "-J", "size=1"],
];
/// What every block of a journal begins with.
const JOURNAL: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];

/// Each volume with the folder that it was made of.
fn volumes() -> &'static [(Vec<u8>, common::Tree)] {
    static MADE: OnceLock<Vec<(Vec<u8>, common::Tree)>> = OnceLock::new();
    MADE.get_or_init(|| KINDS.iter().filter_map(|args| small(args)).collect())
}

fn small(args: &[&str]) -> Option<(Vec<u8>, common::Tree)> {
    let work = tempfile::tempdir().unwrap();
    let from = work.path().join("folder");
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::write(from.join("a/text"), b"some text\n").unwrap();
    fs::write(from.join("a/b/data"), common::pattern(150_000, 9)).unwrap();
    // Every other block, so that its tree has nodes of its own.
    let holes = fs::File::create(from.join("holes")).unwrap();
    for number in 0..300u64 {
        holes.write_all_at(b"here", number * 2048).unwrap();
    }
    std::os::unix::fs::symlink("b/../text", from.join("a/link")).unwrap();
    let has_journal = args.contains(&"-J");
    let image = make(work.path(), &from, if has_journal { 5 } else { 2 }, args)?;
    if has_journal {
        // A block that is free, so that what is read stays the same.
        let content = work.path().join("content");
        fs::write(&content, [b'j'; 3072]).unwrap();
        let content = content.display();
        let commands = format!("jo -c -v 3\njw -b 5000,5001,5002 {content}\njw -r 5002\njc\n");
        let script = work.path().join("commands");
        fs::write(&script, commands).unwrap();
        let (script, shown) = (script.to_str()?, image.to_str()?);
        common::tool("debugfs", &["-w", "-f", script, shown]);
        let mut disk = Disk::open(&image);
        assert_eq!(Volume::mount(&mut disk).unwrap().replayed_blocks(), 2);
    }
    Some((fs::read(image).unwrap(), folder(&from)))
}

/// Uses a volume in every way; only says whether all of it could be read.
fn use_all(bytes: Vec<u8>) -> Result<common::Tree, Error<()>> {
    let mut disk = Disk::bytes(bytes);
    let volume = Volume::mount(&mut disk)?;
    let root = *volume.root();
    for path in ["a/link", "a/b/data", "holes", "x", "a/../a"] {
        if let Ok(found) = volume.resolve(&mut disk, &root, path)
            && found.kind() == Kind::File
            && found.size_bytes() < 64 << 20
        {
            let _ = read_file(&volume, &mut disk, &found);
        }
    }
    for cursor in [3, 12, 1024, 1 << 40, u64::MAX] {
        let _ = volume.list(&mut disk, &root, cursor, |_, _| Step::StopAfter);
    }
    let mut tree = common::Tree::new();
    let mut left = vec![(String::new(), root, 0)];
    while let Some((path, at, depth)) = left.pop() {
        for (name, _) in common::list(&volume, &mut disk, &at)? {
            let below = format!("{path}/{name}");
            if name == "lost+found" || below == "/a/link" || depth > 6 || tree.len() > 200 {
                continue;
            }
            let inode = volume.resolve(&mut disk, &at, &name)?;
            if inode.is_directory() {
                tree.insert(below.clone(), None);
                left.push((below, inode, depth + 1));
            } else if inode.size_bytes() < 64 << 20 {
                tree.insert(below, Some(read_file(&volume, &mut disk, &inode)?));
            }
        }
    }
    Ok(tree)
}

#[test]
fn the_volumes_are_good_before_they_are_altered() {
    for (bytes, expected) in volumes() {
        assert!(use_all(bytes.clone()).unwrap() == *expected);
    }
}

/// Whether something stands in a block.
fn is_used(block: &[u8]) -> bool {
    block.iter().any(|byte| *byte != 0)
}

#[test]
fn every_block_may_be_cleared_filled_or_another() {
    for (bytes, expected) in volumes() {
        let count = bytes.len() / 1024;
        for number in (0..count).filter(|n| is_used(&bytes[n * 1024..][..1024])) {
            for fill in [0, 0xff] {
                let mut altered = bytes.clone();
                altered[number * 1024..][..1024].fill(fill);
                let _ = use_all(altered);
            }
            let mut altered = bytes.clone();
            altered.copy_within(
                (count - 1 - number) * 1024..(count - number) * 1024,
                number * 1024,
            );
            let _ = use_all(altered);
        }
        assert!(!expected.is_empty());
    }
}

#[test]
fn where_metadata_has_sums_a_wrong_byte_is_noticed_or_of_no_matter() {
    let Some((bytes, expected)) = volumes().first() else {
        return;
    };
    let files: Vec<&Vec<u8>> = expected.values().flatten().collect();
    let is_data = |block: &[u8]| {
        files.iter().any(|file| {
            file.chunks(1024).any(|piece| {
                block.starts_with(piece) && block[piece.len()..].iter().all(|byte| *byte == 0)
            })
        })
    };
    let mut noticed = 0;
    for number in 1..bytes.len() / 1024 {
        let block = &bytes[number * 1024..][..1024];
        if !is_used(block) || is_data(block) {
            continue;
        }
        for at in (number % 13..1024).step_by(13) {
            let mut altered = bytes.clone();
            altered[number * 1024 + at] ^= 1 << (at % 8);
            match use_all(altered) {
                Ok(tree) => assert!(
                    tree == *expected,
                    "byte {at} of block {number} changed what is read"
                ),
                Err(_) => noticed += 1,
            }
        }
    }
    assert!(noticed > 250, "{noticed}");
}

fn altered(kind: usize, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut image = volumes().get(kind)?.0.clone();
    image.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(image)
}

/// Where a field is altered, to what, and what is said of it.
const CASES: [(usize, &[u8], &str); 9] = [
    (
        1024 + 0x18,
        &[9],
        "the superblock names blocks of more than 64 KiB",
    ),
    (
        1024 + 0x58,
        &[7, 0],
        "the superblock names an impossible size of an inode",
    ),
    (
        1024 + 0x28,
        &[0; 4],
        "the superblock names an impossible number of inodes in a group",
    ),
    (
        1024 + 0x20,
        &[0; 4],
        "the superblock names an impossible number of blocks in a group",
    ),
    (
        1024 + 0x14,
        &[9],
        "the superblock names an impossible first block",
    ),
    (
        1024,
        &[0xff; 4],
        "the superblock names more inodes than its groups have, or none",
    ),
    (
        1024 + 0x62,
        &[0x80],
        "the superblock needs features that came after this reader",
    ),
    (
        1024 + 0x60,
        &[0x03],
        "the superblock says that files are compressed",
    ),
    (
        2048 + 8,
        &[0xff; 4],
        "the descriptor of block group 0 has its inodes outside of the volume",
    ),
];

#[test]
fn every_refusal_names_the_structure() {
    let mount =
        |at, bytes: &[u8]| altered(1, at, bytes).map(|b| Volume::mount(&mut Disk::bytes(b)).err());
    for (at, bytes, begin) in CASES {
        let Some(error) = mount(at, bytes) else {
            return;
        };
        let text = error.unwrap_or(Error::NotFound);
        let text = match text {
            Error::Corrupt { place, fault } => format!("{place} {fault}"),
            Error::Unsupported { place, what } => format!("{place} {what}"),
            other => format!("{other:?}"),
        };
        assert_eq!(text, begin, "{at}");
    }
    assert_eq!(mount(1024 + 0x38, &[0]), Some(Some(Error::NotExt)));
    assert_eq!(
        Volume::mount(&mut Disk::bytes(vec![0; 600])).err(),
        Some(Error::NotExt)
    );
}

#[test]
fn a_group_beyond_the_volume_and_an_inode_beyond_the_last_are_refused() {
    let Some(image) = altered(1, 0, &[]) else {
        return;
    };
    // The first entry of the root that is not a dot gets an inode that does not exist.
    let mut disk = Disk::bytes(image.clone());
    let volume = Volume::mount(&mut disk).unwrap();
    let names = common::list(&volume, &mut disk, volume.root()).unwrap();
    let name = names[0].0.as_bytes();
    let place = image.windows(name.len()).position(|w| w == name).unwrap() - 8;
    let Some(image) = altered(1, place, &u32::MAX.to_le_bytes()) else {
        return;
    };
    let error = use_all(image).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Corrupt {
                place: Place::Directory { inode: 2, .. },
                ..
            }
        ),
        "{error:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_panics_whatever_is_altered(
        kind in 0..KINDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4usize), 1..24),
        place in 0..3,
    ) {
        if let Some((bytes, _)) = volumes().get(kind) {
            let mut bytes = bytes.clone();
            // Most of what matters stands in the first blocks, and where the journal begins.
            let journal = bytes.windows(4).position(|word| word == JOURNAL).unwrap_or(0);
            let (begin, room) = match place {
                0 => (0, bytes.len()),
                1 => (journal, 12 << 10),
                _ => (0, 48 << 10),
            };
            for (at, value, run) in changes {
                let at = begin + at.index(room - 8);
                bytes[at..=at + run].fill(value);
            }
            let _ = use_all(bytes);
        }
    }

    #[test]
    fn nothing_panics_whatever_is_cut_off(kind in 0..KINDS.len(), at in any::<prop::sample::Index>()) {
        if let Some((bytes, _)) = volumes().get(kind) {
            let _ = use_all(bytes[..at.index(bytes.len())].to_vec());
        }
    }
}
