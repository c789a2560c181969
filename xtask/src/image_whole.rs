//! Whether an image is as long as its own tables say. What lies behind its end QEMU reads as zeros, without a word: half a
//! download would be an empty disk.
//!
//! Invariant: never calls an image cut that is not: what it does not understand, or has no time for, is whole.
//!
//! Sources: QEMU `docs/interop/qcow2.rst` and `block/vdi.c`; "Virtual Disk Format 5.0" (VMware), Hosted Sparse Extents.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};

use crate::image_format::field;

/// The most bytes of tables that are looked at.
const MOST_TABLE_BYTES: u64 = 32 << 20;
const SECTOR: u64 = 512;

/// A file with what is left to be looked at.
struct Tables<'f> {
    file: &'f mut File,
    len: u64,
    left: u64,
}

impl<'f> Tables<'f> {
    /// `None` for what has no length here: a block device.
    fn new(file: &'f mut File) -> Result<Option<Self>> {
        let len = file.metadata()?.len();
        let left = MOST_TABLE_BYTES;
        Ok((len != 0).then_some(Self { file, len, left }))
    }

    fn holds(&self, at: u64, bytes: u64) -> bool {
        at.checked_add(bytes).is_some_and(|end| end <= self.len)
    }

    /// A table that lies in the file; `None` where it would be too much.
    fn read(&mut self, at: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        let Some(left) = self.left.checked_sub(bytes) else {
            return Ok(None);
        };
        self.left = left;
        let mut table = Vec::new();
        self.file.seek(SeekFrom::Start(at))?;
        (&mut *self.file).take(bytes).read_to_end(&mut table)?;
        Ok(Some(table))
    }
}

/// Whether both levels of a qcow2 image's tables, and the clusters that they lead to, begin within the file.
pub fn qcow2(file: &mut File, head: &[u8]) -> Result<bool> {
    const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    const COMPRESSED: u64 = 1 << 62;
    let cluster_bits = u32::from_be_bytes(field(head, 20));
    let entries = u64::from(u32::from_be_bytes(field(head, 36)));
    let at = u64::from_be_bytes(field(head, 40));
    let cluster = 1_u64.checked_shl(cluster_bits).unwrap_or(u64::MAX);
    // With extended entries the second tables look different (incompatible feature bit 4), with an external file the data lies
    // there (bit 2).
    let version = u32::from_be_bytes(field(head, 4));
    let features = u64::from_be_bytes(field(head, 72));
    let plain = version < 3 || features & 0b1_0100 == 0;
    let Some(mut tables) = Tables::new(file)? else {
        return Ok(true);
    };
    // A size beyond QEMU's bounds is QEMU's to refuse.
    if cluster > 2 << 20 || entries * 8 > MOST_TABLE_BYTES {
        return Ok(true);
    }
    if !tables.holds(at, entries * 8) {
        return Ok(false);
    }
    let Some(first) = tables.read(at, entries * 8)? else {
        return Ok(true);
    };
    for second in words(&first)
        .map(|word| word & OFFSET)
        .filter(|at| *at != 0)
    {
        if !tables.holds(second, cluster) {
            return Ok(false);
        }
        let Some(table) = tables.read(second, cluster)? else {
            return Ok(true);
        };
        let mut data = words(&table).filter(|word| plain && word & COMPRESSED == 0);
        if data.any(|word| word & OFFSET >= tables.len) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn words(table: &[u8]) -> impl Iterator<Item = u64> {
    let whole = table.as_chunks::<8>().0.iter();
    whole.map(|word| u64::from_be_bytes(*word))
}

/// Whether both levels of a sparse VMDK's tables, and the grains that they lead to, begin within the file.
pub fn sparse_vmdk(file: &mut File, head: &[u8]) -> Result<bool> {
    /// The directory lies at the end, behind a second header.
    const AT_END: u64 = u64::MAX;
    let capacity = u64::from_le_bytes(field(head, 12));
    let grain = u64::from_le_bytes(field(head, 20));
    let per_table = u64::from(u32::from_le_bytes(field(head, 44)));
    let directory = u64::from_le_bytes(field(head, 56));
    let Some(mut tables) = Tables::new(file)? else {
        return Ok(true);
    };
    let Some(sectors) = grain.checked_mul(per_table).filter(|sectors| *sectors != 0) else {
        return Ok(true);
    };
    let bytes = capacity.div_ceil(sectors).saturating_mul(4);
    if directory == AT_END || bytes > MOST_TABLE_BYTES || per_table > 1 << 16 {
        return Ok(true);
    }
    let at = directory.saturating_mul(SECTOR);
    if !tables.holds(at, bytes) {
        return Ok(false);
    }
    let Some(first) = tables.read(at, bytes)? else {
        return Ok(true);
    };
    for at in sectors_of(&first) {
        if !tables.holds(at, per_table * 4) {
            return Ok(false);
        }
        let Some(table) = tables.read(at, per_table * 4)? else {
            return Ok(true);
        };
        if sectors_of(&table).any(|grain| grain >= tables.len) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the entries of a table lead, in bytes; 0 and 1 lead nowhere (1 is a grain of zeros).
fn sectors_of(table: &[u8]) -> impl Iterator<Item = u64> {
    let whole = table.as_chunks::<4>().0.iter();
    let numbers = whole.map(|word| u64::from(u32::from_le_bytes(*word)));
    numbers
        .filter(|number| *number > 1)
        .map(|number| number * SECTOR)
}

/// Whether the last block that a VDI image says it has begins within the file.
pub fn vdi(file: &mut File, head: &[u8]) -> Result<bool> {
    let data = u64::from(u32::from_le_bytes(field(head, 0x158)));
    let block = u64::from(u32::from_le_bytes(field(head, 0x178)));
    let allocated = u64::from(u32::from_le_bytes(field(head, 0x184)));
    let Some(tables) = Tables::new(file)? else {
        return Ok(true);
    };
    Ok(allocated == 0 || data + (allocated - 1) * block < tables.len)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::{qcow2, sparse_vmdk, vdi};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
        if bytes.len() < at + what.len() {
            bytes.resize(at + what.len(), 0);
        }
        bytes[at..at + what.len()].copy_from_slice(what);
    }

    #[test]
    fn a_grain_behind_the_end_is_missing() {
        let mut image = Vec::new();
        put(&mut image, 12, &2048_u64.to_le_bytes());
        put(&mut image, 20, &128_u64.to_le_bytes());
        put(&mut image, 44, &512_u32.to_le_bytes());
        put(&mut image, 56, &1_u64.to_le_bytes());
        put(&mut image, 512, &2_u32.to_le_bytes());
        put(&mut image, 1024, &[1, 0, 0, 0, 128, 0, 0, 0]);
        put(&mut image, 1024 + 2047, &[0]);
        let whole = |image: &[u8]| sparse_vmdk(&mut file(image), image).unwrap();
        assert!(!whole(&image));
        put(&mut image, 128 * 512, &[7]);
        assert!(whole(&image));
        assert!(!whole(&image[..1500]), "the table is cut");
        assert!(!whole(&image[..512]), "the directory is not there");
        // A directory at the end is found by QEMU alone, and nonsense is its to refuse.
        put(&mut image, 56, &[0xff; 8]);
        assert!(whole(&image[..512]));
        put(&mut image, 44, &[0; 4]);
        assert!(whole(&image));
    }

    #[test]
    fn a_block_behind_the_end_is_missing() {
        let mut image = vec![0; 4096];
        put(&mut image, 0x158, &2048_u32.to_le_bytes());
        put(&mut image, 0x178, &1024_u32.to_le_bytes());
        let whole = |image: &[u8]| vdi(&mut file(image), image).unwrap();
        assert!(whole(&image), "nothing is allocated");
        put(&mut image, 0x184, &2_u32.to_le_bytes());
        assert!(whole(&image));
        put(&mut image, 0x184, &3_u32.to_le_bytes());
        assert!(!whole(&image));
        put(&mut image, 0x184, &[0xff; 12]);
        assert!(!whole(&image));
    }

    #[test]
    fn a_cluster_behind_the_end_is_missing() {
        let mut image = Vec::new();
        put(&mut image, 4, &3_u32.to_be_bytes());
        put(&mut image, 20, &9_u32.to_be_bytes());
        put(&mut image, 36, &1_u32.to_be_bytes());
        put(&mut image, 40, &512_u64.to_be_bytes());
        put(&mut image, 512, &(1_u64 << 63 | 1024).to_be_bytes());
        put(&mut image, 1024, &(1_u64 << 63 | 1536).to_be_bytes());
        put(&mut image, 1535, &[0]);
        let whole = |image: &[u8]| qcow2(&mut file(image), image).unwrap();
        assert!(!whole(&image));
        put(&mut image, 1536, &[1]);
        assert!(whole(&image));
        // Compressed clusters have an offset of another form.
        put(&mut image, 1032, &(1_u64 << 62 | 1 << 40).to_be_bytes());
        assert!(whole(&image));
        put(&mut image, 1032, &(1_u64 << 40).to_be_bytes());
        assert!(!whole(&image));
        put(&mut image, 72, &0b1_0000_u64.to_be_bytes());
        assert!(whole(&image));
    }
}
