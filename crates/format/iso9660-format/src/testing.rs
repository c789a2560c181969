//! Media for tests: in memory, made by hand or by xorriso.

use std::vec;
use std::vec::Vec;

use crate::{Medium, SECTOR_BYTES};

/// Sectors of the image made here: the root at 18, `BOOT` at 19, a file of two sectors at 20.
pub const SECTORS: u32 = 22;
pub const PRIMARY: usize = 16 * SECTOR_BYTES;
pub const ROOT: usize = 18 * SECTOR_BYTES;
pub const BOOT: usize = 19 * SECTOR_BYTES;
pub const FILE_BYTES: u32 = 3000;

/// An image in memory that counts reads and knows a bad sector.
#[derive(Clone)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub bad: Option<u32>,
    pub reads: u32,
}

/// A sector that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad(pub u32);

impl Medium for Image {
    type Error = Bad;

    fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), Bad> {
        assert!(into.len().is_multiple_of(SECTOR_BYTES) && !into.is_empty());
        let at = lba as usize * SECTOR_BYTES;
        self.reads += 1;
        let count = (into.len() / SECTOR_BYTES) as u32;
        if let Some(bad) = self.bad.filter(|bad| (lba..lba + count).contains(bad)) {
            return Err(Bad(bad));
        }
        // Reading outside the medium is what the crate promises never to do.
        into.copy_from_slice(&self.bytes[at..at + into.len()]);
        Ok(())
    }
}

impl Image {
    pub fn sectors(&self) -> u32 {
        (self.bytes.len() / SECTOR_BYTES) as u32
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn both32(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

pub fn record(name: &[u8], lba: u32, bytes: u32, flags: u8) -> Vec<u8> {
    let len = (33 + name.len()).next_multiple_of(2);
    let mut record = vec![0; len];
    record[0] = len as u8;
    record[2..10].copy_from_slice(&both32(lba));
    record[10..18].copy_from_slice(&both32(bytes));
    record[18..25].copy_from_slice(&[80, 1, 1, 0, 0, 0, 0]);
    record[25] = flags;
    record[28..32].copy_from_slice(&[1, 0, 0, 1]);
    record[32] = name.len() as u8;
    record[33..33 + name.len()].copy_from_slice(name);
    record
}

/// A small, sound image: `/BOOT/INIT.;1`.
pub fn image() -> Image {
    let mut image = Image {
        bytes: vec![0; SECTORS as usize * SECTOR_BYTES],
        bad: None,
        reads: 0,
    };
    image.put(PRIMARY, b"\x01CD001\x01");
    image.put(PRIMARY + 80, &both32(SECTORS));
    image.put(PRIMARY + 128, &[0, 8, 8, 0]);
    image.put(PRIMARY + 156, &record(&[0], 18, 2048, 2));
    image.put(PRIMARY + 190, &[b' '; 128]);
    image.put(PRIMARY + 190, b"CAPOS_1");
    image.put(PRIMARY + 881, &[1]);
    image.put(PRIMARY + SECTOR_BYTES, b"\xffCD001\x01");
    directory(&mut image, ROOT, 18, &record(b"BOOT", 19, 2048, 2));
    directory(&mut image, BOOT, 18, &record(b"INIT.;1", 20, FILE_BYTES, 0));
    for at in 0..FILE_BYTES as usize {
        image.bytes[20 * SECTOR_BYTES + at] = at as u8;
    }
    image
}

/// Bytes of the two records that every directory begins with.
pub const HEAD: usize = 68;

fn directory(image: &mut Image, at: usize, parent: u32, entries: &[u8]) {
    let lba = (at / SECTOR_BYTES) as u32;
    image.put(at, &record(&[0], lba, 2048, 2));
    image.put(at + 34, &record(&[1], parent, 2048, 2));
    image.put(at + HEAD, entries);
}
