//! The raw disk: GPT, a BIOS boot partition and an EFI system partition, bootable both ways.
//!
//! Invariant: never writes a byte that does not follow from the contents, so two builds of the same are the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{BIOS, EFI};

use crate::image::contents::{Contents, Loader};
use crate::image::grub::{self, CODE_BYTES, Grub, Medium, SECTOR};
use crate::image::{fat, limine::Limine};

/// First sector of the BIOS boot partition; every partition begins on a mebibyte.
const BIOS_AT: u64 = 2048;
/// First sector of the EFI system partition.
const ESP_AT: u64 = 4096;
/// The backup table's sectors at the end.
const TAIL_SECTORS: u64 = 33;
/// A disk's size is a multiple of this many sectors, as clouds and firmware like it.
const ROUND_SECTORS: u64 = 2048;
/// Zero blocks of this size stay holes in the file.
const HOLE: usize = 4096;

/// Writes the disk image to `path`.
pub fn write(path: &Path, contents: &Contents) -> Result<()> {
    write_rounded(path, contents, ROUND_SECTORS * SECTOR as u64)
}

/// The same; its size is a multiple of `round_bytes`, which is one of a mebibyte.
pub fn write_rounded(path: &Path, contents: &Contents, round_bytes: u64) -> Result<()> {
    let digest = contents.digest();
    let number = |at: usize| -> u32 {
        let bytes = digest
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let volume = fat::volume(contents, number(0))?;
    let esp_sectors = (volume.len() / SECTOR) as u64;
    let sectors =
        (ESP_AT + esp_sectors + TAIL_SECTORS).next_multiple_of(round_bytes / SECTOR as u64);

    // A running guest may have the old file open; it keeps what it has.
    let draft = path.with_extension("draft");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&draft)
        .with_context(|| format!("cannot make {}", draft.display()))?;
    file.set_len(sectors * SECTOR as u64)?;

    let code = match contents.loader {
        Loader::Builtin => {
            let grub = Grub::find()?;
            let mut core = grub.core(Medium::Disk)?;
            grub::place_core(&mut core, BIOS_AT)?;
            ensure!(
                core.len() as u64 <= (ESP_AT - BIOS_AT) * SECTOR as u64,
                "GRUB's core image does not fit its partition"
            );
            write_sparse(&mut file, BIOS_AT, &core)?;
            grub.boot_code(BIOS_AT)?
        }
        // Its own tool puts its stages there below.
        Loader::Limine => [0; CODE_BYTES],
    };
    write_sparse(&mut file, ESP_AT, &volume)?;
    let id = |part: u8| identifier(&digest, part);
    let partition = |kind, part, name: &str, first_lba, count| Partition {
        part_type_guid: kind,
        part_guid: id(part),
        first_lba,
        last_lba: first_lba + count - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let partitions = BTreeMap::from([
        (
            1,
            partition(BIOS, 1, "BIOS boot", BIOS_AT, ESP_AT - BIOS_AT),
        ),
        (2, partition(EFI, 2, "capOS boot", ESP_AT, esp_sectors)),
    ]);
    write_table(&mut file, sectors, code, id(0), partitions)?;
    file.sync_all().ok();
    drop(file);
    if contents.loader == Loader::Limine {
        Limine::find()?.install_bios(&draft, Some(1))?;
    }
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The protective boot record with the boot code, and both copies of the partition table.
fn write_table(
    file: &mut File,
    sectors: u64,
    code: [u8; CODE_BYTES],
    disk_id: uuid::Uuid,
    partitions: BTreeMap<u32, Partition>,
) -> Result<()> {
    let protected = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let mut record = ProtectiveMBR::with_lb_size(protected);
    record.set_bootcode(code);
    record
        .overwrite_lba0(file)
        .context("cannot write the boot record")?;
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, Some(disk_id))
        .context("cannot make the partition table")?;
    table.update_partitions(partitions)?;
    table.write().context("cannot write the partition table")?;
    Ok(())
}

/// An identifier that follows from the contents, in the form that RFC 9562 section 5.8 leaves to its maker.
fn identifier(digest: &[u8; 32], part: u8) -> uuid::Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.get(16..).unwrap_or(&[0; 16]));
    bytes[15] = part;
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Writes `bytes` at sector `at` of an empty file; what is zero stays a hole.
pub fn write_sparse(file: &mut File, at: u64, bytes: &[u8]) -> Result<()> {
    let mut offset = at * SECTOR as u64;
    for block in bytes.chunks(HOLE) {
        if block.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(block)?;
        }
        offset += block.len() as u64;
    }
    Ok(())
}
