//! What the kernel learns of remapping units, and what it makes of it.

use sabotage::points;

use crate::image::Shape;
use crate::image::files::Files;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Smoke, SmokeFile, Tamper};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::smoke::tables::{dmar, drhd, drhd_of_the_rest};

/// A page where nothing answers.
const NOWHERE: u64 = 0xa000_0000;

/// One unit more than the record keeps.
fn seventeen() -> Vec<u8> {
    let units: Vec<_> = (0..17)
        .map(|number| drhd(NOWHERE + number * 4096, &[]))
        .collect();
    dmar(&units)
}

inventory::submit! {
    Smoke {
        name: "iommu-acpi",
        question: "Is a VT-d unit verified, what it does not serve counted, and bounce chosen all the same, with the reason?",
        rows: &["IO-01", "IO-02", "IO-03", "IO-05", "IO-08", "IO-19", "IO-21", "CG-04"],
        manifest: "smoke/boot",
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "edu",
            // A second root bus, which the unit does not serve.
            "-device", "pxb-pcie,id=second,bus=pcie.0,bus_nr=64,bypass_iommu=on",
            "-device", "pcie-root-port,id=below,bus=second,chassis=1",
            "-device", "edu,bus=below",
        ],
        required: &[
            "@iommu.table state=listed units=1",
            "@iommu.unit number=0 kind=vt-d segment=0 status=verified version=\"1.0\" address_bits=39 translating=false",
            "@iommu.coverage functions=4 covered=3 uncovered=1 uncertain=0",
            "@dma.backend chosen=bounce reason=prerequisite policy=auto iommu=verified missing=manager-owned-domain",
            // One function is below no unit.
            "@dma.posture hostile_hardware_isolation=partial",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic", "@acpi.refused"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-silent",
        question: "Is a unit refused whose registers the table puts where nothing answers?",
        rows: &["IO-02", "IO-08", "IO-19"],
        manifest: "smoke/boot",
        files: &[SmokeFile { name: "dmar", bytes: || dmar(&[drhd_of_the_rest(NOWHERE)]) }],
        extra: &["-acpitable", "file={work}/dmar"],
        required: &[
            "@iommu.table state=listed units=1",
            "@iommu.unit number=0 kind=vt-d status=refused rule=silent",
            "@dma.backend chosen=bounce reason=no-verified-iommu iommu=implausible-fail-closed",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::BELIEVE_UNIT,
        smoke: "iommu-silent",
        breaks: Break::Missing("@iommu.unit number=0 kind=vt-d status=refused rule=silent"),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-capped",
        question: "Is a table that lists more units than are kept unusable as a whole?",
        rows: &["IO-02", "IO-19"],
        manifest: "smoke/boot",
        files: &[SmokeFile { name: "dmar", bytes: seventeen }],
        extra: &["-acpitable", "file={work}/dmar"],
        required: &[
            "@iommu.table state=retained-capped-fail-closed units=16",
            "@dma.backend chosen=bounce reason=no-verified-iommu iommu=retained-capped-fail-closed",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic", "@iommu.unit"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "dma-policy",
        question: "Does a manifest that says bounce get it, though the machine has a verified unit?",
        rows: &["CG-04", "IO-19"],
        manifest: "smoke/dma-policy",
        extra: &["-device", "intel-iommu,aw-bits=39"],
        required: &[
            "@iommu.unit number=0 status=verified",
            "@dma.backend chosen=bounce reason=manifest policy=bounce iommu=verified missing=manager-owned-domain",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

/// Puts a number into the field `dma` that its enumeration does not have. The frame and the root pointer take 16 bytes,
/// the version four.
fn unknown_policy(files: &mut Files) {
    let manifest = files.get_mut("boot/manifest.bin");
    if let Some(field) = manifest.and_then(|bytes| bytes.get_mut(20..22)) {
        field.copy_from_slice(&7u16.to_le_bytes());
    }
}

inventory::submit! {
    Smoke {
        name: "dma-policy-unknown",
        question: "Does a manifest whose word on DMA means nothing get bounce, and is it then refused?",
        rows: &["CG-04"],
        manifest: "smoke/boot",
        boot: Boot::Image {
            firmware: FirmwareKind::Bios,
            shape: Shape::Disk,
            drive: Drive::Disk,
            tamper: Tamper::Files(unknown_policy),
        },
        extra: &["-device", "intel-iommu,aw-bits=39"],
        required: &[
            "@iommu.unit number=0 status=verified",
            "@dma.backend chosen=bounce reason=unknown-policy policy=unknown iommu=verified missing=manager-owned-domain",
            "@manifest.refused",
        ],
        forbidden: &["@kernel.panic", "@hello.done"],
        exit: 3,
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}
