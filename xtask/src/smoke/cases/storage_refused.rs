//! Disks that are no volume, volumes of another version, and damaged ones: named, and not written to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use sabotage::points;
use volume_format::{BLOCK, Seed, sum};

use crate::disk::FatImage;
use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";
/// What the disk held before the guest saw it.
const BEFORE: &str = "before.img";

fn keep(work: &Path) -> Result<()> {
    fs::copy(work.join(DISK), work.join(BEFORE))?;
    Ok(())
}

fn untouched(peer: &mut Peer<'_>) -> Result<()> {
    let (now, before) = (peer.work.join(DISK), peer.work.join(BEFORE));
    ensure!(
        fs::read(now)? == fs::read(before)?,
        "the disk was written to"
    );
    Ok(())
}

/// A FAT volume.
fn foreign(path: &Path) -> Result<()> {
    FatImage::create(path, 40, 32, "PHOTOS")?.file("photo.txt", b"a person's\r\n")?;
    keep(path.parent().context("a work folder")?)
}

/// Rewrites both labels of a volume, with good sums.
fn relabel(work: &Path, change: impl Fn(&mut [u8])) -> Result<()> {
    let path = work.join(DISK);
    Tool::new(&work.join("fresh.img")).mkfs(8, "other")?;
    let mut image = fs::read(work.join("fresh.img"))?;
    let blocks = image.len() / BLOCK;
    let uuid: [u8; 16] = image[16..32].try_into()?;
    for lba in [0, blocks - 1] {
        let label = &mut image[lba * BLOCK..][..BLOCK];
        change(label);
        let seed = Seed {
            uuid,
            lba: lba as u64,
            birth: 0,
            mount: 0,
            owner: Seed::LABEL,
            position: 0,
        };
        let sum = sum(&seed, &label[..504]);
        label[504..512].copy_from_slice(&sum.to_le_bytes());
    }
    // The guest's disk keeps its size.
    let mut disk = vec![0; fs::metadata(&path)?.len() as usize];
    disk[..image.len()].copy_from_slice(&image);
    fs::write(path, disk)?;
    fs::remove_file(work.join("fresh.img"))?;
    keep(work)
}

fn newer(work: &Path) -> Result<()> {
    relabel(work, |label| label[8] = 2)
}

fn unknown_feature(work: &Path) -> Result<()> {
    relabel(work, |label| label[56] = 1)
}

/// A feature without which nobody may write.
fn read_only_feature(work: &Path) -> Result<()> {
    relabel(work, |label| label[48] = 1)
}

/// A volume whose labels are both damaged.
fn no_label(work: &Path) -> Result<()> {
    relabel(work, |_| {})?;
    let path = work.join(DISK);
    let mut disk = fs::read(&path)?;
    disk[100] ^= 1;
    let last = (8 << 20) - BLOCK + 100;
    disk[last] ^= 1;
    fs::write(path, disk)?;
    keep(work)
}

/// A volume without a root.
fn no_root(work: &Path) -> Result<()> {
    relabel(work, |_| {})?;
    let path = work.join(DISK);
    let mut disk = fs::read(&path)?;
    let blocks = (8 << 20) / BLOCK;
    for ring in [1, blocks - 65] {
        disk[ring * BLOCK..][..64 * BLOCK].fill(0x11);
    }
    fs::write(path, disk)?;
    keep(work)
}

const LOOK: &[Step] = &[
    Step::Type("ls /volume"),
    Step::Type("write /volume/x something"),
    Step::Prompt,
    Step::Peer(untouched),
    Step::Type("halt"),
];

const fn again(between: fn(&Path) -> Result<()>) -> Again {
    Again {
        between,
        steps: LOOK,
    }
}

inventory::submit! {
    Smoke {
        name: "storage-refused",
        question: "Is a disk that holds no volume for this system refused by name, with what to do, and left as it was?",
        rows: &["ST-04"],
        disks: &[SmokeDisk { name: DISK, make: foreign, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: LOOK,
        again: &[
            again(newer),
            again(unknown_feature),
            again(read_only_feature),
            again(no_label),
            again(no_root),
        ],
        required: &[
            "/volume: it is a FAT volume, and no capOS volume",
            "/volume: its capOS volume has version 2 of the format, and this system knows version 1: use the system that made it",
            "/volume: its capOS volume uses features that this system does not know (bits 0x1): use the system that made it",
            "0 files, 0 directories",
            "write: /volume/x: it cannot be written",
            "/volume: the label of its capOS volume is damaged",
            "/volume: the capOS volume is damaged: no root is sound in either ring",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

const TEXT: &[u8] = b"every byte of this counts\n";

/// A volume with a bit of a file's block turned over, wherever it lies.
fn rotten(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(8, "rotten")?;
    tool.put("/whole.txt", b"this one is whole\n")?;
    tool.put("/rotten.txt", TEXT)?;
    let mut image = fs::read(path)?;
    let at = image.windows(TEXT.len()).position(|bytes| bytes == TEXT);
    let at = at.context("the file is on the volume")?;
    image[at + 6] ^= 0x20;
    fs::write(path, image)?;
    Ok(())
}

const NAMED: &str = "which is block 0 of inode";

inventory::submit! {
    Smoke {
        name: "storage-bitrot",
        question: "Is a block of a file that has rotted never given out, named with its place, and everything else readable?",
        rows: &["ST-04"],
        disks: &[SmokeDisk { name: DISK, make: rotten, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: &[
            Step::Type("cat /volume/whole.txt"),
            Step::Type("cat /volume/rotten.txt"),
            Step::Type("log 10"),
            Step::Type("write /volume/after.txt written beside it"),
            Step::Type("sync"),
            Step::Type("halt"),
        ],
        required: &[
            "this one is whole",
            "cat: /volume/rotten.txt: stored data contradicts itself",
            NAMED,
            "/volume: everything is durable",
        ],
        forbidden: &["@kernel.panic", "Byte of this", "every byte of this counts"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::VOLUME_IGNORE_SUM,
        smoke: "storage-bitrot",
        breaks: Break::Appears {
            fact: "Byte of this",
            after: "this one is whole",
        },
    }
}
