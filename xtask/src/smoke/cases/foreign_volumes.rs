//! Disks of Linux, cameras and large sticks: ext4 with a journal that nobody played back, exFAT, and an ext4 that lies.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use hadris_fat::exfat::ExFatOptions;
use hadris_fat::exfat::sync::{ExFatFs, format};
use hadris_fs::sync::Volume;
use hadris_fs::{MountOptions, OpenOptions};
use hadris_storage::{BlockSize, MemDevice};
use sabotage::points;
use xshell::cmd;

use crate::disk::shell;
use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::sabotage::{Break, Sabotage};

const BLOCK: usize = 512;
const MIB: usize = 1 << 20;
const DISK: &str = "foreign.img";
/// Where each partition begins, how many blocks it has, and its type.
const PARTS: [(usize, usize, u8); 3] = [
    (2048, 24 << 11, 0x83),
    (26 << 11, 8 << 11, 0x07),
    (34 << 11, 4 << 11, 0x83),
];

/// Makes an ext4 volume of a folder with `mke2fs`.
fn ext4(at: &Path, folder: &Path, blocks: usize) -> Result<()> {
    File::create(at)?.set_len((blocks * BLOCK) as u64)?;
    let shell = shell()?;
    cmd!(shell, "mke2fs -q -F -t ext4 -L LINUX -d {folder} {at}")
        .quiet()
        .ignore_stdout()
        .run()
        .context("mke2fs makes the volume (package e2fsprogs)")
}

/// What debugfs answers to a command.
fn debugfs(at: &Path, commands: &str) -> Result<String> {
    let script = at.with_extension("commands");
    fs::write(&script, commands)?;
    let shell = shell()?;
    Ok(cmd!(shell, "debugfs -w -f {script} {at}")
        .quiet()
        .ignore_stderr()
        .read()?)
}

/// The last number in a text.
fn last_number(text: &str) -> Result<u64> {
    let mut words = text.split(|c: char| !c.is_ascii_digit());
    let last = words.rfind(|word| !word.is_empty());
    Ok(last.context("debugfs named no block")?.parse()?)
}

/// A volume as Linux leaves it where the power goes: what was written last stands in the journal only.
fn linux(at: &Path) -> Result<Vec<u8>> {
    let folder = at.with_extension("folder");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("large.bin"), pattern(5 * MIB))?;
    fs::write(folder.join("newer.txt"), "what stands in its place\n")?;
    fs::write(folder.join("x".repeat(255)), "the longest name\n")?;
    let sparse = File::create(folder.join("sparse.bin"))?;
    sparse.write_all_at(b"end", 3 * MIB as u64)?;
    let mut deep = folder.clone();
    (0..30).for_each(|depth| deep.push(format!("d{depth}")));
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("bottom.txt"), "thirty folders down\n")?;
    symlink("d0/../newer.txt", folder.join("link"))?;
    symlink("../../../newer.txt", folder.join("up"))?;
    symlink("round", folder.join("round"))?;
    ext4(at, &folder, PARTS[0].1)?;
    fs::remove_dir_all(&folder)?;
    let block = last_number(&debugfs(at, "blocks /newer.txt\n")?)?;
    let mut newer = b"what the journal has".to_vec();
    // The file is as long as before.
    newer.resize(24, b'!');
    newer.push(b'\n');
    newer.resize(4096, 0);
    let content = at.with_extension("content");
    fs::write(&content, newer)?;
    let content = content.display();
    debugfs(at, &format!("jo -c -v 3\njw -b {block} {content}\njc\n"))?;
    Ok(fs::read(at)?)
}

/// An ext4 volume whose inode of `torn.txt` was altered after its sum was made.
fn torn(at: &Path) -> Result<Vec<u8>> {
    let folder = at.with_extension("folder");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("torn.txt"), "this must not be believed\n")?;
    fs::write(folder.join("good.txt"), "good beside it\n")?;
    ext4(at, &folder, PARTS[2].1)?;
    fs::remove_dir_all(&folder)?;
    let place = debugfs(at, "imap /torn.txt\n")?;
    let (block, within) = place
        .rsplit_once("offset")
        .context("imap names no offset")?;
    let within = within.trim().trim_start_matches("0x");
    let block = block
        .rsplit_once("located at block")
        .context("imap names no block")?
        .1;
    let mut bytes = fs::read(at)?;
    // The block's size, as the superblock has it.
    let size = 1024usize << bytes[1024 + 0x18];
    let inode = last_number(block)? as usize * size + usize::from_str_radix(within, 16)?;
    // Its owner.
    let owner = bytes.get_mut(inode + 2).context("outside")?;
    *owner ^= 1;
    Ok(bytes)
}

/// An exFAT volume, two of its files in pieces among each other.
fn exfat() -> Result<Vec<u8>> {
    let sector = BlockSize::new(BLOCK as u32).context("no sector size")?;
    let mut device = MemDevice::new(vec![0; PARTS[1].1 * BLOCK], sector);
    format(&mut device, &ExFatOptions::new())?;
    let volume = Volume::new(ExFatFs::mount(device, MountOptions::new())?);
    volume.create_dir_all("/Über/DCIM")?;
    let new = || OpenOptions::new().write().create();
    let mut small = volume.open("/Über/DCIM/a picture with a long name.txt", new())?;
    small.write(b"taken by a camera\n")?;
    small.close()?;
    let (one, mut other) = (pattern(2 * MIB), pattern(2 * MIB));
    other.reverse();
    let mut files = [
        volume.open("/one.bin", new())?,
        volume.open("/other.bin", new())?,
    ];
    for (a, b) in one.chunks(40_000).zip(other.chunks(40_000)) {
        for (file, piece) in files.iter_mut().zip([a, b]) {
            ensure!(file.write(piece)? == piece.len(), "a short write");
        }
    }
    for file in files {
        file.close()?;
    }
    let filled = volume
        .into_inner()
        .map_err(|_| anyhow::anyhow!("a file is open"))?;
    Ok(filled.into_inner().into_inner())
}

fn foreign(path: &Path) -> Result<()> {
    let parts = [
        linux(&path.with_extension("linux"))?,
        exfat()?,
        torn(&path.with_extension("torn"))?,
    ];
    let (first, blocks, _) = PARTS[2];
    let mut disk = vec![0; (first + blocks) * BLOCK];
    for (index, ((first, blocks, kind), bytes)) in PARTS.into_iter().zip(parts).enumerate() {
        let at = 446 + index * 16;
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&(first as u32).to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&(blocks as u32).to_le_bytes());
        disk[first * BLOCK..][..bytes.len()].copy_from_slice(&bytes);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(path, &disk)?;
    fs::write(path.with_extension("before"), disk)?;
    Ok(())
}

/// Not a bit of the disk has changed: the journal was read, not played back.
fn untouched(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let before = fs::read(path.with_extension("before"))?;
    ensure!(fs::read(path)? == before, "the disk was written to");
    Ok(())
}

const UP: &str = "cat: /disk/up: the authority does not cover it";
const TORN: &str = "cat: /disk.p3/torn.txt: stored data contradicts itself";

inventory::submit! {
    Smoke {
        name: "foreign-volumes",
        question: "Are ext4 with an unplayed journal and exFAT read beside each other as others wrote them, what lies in them refused by name, and nothing written?",
        rows: &["FI-07"],
        disks: &[SmokeDisk { name: DISK, make: foreign, bytes_per_s: 0 }],
        steps: &[
            Step::Type("ls /"),
            Step::Type("ls /disk"),
            Step::Type("sha256 /disk/large.bin /disk/sparse.bin"),
            Step::Type("cat /disk/newer.txt"),
            Step::Type("cat /disk/link"),
            Step::Type("cat /disk/d0/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/d13/d14/d15/d16/d17/d18/d19/d20/d21/d22/d23/d24/d25/d26/d27/d28/d29/bottom.txt"),
            Step::Type("cat /disk/up"),
            Step::Type("cat /disk/round"),
            Step::Type("write /disk/newer.txt changed"),
            Step::Type("cat \"/disk.p2/über/dcim/A PICTURE with a long name.txt\""),
            Step::Type("sha256 /disk.p2/one.bin /disk.p2/other.bin"),
            Step::Type("cat /disk.p3/torn.txt"),
            Step::Type("cat /disk.p3/good.txt"),
            Step::Type("log"),
            Step::Prompt,
            Step::Peer(untouched),
            Step::Type("halt"),
        ],
        required: &[
            "disk/     ext4, 24 MiB",
            "disk.p2/  exFAT, 8 MiB",
            "disk.p3/  ext4, 4 MiB",
            "277ee924c01c1d3a472253d05d34c233f7080c5e0f1949f2ce89cfaaceedba77",
            "224aecff2c0af98c6504162c8e11aff292cdb6d7ded73f3878af8dcfaafb08ef",
            "what the journal has!!!!",
            "thirty folders down",
            UP,
            "cat: /disk/round: stored data contradicts itself",
            "write: /disk/newer.txt: it cannot be written",
            "taken by a camera",
            "dcaaadec8f3a80dc594358d2d066306e316025f8e20324419537e932e44ed047",
            "61ac12f22e8b2360d72df1f8a3ea49b7d628da8b64fd307283eaeca9a4ae36b4",
            TORN,
            "good beside it",
            "blocks are read from its journal, which stays as it is",
            "does not have the sum that it says it has; e2fsck repairs it on the system it comes from",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked", "what stands in its place"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::EXT_LEAVE_BY_LINK,
        smoke: "foreign-volumes",
        breaks: Break::Missing(UP),
    }
}

inventory::submit! {
    Sabotage {
        point: points::EXT_IGNORE_SUM,
        smoke: "foreign-volumes",
        breaks: Break::Missing(TORN),
    }
}
