//! Tells a file system's boot sector from a partition sector.

use crate::le;

/// What block 0 looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The boot sector of a FAT volume.
    Fat,
    /// The boot sector of a file system with this name.
    Other(&'static str),
    /// None of these, so it may be a partition sector.
    Unknown,
}

/// Recognises the boot sector of a file system by fields that boot code in a partition sector cannot have by chance.
///
/// It decides only whose block 0 is; the FAT reader does its own and complete validation.
pub(crate) fn recognise(block: &[u8]) -> Content {
    match &le::array::<8>(block, 3) {
        b"EXFAT   " => return Content::Other("exFAT"),
        b"NTFS    " => return Content::Other("NTFS"),
        _ => {}
    }
    let jump = matches!(le::array::<3>(block, 0), [0xeb, _, 0x90] | [0xe9, _, _]);
    let sector_bytes = matches!(le::u16(block, 11), 512 | 1024 | 2048 | 4096);
    let cluster = le::u8(block, 13).is_power_of_two();
    let reserved = le::u16(block, 14) != 0;
    let fats = (1..=4).contains(&le::u8(block, 16));
    let media = matches!(le::u8(block, 21), 0xf0 | 0xf8..=0xff);
    let total = le::u16(block, 19) != 0 || le::u32(block, 32) != 0;
    let fat_size = le::u16(block, 22) != 0 || le::u32(block, 36) != 0;
    if jump && sector_bytes && cluster && reserved && fats && media && total && fat_size {
        Content::Fat
    } else {
        Content::Unknown
    }
}
