//! A provider that writes its own commands, below a remapping unit.

use sabotage::points;

use crate::qemu::Feature;
use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::iommu_remapping::{ENDED, REMAPPED};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::cases::virtio_blk::{DISK, STEPS as STEPS_OF_DRIVER, check};
use crate::smoke::sabotage::{Break, Sabotage};

const DISKS: &[SmokeDisk] = &[
    SmokeDisk {
        name: "one.img",
        make: raw,
        bytes_per_s: 0,
    },
    SmokeDisk {
        name: "two.img",
        make: raw,
        bytes_per_s: 0,
    },
];
pub(super) const DIRECT: &str =
    "@dma.direct chosen=direct reason=complete policy=direct missing=none";
pub(super) const FOUND: &str = "@direct.found status=0 same=true";
const REFUSED: &str = "@direct.refused submit=queueFull beyond_tail=outOfRange beyond_head=outOfRange foreign=foreignBuffer brokered_bell=notSupported brokered_address=notSupported free_commands=busy free_completions=busy reset=notSupported";
pub(super) const BYSTANDER: &str = "@direct.bystander intact=true reads=true";
pub(super) const WRITTEN: &str = "@direct.written long=0 short=0 flush=0 same=true";
const RESET: &str =
    "@direct.reset revoked=1 again=stale bell=wrongState free_commands=ok free_completions=ok";
const AGAIN: &str = "@direct.again status=0 same=true";
/// The host compares the image once the provider has written.
const STEPS: &[Step] = &[Step::Wait(WRITTEN), Step::Peer(check)];
pub(super) const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@device.quarantined",
    "@iommu.claim-ended",
    "@iommu.domain-ended books=differ",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
];
/// What a controller may only read, it does not write.
const COMMANDS_KEPT: &str = "@direct.administration found=true kept=true";
/// One for each address that it was not given: another's, its own of before, memory's, and two in a list and of a read.
const TOLD: &str = "@iommu.fault source=\"0000:00:01.0\" reason=write-permission request=write";

inventory::submit! {
    Smoke {
        name: "nvme-direct",
        question: "Does a provider that writes its own commands reach with them what it was given, and nothing else?",
        rows: &["DA-66", "NV-01", "NV-02", "NV-07"],
        manifest: "smoke/nvme-direct",
        disks: DISKS,
        extra: &["-device", "intel-iommu,aw-bits=39"],
        steps: STEPS,
        required: &[
            REMAPPED,
            DIRECT,
            FOUND,
            REFUSED,
            TOLD,
            TOLD,
            TOLD,
            TOLD,
            "@iommu.fault source=\"0000:00:01.0\" reason=read-permission request=read",
            "@direct.attacked aims=5 leaked=false",
            COMMANDS_KEPT,
            BYSTANDER,
            WRITTEN,
            RESET,
            AGAIN,
            ENDED,
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-direct",
        question: "Does a provider that writes its own commands below an AMD-Vi unit reach what it was given, and nothing else?",
        rows: &["DA-66", "NV-01", "IO-22"],
        manifest: "smoke/nvme-direct",
        needs: Some(Feature::SilentAmd),
        disks: DISKS,
        extra: &["-device", "{amd-iommu}"],
        steps: STEPS,
        required: &[
            REMAPPED,
            DIRECT,
            FOUND,
            REFUSED,
            "@direct.attacked aims=5 leaked=false",
            COMMANDS_KEPT,
            BYSTANDER,
            WRITTEN,
            RESET,
            AGAIN,
            ENDED,
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-direct-ended",
        question: "Does a provider that writes its own commands below an AMD-Vi unit with a log lose its claim for addresses that it was not given?",
        rows: &["DA-66", "IO-17", "IO-22"],
        manifest: "smoke/nvme-direct",
        needs: Some(Feature::VfioUser),
        disks: DISKS,
        extra: &["-device", "{amd-iommu}"],
        required: &[
            REMAPPED,
            DIRECT,
            FOUND,
            REFUSED,
            "@iommu.fault source=\"0000:00:01.0\"",
            CLAIM_ENDED,
        ],
        forbidden: &["@kernel.panic"],
        sorted: true,
        exit: 1,
        ..Smoke::DEFAULT
    }
}

const CLAIM_ENDED: &str = "@iommu.claim-ended function=\"0000:00:01.0\" refused=16";

inventory::submit! {
    Sabotage {
        point: points::FORGIVE_REFUSALS,
        smoke: "iommu-amd-direct-ended",
        breaks: Break::Missing(CLAIM_ENDED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LET_COMMANDS_BE_WRITTEN,
        smoke: "nvme-direct",
        breaks: Break::Missing(COMMANDS_KEPT),
    }
}

/// What a disk gives and takes whose driver writes the commands itself.
const MOVED: &[&str] = &[
    REMAPPED,
    DIRECT,
    "@nvme.direct depth=63",
    "@disk.found long=true",
    "@disk.written long=true short=true next_unharmed=true",
];

/// The driver that writes the commands itself, below whichever unit.
const DRIVER: Smoke = Smoke {
    manifest: "smoke/nvme-direct-driver",
    disks: &[DISK],
    steps: STEPS_OF_DRIVER,
    required: MOVED,
    forbidden: FORBIDDEN,
    sorted: true,
    ..Smoke::DEFAULT
};

inventory::submit! {
    Smoke {
        name: "nvme-direct-driver",
        question: "Does the NVMe driver move the same bytes where it writes the commands itself, as the manifest asks?",
        rows: &["DA-66", "NV-07"],
        extra: &["-device", "intel-iommu,aw-bits=39"],
        ..DRIVER
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-direct-driver",
        question: "Does the NVMe driver move the same bytes where it writes the commands itself below an AMD-Vi unit?",
        rows: &["DA-66", "IO-22"],
        extra: &["-device", "{amd-iommu}"],
        ..DRIVER
    }
}

inventory::submit! {
    Smoke {
        name: "nvme-direct-bounce",
        question: "Does the NVMe driver that would write the commands itself leave that to the broker where nothing confines its disk?",
        rows: &["DA-66", "NV-02"],
        required: &[
            "@dma.direct chosen=bounce reason=no-verified-iommu policy=direct",
            "@disk.found long=true",
            "@disk.written long=true short=true next_unharmed=true",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@nvme.direct"],
        ..DRIVER
    }
}
