//! The hybrid ISO 9660 image: a CD for BIOS and UEFI, and the same bytes as a USB stick for both.
//!
//! `xorriso` writes it. The CD's own file system serves GRUB, and later the kernel; UEFI firmware and `loader-uefi` read a
//! FAT volume with the same files, which is the CD's second boot entry and the stick's EFI system partition.
//! Invariant: never depends on when or where it is made.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use iso9660_format::{Medium, SECTOR_BYTES, Volume};

use crate::image::contents::{Contents, Loader};
use crate::image::grub::{Grub, Medium as Stage};
use crate::image::{fat, limine::Limine, names};

/// 1980-01-01, the same moment as on the FAT volume.
const EPOCH: &str = "315532800";
/// The same, as a volume's date.
const DATE: &str = "1980010100000000";
/// Where the CD's BIOS stage lies.
const BIOS_STAGE: &str = "boot/grub/eltorito.img";
/// Partition type of an EFI system partition.
const ESP_TYPE: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// Writes the ISO image to `path`.
pub fn write(path: &Path, contents: &Contents) -> Result<()> {
    names::check(contents.files.keys().map(String::as_str))?;
    let digest = contents.digest();
    let number = digest.first_chunk().copied().map_or(0, u32::from_le_bytes);
    let folder = tempfile::tempdir()?;
    let esp = folder.path().join("esp.img");
    fs::write(&esp, fat::volume(contents, number)?)?;

    let tree = folder.path().join("tree");
    for (name, bytes) in &contents.files {
        put(&tree, name, bytes)?;
    }
    let draft = path.with_extension("draft");
    // It would complain about a file that is there.
    let _ = fs::remove_file(&draft);
    let mut command = Command::new("xorriso");
    partitions(&mut command, contents, &esp);
    boot_entries(&mut command, contents.loader, &tree)?;
    command.arg("-output").arg(&draft).arg(&tree);
    let output = command
        .output()
        .context("cannot start xorriso (package xorriso)")?;
    if !output.status.success() {
        bail!(
            "xorriso failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    if contents.loader == Loader::Limine {
        Limine::find()?.install_bios(&draft, None)?;
    }
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The volume and its partitions, the UEFI volume among them.
fn partitions(command: &mut Command, contents: &Contents, esp: &Path) {
    command.env("SOURCE_DATE_EPOCH", EPOCH);
    command.args([
        "-as",
        "mkisofs",
        "-quiet",
        "-iso-level",
        "3",
        "-rational-rock",
    ]);
    command
        .args(["-volid", "CAPOS", "-volset", &contents.identity])
        .arg(format!("--modification-date={DATE}"));
    command.arg("--set_all_file_dates").arg(format!("={EPOCH}"));
    command.args(["-partition_offset", "16", "-no-pad"]);
    command.args(["-append_partition", "2", ESP_TYPE]).arg(esp);
    command.arg("-appended_part_as_gpt");
    let guid: String = contents
        .digest()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    command.args(["--gpt_disk_guid", &guid]);
}

/// How BIOS and UEFI start from the volume whose files lie in `tree`.
fn boot_entries(command: &mut Command, loader: Loader, tree: &Path) -> Result<()> {
    let stage = match loader {
        Loader::Builtin => {
            let grub = Grub::find()?;
            put(tree, BIOS_STAGE, &grub.core(Stage::Iso)?)?;
            command.arg("--grub2-mbr").arg(grub.path("boot_hybrid.img"));
            BIOS_STAGE
        }
        Loader::Limine => Limine::CD_STAGE,
    };
    command.args(["--mbr-force-bootable", "-eltorito-catalog", "boot/boot.cat"]);
    command.args(["-eltorito-boot", stage, "-no-emul-boot"]);
    command.args(["-boot-load-size", "4", "-boot-info-table"]);
    if loader == Loader::Builtin {
        command.arg("--grub2-boot-info");
    }
    command.args(["-eltorito-alt-boot", "-eltorito-platform", "efi"]);
    command.args([
        "-eltorito-boot",
        "--interval:appended_partition_2:all::",
        "-no-emul-boot",
    ]);
    Ok(())
}

fn put(tree: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = tree.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes)?;
    Ok(())
}

/// Where the file `path` of the image begins, in sectors of 512 bytes, as the kernel's own reader finds it.
pub fn sector_of(image: &Path, path: &str) -> Result<u64> {
    let mut file = fs::File::open(image)?;
    let sectors = u32::try_from(file.metadata()?.len() / SECTOR_BYTES as u64)?;
    let found = Volume::open(&mut Image(&mut file), sectors)
        .and_then(|volume| volume.find(&mut Image(&mut file), path));
    match found {
        Ok(entry) => Ok(u64::from(entry.extent.lba) * (SECTOR_BYTES as u64 / 512)),
        Err(error) => bail!("{path} on {}: {error}", image.display()),
    }
}

/// An image file as the reader's medium.
struct Image<'a>(&'a mut fs::File);

impl Medium for Image<'_> {
    type Error = std::io::Error;

    fn read(&mut self, lba: u32, into: &mut [u8]) -> std::io::Result<()> {
        self.0
            .seek(SeekFrom::Start(u64::from(lba) * SECTOR_BYTES as u64))?;
        self.0.read_exact(into)
    }
}
