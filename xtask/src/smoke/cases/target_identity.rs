//! Which volume is meant: by the device's PCI address and namespace, by the disk, by number, GUID, type or name of the partition;
//! and what is said where nothing is, more than one, or a disk that capOS boots from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{EFI, LINUX_FS, OperatingSystem, Type};

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "disk.img";
const MIB: usize = 1 << 20;
const VOLUME_MIB: usize = 8;
const DISK_GUID: &str = "6d1f3a52-0c5b-4f0e-9f1c-7a1f5b1de001";
/// The type that one partition alone has, and that of all others.
const OWN_TYPE: &str = "6d1f3a52-0c5b-4f0e-9f1c-7a1f5b1deaaa";
const LINUX: &str = "Linux";
const SYSTEM: &str = "EFI";
/// Number, the end of its GUID, type, name, and whether it holds a volume.
type Partition = (usize, u8, &'static str, &'static str, bool);
const PARTITIONS: &[Partition] = &[
    (1, 11, LINUX, "twice", true),
    (2, 12, LINUX, "second", true),
    (3, 13, LINUX, "empty", false),
    (4, 14, LINUX, "letters", true),
    (5, 15, OWN_TYPE, "own", true),
    (6, 16, LINUX, "twice", true),
];

/// Those of the disk that capOS boots from.
const BOOT_PARTITIONS: &[Partition] = &[
    (1, 21, SYSTEM, partition::BOOT_LABEL, false),
    (2, 22, LINUX, "installed", true),
];

/// The GUID of the disk with another end.
fn guid(end: u8) -> Result<uuid::Uuid> {
    let text = format!("{}{end:02}", &DISK_GUID[..34]);
    Ok(uuid::Uuid::parse_str(&text)?)
}

fn many(path: &Path) -> Result<()> {
    partitioned(path, DISK_GUID, PARTITIONS)
}

fn boots(path: &Path) -> Result<()> {
    partitioned(path, &guid(2)?.to_string(), BOOT_PARTITIONS)
}

/// A partitioned disk, each volume with a file that says where it is.
fn partitioned(path: &Path, own: &str, partitions: &[Partition]) -> Result<()> {
    let mut disk = vec![0; (VOLUME_MIB * partitions.len() + 2) * MIB];
    let blocks = u32::try_from(disk.len() / 512)?;
    let mut device = std::io::Cursor::new(&mut disk);
    ProtectiveMBR::with_lb_size(blocks - 1).overwrite_lba0(&mut device)?;
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(&mut device, Some(uuid::Uuid::parse_str(own)?))?;
    for (number, _, kind, name, _) in partitions {
        let first = (1 + (number - 1) * VOLUME_MIB) * 2048;
        let kind = match *kind {
            OWN_TYPE => Type {
                guid: uuid::Uuid::parse_str(OWN_TYPE)?,
                os: OperatingSystem::Custom("capOS".to_owned()),
            },
            SYSTEM => EFI,
            _ => LINUX_FS,
        };
        let blocks = (VOLUME_MIB * 2048) as u64;
        table.add_partition_at(name, *number as u32, first as u64, blocks, kind, 0)?;
    }
    let mut listed = table.partitions().clone();
    for (number, end, ..) in partitions {
        let partition = listed.get_mut(&(*number as u32));
        partition.context("it was added")?.part_guid = guid(*end)?;
    }
    table.update_partitions(listed)?;
    table.write().context("cannot write the GPT")?;
    let bare = path.with_extension("bare");
    for (number, _, _, name, _) in partitions.iter().filter(|one| one.4) {
        let tool = Tool::new(&bare);
        tool.mkfs(VOLUME_MIB as u64, name)?;
        tool.put("/where.txt", format!("in partition {number}\n").as_bytes())?;
        let first = (1 + (number - 1) * VOLUME_MIB) * MIB;
        disk[first..][..VOLUME_MIB * MIB].copy_from_slice(&fs::read(&bare)?);
        fs::remove_file(&bare)?;
    }
    fs::write(path, disk)?;
    Ok(())
}

const OTHER: &str = "/otherDisk: the manifest says disk=6d1f3a52-0c5b-4f0e-9f1c-7a1f5b1de099 partition=2: this is another disk, 6d1f3a52-0c5b-4f0e-9f1c-7a1f5b1de001";

const ELSEWHERE: &str = "/elsewhere: the manifest says pci=0000:00:0a.0 namespace=7 partition=4: this is another device, at 0000:00:09.0";

inventory::submit! {
    Smoke {
        name: "blockdevice-target-identity",
        question: "Is a volume found by PCI address and namespace, by its disk, by number, GUID, type or name of its partition, and is what is absent, elsewhere, contradictory, ambiguous or on the boot disk refused, each in its own words?",
        rows: &["BD-05", "BD-06"],
        manifest: "smoke/target-identity",
        disks: &[SmokeDisk { name: DISK, make: many, bytes_per_s: 0 }, SmokeDisk { name: "boot.img", make: boots, bytes_per_s: 0 }],
        extra: &[
            "-drive", "if=none,id=first,format=raw,file.driver=null-co,file.size=16M,file.read-zeroes=on",
            "-drive", "if=none,id=seventh,format=raw,readonly=on,file.driver=file,file.filename={work}/disk.img,file.locking=off",
            "-device", "nvme,serial=many,id=many,addr=9",
            "-device", "nvme-ns,drive=first,nsid=1,bus=many",
            "-device", "nvme-ns,drive=seventh,nsid=7,bus=many",
        ],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: &[
            Step::Type("cat /byNumber/where.txt"),
            Step::Type("cat /byGuid/where.txt"),
            Step::Type("cat /byName/where.txt"),
            Step::Type("cat /byType/where.txt"),
            Step::Type("cat /absent/where.txt"),
            Step::Type("cat /otherDisk/where.txt"),
            Step::Type("cat /contradicts/where.txt"),
            Step::Type("cat /ambiguous/where.txt"),
            Step::Type("cat /noVolume/where.txt"),
            Step::Type("cat /unsaid/where.txt"),
            Step::Type("cat /byPci/where.txt"),
            Step::Type("cat /elsewhere/where.txt"),
            Step::Type("cat /noNamespace/where.txt"),
            Step::Type("cat /bootDisk/where.txt"),
            Step::Type("cat /bootSaid/where.txt"),
            Step::Type("halt"),
        ],
        required: &[
            "in partition 2",
            "in partition 2",
            "in partition 4",
            "in partition 5",
            "/absent: the manifest says partition-name=nowhere: the disk has no such partition",
            OTHER,
            "/contradicts: the manifest says partition=2 partition-name=letters: not all of it is so of any partition, and some of it of 2, 4",
            "/ambiguous: the manifest says partition-name=twice: it is so of more than one partition: 1, 6",
            "/noVolume: the manifest says partition=3: partition 3 holds no capOS volume",
            "/unsaid: the disk has capOS volumes in its partitions 1, 2, 4, 5, 6",
            "in partition 4",
            ELSEWHERE,
            "/noNamespace: the manifest says namespace=3 partition=4: the device has no such namespace",
            "/bootDisk: the manifest says partition=2: capOS boots from this disk, so it is not taken unless the manifest says boot-disk, too",
            "in partition 2",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_ANY_PARTITION,
        smoke: "blockdevice-target-identity",
        breaks: Break::Missing("in partition 4"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_ANY_DEVICE,
        smoke: "blockdevice-target-identity",
        breaks: Break::Missing(ELSEWHERE),
    }
}
