//! The FAT32 volume of a boot medium, made in memory.
//!
//! Invariant: never takes a time, a serial number or an order from the machine it runs on, and never hands out a volume
//! that its own check finds fault with.

use anyhow::{Context, Result, bail};
use hadris_fat::sync::{check, write};
use hadris_fat::{FatKind, FatOptions, VolumeLabel};
use hadris_fs::{Content, Node, Tree};
use hadris_storage::{BlockSize, MemDevice};

use crate::image::contents::Contents;

const MIB: u64 = 1024 * 1024;
/// The smallest volume: comfortably above the 65,525 clusters that make a volume FAT32.
const MIN_MIB: u64 = 64;
/// One sector, so that a small volume has enough clusters.
const CLUSTER_BYTES: u32 = 512;
const SECTOR_BYTES: u32 = 512;
/// Room for the check's path and its map of clusters.
const SCRATCH_BYTES: usize = 64 * 1024;

/// The bytes of a volume with these files; every time on it is the first that FAT can name.
pub fn volume(contents: &Contents, serial: u32) -> Result<Vec<u8>> {
    let mib = (contents.bytes() * 5 / 4).div_ceil(MIB) + 8;
    let bytes = usize::try_from(mib.max(MIN_MIB) * MIB).context("too large a volume")?;
    let block = BlockSize::new(SECTOR_BYTES).context("no sector size")?;
    let mut disk = MemDevice::new(vec![0; bytes], block);
    let mut tree = Tree::new();
    for (path, bytes) in &contents.files {
        tree.insert(path, Node::file(Content::bytes(bytes.as_slice())))
            .with_context(|| format!("cannot put {path} on the FAT volume"))?;
    }
    let options = FatOptions::new()
        .with_kind(FatKind::Fat32)
        .with_cluster_size(CLUSTER_BYTES)
        .with_serial(serial)
        .with_label(VolumeLabel::new("CAPOSBOOT").context("no volume label")?);
    write(&mut disk, &tree, &options).context("cannot make the FAT volume")?;
    let mut findings = Vec::new();
    let mut scratch = vec![0; SCRATCH_BYTES];
    check(&mut disk, &mut scratch, |finding| {
        findings.push(finding.to_string());
    })
    .context("cannot check the FAT volume")?;
    if let Some(finding) = findings.first() {
        bail!("the FAT volume just made is faulty: {finding}");
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use super::volume;
    use crate::image::contents::{Contents, Loader};
    use std::io::{Cursor, Read};

    #[test]
    fn a_volume_holds_its_files_and_is_the_same_twice() {
        let mut contents = Contents {
            files: Default::default(),
            loader: Loader::Builtin,
            identity: String::new(),
        };
        let long = vec![7; 100_000];
        let name = "boot/bins/a-long-name-of-a-program";
        contents.files.insert(name.into(), long.clone());
        contents.files.insert("boot/manifest.bin".into(), vec![]);
        contents
            .files
            .insert("EFI/BOOT/BOOTX64.EFI".into(), vec![1]);
        let made = volume(&contents, 0x1234_5678).unwrap();
        assert!(made == volume(&contents, 0x1234_5678).unwrap());
        // Another implementation reads it.
        let system = fatfs::FileSystem::new(Cursor::new(made), fatfs::FsOptions::new()).unwrap();
        assert_eq!(system.fat_type(), fatfs::FatType::Fat32);
        assert_eq!(system.volume_id(), 0x1234_5678);
        let mut read = Vec::new();
        let root = system.root_dir();
        let mut file = root.open_file(name).unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read == long);
        assert!(root.open_file("boot/manifest.bin").is_ok());
    }
}
