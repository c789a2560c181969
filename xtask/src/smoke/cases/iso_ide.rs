//! The ISO image as a CD behind legacy IDE: the kernel reads its programs itself. Behind anything else they are modules.

use crate::image::Shape;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Smoke, Tamper};

const fn cd(firmware: FirmwareKind, drive: Drive) -> Boot {
    Boot::Image {
        firmware,
        shape: Shape::Iso,
        drive,
        tamper: Tamper::None,
    }
}

const BOOTS: Smoke = Smoke {
    manifest: "smoke/boot",
    model: "pc",
    forbidden: &["@kernel.panic"],
    keeps_boot: true,
    ..Smoke::DEFAULT
};

inventory::submit! {
    Smoke {
        name: "iso-ide-bios",
        question: "Does the kernel read its programs from a CD behind legacy IDE, none of them a module?",
        rows: &["BI-06", "BI-07", "BI-10", "BI-13"],
        boot: cd(FirmwareKind::Bios, Drive::Cd),
        required: &[
            "@boot.cdrom channel=secondary device=master programs=2",
            "@boot.programs modules=0 cdrom=2",
            "@boot.cdrom.read program=init",
            "@boot.cdrom.read program=hello",
            "@boot.cdrom.closed programs=2",
            "@service.ended name=hello kind=exited code=0",
        ],
        ..BOOTS
    }
}

inventory::submit! {
    Smoke {
        name: "iso-ide-uefi",
        question: "Does the kernel read its programs from a CD behind legacy IDE when UEFI firmware booted it?",
        rows: &["BI-06", "BI-10", "BI-13"],
        boot: cd(FirmwareKind::Uefi, Drive::Cd),
        required: &[
            "@boot.cdrom channel=secondary device=master programs=2",
            "@boot.programs modules=0 cdrom=2",
            "@boot.cdrom.closed programs=2",
            "@service.ended name=hello kind=exited code=0",
        ],
        ..BOOTS
    }
}

inventory::submit! {
    Smoke {
        name: "iso-ide-other-cd",
        question: "Do programs arrive as modules when the CD behind legacy IDE is not the one that was booted?",
        rows: &["BI-10"],
        boot: cd(FirmwareKind::Bios, Drive::ScsiCd),
        // An empty medium in the drive: it is one, it can be read, and it is not ours.
        extra: &[
            "-drive", "if=none,id=other,format=raw,media=cdrom,readonly=on,file.driver=null-co,file.size=1048576",
            "-device", "ide-cd,drive=other,bus=ide.1",
        ],
        required: &[
            "@boot.programs modules=2 cdrom=0",
            "@service.ended name=hello kind=exited code=0",
        ],
        forbidden: &["@kernel.panic", "@boot.cdrom"],
        ..BOOTS
    }
}

inventory::submit! {
    Smoke {
        name: "iso-usb-cd",
        question: "Do programs arrive as modules from a CD in a USB drive?",
        rows: &["BI-10"],
        boot: cd(FirmwareKind::Bios, Drive::UsbCd),
        required: &[
            "@boot.programs modules=2 cdrom=0",
            "@service.ended name=hello kind=exited code=0",
        ],
        forbidden: &["@kernel.panic", "@boot.cdrom"],
        ..BOOTS
    }
}
