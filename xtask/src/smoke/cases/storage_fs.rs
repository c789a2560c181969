//! A tree that the host made, copied in the guest and compared by the host: every name, every byte, both ways.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use crash_lab::work::Content;

use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::cases::storage_recovery::content;
use crate::store::Tool;

const DISK: &str = "volume.img";
/// Names that a host's file system takes, and that a careless reader mistakes.
const NAMES: &[&str] = &[
    "\u{e9}",
    "e\u{301}",
    "Case",
    "case",
    "CASE",
    "with space",
    " ",
    "...",
    ".hidden",
    "-rf",
    "*",
    "back\\slash",
    "\u{1b}[31mred",
    "line\nfeed",
    "\u{202e}txt.exe",
    "\u{1f980}",
    "\u{fffd}",
];
/// Lengths around blocks, and around what is read at a time.
const LENGTHS: &[usize] = &[
    1, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000, 200_001, 200_002, 1_100_000,
];

/// Every file of the tree.
fn tree() -> Content {
    let mut files = Content::new();
    let mut put = |path: String, bytes: Vec<u8>| drop(files.insert(path, bytes));
    for number in 0..150_usize {
        let path = format!("many/file-{number:03}");
        put(path, pattern(number * number * 37 % 9000));
    }
    for length in LENGTHS {
        put(format!("lengths/{length}"), pattern(*length));
    }
    for (number, name) in NAMES.iter().enumerate() {
        put(format!("names/{name}"), vec![number as u8; number]);
    }
    put(format!("names/{}", "n".repeat(255)), pattern(255));
    put(format!("{}leaf", "deep/".repeat(40)), pattern(40));
    files
}

fn make(path: &Path) -> Result<()> {
    let work = path.parent().context("a work folder")?;
    let folder = work.join("tree");
    for (path, bytes) in tree() {
        let path = folder.join("in").join(path);
        fs::create_dir_all(path.parent().context("it lies in a folder")?)?;
        fs::write(path, bytes)?;
    }
    fs::create_dir_all(folder.join("in/empty/emptier"))?;
    let tool = Tool::new(path);
    tool.mkfs(32, "tree")?;
    let folder = folder.to_str().context("a path is text")?;
    tool.run(&["import", folder], &[])?;
    Ok(())
}

fn compared(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    let folder = peer.work.join("exported");
    tool.run(&["export", folder.to_str().context("a path is text")?], &[])?;
    let expected = tree();
    for side in ["in", "copy"] {
        let mut found = Content::new();
        content(&folder.join(side), "", &mut found)?;
        for (path, bytes) in &expected {
            let at = format!("{side}/{}", path.escape_debug());
            let found = found.remove(path).with_context(|| format!("no {at}"))?;
            ensure!(found == *bytes, "{at} holds something else");
        }
        ensure!(
            found.is_empty(),
            "{side} holds more: {:?}",
            found.keys().collect::<Vec<_>>()
        );
        ensure!(
            folder.join(side).join("empty/emptier").is_dir(),
            "{side} has lost an empty directory"
        );
    }
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "storage-fs",
        question: "Is a tree that the host made read in the guest, and its copy in the guest read by the host, name for name and byte for byte?",
        rows: &["ST-10", "ST-21"],
        manifest: "smoke/storage-tree",
        disks: &[SmokeDisk { name: DISK, make, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        steps: &[Step::Wait("@tree.done"), Step::Peer(compared)],
        required: &[
            "@tree.copied dirs=46 files=182 bytes=2538936",
            "@tree.names long=ok longer=badArgument zero=badArgument up=badArgument here=badArgument slash=badArgument dots=ok space=ok",
            "@tree.same apart=true again=alreadyExists decomposed_again=alreadyExists",
            "@tree.done",
        ],
        forbidden: &["@kernel.panic"],
        ..PROGRAM
    }
}
