//! Devices below a remapping unit that is on.

use sabotage::points;
use vfio_user::card::Attack;

use crate::qemu::Feature;
use crate::smoke::case::{Smoke, SmokeDisk, SmokeFile, Step};
use crate::smoke::cases::nvme_fat_read::{partitioned, pattern, whole};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::cases::provider_crash::{files, free_disk, hold_disk, slow_disk};
use crate::smoke::cases::virtio_blk::{DISK, STEPS};
use crate::smoke::models::{DeviceModel, ModelKind};
use crate::smoke::sabotage::{Break, Sabotage};

/// A unit with tables of three levels, whatever the version of the machine.
const UNIT: &[&str] = &["-device", "intel-iommu,aw-bits=39"];
const ON: &str = "@iommu.on number=0 state=translating levels=3";
pub(super) const REMAPPED: &str = "@iommu.function posture=remapped reason=own-domain";

/// What is true of every smoke of devices below a unit.
pub(super) const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@device.quarantined",
    "@iommu.fault",
    "@iommu.domain-ended books=differ",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
];

inventory::submit! {
    Smoke {
        name: "iommu-remapping",
        question: "Are files read off two NVMe disks that reach memory only through domains of their own?",
        rows: &["IO-04", "IO-11"],
        disks: &[
            SmokeDisk { name: "whole.img", make: whole, bytes_per_s: 0 },
            SmokeDisk { name: "partitioned.img", make: partitioned, bytes_per_s: 0 },
        ],
        extra: UNIT,
        steps: &[
            Step::Type("cat /disk/HELLO.TXT"),
            Step::Type("cat \"/disk/deep/er/A long name, with blanks.txt\""),
            Step::Type("sha256 /disk/BIG.BIN"),
            Step::Type("cat /disk1/TWO.TXT"),
            Step::Type("halt"),
        ],
        required: &[
            ON,
            REMAPPED,
            "@nvme.ready block_bytes=512",
            "hello from the disk",
            "found",
            "4065f8a98da19a18771df368b071e6f29f4412fa304bc6209d15979c4fd4c2fc",
            "second disk",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

/// The domain of a claim that ended, with the counts of both ledgers.
pub(super) const ENDED: &str = "@iommu.domain-ended books=agree";
/// The same, of one that had a page of 2 MiB.
pub(super) const LARGE: &str = "@iommu.domain-ended books=agree large=1";
pub(super) const AGAIN: &str = "@queue-reset.again status=0 filled=true";
pub(super) const REMOVED: &str = "@device.teardown step=translations-removed";

inventory::submit! {
    Smoke {
        name: "iommu-pages",
        question: "Are pages below a unit used again only after the unit forgot them, and is nothing mapped but what is allocated?",
        rows: &["IO-04", "IO-11", "IO-13"],
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
    Sabotage {
        point: points::MAP_ONE_PAGE_MORE,
        smoke: "iommu-pages",
        breaks: Break::Appears {
            fact: "@iommu.domain-ended books=differ",
            after: REMOVED,
        },
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_IOTLB_RECEIPT,
        smoke: "iommu-pages",
        breaks: Break::Appears {
            fact: "@iommu.domain-ended books=differ",
            after: REMOVED,
        },
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-crash",
        question: "Does a read in flight when its driver is killed come back right through a domain that is not the one of before?",
        rows: &["IO-04", "IO-13"],
        manifest: "smoke/provider-crash",
        disks: &[SmokeDisk { name: "files.img", make: files, bytes_per_s: 1 << 19 }],
        extra: &["-monitor", "unix:{work}/monitor,server=on,wait=off", "-device", "intel-iommu,aw-bits=48"],
        steps: &[
            Step::Wait("@nvme.ready"), Step::Wait("@crasher.armed round=1"), Step::Type("sha256 /disk/BIG.BIN"),
            Step::Peer(hold_disk), Step::Wait("@device.released"), Step::Peer(slow_disk),
            Step::Wait("@crasher.armed round=2"),
            Step::Peer(hold_disk), Step::Wait("@device.released"), Step::Peer(free_disk),
            Step::Wait("@nvme.ready"), Step::Type("sha256 /disk/BIG.BIN"), Step::Type("halt"),
        ],
        required: &[
            "@iommu.on number=0 state=translating levels=4",
            REMAPPED,
            REMOVED,
            ENDED,
            "@service.started name=nvme incarnation=2",
            "f232e645abba334c7b356d613a430956189f538e4c0f7546bef2450b6059253a",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-edu",
        question: "Does a device of 28 address bits move bytes through a large page of a domain that ends where it does?",
        rows: &["IO-04", "IO-17"],
        manifest: "smoke/irq-msi",
        memory_mib: 512,
        extra: &["-device", "intel-iommu,aw-bits=39", "-device", "edu,addr=4"],
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
    Smoke {
        name: "iommu-virtio",
        question: "Does a virtio disk that uses bus addresses move the same bytes through a domain of its own?",
        rows: &["IO-04", "BD-03"],
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
        name: "iommu-ats",
        question: "Is a disk that could translate addresses itself made bus master only with all of that off?",
        rows: &["IO-04"],
        manifest: "smoke/virtio-blk",
        files: &[SmokeFile { name: DISK.name, bytes: || pattern(8 << 20) }],
        extra: &[
            "-device", "intel-iommu,aw-bits=39,device-iotlb=on",
            // What sits on the root bus itself has no extended capabilities.
            "-device", "pcie-root-port,id=below,chassis=1",
            "-drive", "if=none,id=one,format=raw,file={work}/one.img",
            "-device", "virtio-blk-pci,iommu_platform=on,disable-legacy=on,ats=on,bus=below,drive=one",
        ],
        steps: STEPS,
        required: &[
            ON,
            REMAPPED,
            "@device.translation offered=1 on=0",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::TURN_ATS_ON,
        smoke: "iommu-ats",
        breaks: Break::Missing("@device.translation offered=1 on=0"),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-bypass",
        question: "Is a virtio disk that goes around the unit given no address of a domain, and is that said?",
        rows: &["IO-03", "IO-19"],
        manifest: "smoke/virtio-blk",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        extra: UNIT,
        steps: STEPS,
        required: &[
            ON,
            "@iommu.function posture=bounce reason=bypasses-iommu",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::AIM_ELSEWHERE,
        smoke: "iommu-edu",
        breaks: Break::Appears {
            fact: "@iommu.fault",
            after: "@msi.dma opcode=2 causes=256 completed=1",
        },
    }
}

inventory::submit! {
    Sabotage {
        point: points::SHARE_DOMAIN,
        smoke: "iommu-remapping",
        breaks: Break::Missing("second disk"),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-hostile",
        question: "Is a card that reads and writes more than it was told to refused each time, with the production kernel?",
        rows: &["IO-13", "IO-17"],
        manifest: "smoke/card-owner",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(HOSTILE),
        extra: CARD,
        required: &[
            ON,
            REMAPPED,
            "@iommu.fault source=\"0000:00:05.0\" reason=read-permission request=read",
            "@card.filled round=0 bytes=256",
            "@card.filled round=1 bytes=256",
            STALE,
            "@card.filled round=2 bytes=256",
            "@card.done accepted=0 unowned=0",
            ENDED,
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@iommu.domain-ended books=differ"],
        ..Smoke::DEFAULT
    }
}

/// A card that reads and writes more than it was told to, and what it says became of that.
pub(super) const HOSTILE: DeviceModel = DeviceModel {
    socket: "card",
    kind: ModelKind::Card(&[
        Attack::WriteStale,
        Attack::ReadBeside,
        Attack::Read(0x10_0000),
        Attack::Read(0),
    ]),
    reports: &[
        "card transfer accepted",
        "card read-beside refused",
        "card read refused",
        "card read refused",
        "card transfer accepted",
        "card write-stale refused",
        "card read-beside refused",
        "card read refused",
        "card read refused",
        "card transfer accepted",
        "card write-stale refused",
        "card read-beside refused",
        "card read refused",
        "card read refused",
    ],
};

/// The card, in a process of its own.
const CARD: &[&str] = &[
    "-object",
    "memory-backend-memfd,id=mem,size=512M,share=on",
    // Devices in other processes are only had with a unit that may remember what it found absent.
    "-device",
    "intel-iommu,aw-bits=39,caching-mode=on",
    "-device",
    r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/card","type":"unix"}}"#,
];

/// What the unit says of a device that uses a page after it was given back.
const STALE: &str = "@iommu.fault source=\"0000:00:05.0\" reason=write-permission request=write";

inventory::submit! {
    Sabotage {
        point: points::SKIP_IOTLB_FLUSH,
        smoke: "iommu-hostile",
        breaks: Break::Missing(STALE),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-fault-storm",
        question: "Does a card that goes on asking for what it may not have lose its claim, while the log stays short?",
        rows: &["IO-17"],
        manifest: "smoke/card-storm",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(DeviceModel {
            socket: "card",
            kind: ModelKind::Card(&[Attack::Write(0x10_0000), Attack::Write(0x20_0000), Attack::ReadBeside]),
            reports: &["card transfer accepted", "card write refused", "card write refused", "card read-beside refused"],
        }),
        extra: CARD,
        required: &[
            ON,
            REMAPPED,
            STALE,
            "@iommu.claim-ended function=\"0000:00:05.0\"",
            "@device.quarantined function=\"0000:00:05.0\" reason=no-proof-of-reset",
            "@card.ended refusal=quarantined",
        ],
        forbidden: &["@kernel.panic", "@card.ended refusal=none"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
