//! Disks behind virtio: what the guest writes is what the host finds.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::disk::FatImage;
use crate::smoke::case::{MONITOR, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::{partitioned, pattern, whole};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::cases::provider_crash::{free_disk, hold_disk};

pub(super) const DISK: SmokeDisk = SmokeDisk {
    name: "one.img",
    make: raw,
    bytes_per_s: 0,
};

/// Where `disk-writer` writes, and how much.
const WRITTEN: [(usize, usize); 2] = [(1 << 20, 256 << 10), (3 << 20, 512)];

/// Compares the whole image with what the host put there, and with what the guest says to have written over it.
pub(super) fn check(peer: &mut Peer<'_>) -> Result<()> {
    let found = std::fs::read(peer.work.join(DISK.name))?;
    let mut expected = pattern(found.len());
    for (at, bytes) in WRITTEN {
        let words = (at / 4..(at + bytes) / 4).map(|n| (n as u32).wrapping_mul(0x85eb_ca6b));
        let written: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        expected[at..at + bytes].copy_from_slice(&written);
    }
    let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
    ensure!(
        differs.is_none(),
        "the image differs from what was written, first at byte {differs:?}"
    );
    Ok(())
}

pub(super) const STEPS: &[Step] = &[
    Step::Wait("@disk.written long=true short=true next_unharmed=true"),
    Step::Peer(check),
    Step::Wait("@service.ended name=writer"),
    Step::Type("halt"),
];

const BOUNDS: &str = "@disk.bounds read=outOfRange write=outOfRange far=outOfRange window=outOfRange none=zeroLength";

const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
];

inventory::submit! {
    Smoke {
        name: "virtio-blk",
        question: "Does the host find in a virtio disk's image exactly what the guest says it has written?",
        rows: &["BD-03", "BD-04"],
        manifest: "smoke/virtio-blk",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        steps: STEPS,
        required: &[
            "@blk.ready transport=modern notice=interrupt blocks=16384 block_bytes=512 read_only=false",
            BOUNDS,
            "@disk.found long=true",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-blk-legacy",
        question: "Does a legacy virtio disk move the same bytes through its I/O ports, by an interrupt of its line?",
        rows: &["BD-03", "NI-17"],
        manifest: "smoke/virtio-blk",
        disks: &[DISK],
        disk_device: "virtio-blk-pci,disable-modern=on,vectors=0",
        steps: STEPS,
        required: &[
            "@blk.ready transport=legacy notice=interrupt blocks=16384 block_bytes=512 read_only=false",
            BOUNDS,
            "@disk.found long=true",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-blk-platform",
        question: "Does a virtio disk that insists on bus addresses (ACCESS_PLATFORM) move the same bytes?",
        rows: &["BD-03"],
        manifest: "smoke/virtio-blk",
        disks: &[DISK],
        disk_device: "virtio-blk-pci,iommu_platform=on,disable-legacy=on",
        steps: STEPS,
        required: &[
            "@blk.ready transport=modern notice=interrupt blocks=16384 block_bytes=512 read_only=false",
            BOUNDS,
            "@disk.found long=true",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-blk-polled",
        question: "Does a virtio disk move the same bytes without an interrupt?",
        rows: &["BD-03"],
        manifest: "smoke/virtio-blk-polled",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        steps: STEPS,
        required: &[
            "@blk.ready transport=modern notice=polled blocks=16384 block_bytes=512 read_only=false",
            BOUNDS,
            "@disk.found long=true",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

fn files(path: &Path) -> Result<()> {
    FatImage::create(path, 64, 32, "FILES")?.file("BIG.BIN", &pattern(4 << 20))?;
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "multi-virtio-blk",
        question: "Are files read off FAT volumes on two virtio disks exactly as mkfs.fat and mcopy wrote them?",
        rows: &["BD-04", "BD-05"],
        manifest: "smoke/multi-virtio-blk",
        disks: &[
            SmokeDisk { name: "whole.img", make: whole, bytes_per_s: 0 },
            SmokeDisk { name: "partitioned.img", make: partitioned, bytes_per_s: 0 },
        ],
        disk_device: "virtio-blk-pci",
        steps: &[
            Step::Type("cat /disk/HELLO.TXT"),
            Step::Type("sha256 /disk/BIG.BIN"),
            Step::Type("cat /disk1/TWO.TXT"),
            Step::Type("halt"),
        ],
        required: &[
            "@blk.ready transport=modern notice=interrupt",
            "hello from the disk",
            "4065f8a98da19a18771df368b071e6f29f4412fa304bc6209d15979c4fd4c2fc",
            "second disk",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-blk-crash",
        question: "Does a read in flight when the virtio disk's driver is killed come back right, through the driver's successor?",
        rows: &["BD-04", "DA-53"],
        manifest: "smoke/virtio-crash",
        // Slow enough that the reader is still at it when the driver is killed.
        disks: &[SmokeDisk { name: "files.img", make: files, bytes_per_s: 1 << 19 }],
        extra: MONITOR,
        disk_device: "virtio-blk-pci",
        steps: &[
            Step::Wait("@blk.ready"), Step::Wait("@crasher.armed round=1"), Step::Type("sha256 /disk/BIG.BIN"),
            Step::Peer(hold_disk), Step::Wait("@device.released"), Step::Peer(free_disk),
            Step::Wait("@blk.ready"), Step::Type("sha256 /disk/BIG.BIN"), Step::Type("halt"),
        ],
        required: &[
            "@process.ended name=disk kind=killed",
            "@device.teardown step=device-reset proof=virtio-status-zero in-flight=true",
            "@device.released",
            "@service.started name=disk incarnation=2",
            "@crasher.done name=disk killed=1",
            "f232e645abba334c7b356d613a430956189f538e4c0f7546bef2450b6059253a",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
