//! Boot media that are damaged: each ends with one line on the serial port that says what and where, never with a reset.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use crate::image::Shape;
use crate::image::contents::Files;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Smoke, Tamper};

const fn disk(firmware: FirmwareKind, tamper: Tamper) -> Boot {
    Boot::Image {
        firmware,
        shape: Shape::Disk,
        drive: Drive::Disk,
        tamper,
    }
}

/// The same for every fault.
const FAULT: Smoke = Smoke {
    manifest: "smoke-boot",
    forbidden: &["@kernel.panic", "@hello.done"],
    exit: 2,
    limit_s: 60,
    ..Smoke::DEFAULT
};

fn drop_init(files: &mut Files) {
    files.remove("boot/bins/init");
}

fn drop_manifest(files: &mut Files) {
    files.remove("boot/manifest.bin");
}

fn empty_manifest(files: &mut Files) {
    files.insert("boot/manifest.bin".into(), Vec::new());
}

fn oversized_manifest(files: &mut Files) {
    files.insert("boot/manifest.bin".into(), vec![0; manifest::MAX_BYTES + 8]);
}

fn corrupt_kernel(files: &mut Files) {
    if let Some(byte) = files
        .get_mut("boot/kernel.elf")
        .and_then(|file| file.first_mut())
    {
        *byte ^= 0xff;
    }
}

/// Cuts the image where files begin that the loader reads after it has started itself: loaders come first on the volume.
fn cut(path: &Path) -> Result<()> {
    File::options().write(true).open(path)?.set_len(CUT_BYTES)?;
    Ok(())
}

/// The first 2 MiB are tables and GRUB's own partition; the volume's two tables and the UEFI loader follow.
const CUT_BYTES: u64 = (2 << 20) + (1536 << 10);

inventory::submit! {
    Smoke {
        name: "boot-fault-truncated-bios",
        question: "Does a truncated disk stop a boot through a BIOS with the file that cannot be read?",
        boot: disk(FirmwareKind::Bios, Tamper::Image(cut)),
        required: &["loader: error: cannot load /boot/"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-truncated-uefi",
        question: "Does a truncated disk stop a boot through UEFI with the file that cannot be read?",
        boot: disk(FirmwareKind::Uefi, Tamper::Image(cut)),
        required: &["loader: error: cannot read /boot/"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-module-bios",
        question: "Does a missing program stop a boot through a BIOS with its path?",
        boot: disk(FirmwareKind::Bios, Tamper::Files(drop_init)),
        required: &["loader: error: cannot load /boot/bins/init from the boot medium"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-module-uefi",
        question: "Does a missing first program stop a boot through UEFI with its path?",
        boot: disk(FirmwareKind::Uefi, Tamper::Files(drop_init)),
        required: &["@boot.refused", "the boot package holds no /boot/bins/init"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-kernel-bios",
        question: "Does a corrupt kernel stop a boot through a BIOS with its path and what is wrong?",
        boot: disk(FirmwareKind::Bios, Tamper::Files(corrupt_kernel)),
        required: &["loader: error: /boot/kernel.elf"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-kernel-uefi",
        question: "Does a corrupt kernel stop a boot through UEFI with its path and what is wrong?",
        boot: disk(FirmwareKind::Uefi, Tamper::Files(corrupt_kernel)),
        required: &["loader: error: /boot/kernel.elf"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-no-manifest",
        question: "Does a boot package without a manifest stop the boot?",
        boot: disk(FirmwareKind::Uefi, Tamper::Files(drop_manifest)),
        required: &["loader: error: the boot package has no boot/manifest.bin"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-empty-manifest",
        question: "Is an empty manifest refused before anything starts?",
        boot: disk(FirmwareKind::Bios, Tamper::Files(empty_manifest)),
        required: &["@manifest.refused", "the manifest is refused: manifest: not a manifest"],
        exit: 3,
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-large-manifest",
        question: "Is a manifest above the size bound refused before anything starts?",
        boot: disk(FirmwareKind::Bios, Tamper::Files(oversized_manifest)),
        required: &["@manifest.refused", "bytes, at most 65536 are allowed"],
        exit: 3,
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-memory",
        question: "Does a machine with too little memory stop with what needs how much?",
        boot: disk(FirmwareKind::Bios, Tamper::None),
        memory_mib: 4,
        required: &["too little memory"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-cd-sector",
        question: "Does a sector of a CD that cannot be read stop the boot with the file, the sector and the drive's own reason?",
        rows: &["BI-06", "BI-10"],
        model: "pc",
        boot: Boot::Image {
            firmware: FirmwareKind::Bios,
            shape: Shape::Iso,
            drive: Drive::Cd,
            tamper: Tamper::Unreadable("boot/bins/hello"),
        },
        required: &[
            "@boot.cdrom.read program=init",
            "@boot.refused",
            "/boot/bins/hello: sector",
            "of the CD cannot be read: illegal request (sense 5/21/00)",
        ],
        ..FAULT
    }
}
