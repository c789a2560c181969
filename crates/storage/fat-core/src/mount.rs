//! What lies on a disk: its partitions, what each holds, and which volume is the disk's own.

use alloc::{format, string::String, string::ToString, vec::Vec};
use core::fmt;

use foreign_bytes::{Blocks, ReadError};
use partition::{
    Besides, EXFAT, EXT, GptFault, Label, Layout, NotFat, Refused, Scheme, VolumeKind,
    find_volumes, foreign, other_boot_sector,
};

use crate::{Cache, CacheError, Disk, Mounted, Part, Volume};

/// Why there is no volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountError<E> {
    /// The device failed.
    Device(E),
    /// The disk or partition holds something that is not read here.
    Unsupported(String),
    /// The disk or partition says that it holds a volume, or a table, and contradicts itself.
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

/// One partition, or a disk that is one volume.
pub struct Place<E> {
    /// Its number as tools count; 0 for the whole disk.
    pub number: u32,
    /// First byte on the disk.
    pub first_byte: u64,
    /// Bytes of it that are there.
    pub bytes: u64,
    /// Bytes that it has by its table and that the disk is too small for.
    pub missing: u64,
    /// Its name, where the table gives one.
    pub label: Label,
    /// What the table says it is for.
    pub kind: VolumeKind,
    /// The volume, or why there is none.
    pub content: Result<Mounted, MountError<E>>,
}

/// Everything that was found on a disk.
pub struct Survey<E> {
    /// In the order of the table.
    pub places: Vec<Place<E>>,
    /// Partitions that cannot be true.
    pub refused: Vec<Refused>,
    /// Partitions that are not in these lists, because there are too many.
    pub omitted: u32,
    /// What is wrong with the first copy of the GPT, if the second had to do.
    pub gpt_fault: Option<GptFault>,
    /// What the disk holds besides its table, and is not used.
    pub besides: Option<Besides>,
    /// Block size that the table was made for, where it is not the disk's.
    pub table_block_bytes: Option<u32>,
    /// Which of `places` stands for the disk, where one volume is asked for.
    pub main: Option<usize>,
}

impl<E> Survey<E> {
    /// That of a disk that is one volume.
    fn of(whole: Place<E>) -> Self {
        Self {
            places: alloc::vec![whole],
            refused: Vec::new(),
            omitted: 0,
            gpt_fault: None,
            besides: None,
            table_block_bytes: None,
            main: Some(0),
        }
    }
}

impl<E: fmt::Display + Clone> Survey<E> {
    /// Why there is no volume on the disk, in one sentence about the most promising place.
    pub fn problem(&self) -> MountError<E> {
        let hinted = |place: &&Place<E>| place.kind.suggests_fat();
        let place = self.places.iter().find(hinted).or(self.places.first());
        match (place.map(|p| (p.number, &p.content)), self.refused.first()) {
            (Some((number, Err(error))), _) => match error {
                MountError::Device(error) => MountError::Device(error.clone()),
                _ if number == 0 => error.clone(),
                MountError::Unsupported(text) => {
                    MountError::Unsupported(format!("partition {number}: {text}"))
                }
                MountError::Corrupt(text) => {
                    MountError::Corrupt(format!("partition {number}: {text}"))
                }
            },
            (_, Some(refused)) => {
                MountError::Corrupt(format!("partition {}: {}", refused.number, refused.fault))
            }
            _ => MountError::Unsupported("the partition table lists no partitions".to_string()),
        }
    }
}

/// Looks at everything on a disk. The volume that stands for the disk is the first that can be read: partitions that
/// call themselves FAT come first, then the others in order.
///
/// # Errors
/// [`MountError`], where nothing can be said about any part of the disk.
pub fn survey<D: Disk>(cache: &mut Cache<D>) -> Result<Survey<D::Error>, MountError<D::Error>>
where
    D::Error: fmt::Display,
{
    let layout = match find_volumes(cache) {
        Ok(layout) => layout,
        Err(partition::Error::Read {
            error: CacheError::Device(error),
            ..
        }) => {
            return Err(MountError::Device(error));
        }
        Err(partition::Error::OtherFileSystem { name: EXT | EXFAT }) => {
            let whole = whole_disk(cache);
            return match whole.content {
                Ok(_) => Ok(Survey::of(whole)),
                Err(error) => Err(error),
            };
        }
        Err(
            error @ (partition::Error::Empty
            | partition::Error::NoTable
            | partition::Error::OtherFileSystem { .. }),
        ) => return Err(MountError::Unsupported(error.to_string())),
        Err(error) => return Err(MountError::Corrupt(error.to_string())),
    };
    let mut places: Vec<_> = layout
        .volumes
        .iter()
        .map(|v| place(cache, &layout, v))
        .collect();
    let first = |places: &[Place<D::Error>], hinted| {
        places
            .iter()
            .position(|p| p.content.is_ok() && p.kind.suggests_fat() == hinted)
    };
    let mut main = first(&places, true).or_else(|| first(&places, false));
    let mut besides = layout.besides;
    if main.is_none() && besides == Some(Besides::Fat) {
        // The table is what is left over: nothing that can be read stands where it points.
        let whole = whole_disk(cache);
        if whole.content.is_ok() {
            main = Some(places.len());
            besides = None;
            places.push(whole);
        }
    }
    if places.is_empty() && layout.refused.is_empty() && calls_itself_fat(cache) {
        // No table at all, but a boot sector that cannot be true: what is wrong with it is the reason.
        places.push(whole_disk(cache));
    }
    Ok(Survey {
        places,
        omitted: layout.omitted,
        gpt_fault: match layout.scheme {
            Scheme::GptBackup { primary } => Some(primary),
            _ => None,
        },
        besides,
        table_block_bytes: Some(layout.block_bytes)
            .filter(|bytes| *bytes != cache.disk().block_bytes()),
        refused: layout.refused,
        main,
    })
}

/// Whether block 0 names a FAT type where a boot sector does (Microsoft, FAT32 File System Specification, section on the
/// boot sector: `BS_FilSysType`). It says nothing about the volume being one.
fn calls_itself_fat<D: Disk>(cache: &mut Cache<D>) -> bool {
    let mut part = Part {
        bytes: cache.disk_bytes(),
        cache,
        first_byte: 0,
    };
    let mut sector = [0; 512];
    Blocks::read(&mut part, 0, &mut sector).is_ok()
        && (sector[54..57] == *b"FAT" || sector[82..85] == *b"FAT")
}

fn place<D: Disk>(
    cache: &mut Cache<D>,
    layout: &Layout,
    volume: &partition::Volume,
) -> Place<D::Error>
where
    D::Error: fmt::Display,
{
    let (first_byte, bytes) = layout.bytes_of(volume);
    Place {
        number: volume.number,
        first_byte,
        bytes,
        missing: volume.missing.saturating_mul(layout.block_bytes.into()),
        label: volume.label,
        kind: volume.kind,
        content: mount(cache, first_byte, bytes),
    }
}

fn whole_disk<D: Disk>(cache: &mut Cache<D>) -> Place<D::Error>
where
    D::Error: fmt::Display,
{
    let bytes = cache.disk_bytes();
    Place {
        number: 0,
        first_byte: 0,
        bytes,
        missing: 0,
        label: Label::EMPTY,
        kind: VolumeKind::Bare,
        content: mount(cache, 0, bytes),
    }
}

/// Mounts what lies at one place.
fn mount<D: Disk>(
    cache: &mut Cache<D>,
    first_byte: u64,
    bytes: u64,
) -> Result<Mounted, MountError<D::Error>>
where
    D::Error: fmt::Display,
{
    let mut part = Part {
        cache,
        first_byte,
        bytes,
    };
    let mut read = |at, to: &mut [u8]| Blocks::read(&mut part, at, to).is_ok();
    let mut sector = [0; 512];
    // Some look like FAT and say that they are not.
    if read(0, &mut sector)
        && let Some(name) = other_boot_sector(&sector)
    {
        return match name {
            EXFAT => exfat(&mut part).map(|volume| mounted(volume, first_byte, bytes)),
            _ => Err(MountError::Unsupported(format!("it is {}", NotFat(name)))),
        };
    }
    let error = match fat_format::Volume::mount(&mut part) {
        Ok(volume) => return Ok(mounted(Volume::Fat(volume), first_byte, bytes)),
        Err(fat_format::Error::Read(ReadError::Device(CacheError::Device(error)))) => {
            return Err(MountError::Device(error));
        }
        Err(error) => error,
    };
    let mut read = |at, to: &mut [u8]| Blocks::read(&mut part, at, to).is_ok();
    Err(match (foreign(bytes, &mut read), &error) {
        (Some(EXT), _) => return ext(&mut part).map(|volume| mounted(volume, first_byte, bytes)),
        (Some(name), _) => MountError::Unsupported(format!("it is {}", NotFat(name))),
        (None, fat_format::Error::NotFat { .. }) => MountError::Unsupported(error.to_string()),
        (None, _) => MountError::Corrupt(error.to_string()),
    })
}

const fn mounted(volume: Volume, first_byte: u64, bytes: u64) -> Mounted {
    Mounted {
        volume,
        first_byte,
        bytes,
    }
}

fn ext<D: Disk>(part: &mut Part<'_, D>) -> Result<Volume, MountError<D::Error>>
where
    D::Error: fmt::Display,
{
    use ext_format::Error;
    ext_format::Volume::mount(part)
        .map(Volume::Ext)
        .map_err(|error| match error {
            Error::Read(ReadError::Device(CacheError::Device(error))) => MountError::Device(error),
            Error::Unsupported { .. } => MountError::Unsupported(format!("it is {EXT}: {error}")),
            _ => MountError::Corrupt(format!("it is {EXT}, and damaged: {error}")),
        })
}

fn exfat<D: Disk>(part: &mut Part<'_, D>) -> Result<Volume, MountError<D::Error>>
where
    D::Error: fmt::Display,
{
    use exfat_format::Error;
    exfat_format::Volume::mount(part)
        .map(Volume::Exfat)
        .map_err(|error| match error {
            Error::Read(ReadError::Device(CacheError::Device(error))) => MountError::Device(error),
            _ => MountError::Corrupt(format!("it is {EXFAT}, and damaged: {error}")),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Image, fat_image};
    use alloc::vec;

    fn problem(image: Image) -> String {
        match survey(&mut Cache::new(image)) {
            Ok(survey) if survey.main.is_some() => String::from("mounted"),
            Ok(survey) => survey.problem().to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// A disk with these partitions: type byte, first block, content.
    fn disk(parts: &[(u8, u32, &[u8])]) -> Vec<u8> {
        let mut disk = vec![0; 512];
        disk[510..].copy_from_slice(&[0x55, 0xaa]);
        for (index, (kind, first, content)) in parts.iter().enumerate() {
            let entry = 446 + index * 16;
            let blocks = (content.len() / 512) as u32;
            disk[entry + 4] = *kind;
            disk[entry + 8..entry + 12].copy_from_slice(&first.to_le_bytes());
            disk[entry + 12..entry + 16].copy_from_slice(&blocks.to_le_bytes());
            let begin = *first as usize * 512;
            disk.resize(disk.len().max(begin + content.len()), 0);
            disk[begin..begin + content.len()].copy_from_slice(content);
        }
        disk
    }

    fn look(bytes: Vec<u8>) -> (Cache<Image>, Survey<u8>) {
        let mut cache = Cache::new(Image::new(bytes, 512));
        let survey = survey(&mut cache).unwrap_or_else(|e| panic!("{e}"));
        (cache, survey)
    }

    fn has(cache: &mut Cache<Image>, mounted: &Mounted, name: &str) -> bool {
        let root = mounted.fat().root();
        let found = mounted.fat().resolve(&mut mounted.part(cache), &root, name);
        found.is_ok()
    }

    #[test]
    fn every_partition_is_found_with_what_it_holds() {
        let (one, two) = (
            fat_image(&[("one.txt", b"1")]),
            fat_image(&[("two.txt", b"2")]),
        );
        let mut ext = vec![0; 4096];
        ext[1080..1082].copy_from_slice(b"\x53\xef");
        let (mut cache, survey) = look(disk(&[
            (0x83, 2048, &ext),
            (0x83, 4096, &one),
            (0x0c, 16384, &two),
            (0x0c, 40000, &[0; 512]),
        ]));
        // The one whose type says FAT stands for the disk.
        assert_eq!(survey.main, Some(2));
        let texts: Vec<String> = survey
            .places
            .iter()
            .map(|p| {
                p.content
                    .as_ref()
                    .map_or_else(|e| e.to_string(), |_| "FAT".into())
            })
            .collect();
        assert_eq!(
            texts,
            [
                "it is an ext2, ext3 or ext4 file system, and damaged: the superblock names an impossible number of inodes in a group; e2fsck repairs it on the system it comes from",
                "FAT",
                "FAT",
                "not a FAT volume: the first sector is empty"
            ]
        );
        for (index, name) in [(1, "one.txt"), (2, "two.txt")] {
            let mounted = survey.places[index]
                .content
                .clone()
                .unwrap_or_else(|e| panic!("{e}"));
            assert!(has(&mut cache, &mounted, name));
        }
    }

    #[test]
    fn a_left_over_boot_sector_hides_nothing_and_a_left_over_table_neither() {
        let present = fat_image(&[("present.txt", b"new")]);
        let mut image = disk(&[(0x0c, 12288, &present)]);
        let mut old = fat_image(&[("old.txt", b"old")]);
        old[446..510].copy_from_slice(&image[446..510]);
        image[..old.len()].copy_from_slice(&old);
        let (mut cache, survey) = look(image.clone());
        assert_eq!((survey.main, survey.besides), (Some(0), Some(Besides::Fat)));
        let mounted = survey.places[0]
            .content
            .clone()
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(has(&mut cache, &mounted, "present.txt"));
        // Nothing stands where the table points: then the boot sector is the truth.
        image[12288 * 512..].fill(0);
        let (mut cache, survey) = look(image);
        assert_eq!((survey.main, survey.besides), (Some(1), None));
        let mounted = survey.places[1]
            .content
            .clone()
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(has(&mut cache, &mounted, "old.txt"));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(
            problem(Image::new(vec![0; 65536], 512)),
            "no partition table and no FAT volume: block 0 lacks the 55 AA signature"
        );
        let mut linux = vec![0; 65536];
        linux[1080..1082].copy_from_slice(b"\x53\xef");
        for block_bytes in [512, 4096] {
            assert_eq!(
                problem(Image::new(linux.clone(), block_bytes)),
                "it is an ext2, ext3 or ext4 file system, and damaged: the superblock names an impossible number of inodes in a group; e2fsck repairs it on the system it comes from"
            );
        }
        let mut own = vec![0; 65536];
        own[..8].copy_from_slice(b"SOCvol1\0");
        assert_eq!(
            problem(Image::new(own, 512)),
            "the disk holds a capOS volume, which the service store mounts as /volume"
        );
        let mut failing = Image::new(vec![0; 65536], 512);
        failing.fail_from = Some(0);
        assert_eq!(problem(failing), "the disk cannot be read: 7");
        let mut table = vec![0; 65536];
        table[510] = 0x55;
        table[511] = 0xaa;
        assert_eq!(
            problem(Image::new(table, 512)),
            "the partition table lists no partitions"
        );
        let mut ntfs = vec![0; 4096];
        ntfs[3..11].copy_from_slice(b"NTFS    ");
        ntfs[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(
            problem(Image::new(disk(&[(7, 2048, &ntfs)]), 512)),
            "partition 1: it is an NTFS volume, not FAT"
        );
    }

    #[test]
    fn a_bad_partition_keeps_nobody_from_the_others() {
        let good = fat_image(&[("good.txt", b"1")]);
        let bytes = disk(&[(0x0c, 64, &[0; 512]), (0x0c, 2048, &good)]);
        let mut image = Image::new(bytes, 512);
        image.bad = vec![64];
        let mut cache = Cache::new(image);
        let survey = survey(&mut cache).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(survey.main, Some(1));
        assert!(matches!(
            survey.places[0].content,
            Err(MountError::Device(7))
        ));
    }
}
