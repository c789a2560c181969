//! A provider that writes the rings of a virtio queue itself, below a remapping unit.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::iommu_remapping::{ENDED, REMAPPED};
use crate::smoke::cases::nvme_direct::{BYSTANDER, DIRECT, FORBIDDEN, FOUND, WRITTEN};
use crate::smoke::cases::virtio_blk::{DISK, check};
use crate::smoke::sabotage::{Break, Sabotage};

const DISKS: &[SmokeDisk] = &[
    DISK,
    SmokeDisk {
        name: "two.img",
        ..DISK
    },
];
const REFUSED: &str = "@direct.refused submit=queueFull ring=notSupported beyond_tail=outOfRange beyond_head=outOfRange foreign=foreignBuffer free_given=busy free_used=busy reset=notSupported";
/// A page that was the disk's own is another's, and stays so.
const LATE: &str = "@direct.late used=0 intact=true";

inventory::submit! {
    Smoke {
        name: "virtio-direct",
        question: "Does a provider that writes the rings of a virtio queue reach with them what it was given, and nothing else?",
        rows: &["DA-66", "NV-02", "NV-07"],
        manifest: "smoke/virtio-direct",
        disks: DISKS,
        disk_device: "virtio-blk-pci,iommu_platform=on,disable-legacy=on",
        extra: &["-device", "intel-iommu,aw-bits=39"],
        steps: &[Step::Wait(WRITTEN), Step::Peer(check)],
        required: &[
            REMAPPED,
            DIRECT,
            FOUND,
            REFUSED,
            "@direct.not-opened taken=wrongState foreign=foreignBuffer none=outOfRange brokered=wrongState",
            LATE,
            "@iommu.fault reason=write-permission request=write",
            "@direct.attacked aims=4 leaked=false",
            BYSTANDER,
            WRITTEN,
            "@direct.reset revoked=1 again=stale bell=wrongState free_commands=ok free_completions=ok",
            "@direct.again status=0 same=true",
            ENDED,
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_IOTLB_FLUSH,
        smoke: "virtio-direct",
        breaks: Break::Missing(LATE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_RINGS_FREE,
        smoke: "virtio-direct",
        breaks: Break::Missing(REFUSED),
    }
}
