//! Which volume of a disk is taken.

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;

use fat_format::Volume;
use partition::{GptFault, Scheme, VolumeKind, find_volumes};

use crate::{Cache, CacheError, Disk, Part};

/// A FAT volume and where on its disk it lies.
#[derive(Clone, Copy)]
pub struct Mounted {
    /// The volume.
    pub volume: Volume,
    /// First byte on the disk.
    pub first_byte: u64,
    /// Bytes of its partition.
    pub bytes: u64,
    /// The number of its partition; `None` for a volume that fills the disk.
    pub partition: Option<u32>,
    /// How many more partitions call themselves FAT; one disk serves one volume.
    pub others: usize,
    /// What is wrong with the first copy of the GPT, if the second had to do.
    pub gpt_fault: Option<GptFault>,
}

impl Mounted {
    /// The volume's bytes.
    pub const fn part<'a, D>(&self, cache: &'a mut Cache<D>) -> Part<'a, D> {
        Part {
            cache,
            first_byte: self.first_byte,
            bytes: self.bytes,
        }
    }
}

/// Why there is no volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountError<E> {
    /// The device failed.
    Device(E),
    /// The disk holds something else than FAT.
    Unsupported(String),
    /// The disk says it holds FAT, or a table, and contradicts itself.
    Corrupt(String),
}

impl<E: fmt::Display> fmt::Display for MountError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "the disk cannot be read: {error}"),
            Self::Unsupported(text) | Self::Corrupt(text) => f.write_str(text),
        }
    }
}

/// Mounts the first FAT volume of a disk: partitions that call themselves FAT first, then the others in order.
///
/// # Errors
/// [`MountError`], which says what the most promising partition lacks.
pub fn mount<D: Disk>(cache: &mut Cache<D>) -> Result<Mounted, MountError<D::Error>>
where
    D::Error: fmt::Display,
{
    let block_bytes = u64::from(cache.disk().block_bytes());
    let layout = match find_volumes(cache) {
        Ok(layout) => layout,
        Err(partition::Error::Read {
            error: CacheError::Device(error),
            ..
        }) => {
            return Err(MountError::Device(error));
        }
        Err(
            error @ (partition::Error::Empty
            | partition::Error::NoTable
            | partition::Error::OtherFileSystem { .. }),
        ) => return Err(MountError::Unsupported(error.to_string())),
        Err(error) => return Err(MountError::Corrupt(error.to_string())),
    };
    let mut first: Option<MountError<D::Error>> = None;
    for hinted in [true, false] {
        for entry in layout
            .volumes
            .iter()
            .filter(|v| v.kind.suggests_fat() == hinted)
        {
            let (Some(first_byte), Some(bytes)) = (
                entry.first_lba.checked_mul(block_bytes),
                entry.blocks.checked_mul(block_bytes),
            ) else {
                continue;
            };
            let mut part = Part {
                cache,
                first_byte,
                bytes,
            };
            let error = match Volume::mount(&mut part) {
                Ok(volume) => {
                    return Ok(Mounted {
                        volume,
                        first_byte,
                        bytes,
                        partition: (entry.kind != VolumeKind::Bare).then_some(entry.number),
                        others: layout
                            .volumes
                            .iter()
                            .filter(|v| v.number != entry.number && v.kind.suggests_fat())
                            .count(),
                        gpt_fault: match layout.scheme {
                            Scheme::GptBackup { primary } => Some(primary),
                            _ => None,
                        },
                    });
                }
                Err(fat_format::Error::Device(CacheError::Device(error))) => {
                    return Err(MountError::Device(error));
                }
                Err(error) => error,
            };
            let text = match entry.kind {
                VolumeKind::Bare => error.to_string(),
                _ => format!("partition {}: {error}", entry.number),
            };
            first.get_or_insert(match error {
                fat_format::Error::NotFat { .. } => MountError::Unsupported(text),
                _ => MountError::Corrupt(text),
            });
        }
    }
    Err(first.unwrap_or_else(|| match layout.refused.first() {
        Some(refused) => {
            MountError::Corrupt(format!("partition {}: {}", refused.number, refused.fault))
        }
        None => MountError::Unsupported("the partition table lists no partitions".to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Image, fat_image};

    fn problem(image: Image) -> String {
        match mount(&mut Cache::new(image)) {
            Ok(_) => String::from("mounted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_bare_volume_and_a_partition_mount() {
        let fat = fat_image(&[("a.txt", b"hello")]);
        let mut bare = Cache::new(Image::new(fat.clone(), 512));
        let mounted = mount(&mut bare).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((mounted.first_byte, mounted.partition), (0, None));

        // One MBR partition, of type FAT32, from block 2048 on.
        let mut disk = alloc::vec![0; 2048 * 512];
        let blocks = (fat.len() / 512) as u32;
        disk[446 + 4] = 0x0c;
        disk[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
        disk[446 + 12..446 + 16].copy_from_slice(&blocks.to_le_bytes());
        // And one more behind it, which holds nothing.
        disk[462 + 4] = 0x0e;
        disk[462 + 8..462 + 12].copy_from_slice(&(2048 + blocks).to_le_bytes());
        disk[462 + 12] = 1;
        disk[510] = 0x55;
        disk[511] = 0xaa;
        disk.extend_from_slice(&fat);
        disk.extend_from_slice(&[0; 512]);
        let mut disk = Cache::new(Image::new(disk, 512));
        let mounted = mount(&mut disk).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(mounted.first_byte, 2048 * 512);
        assert_eq!((mounted.partition, mounted.others), (Some(1), 1));
        let root = mounted.volume.root();
        assert!(
            mounted
                .volume
                .resolve(&mut mounted.part(&mut disk), &root, "a.txt")
                .is_ok()
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(
            problem(Image::new(alloc::vec![0; 65536], 512)),
            "no partition table and no FAT volume: block 0 lacks the 55 AA signature"
        );
        let mut linux = alloc::vec![0; 65536];
        linux[1080..1082].copy_from_slice(b"\x53\xef");
        for block_bytes in [512, 4096] {
            assert_eq!(
                problem(Image::new(linux.clone(), block_bytes)),
                "the disk holds an ext2, ext3 or ext4 file system, not FAT"
            );
        }
        let mut failing = Image::new(alloc::vec![0; 65536], 512);
        failing.fail_from = Some(0);
        assert_eq!(problem(failing), "the disk cannot be read: 7");
        let mut table = alloc::vec![0; 65536];
        table[510] = 0x55;
        table[511] = 0xaa;
        assert_eq!(
            problem(Image::new(table, 512)),
            "the partition table lists no partitions"
        );
    }
}
