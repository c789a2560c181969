//! Volumes as large as the format lets them be: 2 TiB of 512-byte sectors, 16 TiB of 4096-byte ones. What was not put on them is zeroes.

use std::collections::BTreeMap;

use fat_format::{Blocks, Error, FatKind, FileCursor, ReadError, Volume};

struct Sparse {
    pieces: BTreeMap<u64, Vec<u8>>,
    len: u64,
}

impl Blocks for Sparse {
    type Error = ();

    fn read(&mut self, at: u64, buf: &mut [u8]) -> Result<(), ()> {
        let end = at + buf.len() as u64;
        assert!(end <= self.len, "a read outside the device");
        buf.fill(0);
        for (begin, bytes) in &self.pieces {
            for (place, byte) in (*begin..).zip(bytes) {
                if (at..end).contains(&place) {
                    buf[(place - at) as usize] = *byte;
                }
            }
        }
        Ok(())
    }

    fn len_bytes(&self) -> u64 {
        self.len
    }
}

/// Everything that a volume of 2^32 - 1 sectors has to say, with a file in its last two clusters.
fn largest(sector_bytes: u64) -> (Sparse, u64, u64) {
    const PER_CLUSTER: u64 = 128;
    const RESERVED: u64 = 32;
    let sectors = u64::from(u32::MAX);
    let fat_sectors = (sectors / PER_CLUSTER + 2).div_ceil(sector_bytes / 4);
    let data = RESERVED + 2 * fat_sectors;
    let clusters = (sectors - data) / PER_CLUSTER;
    let last = (clusters + 1) as u32;
    let mut boot = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| boot[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]);
    put(11, &(sector_bytes as u16).to_le_bytes());
    put(13, &[PER_CLUSTER as u8, RESERVED as u8, 0, 2]);
    put(21, &[0xf8]);
    put(32, &u32::MAX.to_le_bytes());
    put(36, &(fat_sectors as u32).to_le_bytes());
    put(44, &2u32.to_le_bytes());
    put(510, &[0x55, 0xaa]);
    let mut entry = vec![0; 32];
    entry[..11].copy_from_slice(b"LAST    BIN");
    entry[11] = 0x20;
    let before = last - 1;
    entry[20..22].copy_from_slice(&((before >> 16) as u16).to_le_bytes());
    entry[26..28].copy_from_slice(&(before as u16).to_le_bytes());
    // As long as both clusters, but for the last byte.
    let size = 2 * PER_CLUSTER * sector_bytes - 1;
    entry[28..32].copy_from_slice(&(size as u32).to_le_bytes());
    let fat_at = RESERVED * sector_bytes;
    let mut links = last.to_le_bytes().to_vec();
    links.extend(0x0fff_ffffu32.to_le_bytes());
    let pieces = [
        (0, boot),
        (fat_at + 8, 0x0fff_ffffu32.to_le_bytes().to_vec()),
        (fat_at + 4 * u64::from(before), links),
        (data * sector_bytes, entry),
    ];
    let at = (data + u64::from(before - 2) * PER_CLUSTER) * sector_bytes;
    let disk = Sparse {
        pieces: pieces.into_iter().collect(),
        len: sectors * sector_bytes,
    };
    (disk, at, size)
}

#[test]
fn the_last_clusters_of_the_largest_volumes_are_reached() {
    for sector_bytes in [512, 4096] {
        let (mut disk, at, size) = largest(sector_bytes);
        let volume = Volume::mount(&mut disk).unwrap();
        assert_eq!(volume.kind(), FatKind::Fat32);
        assert_eq!(
            (volume.total_bytes(), volume.missing_bytes()),
            (disk.len, 0)
        );
        let root = volume.root();
        let node = volume.resolve(&mut disk, &root, "last.bin").unwrap();
        let mut cursor = FileCursor::new::<()>(&node).unwrap();
        let run = cursor
            .next_run(&volume, &mut disk, 1 << 30)
            .unwrap()
            .unwrap();
        assert_eq!((run.byte_offset, run.len), (at, size));
        assert!(run.end() <= disk.len);
        // On a device that is one cluster too short, only what lies in it is missing.
        disk.len = at + 5;
        let volume = Volume::mount(&mut disk).unwrap();
        let mut cursor = FileCursor::new::<()>(&node).unwrap();
        let run = cursor
            .next_run(&volume, &mut disk, 1 << 30)
            .unwrap()
            .unwrap();
        assert_eq!((run.byte_offset, run.len), (at, 5));
        cursor.seek(5);
        let error = cursor.next_run(&volume, &mut disk, 1 << 30).unwrap_err();
        assert!(
            matches!(error, Error::Read(ReadError::BeyondDevice { .. })),
            "{error:?}"
        );
    }
}
