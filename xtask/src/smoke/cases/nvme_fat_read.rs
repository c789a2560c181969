//! The main job: a person's files, through a driver that never sees an address.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Result, ensure};

use sabotage::points;

use crate::disk::FatImage;
use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::sabotage::{Break, Sabotage};

/// Content that no run of blocks repeats: 32-bit little-endian numbers, scrambled.
pub(super) fn pattern(bytes: usize) -> Vec<u8> {
    (0..(bytes / 4) as u32)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect()
}

pub(super) fn whole(path: &Path) -> Result<()> {
    let image = FatImage::create(path, 96, 32, "FILES")?;
    image
        .folder("deep")?
        .folder("deep/er")?
        .file("HELLO.TXT", b"hello from the disk\r\n")?
        .file("EMPTY.TXT", b"")?
        .file("deep/er/A long name, with blanks.txt", b"found\r\n")?
        .file("BIG.BIN", &pattern(10 << 20))?;
    Ok(())
}

/// The same volume behind a master boot record, from block 2048 on.
pub(super) fn partitioned(path: &Path) -> Result<()> {
    let bare = path.with_extension("bare");
    FatImage::create(&bare, 64, 32, "SECOND")?.file("TWO.TXT", b"second disk\r\n")?;
    let volume = std::fs::read(&bare)?;
    let mut disk = File::create(path)?;
    let mut mbr = [0u8; 512];
    let blocks = (volume.len() / 512) as u32;
    let entry = 446;
    mbr[entry + 4] = 0x0c;
    mbr[entry + 8..entry + 12].copy_from_slice(&2048u32.to_le_bytes());
    mbr[entry + 12..entry + 16].copy_from_slice(&blocks.to_le_bytes());
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
    disk.write_all(&mbr)?;
    disk.seek(SeekFrom::Start(2048 * 512))?;
    disk.write_all(&volume)?;
    std::fs::remove_file(bare)?;
    Ok(())
}

const DISK: &str = "whole.img";

/// The same volume, and a copy of it that no guest sees.
fn kept(path: &Path) -> Result<()> {
    whole(path)?;
    std::fs::copy(path, path.with_extension("before"))?;
    Ok(())
}

/// Not a bit of the disk has changed.
fn untouched(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let before = std::fs::read(path.with_extension("before"))?;
    ensure!(std::fs::read(path)? == before, "the disk was written to");
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "nvme-fat-read",
        question: "Are files read off FAT volumes on two NVMe disks exactly as mkfs.fat and mcopy wrote them?",
        rows: &["NV-08", "NV-11", "NV-12", "NV-18", "NV-35", "BD-04", "FI-03", "FI-04", "FI-06", "DA-09"],
        disks: &[
            SmokeDisk { name: "whole.img", make: whole, bytes_per_s: 0 },
            SmokeDisk { name: "partitioned.img", make: partitioned, bytes_per_s: 0 },
        ],
        steps: &[
            Step::Type("ls /disk"),
            Step::Type("cat /disk/HELLO.TXT"),
            Step::Type("cat \"/disk/deep/er/A long name, with blanks.txt\""),
            Step::Type("sha256 /disk/EMPTY.TXT"),
            Step::Type("sha256 /disk/BIG.BIN"),
            Step::Type("cat /disk1/TWO.TXT"),
            Step::Type("halt"),
        ],
        required: &[
            "@drivers.table",
            "@nvme.ready block_bytes=512",
            "hello from the disk",
            "found",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "4065f8a98da19a18771df368b071e6f29f4412fa304bc6209d15979c4fd4c2fc",
            "second disk",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DROP_DRIVER,
        smoke: "nvme-fat-read",
        breaks: Break::Missing("@drivers.table"),
    }
}

inventory::submit! {
    Smoke {
        name: "storage-fat-read",
        question: "Are files of a FAT32 volume on a virtio disk read as mkfs.fat and mcopy wrote them, and every change of it refused?",
        rows: &["FI-02"],
        disks: &[SmokeDisk { name: DISK, make: kept, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        steps: &[
            Step::Type("ls /disk2"),
            Step::Type("cat \"/disk2/deep/er/A long name, with blanks.txt\""),
            Step::Type("sha256 /disk2/BIG.BIN"),
            Step::Type("write /disk2/HELLO.TXT changed"),
            Step::Type("mkdir /disk2/new"),
            Step::Type("rm /disk2/EMPTY.TXT"),
            Step::Type("mv /disk2/HELLO.TXT /disk2/BYE.TXT"),
            Step::Type("cat /disk2/HELLO.TXT"),
            Step::Prompt,
            Step::Peer(untouched),
            Step::Type("halt"),
        ],
        required: &[
            "@drivers.table",
            "@blk.ready transport=modern",
            "3 files, 1 directory",
            "found",
            "4065f8a98da19a18771df368b071e6f29f4412fa304bc6209d15979c4fd4c2fc",
            "write: /disk2/HELLO.TXT: it cannot be written",
            "mkdir: /disk2/new: it cannot be written",
            "rm: /disk2/EMPTY.TXT: it cannot be written",
            "it cannot be written",
            "hello from the disk",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DROP_DRIVER,
        smoke: "storage-fat-read",
        breaks: Break::Missing("@drivers.table"),
    }
}
