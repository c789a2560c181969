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

const VOLUME_MIB: u64 = 16;

/// What lies before the partition: an MBR with one, of a type that nobody else uses for data here, up to the last sector.
fn head() -> Result<Vec<u8>> {
    let mut disk = vec![0; FIRST_SECTOR * SECTOR];
    let sectors = u32::try_from((VOLUME_MIB << 20) / SECTOR as u64)?;
    disk[446 + 4] = 0x7f;
    disk[446 + 8..][..4].copy_from_slice(&(FIRST_SECTOR as u32).to_le_bytes());
    disk[446 + 12..][..4].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    Ok(disk)
}

fn partitioned(path: &Path) -> Result<()> {
    let bare = path.with_extension("bare");
    let tool = Tool::new(&bare);
    tool.mkfs(VOLUME_MIB, "partition")?;
    tool.put("/from-host.txt", b"written by capos-store\n")?;
    let mut disk = head()?;
    disk.extend(fs::read(&bare)?);
    fs::remove_file(bare)?;
    fs::write(path, disk)?;
    Ok(())
}

fn judge(peer: &mut Peer<'_>) -> Result<()> {
    let disk = fs::read(peer.work.join(DISK))?;
    let volume = disk.strip_prefix(head()?.as_slice());
    let volume = volume.context("what lies before the partition was written")?;
    let bare = peer.work.join("bare.img");
    fs::write(&bare, volume)?;
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
