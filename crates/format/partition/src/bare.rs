//! Tells a file system's boot sector from a partition sector.

/// What block 0 looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The boot sector of a FAT volume.
    Fat,
    /// The boot sector of something with this name.
    Other(&'static str),
    /// None of these, so it may be a partition sector.
    Unknown,
}

/// BitLocker To Go keeps a FAT boot sector in front, and says by this GUID that it is none.
pub(crate) const BITLOCKER_TO_GO: [u8; 16] = [
    0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01,
];

/// Recognises the boot sector of a file system by fields that boot code in a partition sector cannot have by chance.
///
/// It decides only whose block 0 is; the FAT reader does its own and complete validation. A jump instruction is not asked
/// for: nothing but a PC's firmware needs one, and small formatters leave it out.
pub(crate) fn recognise(block: &[u8]) -> Content {
    match &le::array::<8>(block, 3) {
        b"EXFAT   " => return Content::Other(crate::EXFAT),
        b"NTFS    " => return Content::Other("an NTFS volume"),
        b"-FVE-FS-" => return Content::Other("a BitLocker volume (encrypted)"),
        b"ReFS\0\0\0\0" => return Content::Other("a ReFS volume"),
        _ => {}
    }
    if le::array::<16>(block, 424) == BITLOCKER_TO_GO {
        return Content::Other("a BitLocker To Go volume (encrypted)");
    }
    if is_fat(block) {
        Content::Fat
    } else {
        Content::Unknown
    }
}

/// Whether a boot sector says in text that it is FAT (BS_FilSysType): those of floppies and small formatters may lack the signature at
/// their end, and Linux reads them.
pub(crate) fn says_fat(block: &[u8]) -> bool {
    let at = |offset| le::array::<8>(block, offset);
    [b"FAT12   ", b"FAT16   ", b"FAT     "].contains(&&at(54)) || &at(82) == b"FAT32   "
}

/// Names the boot sector in `block` where it is that of something else than FAT, though it may look like FAT.
pub fn other_boot_sector(block: &[u8]) -> Option<&'static str> {
    match recognise(block) {
        Content::Other(name) => Some(name),
        Content::Fat | Content::Unknown => None,
    }
}

fn is_fat(block: &[u8]) -> bool {
    let sector_bytes = le::u16(block, 11);
    let media = le::u8(block, 21);
    let (reserved, fats) = (u64::from(le::u16(block, 14)), u64::from(le::u8(block, 16)));
    let either = |narrow: usize, wide: usize| match le::u16(block, narrow) {
        0 => u64::from(le::u32(block, wide)),
        short => u64::from(short),
    };
    let (sectors, fat_sectors) = (either(19, 32), either(22, 36));
    matches!(sector_bytes, 512 | 1024 | 2048 | 4096)
        && le::u8(block, 13).is_power_of_two()
        && reserved != 0
        && (1..=4).contains(&fats)
        && matches!(media, 0xf0 | 0xf8..=0xff)
        && fat_sectors != 0
        && sectors > reserved + fats * fat_sectors
}
