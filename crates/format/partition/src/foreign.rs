//! The names of what is no FAT volume.

use core::fmt;

use crate::bare::BITLOCKER_TO_GO;

/// Where something tells what it is: offset, magic bytes, name as part of a sentence.
type Magic = (u64, &'static [u8], &'static str);

/// What is said of it only where block 0 leads to no GPT.
pub(crate) const GPT_ALONE: &str =
    "a GPT whose protective entry in block 0 is gone (gdisk writes it anew)";

/// This system's own volume.
const OWN: &str = "a capOS volume";

/// What [`foreign`] named, to somebody who expected a FAT volume: whose it is where that is known, else that it is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFat(pub &'static str);

impl fmt::Display for NotFat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        f.write_str(if self.0 == OWN {
            ", which the service store mounts as /volume"
        } else {
            ", not FAT"
        })
    }
}

/// What [`foreign`] calls ext2, ext3 and ext4.
pub const EXT: &str = "an ext2, ext3 or ext4 file system";
/// What [`foreign`] and [`other_boot_sector`](crate::other_boot_sector) call exFAT.
pub const EXFAT: &str = "an exFAT volume";

const LUKS2_COPY: &str =
    "a LUKS2 container (encrypted) whose first header is gone (cryptsetup repair brings it back)";

/// What is known, from the formats' own documentation. Where two can stand on one device, the more telling one is first:
/// a container before what lies in it, what a person would call the disk before what is only left of an earlier use.
const MAGICS: [Magic; 76] = [
    (0, b"LUKS\xba\xbe\0\x01", "a LUKS container (encrypted)"),
    (0, b"LUKS\xba\xbe\0\x02", "a LUKS2 container (encrypted)"),
    (0x4000, b"SKUL\xba\xbe\0\x02", LUKS2_COPY),
    (0x8000, b"SKUL\xba\xbe\0\x02", LUKS2_COPY),
    (0x1_0000, b"SKUL\xba\xbe\0\x02", LUKS2_COPY),
    (3, b"-FVE-FS-", "a BitLocker volume (encrypted)"),
    (3, b"EXFAT   ", EXFAT),
    (3, b"NTFS    ", "an NTFS volume"),
    (3, b"ReFS\0\0\0\0", "a ReFS volume"),
    (
        424,
        &BITLOCKER_TO_GO,
        "a BitLocker To Go volume (encrypted)",
    ),
    (0, b"SOCvol1\0", OWN),
    (0, b"XFSB", "an XFS file system"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"QFI\xfb", "a qcow2 image inside a raw one"),
    (0, b"KDMV", "a VMDK image inside a raw one"),
    (0, b"COWD", "a VMDK image inside a raw one"),
    (
        0,
        b"# Disk DescriptorFile",
        "the descriptor of a VMDK image, not the image",
    ),
    (0, b"vhdxfile", "a VHDX image inside a raw one"),
    (0, b"conectix", "a VHD image inside a raw one"),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI image inside a raw one"),
    (0, b"QED\0", "a QED image inside a raw one"),
    (0, b"WithoutFreeSpace", "a Parallels image inside a raw one"),
    (0, b"WithouFreSpacExt", "a Parallels image inside a raw one"),
    (0, b"\xfd7zXZ\0", "a disk image compressed by xz"),
    (0, b"\x1f\x8b\x08", "a disk image compressed by gzip"),
    (0, b"BZh", "a disk image compressed by bzip2"),
    (0, b"\x28\xb5\x2f\xfd", "a disk image compressed by zstd"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS image"),
    (0, b"\x45\x3d\xcd\x28", "a cramfs image"),
    (32, b"NXSB", "an APFS container"),
    (512, b"LABELONE", "an LVM2 physical volume"),
    (0, b"LABELONE", "an LVM2 physical volume"),
    (1024, b"LABELONE", "an LVM2 physical volume"),
    (1536, b"LABELONE", "an LVM2 physical volume"),
    (0, b"\xfc\x4e\x2b\xa9", "a member of a Linux software RAID"),
    (
        4096,
        b"\xfc\x4e\x2b\xa9",
        "a member of a Linux software RAID",
    ),
    (4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca", "a bcache device"),
    (
        4120,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9",
        "a bcachefs file system",
    ),
    (1024, b"H+\0\x04", "an HFS+ volume"),
    (1024, b"HX\0\x05", "an HFS+ volume"),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (4086, b"SWAPSPACE2", "Linux swap space"),
    (4086, b"SWAP-SPACE", "Linux swap space"),
    (8182, b"SWAPSPACE2", "Linux swap space"),
    (16374, b"SWAPSPACE2", "Linux swap space"),
    (65526, b"SWAPSPACE2", "Linux swap space"),
    (32768, b"JFS1", "a JFS file system"),
    (32769, b"CD001", "an ISO 9660 image"),
    (32769, b"BEA01", "a UDF volume"),
    (32769, b"NSR0", "a UDF volume"),
    (65588, b"ReIsErFs", "a ReiserFS file system"),
    (65588, b"ReIsEr2Fs", "a ReiserFS file system"),
    (65600, b"_BHRfS_M", "a Btrfs file system"),
    (66908, b"\x19\x01\x54\x19", "a UFS2 file system"),
    (512, b"PM\0\0", "an Apple partition map"),
    (512, b"\x57\x45\x56\x82", "a BSD disklabel"),
    (3072, b"PRIVHEAD", "a Windows dynamic disk"),
    (9564, b"\x54\x19\x01\0", "a UFS file system"),
    (1 << 17, b"\x0c\xb1\xba\0\0\0\0\0", "a member of a ZFS pool"),
    (1 << 20, b"\x0d\xd0\x01\xc0", "a VMFS volume"),
    (65536, b"\x01\x16\x19\x70", "a GFS2 file system"),
    (512, b"EFI PART", GPT_ALONE),
    (4096, b"EFI PART", GPT_ALONE),
    // Two bytes say little, so these come last.
    (1080, b"\x53\xef", EXT),
    (1024, b"BD", "an HFS volume"),
    (1030, b"\x34\x34", "a NILFS2 file system"),
    (1040, b"\x7f\x13", "a Minix file system"),
    (1040, b"\x8f\x13", "a Minix file system"),
    (1040, b"\x68\x24", "a Minix file system"),
    (1040, b"\x78\x24", "a Minix file system"),
    (1048, b"\x5a\x4d", "a Minix file system"),
    // What is left of a volume that lost its first block.
    (3154, b"FAT32   ", FAT32_BY_COPY),
];

/// Only the copy of its boot sector is left.
const FAT32_BY_COPY: &str =
    "a FAT32 volume whose boot sector is gone (fsck.fat brings back the copy in block 6)";

/// The longest of [`MAGICS`].
const LONGEST: usize = 24;

/// Names what stands on a device or partition of `len` bytes. `read` fills its buffer from an offset and says whether it
/// could; what cannot be read tells nothing.
pub fn foreign(len: u64, mut read: impl FnMut(u64, &mut [u8]) -> bool) -> Option<&'static str> {
    let mut stands = |at: u64, magic: &[u8]| {
        let mut seen = [0; LONGEST];
        let end = at.checked_add(magic.len() as u64);
        seen.get_mut(..magic.len()).is_some_and(|seen| {
            end.is_some_and(|end| end <= len) && read(at, seen) && seen == magic
        })
    };
    let (_, _, name) = MAGICS.iter().find(|(at, magic, _)| stands(*at, magic))?;
    // With a boot sector of its own, whatever is wrong with that one is the reason.
    (*name != FAT32_BY_COPY || !stands(82, b"FAT32   ")).then_some(*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magic_fits_and_is_found_where_it_stands() {
        for (at, magic, name) in MAGICS {
            assert!(magic.len() <= LONGEST && !magic.is_empty());
            let named = foreign(at + magic.len() as u64, |from, to| {
                to.fill(0);
                for (index, byte) in to.iter_mut().enumerate() {
                    let place = (from + index as u64).checked_sub(at);
                    let byte_there = place.and_then(|place| magic.get(place as usize));
                    *byte = byte_there.copied().unwrap_or(0);
                }
                true
            });
            assert_eq!(named, Some(name));
            assert_eq!(
                foreign(at + magic.len() as u64 - 1, |_, _| true),
                None,
                "{name}"
            );
            assert_eq!(foreign(u64::MAX, |_, _| false), None);
        }
    }
}
