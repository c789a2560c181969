//! A disk in memory, and tables made by hand.
#![allow(dead_code)] // Each test file uses a part of it.

use partition::{BlockRead, EntryFault, Error, Guid, Layout, crc32, find_volumes};

#[derive(Clone)]
pub struct Disk {
    pub block_bytes: usize,
    pub bytes: Vec<u8>,
    pub fails_at: Option<u64>,
    pub reads: u64,
}

impl Disk {
    pub fn new(block_bytes: usize, blocks: usize) -> Self {
        Self {
            block_bytes,
            bytes: vec![0; block_bytes * blocks],
            fails_at: None,
            reads: 0,
        }
    }

    pub fn put(&mut self, lba: u64, at: usize, bytes: &[u8]) {
        let at = lba as usize * self.block_bytes + at;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn sign(&mut self, lba: u64) {
        self.put(lba, 510, &[0x55, 0xaa]);
    }

    pub fn entry(&mut self, lba: u64, index: usize, type_byte: u8, first: u32, blocks: u32) {
        let at = 446 + index * 16;
        self.put(lba, at + 4, &[type_byte]);
        self.put(lba, at + 8, &first.to_le_bytes());
        self.put(lba, at + 12, &blocks.to_le_bytes());
        self.sign(lba);
    }

    pub fn find(&mut self) -> Result<Layout, Error<&'static str>> {
        find_volumes(self)
    }
}

impl BlockRead for Disk {
    type Error = &'static str;

    fn block_bytes(&self) -> u32 {
        self.block_bytes as u32
    }

    fn blocks(&self) -> u64 {
        (self.bytes.len() / self.block_bytes) as u64
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), &'static str> {
        self.reads += 1;
        assert_eq!(buf.len(), self.block_bytes);
        assert!(lba < self.blocks(), "read of block {lba} behind the device");
        if self.fails_at == Some(lba) {
            return Err("medium error");
        }
        let at = lba as usize * self.block_bytes;
        buf.copy_from_slice(&self.bytes[at..at + self.block_bytes]);
        Ok(())
    }
}

pub struct GptPlan {
    pub count: u32,
    pub entry_bytes: u32,
    pub parts: Vec<(u64, u64, &'static str)>,
}

impl GptPlan {
    pub fn new(parts: &[(u64, u64, &'static str)]) -> Self {
        Self {
            count: 128,
            entry_bytes: 128,
            parts: parts.to_vec(),
        }
    }

    pub fn array(&self) -> Vec<u8> {
        let mut array = vec![0; (self.count * self.entry_bytes) as usize];
        for (index, (first, last, name)) in self.parts.iter().enumerate() {
            let entry = &mut array[index * self.entry_bytes as usize..];
            entry[..16].copy_from_slice(&Guid::BASIC_DATA.0);
            entry[16..32].fill((index as u8).wrapping_add(1));
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            for (at, unit) in name.encode_utf16().enumerate() {
                entry[56 + at * 2..58 + at * 2].copy_from_slice(&unit.to_le_bytes());
            }
        }
        array
    }

    pub fn write(&self, disk: &mut Disk) {
        let last = disk.blocks() - 1;
        let array = self.array();
        let array_blocks = (array.len() as u64).div_ceil(disk.block_bytes as u64);
        disk.entry(0, 0, 0xee, 1, last as u32);
        for (own, other, array_lba) in [(1, last, 2), (last, 1, last - array_blocks)] {
            disk.put(array_lba, 0, &array);
            let mut header = vec![0; 92];
            header[..8].copy_from_slice(b"EFI PART");
            header[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
            header[12..16].copy_from_slice(&92u32.to_le_bytes());
            header[24..32].copy_from_slice(&own.to_le_bytes());
            header[32..40].copy_from_slice(&other.to_le_bytes());
            header[40..48].copy_from_slice(&(2 + array_blocks).to_le_bytes());
            header[48..56].copy_from_slice(&(last - array_blocks - 1).to_le_bytes());
            header[72..80].copy_from_slice(&array_lba.to_le_bytes());
            header[80..84].copy_from_slice(&self.count.to_le_bytes());
            header[84..88].copy_from_slice(&self.entry_bytes.to_le_bytes());
            header[88..92].copy_from_slice(&crc32(&array).to_le_bytes());
            disk.put(own, 0, &header);
            reseal(disk, own);
        }
    }
}

/// Puts the right CRC on a header after its fields were changed.
pub fn reseal(disk: &mut Disk, lba: u64) {
    disk.put(lba, 16, &[0; 4]);
    let at = lba as usize * disk.block_bytes;
    let sum = crc32(&disk.bytes[at..at + 92]);
    disk.put(lba, 16, &sum.to_le_bytes());
}

pub fn fat_boot_sector(disk: &mut Disk, lba: u64) {
    disk.put(lba, 0, &[0xeb, 0x58, 0x90]);
    disk.put(lba, 11, &512u16.to_le_bytes());
    disk.put(lba, 13, &[1]);
    disk.put(lba, 14, &32u16.to_le_bytes());
    disk.put(lba, 16, &[2]);
    disk.put(lba, 21, &[0xf8]);
    disk.put(lba, 32, &1000u32.to_le_bytes());
    disk.put(lba, 36, &8u32.to_le_bytes());
    disk.sign(lba);
}

pub fn ranges(layout: &Layout) -> Vec<(u32, u64, u64)> {
    layout
        .volumes
        .iter()
        .map(|v| (v.number, v.first_lba, v.blocks))
        .collect()
}

pub fn faults(layout: &Layout) -> Vec<(u32, EntryFault)> {
    layout.refused.iter().map(|r| (r.number, r.fault)).collect()
}

/// A table with a primary and an extended partition 100..1000 with its first sector at 100.
pub fn extended() -> Disk {
    let mut disk = Disk::new(512, 1000);
    disk.entry(0, 0, 0x0c, 10, 50);
    disk.entry(0, 1, 0x05, 100, 900);
    disk
}
