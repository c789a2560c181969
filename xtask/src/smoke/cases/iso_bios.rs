//! The ISO image as a CD on a machine with a BIOS.

use crate::image::Shape;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Smoke, Tamper};

inventory::submit! {
    Smoke {
        name: "iso-bios",
        question: "Does the ISO image boot as a CD through a BIOS?",
        rows: &[],
        manifest: "smoke/boot",
        boot: Boot::Image {
            firmware: FirmwareKind::Bios,
            shape: Shape::Iso,
            drive: Drive::Cd,
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
