//! What format a disk image is in, and whether opening it would open other files of the host.
//!
//! Invariant: an image never chooses a format in which its bytes could name another file. A guest may have written those
//! bytes: whoever opens the file that they name gives that file away.
//!
//! Sources: QEMU `docs/interop/qcow2.rst` and `qed_spec.rst`; "Virtual Disk Format 5.0" (VMware) for VMDK; the formats that name no
//! other file, or whose names QEMU does not follow: VHDX and VHD with a parent (refused by QEMU), VDI, Parallels.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use crate::image_whole;

/// The formats that `--disk FORMAT:IMAGE` takes, as QEMU calls them.
pub const FORMATS: [&str; 8] = [
    "raw",
    "qcow2",
    "vmdk",
    "vdi",
    "vhdx",
    "vpc",
    "qed",
    "parallels",
];

/// The most bytes of a VMDK descriptor that are looked at.
const DESCRIPTOR_BYTES: u64 = 64 * 1024;

/// What is no disk yet: magic, what it is, and how to make one of it.
const PACKED: [(&[u8], &str, &str); 15] = [
    (b"\xfd7zXZ\0", "compressed by xz", "xz -dk"),
    (b"\x1f\x8b\x08", "compressed by gzip", "gunzip -k"),
    (b"BZh", "compressed by bzip2", "bunzip2 -k"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -d"),
    (b"PK\x03\x04", "a ZIP archive", "unzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "lz4 -dk"),
    (b"LZIP", "compressed by lzip", "lzip -dk"),
    (b"\x89LZO\0\r\n\x1a\n", "compressed by lzop", "lzop -d"),
    (b"\x1f\x9d", "compressed by compress", "uncompress -k"),
    (b"Rar!\x1a\x07", "a RAR archive", "unrar x"),
    (b"MSCF\0\0\0\0", "a cabinet", "cabextract"),
    (b"MSWIM\0\0\0", "a Windows image", "wimlib-imagex apply"),
    (b"\x3a\xff\x26\xed", "an Android sparse image", "simg2img"),
    (b"EVF\x09\x0d\x0a\xff\0", "an EnCase image", "ewfexport"),
];

/// What the first bytes of an image say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This format, and no other file.
    Alone(&'static str),
    /// This format, and other files, named as the image names them.
    Names(&'static str, Vec<String>),
    /// One part of a split VMDK: only its descriptor, another file, says what the disk is.
    Piece,
    /// This format, and no guest can be given it: why, and what to do.
    Unusable(&'static str, &'static str, &'static str),
    /// No disk image, but something that a person can make one of: what it is, and how.
    Packed(&'static str, &'static str),
}

/// Reads what is needed to tell.
pub fn look(file: &mut File) -> std::io::Result<Found> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(4096).read_to_end(&mut head)?;
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    if at(0, b"QFI\xfb") {
        return qcow2(file, &head);
    }
    if at(0, b"KDMV") {
        return sparse_vmdk(file, &head);
    }
    if at(0, b"COWD") {
        return Ok(Found::Names("vmdk", Vec::new()));
    }
    if at(0, b"# Disk DescriptorFile") {
        let text = text_at(file, 0, DESCRIPTOR_BYTES)?;
        return Ok(Found::Names("vmdk", names_of(&text)));
    }
    if at(0, b"QED\0") {
        return qed(file, &head);
    }
    if let Some((_, what, how)) = PACKED.into_iter().find(|(magic, ..)| at(0, magic)) {
        return Ok(Found::Packed(what, how));
    }
    if ends_with_block_of(file, b"koly")? {
        return Ok(Found::Packed(
            "a disk image of macOS",
            "qemu-img convert -O raw",
        ));
    }
    if at(257, b"ustar") {
        return Ok(Found::Packed("a tar archive", "tar -xf"));
    }
    let alone = [
        (0, &b"vhdxfile"[..], "vhdx"),
        (0, b"conectix", "vpc"),
        (0x40, b"\x7f\x10\xda\xbe", "vdi"),
        (0, b"WithoutFreeSpace", "parallels"),
        (0, b"WithouFreSpacExt", "parallels"),
    ];
    let found = alone
        .into_iter()
        .find(|(offset, magic, _)| at(*offset, magic));
    if matches!(found, Some((.., "vdi"))) && !image_whole::vdi(file, &head)? {
        return Ok(cut("vdi"));
    }
    Ok(Found::Alone(found.map_or("raw", |(.., format)| format)))
}

/// Whether the file ends with the footer of a VHD of fixed size, which has nothing at its front ("Virtual Hard Disk Image Format
/// Specification", 1.0, Hard Disk Footer Format).
pub fn has_vhd_footer(file: &mut File) -> std::io::Result<bool> {
    ends_with_block_of(file, b"conectix")
}

/// Whether the last 512 bytes begin with `magic`.
fn ends_with_block_of(file: &mut File, magic: &[u8]) -> std::io::Result<bool> {
    // What is shorter has no such block.
    if file.seek(SeekFrom::End(-512)).is_err() {
        return Ok(false);
    }
    let mut footer = Vec::new();
    file.take(magic.len() as u64).read_to_end(&mut footer)?;
    Ok(footer == magic)
}

/// A field of a header; zeros where that is too short.
pub fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let field = bytes
        .get(at..at + N)
        .and_then(|field| field.try_into().ok());
    field.unwrap_or([0; N])
}

/// A name that the image keeps somewhere, as far as it can be read.
fn text_at(file: &mut File, at: u64, bytes: u64) -> std::io::Result<String> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(bytes).read_to_end(&mut text)?;
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    text.truncate(end);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A backing file, and an external data file: incompatible feature bit 2, named in header extension 0x44415441.
fn qcow2(file: &mut File, head: &[u8]) -> std::io::Result<Found> {
    let version = u32::from_be_bytes(field(head, 4));
    let backing_at = u64::from_be_bytes(field(head, 8));
    let backing_bytes = u32::from_be_bytes(field(head, 16)).min(1023);
    if u32::from_be_bytes(field(head, 32)) != 0 {
        return Ok(Found::Unusable(
            "qcow2",
            "encrypted",
            "qemu-img convert --object secret,id=s,file=PASSPHRASE --image-opts \
             driver=qcow2,file.filename=IMAGE,encrypt.key-secret=s -O raw PLAIN makes one that is not",
        ));
    }
    if !image_whole::qcow2(file, head)? {
        return Ok(cut("qcow2"));
    }
    let mut names = Vec::new();
    if backing_at != 0 {
        names.push(text_at(file, backing_at, backing_bytes.into())?);
    }
    // Version 2 has no features; whatever QEMU may make of a later version, the bit stays where it is.
    let features = u64::from_be_bytes(field(head, 72));
    if version != 2 && features & 1 << 2 != 0 {
        names.push(String::from("its external data file"));
    }
    Ok(if names.is_empty() {
        Found::Alone("qcow2")
    } else {
        Found::Names("qcow2", names)
    })
}

fn cut(format: &'static str) -> Found {
    Found::Unusable(
        format,
        "cut off: it has less bytes than its own tables say",
        "fetch or copy it again (qemu-img check says more)",
    )
}

/// Feature bit 0: a backing file.
fn qed(file: &mut File, head: &[u8]) -> std::io::Result<Found> {
    let features = u64::from_le_bytes(field(head, 16));
    if features & 1 == 0 {
        return Ok(Found::Alone("qed"));
    }
    let at = u32::from_le_bytes(field(head, 56));
    let bytes = u32::from_le_bytes(field(head, 60)).min(1023);
    Ok(Found::Names(
        "qed",
        vec![text_at(file, at.into(), bytes.into())?],
    ))
}

/// One file with a descriptor inside. A capacity of 0 makes that descriptor one of other files, and it may name a parent.
fn sparse_vmdk(file: &mut File, head: &[u8]) -> std::io::Result<Found> {
    let capacity = u64::from_le_bytes(field(head, 12));
    let at = u64::from_le_bytes(field(head, 28)).saturating_mul(512);
    let bytes = u64::from_le_bytes(field(head, 36)).saturating_mul(512);
    let mut text = String::new();
    if at != 0 {
        text = text_at(file, at, bytes.clamp(512, DESCRIPTOR_BYTES))?;
    }
    // VMware leaves the descriptor out of a part, QEMU leaves its place empty.
    if text.is_empty() && capacity != 0 {
        return Ok(Found::Piece);
    }
    let has_parent = text.contains("parentFileNameHint");
    Ok(if capacity == 0 || has_parent {
        let names = names_of(&text);
        let parent = names.into_iter().filter(|_| has_parent || capacity == 0);
        Found::Names("vmdk", parent.collect())
    } else if image_whole::sparse_vmdk(file, head)? {
        Found::Alone("vmdk")
    } else {
        cut("vmdk")
    })
}

/// The quoted names of a VMDK descriptor: extents and a parent.
fn names_of(descriptor: &str) -> Vec<String> {
    let names_a_file = |line: &&str| {
        let line = line.trim_start();
        ["RW ", "RDONLY ", "NOACCESS ", "parentFileNameHint"]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    descriptor
        .lines()
        .filter(names_a_file)
        .filter_map(|line| line.split('"').nth(1))
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Found, look};
    use std::io::Write;

    fn found(bytes: &[u8]) -> Found {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        look(&mut file).unwrap()
    }

    fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
        bytes.resize(bytes.len().max(at + what.len()), 0);
        bytes[at..at + what.len()].copy_from_slice(what);
    }

    #[test]
    fn formats_are_told_by_their_magic() {
        assert_eq!(found(b"conectix"), Found::Alone("vpc"));
        assert_eq!(found(b"WithoutFreeSpace"), Found::Alone("parallels"));
        let mut vdi = Vec::new();
        put(&mut vdi, 0x40, &[0x7f, 0x10, 0xda, 0xbe]);
        assert_eq!(found(&vdi), Found::Alone("vdi"));
        assert_eq!(found(&[0xeb, 0x58, 0x90]), Found::Alone("raw"));
        assert_eq!(found(&[]), Found::Alone("raw"));
        let xz = Found::Packed("compressed by xz", "xz -dk");
        assert_eq!(found(b"\xfd7zXZ\0\0\x04"), xz);
    }

    #[test]
    fn a_qcow2_header_that_names_a_file_is_not_followed() {
        for (version, names) in [(2, false), (3, false), (3, true), (4, true)] {
            let mut image = Vec::new();
            put(&mut image, 0, b"QFI\xfb");
            put(&mut image, 4, &u32::to_be_bytes(version));
            put(&mut image, 72, &(u64::from(names) << 2).to_be_bytes());
            put(&mut image, 103, &[0]);
            let expected = if names {
                Found::Names("qcow2", vec!["its external data file".into()])
            } else {
                Found::Alone("qcow2")
            };
            assert_eq!(found(&image), expected, "{version}");
        }
        let mut image = Vec::new();
        put(&mut image, 0, b"QFI\xfb\0\0\0\x03");
        put(&mut image, 8, &0x200u64.to_be_bytes());
        put(&mut image, 16, &11u32.to_be_bytes());
        put(&mut image, 0x200, b"/etc/shadow and more");
        let expected = Found::Names("qcow2", vec!["/etc/shadow".into()]);
        assert_eq!(found(&image), expected);
        // A place outside the image is a name all the same.
        put(&mut image, 8, &u64::MAX.to_be_bytes());
        assert!(matches!(look_at(&image), Ok(Found::Names(..)) | Err(_)));
    }

    #[test]
    fn a_qcow2_image_that_nobody_can_be_given_says_why() {
        let mut image = Vec::new();
        put(&mut image, 0, b"QFI\xfb\0\0\0\x03");
        put(&mut image, 20, &16u32.to_be_bytes());
        put(&mut image, 36, &1u32.to_be_bytes());
        put(&mut image, 40, &0x1_0000u64.to_be_bytes());
        put(&mut image, 0x1_0000, &(1u64 << 63 | 0x2_0000).to_be_bytes());
        let why = |image: &[u8]| match found(image) {
            Found::Unusable(_, why, _) => why,
            _ => "",
        };
        assert!(
            why(&image).starts_with("cut off"),
            "the second table is not there"
        );
        put(&mut image, 0x2_ffff, &[0]);
        assert_eq!(found(&image), Found::Alone("qcow2"));
        assert!(why(&image[..0x1_0004]).starts_with("cut off"));
        put(&mut image, 32, &2u32.to_be_bytes());
        assert_eq!(why(&image), "encrypted");
    }

    fn look_at(bytes: &[u8]) -> std::io::Result<Found> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        look(&mut file)
    }

    #[test]
    fn vmdk_descriptors_are_read_wherever_they_stand() {
        let text = "# Disk DescriptorFile\nversion=1\nRW 131072 SPARSE \"a-s001.vmdk\"\nRW 4 FLAT \"/etc/passwd\" 0\n";
        let names = Found::Names("vmdk", vec!["a-s001.vmdk".into(), "/etc/passwd".into()]);
        assert_eq!(found(text.as_bytes()), names);
        let sparse = |capacity: u64, text: &str| {
            let mut image = Vec::new();
            put(&mut image, 0, b"KDMV");
            put(&mut image, 12, &capacity.to_le_bytes());
            put(&mut image, 28, &1u64.to_le_bytes());
            put(&mut image, 36, &20u64.to_le_bytes());
            put(&mut image, 512, text.as_bytes());
            found(&image)
        };
        assert_eq!(
            sparse(131_072, "RW 131072 SPARSE \"own.vmdk\""),
            Found::Alone("vmdk")
        );
        assert_eq!(sparse(0, text), names);
        let parent = "parentFileNameHint=\"/etc/shadow\"\n";
        let expected = Found::Names("vmdk", vec!["/etc/shadow".into()]);
        assert_eq!(sparse(131_072, parent), expected);
    }

    #[test]
    fn a_part_of_a_split_vmdk_is_no_disk() {
        let mut part = Vec::new();
        put(&mut part, 0, b"KDMV");
        put(&mut part, 12, &131_072u64.to_le_bytes());
        put(&mut part, 1024, &[0]);
        assert_eq!(found(&part), Found::Piece);
        put(&mut part, 28, &1u64.to_le_bytes());
        put(&mut part, 36, &1u64.to_le_bytes());
        assert_eq!(found(&part), Found::Piece);
    }

    #[test]
    fn what_is_told_by_its_end_is_told() {
        let mut image = vec![0; 8192];
        put(&mut image, 7680, b"koly");
        assert!(matches!(
            found(&image),
            Found::Packed("a disk image of macOS", _)
        ));
        put(&mut image, 7680, b"conectix");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&image).unwrap();
        assert!(super::has_vhd_footer(&mut file).unwrap());
        // It reads as a raw disk with one block more.
        assert_eq!(found(&image), Found::Alone("raw"));
    }

    #[test]
    fn a_qed_backing_file_is_seen() {
        let mut image = Vec::new();
        put(&mut image, 0, b"QED\0");
        put(&mut image, 64, b"base.img");
        assert_eq!(found(&image), Found::Alone("qed"));
        put(&mut image, 16, &[1]);
        put(&mut image, 56, &64u32.to_le_bytes());
        put(&mut image, 60, &8u32.to_le_bytes());
        assert_eq!(found(&image), Found::Names("qed", vec!["base.img".into()]));
    }
}
