//! The FAT32 volume of a boot medium, made in memory.
//!
//! Invariant: never takes a time, a serial number or an order from the machine it runs on.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};

use anyhow::{Context, Result};
use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

use crate::image::contents::Contents;

const MIB: u64 = 1024 * 1024;
/// The smallest volume: comfortably above the 65,525 clusters that make a volume FAT32.
const MIN_MIB: u64 = 64;
/// One sector, so that a small volume has enough clusters.
const CLUSTER_BYTES: u32 = 512;

/// The same moment for every file, the first that FAT can name.
#[derive(Debug)]
struct FixedTime;

const FIRST_DAY: Date = Date {
    year: 1980,
    month: 1,
    day: 1,
};

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        FIRST_DAY
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time {
            hour: 0,
            min: 0,
            sec: 0,
            millis: 0,
        };
        DateTime {
            date: FIRST_DAY,
            time,
        }
    }
}

/// The bytes of a volume with these files.
pub fn volume(contents: &Contents, serial: u32) -> Result<Vec<u8>> {
    let mib = (contents.bytes() * 5 / 4).div_ceil(MIB) + 8;
    let bytes = usize::try_from(mib.max(MIN_MIB) * MIB).context("too large a volume")?;
    let mut disk = Cursor::new(vec![0; bytes]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER_BYTES)
        .volume_id(serial)
        .volume_label(*b"CAPOSBOOT  ");
    fatfs::format_volume(&mut disk, options).context("cannot make the FAT volume")?;
    {
        let options = FsOptions::new().time_provider(&FixedTime);
        let system = FileSystem::new(&mut disk, options)?;
        let root = system.root_dir();
        let mut folders = BTreeSet::new();
        for (path, bytes) in &contents.files {
            for (at, _) in path.match_indices('/') {
                let folder = path.get(..at).unwrap_or_default();
                if folders.insert(folder) {
                    root.create_dir(folder)?;
                }
            }
            let mut file = root.create_file(path)?;
            file.write_all(bytes)
                .and_then(|()| file.flush())
                .with_context(|| format!("cannot put {path} on the FAT volume"))?;
        }
        drop(root);
        system.unmount()?;
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
        };
        let long = vec![7; 100_000];
        contents
            .files
            .insert("boot/bins/a-long-name-of-a-program".into(), long.clone());
        contents.files.insert("boot/manifest.bin".into(), vec![]);
        contents
            .files
            .insert("EFI/BOOT/BOOTX64.EFI".into(), vec![1]);
        let made = volume(&contents, 0x1234_5678).unwrap();
        assert!(made == volume(&contents, 0x1234_5678).unwrap());
        let system = fatfs::FileSystem::new(Cursor::new(made), fatfs::FsOptions::new()).unwrap();
        assert_eq!(system.fat_type(), fatfs::FatType::Fat32);
        assert_eq!(system.volume_id(), 0x1234_5678);
        let mut read = Vec::new();
        let root = system.root_dir();
        let mut file = root
            .open_file("boot/bins/a-long-name-of-a-program")
            .unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read == long);
        assert!(root.open_file("boot/manifest.bin").is_ok());
    }
}
