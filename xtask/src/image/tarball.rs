//! One sparse file in an old-GNU tar archive, compressed with gzip: what Google's import takes.
//!
//! The form is GNU tar's own "old GNU format" (GNU tar manual, "Storing Sparse Files"): the header lists four runs of
//! data, further blocks of 21 follow it, and only the runs are stored.
//! Invariant: never holds a time, an owner or a name of the machine it is made on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use indicatif::ProgressBar;
use tar::{EntryType, GnuExtSparseHeader, Header};

const BLOCK: u64 = 512;
/// Runs are looked for in blocks of this size.
const GRAIN: usize = 64 * 1024;

/// A run of data: where it begins in the file, and its bytes.
type Run = (u64, u64);

/// Writes an archive at `to` with the file `from`, called `name` in it.
pub fn write(from: &Path, name: &str, to: &Path, bar: &ProgressBar) -> Result<()> {
    let mut file = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    let size = file.metadata()?.len();
    bar.set_length(size);
    let runs = runs(&mut file, size, bar)?;
    let out = File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut out = GzBuilder::new().mtime(0).write(out, Compression::default());
    for block in headers(name, size, &runs)? {
        out.write_all(&block)?;
    }
    let mut stored = 0;
    for (at, len) in &runs {
        file.seek(SeekFrom::Start(*at))?;
        std::io::copy(&mut (&mut file).take(*len), &mut out)?;
        stored += len;
    }
    let fill = stored.next_multiple_of(BLOCK) - stored;
    // The file's last block is filled up, and two empty blocks end the archive.
    out.write_all(&vec![0; (fill + 2 * BLOCK) as usize])?;
    out.finish()?.sync_all()?;
    Ok(())
}

/// The runs of data in the file, the last one ending where the file ends, which may be an empty run.
fn runs(file: &mut File, size: u64, bar: &ProgressBar) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut buffer = vec![0; GRAIN];
    let mut at = 0;
    while at < size {
        let len = (size - at).min(GRAIN as u64);
        let part = buffer
            .get_mut(..len as usize)
            .context("a grain is in the buffer")?;
        file.read_exact(part)?;
        if part.iter().any(|byte| *byte != 0) {
            match runs.last_mut() {
                Some((start, bytes)) if *start + *bytes == at => *bytes += len,
                _ => runs.push((at, len)),
            }
        }
        at += len;
        bar.set_position(at);
    }
    if runs.last().is_none_or(|(start, len)| start + len < size) {
        runs.push((size, 0));
    }
    Ok(runs)
}

/// The header of the file and as many blocks of runs as it takes.
fn headers(name: &str, size: u64, runs: &[Run]) -> Result<Vec<[u8; BLOCK as usize]>> {
    let stored: u64 = runs.iter().map(|(_, len)| len).sum();
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(stored);
    header.set_entry_type(EntryType::GNUSparse);
    let Some(gnu) = header.as_gnu_mut() else {
        bail!("a new GNU header is one");
    };
    let (first, rest) = runs.split_at(runs.len().min(gnu.sparse.len()));
    for (slot, (at, len)) in gnu.sparse.iter_mut().zip(first) {
        slot.set_offset(*at);
        slot.set_length(*len);
    }
    gnu.set_real_size(size);
    gnu.set_is_extended(!rest.is_empty());
    header.set_cksum();
    let mut blocks = vec![*header.as_bytes()];
    let mut rest = rest;
    while !rest.is_empty() {
        let mut more = GnuExtSparseHeader::new();
        let (here, later) = rest.split_at(rest.len().min(more.sparse.len()));
        for (slot, (at, len)) in more.sparse.iter_mut().zip(here) {
            slot.set_offset(*at);
            slot.set_length(*len);
        }
        more.set_is_extended(!later.is_empty());
        blocks.push(*more.as_bytes());
        rest = later;
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::write;
    use indicatif::ProgressBar;
    use std::io::{Read, Seek, SeekFrom, Write};

    #[test]
    fn a_sparse_file_comes_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (raw, tar) = (dir.path().join("raw"), dir.path().join("x.tar.gz"));
        let size = 64 << 20;
        let mut file = std::fs::File::create(&raw).unwrap();
        file.set_len(size).unwrap();
        // More runs than one header and one further block hold.
        for number in 0..60u64 {
            file.seek(SeekFrom::Start(number << 20)).unwrap();
            file.write_all(&[number as u8 + 1; 700]).unwrap();
        }
        write(&raw, "disk.raw", &tar, &ProgressBar::hidden()).unwrap();
        assert!(tar.metadata().unwrap().len() < 100_000);
        let unpacked = flate2::read::GzDecoder::new(std::fs::File::open(&tar).unwrap());
        let mut archive = tar::Archive::new(unpacked);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("disk.raw"));
        let mut read = Vec::new();
        entry.read_to_end(&mut read).unwrap();
        assert!(read == std::fs::read(&raw).unwrap());
        assert!(entries.next().is_none());
    }
}
