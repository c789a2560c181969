//! A volume in a partition that ends where the disk ends: the disk's last block is the last label of the partition's volume,
//! and not of one on the whole disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::store::Tool;

const DISK: &str = "disk.img";
const FIRST_SECTOR: usize = 2048;
const SECTOR: usize = 512;

/// An MBR with one partition, of a type that nobody else uses for data here, up to the last sector.
fn partitioned(path: &Path) -> Result<()> {
    let bare = path.with_extension("bare");
    let tool = Tool::new(&bare);
    tool.mkfs(16, "partition")?;
    tool.put("/from-host.txt", b"written by capos-store\n")?;
    let volume = fs::read(&bare)?;
    fs::remove_file(bare)?;
    let mut disk = vec![0; FIRST_SECTOR * SECTOR];
    let sectors = u32::try_from(volume.len() / SECTOR)?;
    disk[446 + 4] = 0x7f;
    disk[446 + 8..][..4].copy_from_slice(&(FIRST_SECTOR as u32).to_le_bytes());
    disk[446 + 12..][..4].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend(volume);
    fs::write(path, disk)?;
    Ok(())
}

fn judge(peer: &mut Peer<'_>) -> Result<()> {
    let disk = fs::read(peer.work.join(DISK))?;
    let bare = peer.work.join("bare.img");
    let volume = disk.get(FIRST_SECTOR * SECTOR..);
    fs::write(&bare, volume.context("the disk keeps its size")?)?;
    let tool = Tool::new(&bare);
    tool.check()?;
    tool.holds("/from-guest.txt", b"written in a partition\n")
}

inventory::submit! {
    Smoke {
        name: "storage-partition",
        question: "Is the volume of a partition that ends with the disk mounted there, and written nowhere else?",
        rows: &["ST-10"],
        disks: &[SmokeDisk { name: DISK, make: partitioned, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        steps: &[
            Step::Type("cat /volume/from-host.txt"),
            Step::Type("write /volume/from-guest.txt written in a partition"),
            Step::Type("sync"),
            Step::Wait("everything is durable"),
            Step::Prompt,
            Step::Peer(judge),
            Step::Type("halt"),
        ],
        required: &[
            "@store.mounted access=write partition=1 cut=0",
            "written by capos-store",
            "/volume: everything is durable",
        ],
        forbidden: &["@kernel.panic"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
