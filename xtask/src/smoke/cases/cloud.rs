//! Cloud packages: each is made, checked by its tools, unpacked again, and booted on the closest machine QEMU has.

use crate::image::cloud::Provider;
use crate::qemu::FirmwareKind;
use crate::smoke::case::{Boot, Smoke, Step};

/// What `cloudboot` demands, as the serial console of a cloud shows it, then a prompt and an end by a person's word.
const PACKAGE: Smoke = Smoke {
    rows: &["BI-04", "CG-06"],
    smp: 2,
    memory_mib: 2048,
    // On two processors the shell may be there first.
    steps: &[Step::Wait("@web.absent"), Step::Type("halt")],
    required: &[
        "cloudboot-evidence: boot.loader",
        "cloudboot-evidence: boot.cpus online=2 listed=2",
        "cloudboot-evidence: pci.scan",
        "cloudboot-evidence: dma.backend",
    ],
    forbidden: &["@kernel.panic", "@boot.loader"],
    sorted: true,
    ..Smoke::DEFAULT
};

inventory::submit! {
    Smoke {
        name: "cloud-gcp",
        question: "Does the package for Google, unpacked again, boot through UEFI from a SCSI disk with its evidence?",
        rows: &["BI-04", "CG-06", "CH-01"],
        boot: Boot::Cloud { provider: Provider::Gcp, firmware: FirmwareKind::Uefi },
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-aws",
        question: "Does the package for Amazon, converted back, boot with its evidence?",
        boot: Boot::Cloud { provider: Provider::Aws, firmware: FirmwareKind::Uefi },
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-azure",
        question: "Does the package for Azure, converted back, boot with its evidence?",
        boot: Boot::Cloud { provider: Provider::Azure, firmware: FirmwareKind::Uefi },
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-generic",
        question: "Does the package for anybody's QEMU boot through a BIOS with its evidence?",
        boot: Boot::Cloud { provider: Provider::Generic, firmware: FirmwareKind::Bios },
        ..PACKAGE
    }
}
