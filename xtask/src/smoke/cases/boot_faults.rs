//! Boot media that are damaged: each ends with one line on the serial port that says what and where, never with a reset.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use crate::image::Shape;
use crate::image::files::Files;
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
    manifest: "smoke/boot",
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

/// A few instructions before the loader's own: they take the memory map out of what GRUB hands over, as a boot loader would that
/// gives none. GRUB always gives one, so there is no other way to ask.
///
/// The loader's note segment, which only QEMU's direct boot reads, becomes the segment of these instructions.
fn drop_memory_map(files: &mut Files) {
    let Some(loader) = files.get_mut("boot/loader.elf") else {
        return;
    };
    // 0x0a0000 is never memory of ours; 0x90000 is free while GRUB starts a kernel at 1 MiB.
    const AT: u32 = 0x9_0000;
    let patched = (|| -> Option<Vec<u8>> {
        let mut elf = loader.clone();
        let word = |elf: &[u8], at: usize, len: usize| -> Option<u64> {
            let mut bytes = [0; 8];
            bytes
                .get_mut(..len)?
                .copy_from_slice(elf.get(at..at + len)?);
            Some(u64::from_le_bytes(bytes))
        };
        // The entry-address tag of the Multiboot2 header: type 3, size 12.
        let header = elf
            .windows(4)
            .position(|w| w == 0xe852_50d6u32.to_le_bytes())?;
        let entry_at = header + 16 + 8;
        let entry = u32::try_from(word(&elf, entry_at, 4)?).ok()?;
        let table = usize::try_from(word(&elf, 32, 8)?).ok()?;
        let count = usize::try_from(word(&elf, 56, 2)?).ok()?;
        let note = (0..count)
            .map(|number| table + number * 56)
            .find(|at| word(&elf, *at, 4) == Some(4))?;
        // lea esi,[ebx+8]; 1: mov ecx,[esi]; jecxz 3f; cmp ecx,6; jne 2f; mov dword [esi],0xffff; 2: mov ecx,[esi+4];
        // add ecx,7; and ecx,-8; add esi,ecx; jmp 1b; 3: mov ecx,ENTRY; jmp ecx
        let mut code = vec![
            0x8d, 0x73, 0x08, 0x8b, 0x0e, 0xe3, 0x18, 0x83, 0xf9, 0x06, 0x75, 0x06, 0xc7, 0x06,
            0xff, 0xff, 0x00, 0x00, 0x8b, 0x4e, 0x04, 0x83, 0xc1, 0x07, 0x83, 0xe1, 0xf8, 0x01,
            0xce, 0xeb, 0xe4, 0xb9,
        ];
        code.extend(entry.to_le_bytes());
        code.extend([0xff, 0xe1]);
        elf.resize(elf.len().next_multiple_of(4096), 0);
        let offset = elf.len() as u64;
        let mut segment = Vec::new();
        segment.extend(1u32.to_le_bytes());
        segment.extend(5u32.to_le_bytes());
        let len = code.len() as u64;
        for value in [offset, AT.into(), AT.into(), len, len, 4096] {
            segment.extend(value.to_le_bytes());
        }
        elf.get_mut(note..note + 56)?.copy_from_slice(&segment);
        elf.get_mut(entry_at..entry_at + 4)?
            .copy_from_slice(&AT.to_le_bytes());
        elf.extend(code);
        Some(elf)
    })();
    if let Some(patched) = patched {
        *loader = patched;
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
        memory_mib: 8,
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

inventory::submit! {
    Smoke {
        name: "boot-fault-checksum-kernel",
        question: "Does a kernel with one wrong bit stop a boot through a BIOS before it runs?",
        boot: disk(FirmwareKind::Bios, Tamper::Damage("boot/kernel.elf")),
        required: &["loader: error: /boot/kernel.elf is damaged: CRC-32"],
        forbidden: &["@boot.loader", "@kernel.panic"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-checksum-manifest",
        question: "Does a manifest with one wrong bit stop a boot through UEFI?",
        boot: disk(FirmwareKind::Uefi, Tamper::Damage("boot/manifest.bin")),
        required: &["loader: error: /boot/manifest.bin is damaged: CRC-32"],
        forbidden: &["@boot.loader", "@kernel.panic"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-checksum-list",
        question: "Does a list of checksums with one wrong bit stop the boot?",
        boot: disk(FirmwareKind::Bios, Tamper::Damage("boot/checksums")),
        required: &["loader: error: /boot/checksums is damaged"],
        forbidden: &["@boot.loader", "@kernel.panic"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-checksum-program",
        question: "Does a program with one wrong bit stop the boot before it runs?",
        boot: disk(FirmwareKind::Bios, Tamper::Damage("boot/bins/hello")),
        required: &["@boot.refused", "cannot boot: /boot/bins/hello is damaged: CRC-32"],
        ..FAULT
    }
}

inventory::submit! {
    Smoke {
        name: "boot-fault-memory-map",
        question: "Does a boot without a memory map stop with the loader's word for it?",
        boot: disk(FirmwareKind::Bios, Tamper::Files(drop_memory_map)),
        required: &["loader: error: no memory map"],
        ..FAULT
    }
}
