//! Tells a file system's boot sector from a partition sector.

use crate::error::Error;
use crate::{Block, BlockRead, le};

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
        b"EXFAT   " => return Content::Other("an exFAT volume"),
        b"NTFS    " => return Content::Other("an NTFS volume"),
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

/// What stands on devices without a signature in block 0: first byte, magic bytes, name. The bytes of one magic lie in
/// one block, whatever its size.
const UNSIGNED: [(u64, &[u8], &str); 8] = [
    (0, b"XFSB", "an XFS file system"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"LUKS\xba\xbe", "a LUKS container"),
    (0, b"QFI\xfb", "a qcow2 image inside a raw one"),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (4086, b"SWAPSPACE2", "Linux swap space"),
    (32769, b"CD001", "an ISO 9660 image"),
    (65600, b"_BHRfS_M", "a Btrfs file system"),
];

/// Names what stands on a device whose block 0 has no signature.
pub(crate) fn recognise_unsigned<D: BlockRead>(
    device: &mut D,
    block: &mut Block,
    blocks: u64,
) -> Result<Option<&'static str>, Error<D::Error>> {
    let block_bytes = block.bytes().len() as u64;
    let mut held = None;
    for (at, magic, name) in UNSIGNED {
        let (lba, within) = (at / block_bytes, (at % block_bytes) as usize);
        if lba >= blocks {
            continue;
        }
        if held != Some(lba) {
            block.load(device, lba)?;
            held = Some(lba);
        }
        if block
            .bytes()
            .get(within..)
            .is_some_and(|rest| rest.starts_with(magic))
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
