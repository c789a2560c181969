//! The same small system by every way to boot it, one row each. `boot` asks more of the first of them.

use crate::image::Shape;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Smoke, Tamper};

/// A smoke that boots `smoke/boot` by one way.
const fn way(
    name: &'static str,
    rows: &'static [&'static str],
    boot: Boot,
    question: &'static str,
) -> Smoke {
    Smoke {
        name,
        question,
        rows,
        manifest: "smoke/boot",
        boot,
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

const fn image(firmware: FirmwareKind, shape: Shape, drive: Drive) -> Boot {
    Boot::Image {
        firmware,
        shape,
        drive,
        tamper: Tamper::None,
    }
}

macro_rules! ways {
    ($($name:literal $rows:expr, $boot:expr, $question:literal;)*) => {
        $(inventory::submit! { way($name, &$rows, $boot, $question) })*
    };
}

#[rustfmt::skip]
ways! {
    "boot-uefi" ["PC-01", "BI-12"], Boot::Uefi,
        "Does the same system come up through UEFI firmware and the UEFI loader?";
    "disk-bios" ["BI-01", "BI-03", "BI-12"], image(FirmwareKind::Bios, Shape::Disk, Drive::Disk),
        "Does the raw disk image boot through a BIOS, with GRUB handing over each program as a module?";
    "disk-uefi" ["BI-01", "BI-02", "BI-12"], image(FirmwareKind::Uefi, Shape::Disk, Drive::Disk),
        "Does the same raw disk image boot through UEFI firmware?";
    "iso-bios" [], image(FirmwareKind::Bios, Shape::Iso, Drive::Cd),
        "Does the ISO image boot as a CD through a BIOS?";
    "iso-uefi" [], image(FirmwareKind::Uefi, Shape::Iso, Drive::Cd),
        "Does the same ISO image boot as a CD through UEFI firmware?";
    "iso-usb" [], image(FirmwareKind::Bios, Shape::Iso, Drive::Usb),
        "Does the ISO image boot from a USB stick through a BIOS?";
}
