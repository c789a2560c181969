//! Devices below an AMD-Vi unit that is on.

use sabotage::points;
use vfio_user::card::Attack;

use crate::qemu::Feature;
use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::iommu_remapping::{
    AGAIN, ENDED, FORBIDDEN, HOSTILE, LARGE, REMAPPED, REMOVED,
};
use crate::smoke::cases::nvme_fat_read::{partitioned, whole};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::cases::virtio_blk::{DISK, STEPS};
use crate::smoke::models::{DeviceModel, ModelKind};
use crate::smoke::sabotage::{Break, Sabotage};

const UNIT: &[&str] = &["-device", "{amd-iommu}"];
const ON: &str = "@iommu.on number=0 state=translating levels=4";

inventory::submit! {
    Smoke {
        name: "iommu-amd",
        question: "Are files read off two NVMe disks that reach memory only through domains of an AMD-Vi unit?",
        rows: &["IO-02", "IO-04", "IO-22", "PC-09"],
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
            "@iommu.unit number=0 kind=amd-vi segment=0 status=verified translating=false",
            ON,
            "@pci.refused function=\"0000:00:03.0\" rule=capability-duplicate",
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
        name: "iommu-amd-pages",
        question: "Are pages below an AMD-Vi unit used again only after the unit forgot them, and do its tables hold what is allocated?",
        rows: &["IO-04", "IO-13", "IO-22"],
        manifest: "smoke/queue-reset",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 262_144 }],
        extra: UNIT,
        required: &[
            ON,
            REMAPPED,
            "@queue-reset.stopped reset=ok revoked=4 freed=4 quiet=true",
            "@queue-reset.other-queue status=0 filled=true",
            AGAIN,
            REMOVED,
            ENDED,
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-edu",
        question: "Does a device of 28 address bits move bytes through a large page of an AMD-Vi unit's domain, and nowhere else?",
        rows: &["IO-04", "IO-22"],
        manifest: "smoke/irq-msi",
        memory_mib: 512,
        extra: &["-device", "{amd-iommu}", "-device", "edu,addr=4"],
        required: &[
            ON,
            REMAPPED,
            "@msi.dma opcode=1 causes=256 completed=1",
            "@msi.dma opcode=2 causes=256 completed=1",
            "@msi.copied same=true",
            "@msi.done",
            LARGE,
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_DEVICE_OPEN,
        smoke: "iommu-amd-edu",
        breaks: Break::Missing("@msi.copied same=true"),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-virtio",
        question: "Does a virtio disk that uses bus addresses move the same bytes through a domain of an AMD-Vi unit?",
        rows: &["IO-04", "IO-22"],
        manifest: "smoke/virtio-blk",
        disks: &[DISK],
        disk_device: "virtio-blk-pci,iommu_platform=on,disable-legacy=on",
        extra: UNIT,
        steps: STEPS,
        required: &[
            ON,
            REMAPPED,
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-alias",
        question: "Is a card refused whose requests carry the id of the bridge above it, as the table of an AMD-Vi unit says?",
        rows: &["IO-04", "IO-22"],
        manifest: "smoke/irq-msi",
        memory_mib: 512,
        extra: &[
            "-device", "{amd-iommu}",
            "-device", "pcie-pci-bridge,id=behind,addr=6",
            "-device", "edu,bus=behind,addr=4",
        ],
        required: &[
            ON,
            "@iommu.function posture=refused reason=shared-requester group=any",
            "@service.failed name=smoke",
        ],
        forbidden: &["@kernel.panic", "@device.claimed"],
        exit: 1,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-hostile",
        question: "Is a card below an AMD-Vi unit refused that reads and writes more than it was told to, and is that told?",
        rows: &["IO-13", "IO-17", "IO-22"],
        manifest: "smoke/card-owner",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(HOSTILE),
        extra: &[
            "-object",
            "memory-backend-memfd,id=mem,size=512M,share=on",
            // Devices in other processes are only had where the unit says what it maps.
            "-device",
            "amd-iommu,dma-remap=on",
            "-device",
            r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/card","type":"unix"}}"#,
        ],
        required: &[
            ON,
            REMAPPED,
            "@iommu.fault reason=page-fault",
            "@card.filled round=0 bytes=256",
            "@card.filled round=1 bytes=256",
            "@card.filled round=2 bytes=256",
            DONE,
            ENDED,
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@iommu.domain-ended books=differ"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_IOTLB_FLUSH,
        smoke: "iommu-amd-hostile",
        breaks: Break::Missing(DONE),
    }
}

/// Nothing that the card tried besides was accepted.
const DONE: &str = "@card.done accepted=0 unowned=0";

inventory::submit! {
    Smoke {
        name: "iommu-amd-two",
        question: "Does the second of two cards below an AMD-Vi unit move bytes through a domain that is not the first one's?",
        rows: &["IO-22"],
        manifest: "smoke/irq-msi-second",
        memory_mib: 512,
        extra: &["-device", "{amd-iommu}", "-device", "edu,addr=4", "-device", "edu,addr=5"],
        required: &[
            ON,
            REMAPPED,
            "@msi.dma opcode=1 causes=256 completed=1",
            "@msi.copied same=true",
            "@msi.done",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SHARE_DOMAIN,
        smoke: "iommu-amd-two",
        breaks: Break::Missing("@msi.copied same=true"),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-fault-storm",
        question: "Does a card below an AMD-Vi unit that goes on asking for what it may not have lose its claim?",
        rows: &["IO-17", "IO-22"],
        manifest: "smoke/card-storm",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(DeviceModel {
            socket: "card",
            kind: ModelKind::Card(&[Attack::Write(0x10_0000), Attack::Write(0x20_0000), Attack::ReadBeside]),
            reports: &["card transfer accepted", "card write refused", "card write refused", "card read-beside refused"],
        }),
        extra: &[
            "-object",
            "memory-backend-memfd,id=mem,size=512M,share=on",
            "-device",
            "amd-iommu,dma-remap=on",
            "-device",
            r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/card","type":"unix"}}"#,
        ],
        required: &[
            ON,
            REMAPPED,
            "@iommu.fault reason=page-fault",
            "@iommu.claim-ended function=\"0000:00:05.0\"",
            "@device.quarantined function=\"0000:00:05.0\" reason=no-proof-of-reset",
            "@card.ended refusal=quarantined",
        ],
        forbidden: &["@kernel.panic", "@card.ended refusal=none"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
