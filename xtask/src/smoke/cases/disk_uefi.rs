//! The same disk on a machine with UEFI.

use crate::image::Shape;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Smoke, Tamper};

inventory::submit! {
    Smoke {
        name: "disk-uefi",
        question: "Does the same raw disk image boot through UEFI firmware?",
        rows: &["BI-01", "BI-02", "BI-12"],
        manifest: "smoke/boot",
        boot: Boot::Image {
            firmware: FirmwareKind::Uefi,
            shape: Shape::Disk,
            drive: Drive::Disk,
            tamper: Tamper::None,
        },
        required: &[
            "@boot.loader base_revision=2",
            "@boot.cpus online=1",
            "@init.started services=1",
            "@hello.done arguments=2",
            "@service.ended name=hello kind=exited code=0",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}
