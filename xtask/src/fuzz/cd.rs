//! The CD that attackers may read: a volume that the kernel takes for the one it was booted from, with an empty directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What the volume says that it is, for the kernel's command line.
pub const IDENTITY: &str = "CAPOS_FUZZ";
const SECTOR: usize = 2048;
/// Where the primary descriptor lies, and behind the terminator the root directory (ECMA-119, 6.2.1 and 8.4).
const DESCRIPTOR: usize = 16;
const ROOT: usize = 18;
const SECTORS: u32 = 64;
/// Bytes of the record of a directory without a name (ECMA-119, 9.1).
const RECORD: usize = 34;

/// Writes a number as both orders of bytes, the low one first.
fn both(at: &mut [u8], value: u32) {
    at[..4].copy_from_slice(&value.to_le_bytes());
    at[4..8].copy_from_slice(&value.to_be_bytes());
}

/// The record of the root directory, as itself or as what is above it.
fn record(name: u8) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[0] = RECORD as u8;
    both(&mut record[2..], ROOT as u32);
    both(&mut record[10..], SECTOR as u32);
    // A directory; in the first volume of its set; a name of one byte.
    record[25] = 2;
    record[28..32].copy_from_slice(&[1, 0, 0, 1]);
    record[32..].copy_from_slice(&[1, name]);
    record
}

fn volume() -> Vec<u8> {
    let mut bytes = vec![0; SECTORS as usize * SECTOR];
    // What is read has something to be recognised by.
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate().skip(ROOT + 1) {
        sector.fill(number as u8);
    }
    let primary = &mut bytes[DESCRIPTOR * SECTOR..];
    primary[..7].copy_from_slice(b"\x01CD001\x01");
    both(&mut primary[80..], SECTORS);
    primary[128..132].copy_from_slice(&[0, 8, 8, 0]);
    primary[156..156 + RECORD].copy_from_slice(&record(0));
    primary[190..318].fill(b' ');
    primary[190..190 + IDENTITY.len()].copy_from_slice(IDENTITY.as_bytes());
    primary[881] = 1;
    primary[SECTOR..SECTOR + 7].copy_from_slice(b"\xffCD001\x01");
    let root = &mut bytes[ROOT * SECTOR..];
    root[..RECORD].copy_from_slice(&record(0));
    root[RECORD..2 * RECORD].copy_from_slice(&record(1));
    bytes
}

/// Writes the volume into `work`. Gives its file.
pub fn write(work: &Path) -> Result<PathBuf> {
    let path = work.join("cd.iso");
    fs::write(&path, volume()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
