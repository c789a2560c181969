//! Volumes that lie: the FAT service refuses or reads on, and lives.

use std::path::Path;

use anyhow::{Context, Result};

use crate::disk::FatImage;
use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::pattern;

/// Mebibytes of each volume.
const VOLUME_MIB: u64 = 40;
/// Where the fields below stand, by the FAT specification (Microsoft, version 1.03, section "Boot sector and BPB").
const RESERVED: usize = 14;
const FATS: usize = 16;
const SECTORS_PER_FAT: usize = 36;
const SECTOR_BYTES: usize = 512;

/// A FAT32 volume with one sector per cluster, as `mkfs.fat` makes it, for its bytes to be changed.
struct Volume {
    bytes: Vec<u8>,
}

impl Volume {
    fn make(path: &Path) -> Result<Self> {
        let draft = path.with_extension("draft");
        FatImage::create(&draft, VOLUME_MIB, 32, "HOSTILE")?
            .file("GOOD.TXT", b"good\r\n")?
            .file("LOOP.BIN", &pattern(4096))?
            .file("CROSS.BIN", &pattern(4096))?
            .file("WILD.BIN", &pattern(4096))?
            .folder("SPIN")?
            .file("SPIN/IN.TXT", b"inside\r\n")?;
        let bytes = std::fs::read(&draft)?;
        std::fs::remove_file(draft)?;
        Ok(Self { bytes })
    }

    fn number(&self, at: usize, len: usize) -> usize {
        let bytes = self.bytes.get(at..at + len).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let place = self.bytes.get_mut(at..at + bytes.len());
        place.context("outside the volume")?.copy_from_slice(bytes);
        Ok(())
    }

    /// The directory entry in the root whose 11 bytes of short name are `name`.
    fn entry(&self, name: &[u8; 11]) -> Result<usize> {
        let fat_sectors = self.number(FATS, 1) * self.number(SECTORS_PER_FAT, 4);
        let root = (self.number(RESERVED, 2) + fat_sectors) * SECTOR_BYTES;
        (root..root + SECTOR_BYTES)
            .step_by(32)
            .find(|at| self.bytes.get(*at..*at + 11) == Some(name))
            .context("no such entry in the root")
    }

    fn first_cluster(&self, name: &[u8; 11]) -> Result<usize> {
        let at = self.entry(name)?;
        Ok(self.number(at + 26, 2) | self.number(at + 20, 2) << 16)
    }

    /// Sets the link of `cluster` in every FAT.
    fn link(&mut self, cluster: usize, to: u32) -> Result<()> {
        for copy in 0..self.number(FATS, 1) {
            let sector = self.number(RESERVED, 2) + copy * self.number(SECTORS_PER_FAT, 4);
            self.put(sector * SECTOR_BYTES + cluster * 4, &to.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Chains that loop, meet and leave the volume, and a directory without an end.
fn twisted(path: &Path) -> Result<()> {
    let mut volume = Volume::make(path)?;
    let [looped, crossed, wild, spin] = [
        volume.first_cluster(b"LOOP    BIN")?,
        volume.first_cluster(b"CROSS   BIN")?,
        volume.first_cluster(b"WILD    BIN")?,
        volume.first_cluster(b"SPIN       ")?,
    ];
    volume.link(looped + 2, looped as u32)?;
    // A size that the loop would have to be walked for.
    let size = volume.entry(b"LOOP    BIN")? + 28;
    volume.put(size, &(64u32 << 20).to_le_bytes())?;
    volume.link(crossed + 1, looped as u32 + 1)?;
    volume.link(wild, 0x0fff_0000)?;
    // No entry says where the directory ends, and its only cluster follows itself.
    let fat_sectors = volume.number(FATS, 1) * volume.number(SECTORS_PER_FAT, 4);
    let data = (volume.number(RESERVED, 2) + fat_sectors) * SECTOR_BYTES;
    let directory = data + (spin - 2) * SECTOR_BYTES;
    for slot in 3..16 {
        let mut entry = [b' '; 32];
        entry[..8].copy_from_slice(format!("FILL{slot:04}").as_bytes());
        entry[11] = 0x20;
        entry[20..].fill(0);
        volume.put(directory + slot * 32, &entry)?;
    }
    volume.link(spin, spin as u32)?;
    Ok(std::fs::write(path, volume.bytes)?)
}

/// An image that ends in the middle of its files.
fn cut(path: &Path) -> Result<()> {
    let mut volume = Volume::make(path)?;
    let fat_sectors = volume.number(FATS, 1) * volume.number(SECTORS_PER_FAT, 4);
    let data = (volume.number(RESERVED, 2) + fat_sectors) * SECTOR_BYTES;
    let first = volume.first_cluster(b"CROSS   BIN")?;
    volume.bytes.truncate(data + (first - 1) * SECTOR_BYTES);
    Ok(std::fs::write(path, volume.bytes)?)
}

/// A boot sector whose FATs would not fit into memory, let alone the disk.
fn boastful(path: &Path) -> Result<()> {
    let mut volume = Volume::make(path)?;
    volume.put(SECTORS_PER_FAT, &u32::MAX.to_le_bytes())?;
    Ok(std::fs::write(path, volume.bytes)?)
}

/// What every one of these smokes must not see.
const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@service.ended",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
];

inventory::submit! {
    Smoke {
        name: "fat-hostile",
        question: "Are looping, crossing and wild chains and a cut-off disk refused file by file, with the service alive?",
        rows: &["FI-03"],
        disks: &[
            SmokeDisk { name: "twisted.img", make: twisted, bytes_per_s: 0 },
            SmokeDisk { name: "cut.img", make: cut, bytes_per_s: 0 },
        ],
        steps: &[
            Step::Type("sha256 /disk/LOOP.BIN /disk/CROSS.BIN /disk/WILD.BIN"),
            Step::Type("cat /disk/SPIN/NOT.TXT /disk/SPIN/IN.TXT"),
            Step::Type("ls /disk/SPIN"),
            Step::Type("cat /disk/GOOD.TXT"),
            Step::Type("sha256 /disk1/CROSS.BIN /disk1/WILD.BIN"),
            Step::Type("ls /disk1/SPIN"),
            Step::Type("cat /disk1/GOOD.TXT"),
            Step::Type("halt"),
        ],
        required: &[
            "sha256: /disk/LOOP.BIN: ",
            "sha256: /disk/WILD.BIN: ",
            "inside",
            "good",
            "sha256: /disk1/CROSS.BIN: ",
            "sha256: /disk1/WILD.BIN: ",
            "good",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "no-volume",
        question: "Is a disk without a usable volume refused with the reason, and a third disk left alone?",
        rows: &["FI-03"],
        disks: &[
            SmokeDisk { name: "boastful.img", make: boastful, bytes_per_s: 0 },
            SmokeDisk { name: "zero.img", make: |path| Ok(std::fs::write(path, vec![0; 1 << 20])?), bytes_per_s: 0 },
            SmokeDisk { name: "third.img", make: twisted, bytes_per_s: 0 },
        ],
        steps: &[
            Step::Type("ls /disk"),
            Step::Type("cat /disk1/GOOD.TXT"),
            Step::Type("cat /disk3/GOOD.TXT"),
            Step::Type("ls /"),
            Step::Type("halt"),
        ],
        required: &[
            "bad FAT boot sector: ",
            "cat: /disk1: no partition table and no FAT volume",
            "cat: /disk3: no disk of that name",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "no-disk",
        question: "Does a machine without any disk get a shell that says so, and lends the line to the diagnostics console?",
        rows: &["FI-03", "SD-01"],
        steps: &[
            Step::Type("lsblk"),
            Step::Type("ls /disk"),
            Step::Type("cat /disk1/x"),
            Step::Type("diagnostics"),
            Step::Type("status"),
            Step::Type("exit"),
            Step::Type("pwd"),
            Step::Type("halt"),
        ],
        required: &[
            "@nvme.absent",
            "lsblk: there is no disk",
            "ls: /disk: no disk",
            "cat: /disk1: no disk",
            "@diagnostics.ready called=true",
            "@diagnostics.status cpus=1 listed=1 claimed=0 quarantined=0",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}
