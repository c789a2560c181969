//! Disks as strangers bring them: several partitions, namespaces that cannot be read, something left over, a bad sector.

use std::path::Path;

use anyhow::Result;

use crate::disk::FatImage;
use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::{pattern, whole};

const BLOCK: usize = 512;

/// Writes an entry of the partition sector: its place, type, first block, blocks.
fn entry(disk: &mut [u8], index: usize, kind: u8, first: usize, blocks: usize) {
    let at = 446 + index * 16;
    if let Some(entry) = disk.get_mut(at..at + 16) {
        entry.fill(0);
        entry[4] = kind;
        entry[8..12].copy_from_slice(&(first as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&(blocks as u32).to_le_bytes());
    }
}

/// A stick that was one volume once, and has three partitions now: an empty one, a person's, and one that is not FAT.
fn stick(path: &Path) -> Result<()> {
    let volume = |name: &str, label: &str, file: Option<(&str, &[u8])>| -> Result<Vec<u8>> {
        let part = path.with_extension(name);
        let image = FatImage::create(&part, 40, 32, label)?;
        if let Some((name, bytes)) = file {
            image.file(name, bytes)?;
        }
        let bytes = std::fs::read(&part)?;
        std::fs::remove_file(part)?;
        Ok(bytes)
    };
    let empty = volume("efi", "EFI", None)?;
    let person = volume(
        "person",
        "PHOTOS",
        Some(("photo.txt", b"the person's photo\r\n")),
    )?;
    let old = volume("old", "OLD", Some(("old.txt", b"deleted long ago\r\n")))?;
    let blocks = empty.len() / BLOCK;
    let (second, third) = (2048 + blocks, 2048 + 2 * blocks);
    let mut disk = vec![0; (third + 2048) * BLOCK];
    // What is left of the first use: everything up to the first partition, and half of its directory.
    disk[..2048 * BLOCK].copy_from_slice(&old[..2048 * BLOCK]);
    disk[2048 * BLOCK..][..empty.len()].copy_from_slice(&empty);
    disk[second * BLOCK..][..person.len()].copy_from_slice(&person);
    disk[third * BLOCK + 1080..][..2].copy_from_slice(b"\x53\xef");
    entry(&mut disk, 0, 0xef, 2048, blocks);
    entry(&mut disk, 1, 0x0c, second, blocks);
    entry(&mut disk, 2, 0x83, third, 2048);
    std::fs::write(path, disk)?;
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "disk-parts",
        question: "Is every partition of a disk named with what it is, each readable one reachable, and a left-over boot sector not believed?",
        rows: &["FI-05", "MA-06"],
        disks: &[SmokeDisk { name: "stick.img", make: stick, bytes_per_s: 0 }],
        steps: &[
            Step::Type("ls /"),
            Step::Type("lsblk"),
            Step::Type("ls /disk"),
            Step::Type("cat /disk.p2/photo.txt"),
            Step::Type("cat /disk.p3/x"),
            Step::Type("log"),
            Step::Type("halt"),
        ],
        required: &[
            "disk/     FAT32, 40 MiB, \"EFI\"",
            "disk.p2/  FAT32, 40 MiB, \"PHOTOS\"",
            "disk.p3   an ext2, ext3 or ext4 file system, and damaged: the superblock names an impossible number of inodes in a group",
            "0 files, 0 directories",
            "the person's photo",
            "/disk.p3: an ext2, ext3 or ext4 file system, and damaged: the superblock",
            "the disk holds a FAT volume over the whole disk besides its partition table; the table is used",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked", "OLD", "deleted long ago"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "nvme-namespaces",
        question: "Is every namespace of a controller named, with what it is where it cannot be read, and each readable one reachable?",
        rows: &["MA-06"],
        files: &[],
        disks: &[SmokeDisk { name: "whole.img", make: whole, bytes_per_s: 0 }],
        extra: &[
            "-drive", "if=none,id=zoned,format=raw,file.driver=null-co,file.size=64M,file.read-zeroes=on",
            "-drive", "if=none,id=meta,format=raw,file.driver=null-co,file.size=16M,file.read-zeroes=on",
            "-drive", "if=none,id=far,format=raw,readonly=on,file.driver=file,file.filename={work}/whole.img,file.locking=off",
            "-device", "nvme,serial=many,id=many",
            "-device", "nvme-ns,drive=zoned,nsid=1,bus=many,zoned=on,zoned.zone_size=4M",
            "-device", "nvme-ns,drive=meta,nsid=2,bus=many,ms=8,mset=0",
            "-device", "nvme-ns,drive=far,nsid=200,bus=many",
        ],
        steps: &[
            Step::Type("lsblk"),
            Step::Type("cat /disk1/HELLO.TXT"),
            Step::Type("sha256 /disk1/BIG.BIN"),
            Step::Type("halt"),
        ],
        required: &[
            "@nvme.namespace-unusable nsid=1 problem=\"a zoned namespace, which holds no volume that is read here\"",
            "@nvme.namespace-unusable nsid=2",
            "disk1.n1",
            "disk1.n2",
            "hello from the disk",
            "4065f8a98da19a18771df368b071e6f29f4412fa304bc6209d15979c4fd4c2fc",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

fn two_files(path: &Path) -> Result<()> {
    FatImage::create(path, 64, 32, "BLOB")?
        .file("blob.bin", &pattern(9 << 20))?
        .file("after.txt", b"behind the bad sector\r\n")?;
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "disk-bad-sector",
        question: "Does a sector that cannot be read fail only the file that lies on it?",
        rows: &["MA-07"],
        files: &[],
        disks: &[SmokeDisk { name: "blob.img", make: two_files, bytes_per_s: 0 }],
        extra: &[
            // Sectors of the first FAT that no file needs, and one of blob.bin's data.
            "-drive",
            "if=none,id=bad,format=raw,readonly=on,file.driver=blkdebug,file.image.driver=file,file.image.filename={work}/blob.img,file.image.locking=off,\
             file.inject-error.0.event=read_aio,file.inject-error.0.iotype=read,file.inject-error.0.errno=5,file.inject-error.0.sector=38,\
             file.inject-error.1.event=read_aio,file.inject-error.1.iotype=read,file.inject-error.1.errno=5,file.inject-error.1.sector=3055",
            "-device", "nvme,serial=bad,drive=bad",
        ],
        steps: &[
            Step::Type("ls /disk1"),
            Step::Type("cat /disk1/after.txt"),
            Step::Type("sha256 /disk1/blob.bin"),
            Step::Type("halt"),
        ],
        required: &[
            "2 files, 0 directories",
            "behind the bad sector",
            "sha256: /disk1/blob.bin",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
