//! Disks that nobody of ours would make, several in one boot: as namespaces of one controller.

use std::path::Path;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::BASIC;

use crate::disk::FatImage;
use crate::smoke::case::{Smoke, SmokeDisk, Step};

const BLOCK: usize = 512;
const LARGE: usize = 4096;
const MIB: usize = 1 << 20;

/// A small volume with one file that says on which disk it lies.
fn volume(folder: &Path, label: &str) -> Result<Vec<u8>> {
    let part = folder.join("part.img");
    FatImage::create(&part, 16, 16, label)?
        .file("HELLO.TXT", format!("on {label}\r\n").as_bytes())?;
    let bytes = std::fs::read(&part)?;
    std::fs::remove_file(part)?;
    Ok(bytes)
}

/// A disk with one partition that holds `volume`, in a GPT that counts in blocks of `block` bytes.
fn with_gpt(volume: &[u8], block: usize) -> Result<Vec<u8>> {
    with_named_gpt(volume, block, "volume")
}

fn with_named_gpt(volume: &[u8], block: usize, name: &str) -> Result<Vec<u8>> {
    let first = 2 * MIB;
    let mut disk = vec![0; first + volume.len() + 2 * MIB];
    let blocks = disk.len() / block;
    disk[first..][..volume.len()].copy_from_slice(volume);
    let mut device = std::io::Cursor::new(&mut disk);
    ProtectiveMBR::with_lb_size(u32::try_from(blocks - 1)?).overwrite_lba0(&mut device)?;
    let size = match block {
        BLOCK => LogicalBlockSize::Lb512,
        _ => LogicalBlockSize::Lb4096,
    };
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(size)
        .create_from_device(&mut device, None)?;
    table.add_partition_at(
        name,
        1,
        (first / block) as u64,
        (volume.len() / block) as u64,
        BASIC,
        0,
    )?;
    table.write().context("cannot write the GPT")?;
    Ok(disk)
}

/// Writes an entry of a partition sector.
fn entry(disk: &mut [u8], sector: usize, index: usize, kind: u8, first: usize, blocks: usize) {
    let at = sector * BLOCK + 446 + index * 16;
    disk[at..at + 16].fill(0);
    disk[at + 4] = kind;
    disk[at + 8..at + 12].copy_from_slice(&(first as u32).to_le_bytes());
    disk[at + 12..at + 16].copy_from_slice(&(blocks as u32).to_le_bytes());
    disk[sector * BLOCK + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
}

/// Two extended partitions, and links that do not stand where most tools write them.
fn with_chains(one: &[u8], two: &[u8]) -> Vec<u8> {
    let (blocks, gap) = (one.len() / BLOCK, 2048);
    let second = gap + 2 * gap + blocks;
    let mut disk = vec![0; (second + 2 * gap + blocks) * BLOCK];
    entry(&mut disk, 0, 0, 0x0f, gap, gap + blocks);
    entry(&mut disk, 0, 3, 0x05, second, gap + blocks);
    entry(&mut disk, gap, 2, 0x0e, gap, blocks);
    entry(&mut disk, second, 0, 0x05, 1, gap);
    entry(&mut disk, second + 1, 1, 0x0e, gap - 1, blocks);
    disk[2 * gap * BLOCK..][..one.len()].copy_from_slice(one);
    disk[(second + gap) * BLOCK..][..two.len()].copy_from_slice(two);
    disk
}

/// A primary partition, and a chain of logical ones that leads back to its begin; the one in it holds an exFAT volume.
fn with_loop(volume: &[u8]) -> Vec<u8> {
    let (blocks, gap) = (volume.len() / BLOCK, 2048);
    let extended = gap + blocks;
    let mut disk = vec![0; (extended + 2 * gap) * BLOCK];
    entry(&mut disk, 0, 0, 0x0e, gap, blocks);
    entry(&mut disk, 0, 1, 0x05, extended, 2 * gap);
    entry(&mut disk, extended, 0, 0x07, 16, gap);
    entry(&mut disk, extended, 1, 0x05, 0, gap);
    disk[gap * BLOCK..][..volume.len()].copy_from_slice(volume);
    disk[(extended + 16) * BLOCK..][..11].copy_from_slice(b"\xeb\x76\x90EXFAT   ");
    disk[(extended + 17) * BLOCK - 2..][..2].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// Makes all of them beside the first disk.
fn strangers(path: &Path) -> Result<()> {
    let folder = path.parent().context("a disk lies in a folder")?;
    let make = |name: &str| volume(folder, name);
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes);
    std::fs::write(path, make("PLAIN")?)?;
    // A table for blocks of another size than the disk's, both ways.
    put("large.img", &with_gpt(&make("LARGE")?, LARGE)?)?;
    put("small.img", &with_gpt(&make("SMALL")?, BLOCK)?)?;
    put(
        "chains.img",
        &with_chains(&make("CHAIN1")?, &make("CHAIN2")?),
    )?;
    // Neither a jump nor a signature.
    let mut bare = make("BARE")?;
    bare[..3].fill(0);
    bare[510..512].fill(0);
    put("bare.img", &bare)?;
    // A card that is shorter than its partition.
    let mut cut = with_gpt(&make("CUT")?, BLOCK)?;
    cut.truncate(14 * MIB);
    put("cut.img", &cut)?;
    put("loop.img", &with_loop(&make("LOOP")?))?;
    // A name that would turn the line and paint over the next one, and a protective entry that claims no blocks.
    let flood = "a\u{202e}live\u{2066}b\u{301}\u{301}\u{301}\u{301}\u{301}";
    let mut turned = with_named_gpt(&make("TURNED")?, BLOCK, flood)?;
    turned[446 + 12..446 + 16].fill(0);
    put("turned.img", &turned)?;
    // No whole number of blocks.
    let mut odd = make("ODD")?;
    odd.extend(b"tail");
    put("odd.img", &odd)?;
    // One more than a service keeps open at once.
    put("ninth.img", &make("NINTH")?)?;
    // A partition sector that was made and never filled in.
    let mut empty = vec![0; MIB];
    empty[510..512].copy_from_slice(&[0x55, 0xaa]);
    put("empty.img", &empty)?;
    // What is left of two that lost their first block.
    let mut luks = vec![0; MIB];
    luks[0x4000..][..8].copy_from_slice(b"SKUL\xba\xbe\0\x02");
    put("luks.img", &luks)?;
    let lost = folder.join("lost.img");
    FatImage::create(&lost, 40, 32, "LOST")?;
    let mut bytes = std::fs::read(&lost)?;
    bytes[..BLOCK].fill(0);
    std::fs::write(lost, bytes)?;
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "disk-strangers",
        question: "Does each disk that a stranger brings say what it is, and each readable one let itself be read?",
        rows: &["FI-05", "MA-06"],
        disks: &[SmokeDisk { name: "plain.img", make: strangers, bytes_per_s: 0 }],
        extra: &[
            "-drive", "if=none,id=large,format=raw,file={work}/large.img",
            "-drive", "if=none,id=small,format=raw,file={work}/small.img",
            "-drive", "if=none,id=chains,format=raw,file={work}/chains.img",
            "-drive", "if=none,id=bare,format=raw,file={work}/bare.img",
            "-drive", "if=none,id=cut,format=raw,file={work}/cut.img",
            "-drive", "if=none,id=luks,format=raw,file={work}/luks.img",
            "-drive", "if=none,id=lost,format=raw,file={work}/lost.img",
            "-drive", "if=none,id=loop,format=raw,file={work}/loop.img",
            "-drive", "if=none,id=turned,format=raw,file={work}/turned.img",
            "-drive", "if=none,id=odd,format=raw,file={work}/odd.img",
            "-drive", "if=none,id=empty,format=raw,file={work}/empty.img",
            "-drive", "if=none,id=ninth,format=raw,file={work}/ninth.img",
            "-device", "nvme,serial=many,id=many",
            "-device", "nvme-ns,drive=large,nsid=1,bus=many",
            "-device", "nvme-ns,drive=small,nsid=2,bus=many,logical_block_size=4096,physical_block_size=4096",
            "-device", "nvme-ns,drive=chains,nsid=3,bus=many",
            "-device", "nvme-ns,drive=bare,nsid=4,bus=many",
            "-device", "nvme-ns,drive=cut,nsid=5,bus=many",
            "-device", "nvme-ns,drive=luks,nsid=6,bus=many",
            "-device", "nvme-ns,drive=lost,nsid=7,bus=many",
            "-device", "nvme-ns,drive=loop,nsid=8,bus=many",
            "-device", "nvme-ns,drive=turned,nsid=9,bus=many",
            "-device", "nvme-ns,drive=odd,nsid=10,bus=many",
            "-device", "nvme-ns,drive=empty,nsid=11,bus=many",
            "-device", "nvme-ns,drive=ninth,nsid=12,bus=many",
        ],
        steps: &[
            Step::Type("ls /"),
            Step::Type("cat /disk1/HELLO.TXT"),
            Step::Type("cat /disk1.n2p1/HELLO.TXT"),
            Step::Type("cat /disk1.n3p5/HELLO.TXT"),
            Step::Type("cat /disk1.n3p6/HELLO.TXT"),
            Step::Type("cat /disk1.n4/HELLO.TXT"),
            Step::Type("cat /disk1.n5p1/HELLO.TXT"),
            Step::Type("cat /disk1.n8p1/HELLO.TXT"),
            Step::Type("cat /disk1.n9p1/HELLO.TXT"),
            Step::Type("cat /disk1.n10/HELLO.TXT"),
            Step::Type("cat /disk1.n12/HELLO.TXT"),
            // The first unit made room for the ninth.
            Step::Type("sha256 /disk1/HELLO.TXT"),
            Step::Type("lsblk"),
            Step::Type("log"),
            Step::Type("halt"),
        ],
        required: &[
            "on LOOP",
            "on TURNED",
            "on ODD",
            "on NINTH",
            "da9fe8a03909a19ba2818a58f6faf3223e360531a5d5cf2a8b877d06840e2356  /disk1/HELLO.TXT",
            "an exFAT volume, and damaged: the exFAT boot region names sectors of an impossible size",
            "the chain of logical partitions loops at block ",
            "disk1.n6     the disk holds a LUKS2 container (encrypted) whose first header is gone",
            "disk1.n7     the disk holds a FAT32 volume whose boot sector is gone",
            "disk1.n11    the partition table lists no partitions, 1 MiB",
            "partition \"a\\u{202e}live\\u{2066}b\u{301}\u{301}\u{301}\u{301}\\u{301}\"",
            "on LARGE",
            "on SMALL",
            "on CHAIN1",
            "on CHAIN2",
            "on BARE",
            "on CUT",
            "the partition table was made for blocks of 4096 bytes, and is read so",
            "the disk ends 4194304 bytes before its volume does",
        ],
        forbidden: &["@kernel.panic", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
