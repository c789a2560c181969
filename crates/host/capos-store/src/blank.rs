//! Whether a file or a block device holds anything, before a volume is made over it.
//!
//! Invariant: what is not looked at of a file is a hole. A block device is looked at where something would begin or end: file
//! systems, arrays and volume managers keep their labels there, some only at the end.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// Bytes at either end of a block device. The last label of ZFS lies within 512 KiB of the end, that of bcachefs within 1 MiB;
/// Btrfs begins at 64 KiB, UDF names its volume at 512 KiB.
const EDGE: u64 = 4 << 20;
/// Where Btrfs keeps its second and third superblock (`btrfs_sb_offset`, Linux).
const MIRRORS: [u64; 2] = [64 << 20, 256 << 30];

/// Where the first byte lies that is not zero. `None`: there is none, as far as this looks.
pub fn first_byte(file: &File, bytes: u64) -> Result<Option<u64>> {
    match file.metadata()?.is_file() {
        true => in_data(file, bytes),
        false => at_edges(file, bytes),
    }
}

/// Looks where something would begin or end.
fn at_edges(file: &File, bytes: u64) -> Result<Option<u64>> {
    let ends = bytes.saturating_sub(EDGE).max(EDGE.min(bytes));
    let mirrors = MIRRORS.map(|at| (at.min(bytes), (at + PIECE as u64).min(bytes)));
    let ranges = [(0, EDGE.min(bytes)), mirrors[0], mirrors[1], (ends, bytes)];
    for (from, to) in ranges {
        if let Some(at) = within(file, from, to)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Looks at all of a file but its holes.
fn in_data(file: &File, bytes: u64) -> Result<Option<u64>> {
    let mut from = 0;
    while from < bytes {
        let data = match lseek64(file, i64::try_from(from)?, Whence::SeekData) {
            Ok(at) => u64::try_from(at)?,
            // Only a hole is left.
            Err(Errno::ENXIO) => return Ok(None),
            // A file system that does not know its holes.
            Err(_) => return within(file, from, bytes),
        };
        let hole = lseek64(file, i64::try_from(data)?, Whence::SeekHole)?;
        from = u64::try_from(hole)?;
        if let Some(at) = within(file, data, from.min(bytes))? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn within(file: &File, mut from: u64, to: u64) -> Result<Option<u64>> {
    let mut piece = vec![0; PIECE];
    while from < to {
        let wanted = (to - from).min(PIECE as u64) as usize;
        file.read_exact_at(&mut piece[..wanted], from)?;
        if let Some(at) = piece[..wanted].iter().position(|byte| *byte != 0) {
            return Ok(Some(from + at as u64));
        }
        from += wanted as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::{EDGE, MIRRORS, at_edges, first_byte};

    fn empty() -> File {
        tempfile::tempfile().unwrap()
    }

    #[test]
    fn a_byte_anywhere_in_a_file_is_found_and_a_hole_is_none() {
        let file = empty();
        // Longer than anybody would read.
        let bytes = 1 << 43;
        file.set_len(bytes).unwrap();
        assert_eq!(first_byte(&file, bytes).unwrap(), None);
        file.write_all_at(&[0; 8192], 1 << 30).unwrap();
        assert_eq!(first_byte(&file, bytes).unwrap(), None, "zeroes are none");
        for at in [bytes - 1, (1 << 42) + 12345, 0x10040] {
            file.write_all_at(&[1], at).unwrap();
            assert_eq!(first_byte(&file, bytes).unwrap(), Some(at));
        }
    }

    #[test]
    fn a_byte_at_the_edges_of_a_device_is_found_whatever_its_size() {
        for bytes in [0, 1, 512, EDGE - 1, EDGE, EDGE + 1, 2 * EDGE - 1, 2 * EDGE] {
            let file = empty();
            file.set_len(bytes).unwrap();
            assert_eq!(at_edges(&file, bytes).unwrap(), None, "{bytes}");
            // As small as this, all of it is looked at.
            let places = [0, bytes / 2, bytes.saturating_sub(1)];
            for at in places.into_iter().filter(|at| *at < bytes) {
                file.write_all_at(&[1], at).unwrap();
                assert_eq!(at_edges(&file, bytes).unwrap(), Some(at), "{bytes}");
                file.write_all_at(&[0], at).unwrap();
            }
        }
        let bytes = 1 << 40;
        // In the order in which they are looked at; from the last on, so that each is the first that is found.
        let looked_at = [0, EDGE - 1, MIRRORS[0], MIRRORS[1], bytes - EDGE, bytes - 1];
        let file = empty();
        file.set_len(bytes).unwrap();
        file.write_all_at(&[1], EDGE).unwrap();
        file.write_all_at(&[1], bytes - EDGE - 1).unwrap();
        assert_eq!(at_edges(&file, bytes).unwrap(), None, "not looked at");
        for at in looked_at.into_iter().rev() {
            file.write_all_at(&[1], at).unwrap();
            assert_eq!(at_edges(&file, bytes).unwrap(), Some(at));
        }
    }
}
