//! Volumes made by mke2fs, compared with the folder that they were made of and with what the crate ext4-view reads; and
//! journals written by debugfs, compared with what e2fsck makes of them.
//! Without the tools (Debian: e2fsprogs) the tests are skipped with a message.

mod common;

use std::fs;
use std::path::Path;

use common::{Disk, everything, folder, list, make, read_file, sample, tool};
use ext_format::{Blocks, Error, Kind, Volume};
use ext4_view::Ext4;

struct View(Disk);

impl ext4_view::Ext4Read for View {
    fn read(
        &mut self,
        at: u64,
        to: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let end = at + to.len() as u64;
        if end > self.0.len_bytes() {
            return Err("beyond the end".into());
        }
        Blocks::read(&mut self.0, at, to).unwrap();
        Ok(())
    }
}

/// What the second reader is asked.
#[derive(PartialEq)]
enum Second {
    /// Everything.
    All,
    /// All but a file of which a block of pointers is a hole: it takes that for block 0, and refuses.
    NoHole,
    /// Nothing: it refuses such volumes.
    Nothing,
}

/// What a second reader says of every file and directory.
fn agrees(image: &Path, tree: &common::Tree, asked: &Second) {
    let view = Ext4::load(Box::new(View(Disk::open(image)))).unwrap();
    for (path, bytes) in tree {
        match bytes {
            Some(_) if *asked == Second::NoHole && path == "/sparse.bin" => {}
            Some(bytes) => assert!(view.read(path.as_str()).unwrap() == *bytes, "{path}"),
            None => assert!(view.metadata(path.as_str()).unwrap().is_dir(), "{path}"),
        }
    }
}

/// Makes the sample with these options and reads it whole.
fn whole(format: &str, mib: u64, args: &[&str], second: Second) {
    let work = tempfile::tempdir().unwrap();
    let from = work.path().join("folder");
    sample(&from);
    let Some(image) = make(work.path(), &from, mib, args) else {
        return;
    };
    let mut disk = Disk::open(&image);
    let volume = Volume::mount(&mut disk).unwrap_or_else(|e| panic!("{args:?}: {e:?}"));
    assert_eq!((volume.format(), volume.label()), (format, "SAMPLE"));
    assert_eq!(volume.replayed_blocks(), 0);
    let found = everything(&volume, &mut disk).unwrap_or_else(|e| panic!("{args:?}: {e:?}"));
    let expected = folder(&from);
    let names = |tree: &common::Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{args:?}");
    for (path, bytes) in &expected {
        assert!(found[path] == *bytes, "{args:?}: {path}");
    }
    links(&volume, &mut disk);
    if second != Second::Nothing {
        agrees(&image, &found, &second);
    }
}

fn links(volume: &Volume, disk: &mut Disk) {
    let root = *volume.root();
    let mut text = |path: &str| {
        let inode = volume.resolve(disk, &root, path)?;
        read_file(volume, disk, &inode)
    };
    let small = Ok(b"a few bytes\n".to_vec());
    assert_eq!(text("links/short"), small);
    assert_eq!(text("/links/./long"), small);
    assert_eq!(text("links/absolute/d2/../../../small.txt"), small);
    assert_eq!(text("links/short/x"), Err(Error::NotADirectory));
    assert_eq!(text("links/round"), Err(Error::TooManyLinks));
    assert_eq!(text("links/broken"), Err(Error::NotFound));
    assert_eq!(text("links/above the root"), Err(Error::LinkLeaves));
    assert_eq!(text("../small.txt"), Err(Error::LinkLeaves));
    assert_eq!(text("SMALL.TXT"), Err(Error::NotFound));
    assert_eq!(text("d0"), Err(Error::IsADirectory));
    assert_eq!(text(&"x/".repeat(3000)), Err(Error::PathTooLong));
    // Whoever was given a directory is led nowhere else.
    let given = volume.resolve(disk, &root, "links").unwrap();
    assert_eq!(given.kind(), Kind::Directory);
    for name in ["short", "absolute", "long"] {
        let found = volume.resolve(disk, &given, name);
        assert_eq!(found.map(|inode| inode.number()), Err(Error::LinkLeaves));
    }
    let names = list(volume, disk, &given).unwrap();
    assert_eq!(names.len(), 6);
}

#[test]
fn ext2_with_blocks_of_1_kib() {
    whole("ext2", 48, &["-t", "ext2", "-b", "1024"], Second::NoHole);
}

#[test]
fn ext2_without_types_in_its_directories() {
    whole(
        "ext2",
        48,
        &["-t", "ext2", "-O", "^filetype,^dir_index"],
        Second::Nothing,
    );
}

#[test]
fn the_first_revision() {
    whole(
        "ext2",
        48,
        &["-t", "ext2", "-r", "0", "-b", "1024"],
        Second::Nothing,
    );
}

#[test]
fn ext3() {
    whole("ext3", 64, &["-t", "ext3", "-b", "2048"], Second::NoHole);
}

#[test]
fn ext4_as_it_is_made_today() {
    whole("ext4", 64, &["-t", "ext4"], Second::All);
}

#[test]
fn ext4_with_small_blocks_and_inodes() {
    let args = [
        "-t",
        "ext4",
        "-b",
        "1024",
        "-I",
        "128",
        "-O",
        "metadata_csum",
    ];
    whole("ext4", 64, &args, Second::Nothing);
}

#[test]
fn ext4_without_sums() {
    whole(
        "ext4",
        64,
        &["-t", "ext4", "-O", "^metadata_csum,^64bit"],
        Second::All,
    );
}

#[test]
fn descriptors_among_their_groups() {
    let args = [
        "-t",
        "ext4",
        "-b",
        "1024",
        "-g",
        "1024",
        "-O",
        "meta_bg,^resize_inode",
    ];
    whole("ext4", 200, &args, Second::Nothing);
}

#[test]
fn clusters_of_blocks() {
    whole(
        "ext4",
        64,
        &["-t", "ext4", "-O", "bigalloc", "-C", "16384"],
        Second::Nothing,
    );
}

#[test]
fn blocks_of_64_kib() {
    whole("ext4", 256, &["-t", "ext4", "-b", "65536"], Second::All);
}

/// Runs commands of debugfs that may write.
fn debugfs(image: &Path, commands: &str) -> bool {
    let script = image.with_extension("commands");
    fs::write(&script, commands).unwrap();
    let (script, image) = (script.to_str().unwrap(), image.to_str().unwrap());
    tool("debugfs", &["-w", "-f", script, image])
}

fn replayed(args: &[&str], open: &str) {
    let work = tempfile::tempdir().unwrap();
    let from = work.path().join("folder");
    sample(&from);
    let Some(image) = make(work.path(), &from, 64, args) else {
        return;
    };
    // Two blocks of the large file, one of them twice, one taken back; and the same as e2fsck would have it.
    let mut disk = Disk::open(&image);
    let volume = Volume::mount(&mut disk).unwrap();
    let size = u64::from(volume.block_bytes());
    let found = volume
        .resolve(&mut disk, volume.root(), "large.bin")
        .unwrap();
    let mut cursor = ext_format::FileCursor::new::<()>(&found).unwrap();
    let run = cursor.next_run(&volume, &mut disk, 1 << 20).unwrap();
    let Some(ext_format::Run::Stored { byte_offset, .. }) = run else {
        panic!("{run:?}");
    };
    let first = byte_offset / size;
    let content = work.path().join("content");
    let fill = |name: &str, byte: u8, blocks: usize| {
        let path = content.with_extension(name);
        fs::write(&path, vec![byte; blocks * size as usize]).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, two, three) = (fill("1", b'1', 2), fill("2", b'2', 1), fill("3", b'3', 1));
    let (second, third) = (first + 1, first + 2);
    let commands = format!(
        "{open}\njw -b {first},{second} {one}\njw -b {first} {two}\njw -b {third} {three}\njw -r {third}\njc\n"
    );
    assert!(debugfs(&image, &commands));
    let volume = Volume::mount(&mut disk).unwrap_or_else(|e| panic!("{args:?}: {e:?}"));
    assert_eq!(volume.replayed_blocks(), 2, "{args:?}");
    let found = everything(&volume, &mut disk).unwrap();
    let repaired = work.path().join("repaired");
    fs::copy(&image, &repaired).unwrap();
    tool("e2fsck", &["-fy", repaired.to_str().unwrap()]);
    let mut disk = Disk::open(&repaired);
    let volume = Volume::mount(&mut disk).unwrap();
    assert_eq!(volume.replayed_blocks(), 0);
    let expected = everything(&volume, &mut disk).unwrap();
    assert!(found == expected, "{args:?}");
    let large = found["/large.bin"].as_ref().unwrap();
    let begin: Vec<u8> = large
        .iter()
        .step_by(size as usize)
        .take(2)
        .copied()
        .collect();
    assert_eq!(begin, b"21", "{args:?}");
}

#[test]
fn what_is_in_the_journal_is_read() {
    replayed(&["-t", "ext4"], "jo -c -v 3");
    replayed(&["-t", "ext4", "-O", "^64bit,^metadata_csum"], "jo");
    replayed(&["-t", "ext3", "-b", "1024"], "jo");
    replayed(&["-t", "ext4", "-b", "1024", "-O", "^64bit"], "jo -c -v 2");
}
