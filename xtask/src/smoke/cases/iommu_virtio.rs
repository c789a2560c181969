//! Devices below a virtio-iommu, which a hypervisor offers in place of a unit of a processor's maker.

use anyhow::Result;
use sabotage::points;

use crate::qemu::Feature;
use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::iommu_deaf::go_on;
use crate::smoke::cases::iommu_remapping::{ENDED, FORBIDDEN, HOSTILE, REMAPPED};
use crate::smoke::cases::nvme_fat_read::{partitioned, whole};
use crate::smoke::qtest::Qtest;
use crate::smoke::sabotage::{Break, Sabotage};

const UNIT: &[&str] = &["-device", "virtio-iommu-pci,addr=3"];
const LISTED: &str = "@iommu.unit number=0 kind=virtio-iommu segment=0 status=verified";
const ON: &str = "@iommu.on number=0 state=translating";
/// Interrupts it judges none, and that is said.
const POSTURE: &str = "@dma.posture remapping_tables=by-request hostile_hardware_isolation=memory interrupts=unjudged";
const COPIED: &str = "@msi.copied same=true";

inventory::submit! {
    Smoke {
        name: "iommu-request",
        question: "Are files read off two NVMe disks that reach memory only by what a virtio-iommu was asked to map?",
        rows: &["IO-02", "IO-04", "IO-21"],
        disks: &[
            SmokeDisk { name: "whole.img", make: whole, bytes_per_s: 0 },
            SmokeDisk { name: "partitioned.img", make: partitioned, bytes_per_s: 0 },
        ],
        extra: UNIT,
        steps: &[
            Step::Type("cat /disk/HELLO.TXT"),
            Step::Type("sha256 /disk/BIG.BIN"),
            Step::Type("cat /disk1/TWO.TXT"),
            Step::Type("halt"),
        ],
        required: &[
            "@iommu.table state=listed units=1",
            LISTED,
            ON,
            POSTURE,
            REMAPPED,
            "@nvme.ready block_bytes=512",
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
        name: "iommu-request-edu",
        question: "Does a device of 28 address bits move bytes through a domain of a virtio-iommu, and nowhere else?",
        rows: &["IO-04", "IO-13"],
        manifest: "smoke/irq-msi",
        memory_mib: 512,
        extra: &[
            "-device", "virtio-iommu-pci,addr=3",
            "-device", "pcie-root-port,id=below,chassis=1",
            "-device", "edu,bus=below",
        ],
        required: &[
            ON,
            REMAPPED,
            "@msi.dma opcode=1 causes=256 completed=1",
            "@msi.dma opcode=2 causes=256 completed=1",
            COPIED,
            "@msi.done",
            ENDED,
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_DEVICE_OPEN,
        smoke: "iommu-request-edu",
        breaks: Break::Missing(COPIED),
    }
}

/// The command register of the unit's function, in its page of configuration space.
const COMMAND: u64 = 0xb001_8004;
const WITHOUT_MASTER: u32 = 2;

/// Keeps the unit from reading what it is asked.
fn deafen(peer: &mut Peer<'_>) -> Result<()> {
    let mut port = Qtest::connect(peer.work)?;
    port.write32(COMMAND, WITHOUT_MASTER)?;
    go_on(&mut port)
}

const QUARANTINED: &str = "@device.quarantined reason=unit-does-not-forget";

inventory::submit! {
    Smoke {
        name: "iommu-request-deaf",
        question: "Is nothing of a device used again whose virtio-iommu goes deaf?",
        rows: &["IO-13"],
        manifest: "smoke/unit-deaf",
        extra: &[
            "-qtest", "unix:{work}/qtest,server=on,wait=off",
            "-qtest-log", "none",
            "-device", "virtio-iommu-pci,addr=3",
            "-device", "edu,addr=4",
            "-device", "edu,addr=5",
            "-device", "edu,addr=6",
        ],
        steps: &[Step::Wait("@forge.ready"), Step::Peer(deafen)],
        required: &[
            REMAPPED,
            "@forge.own dispatches=1 causes=16",
            QUARANTINED,
        ],
        forbidden: &["@kernel.panic"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::BELIEVE_DEAF_UNIT,
        smoke: "iommu-request-deaf",
        breaks: Break::Missing(QUARANTINED),
    }
}

/// Nothing that the card tried besides was accepted.
const DONE: &str = "@card.done accepted=0 unowned=0";

inventory::submit! {
    Smoke {
        name: "iommu-request-hostile",
        question: "Is a card below a virtio-iommu refused that reads and writes more than it was told to, and is that told?",
        rows: &["IO-13", "IO-17"],
        manifest: "smoke/card-owner",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(HOSTILE),
        extra: &[
            "-object", "memory-backend-memfd,id=mem,size=512M,share=on",
            "-device", "virtio-iommu-pci,addr=3",
            "-device", r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/card","type":"unix"}}"#,
        ],
        required: &[
            ON,
            REMAPPED,
            "@iommu.fault source=\"0000:00:05.0\" reason=not-mapped",
            "@card.filled round=0 bytes=256",
            "@card.filled round=1 bytes=256",
            "@card.filled round=2 bytes=256",
            DONE,
            ENDED,
        ],
        // Books that differ are no `ENDED`.
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_IOTLB_FLUSH,
        smoke: "iommu-request-hostile",
        breaks: Break::Missing(DONE),
    }
}
