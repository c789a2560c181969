//! An in-memory device that counts its reads, and a maker of images, right and wrong.
#![allow(dead_code)]

use fat_format::{Blocks, DirWalk, Error, FileCursor, Node, Step, Volume};

/// A device in memory. A read outside it, or one read too many, fails the test.
pub struct Memory {
    pub bytes: Vec<u8>,
    pub reads: u64,
    pub budget: u64,
}

impl Memory {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            reads: 0,
            budget: u64::MAX,
        }
    }
}

impl Blocks for Memory {
    type Error = &'static str;

    fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), &'static str> {
        self.reads += 1;
        assert!(self.reads <= self.budget, "more than {} reads", self.budget);
        let at = usize::try_from(byte_offset).unwrap();
        buf.copy_from_slice(
            self.bytes
                .get(at..at + buf.len())
                .expect("a read outside the device"),
        );
        Ok(())
    }

    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

pub type Fault = Error<&'static str>;

/// Lists a directory in pages of `page` entries.
pub fn list(
    memory: &mut Memory,
    volume: &Volume,
    dir: &Node,
    page: usize,
) -> (Vec<(String, Node)>, Option<Fault>) {
    let mut walk = DirWalk::new::<&str>(volume, dir).unwrap();
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let mut seen = 0;
        let outcome = volume.list(memory, &mut walk, cursor, |entry| {
            if seen == page {
                return Step::StopBefore;
            }
            seen += 1;
            all.push((entry.name.as_str().to_owned(), entry.node));
            Step::Continue
        });
        match outcome {
            Ok(None) => return (all, None),
            Ok(Some(next)) => {
                assert!(next > cursor, "the listing does not move");
                cursor = next;
            }
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Reads a file by runs, to its end or its first error.
pub fn read_runs(
    memory: &mut Memory,
    volume: &Volume,
    file: &mut FileCursor,
    max: u64,
) -> (Vec<u8>, Option<Fault>) {
    let mut data = Vec::new();
    loop {
        match file.next_run(volume, memory, max) {
            Ok(None) => return (data, None),
            Ok(Some(run)) => {
                assert!(run.len > 0 && run.len <= max && run.end() <= memory.len_bytes());
                data.extend_from_slice(&memory.bytes[run.byte_offset as usize..run.end() as usize]);
            }
            Err(error) => return (data, Some(error)),
        }
    }
}

/// Opens a file and reads all of it.
pub fn read_file(memory: &mut Memory, volume: &Volume, node: &Node) -> (Vec<u8>, Option<Fault>) {
    let mut file = FileCursor::new::<&str>(node).unwrap();
    read_runs(memory, volume, &mut file, 64 << 10)
}

/// A maker of small images: one FAT, 512-byte sectors and clusters.
pub struct Forge {
    pub bytes: Vec<u8>,
    pub width: u32,
    pub clusters: u32,
    fat_at: usize,
    root_at: usize,
    data_at: usize,
}

pub const END: u32 = 0x0fff_ffff;
pub const DIR: u8 = 0x10;
pub const FILE: u8 = 0x20;
const ROOT_ENTRIES: usize = 512;

impl Forge {
    /// Makes an empty volume with FAT entries of `width` bits. On FAT32 the root directory is cluster 2.
    pub fn new(width: u32, clusters: u32) -> Self {
        let reserved = if width == 32 { 32 } else { 1 };
        let fat_sectors = ((clusters as usize + 2) * width as usize).div_ceil(8 * 512);
        let root_sectors = if width == 32 { 0 } else { ROOT_ENTRIES / 16 };
        let data_sector = reserved + fat_sectors + root_sectors;
        let total = data_sector + clusters as usize;
        let mut bytes = vec![0; total * 512];
        bytes[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
        bytes[11..13].copy_from_slice(&512u16.to_le_bytes());
        bytes[13] = 1;
        bytes[14] = reserved as u8;
        bytes[16] = 1;
        bytes[21] = 0xf8;
        bytes[32..36].copy_from_slice(&(total as u32).to_le_bytes());
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        if width == 32 {
            bytes[36..40].copy_from_slice(&(fat_sectors as u32).to_le_bytes());
            bytes[44] = 2;
            bytes[48] = 1;
            bytes[512..516].copy_from_slice(&0x4161_5252u32.to_le_bytes());
            bytes[996..1000].copy_from_slice(&0x6141_7272u32.to_le_bytes());
            bytes[1000..1004].copy_from_slice(&(clusters - 1).to_le_bytes());
            bytes[1020..1024].copy_from_slice(&0xaa55_0000u32.to_le_bytes());
        } else {
            bytes[17..19].copy_from_slice(&(ROOT_ENTRIES as u16).to_le_bytes());
            bytes[22..24].copy_from_slice(&(fat_sectors as u16).to_le_bytes());
        }
        let (fat_at, root_at) = (reserved * 512, (reserved + fat_sectors) * 512);
        let mut forge = Self {
            bytes,
            width,
            clusters,
            fat_at,
            root_at,
            data_at: data_sector * 512,
        };
        forge.set(0, 0x0fff_fff8);
        forge.set(1, END);
        if width == 32 {
            forge.set(2, END);
        }
        forge
    }

    /// Writes a FAT entry.
    pub fn set(&mut self, cluster: u32, value: u32) {
        let c = cluster as usize;
        match self.width {
            12 => {
                let at = self.fat_at + c + c / 2;
                let old = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
                let value = (value & 0xfff) as u16;
                let new = if c % 2 == 1 {
                    old & 0xf | value << 4
                } else {
                    old & 0xf000 | value
                };
                self.bytes[at..at + 2].copy_from_slice(&new.to_le_bytes());
            }
            16 => self.bytes[self.fat_at + c * 2..][..2]
                .copy_from_slice(&(value as u16).to_le_bytes()),
            _ => self.bytes[self.fat_at + c * 4..][..4].copy_from_slice(&value.to_le_bytes()),
        }
    }

    /// Links clusters to a chain and ends it.
    pub fn chain(&mut self, clusters: &[u32]) {
        for pair in clusters.windows(2) {
            self.set(pair[0], pair[1]);
        }
        self.set(*clusters.last().unwrap(), END);
    }

    /// Returns the bytes of a cluster.
    pub fn cluster(&mut self, cluster: u32) -> &mut [u8] {
        let at = self.data_at + (cluster as usize - 2) * 512;
        &mut self.bytes[at..at + 512]
    }

    /// Fills each cluster of a chain with its own number and returns the bytes.
    pub fn stamp(&mut self, clusters: &[u32]) -> Vec<u8> {
        let mut data = Vec::new();
        for &cluster in clusters {
            let stamp = cluster.to_le_bytes().repeat(128);
            self.cluster(cluster).copy_from_slice(&stamp);
            data.extend(stamp);
        }
        data
    }

    /// Writes slot `slot` of the root directory (its first 16 slots on FAT32).
    pub fn root_slot(&mut self, slot: usize, bytes: &[u8; 32]) {
        let at = if self.width == 32 {
            self.data_at
        } else {
            self.root_at
        } + slot * 32;
        self.bytes[at..at + 32].copy_from_slice(bytes);
    }

    /// Writes an entry with a short name to the root directory.
    pub fn root_entry(
        &mut self,
        slot: usize,
        name: &[u8; 11],
        attributes: u8,
        first: u32,
        size: u32,
    ) {
        self.root_slot(slot, &short_slot(name, attributes, first, size));
    }

    pub fn mount(self) -> (Memory, Volume) {
        let mut memory = Memory::new(self.bytes);
        let volume = Volume::mount(&mut memory).unwrap();
        (memory, volume)
    }
}

/// Makes the slot of a short name.
pub fn short_slot(name: &[u8; 11], attributes: u8, first: u32, size: u32) -> [u8; 32] {
    let mut slot = [0; 32];
    slot[..11].copy_from_slice(name);
    slot[11] = attributes;
    slot[20..22].copy_from_slice(&((first >> 16) as u16).to_le_bytes());
    slot[26..28].copy_from_slice(&(first as u16).to_le_bytes());
    slot[28..32].copy_from_slice(&size.to_le_bytes());
    slot
}

/// Makes the slots of a long name, in disk order, for the short name `raw`.
pub fn long_slots(name: &str, raw: &[u8; 11]) -> Vec<[u8; 32]> {
    let sum = raw
        .iter()
        .fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let count = units.len().div_ceil(13);
    if units.len() < count * 13 {
        units.push(0);
        units.resize(count * 13, 0xffff);
    }
    let mut slots = Vec::new();
    for (index, part) in units.chunks(13).enumerate().rev() {
        let mut slot = [0; 32];
        slot[0] = (index as u8 + 1) | if index + 1 == count { 0x40 } else { 0 };
        slot[11] = 0x0f;
        slot[13] = sum;
        for (unit, at) in part
            .iter()
            .zip([1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30])
        {
            slot[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        slots.push(slot);
    }
    slots
}

/// The types of FAT, by the bits of an entry.
pub const WIDTHS: [u32; 3] = [12, 16, 32];

/// A volume with clusters enough for the type to be what `width` says.
pub fn forge(width: u32) -> Forge {
    Forge::new(width, if width == 16 { 5000 } else { 1000 })
}
