//! A file as a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use volume_core::{Access, Blocks};
use volume_format::{BLOCK, Label};

use crate::blank;

/// What a new volume may be made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing but zeroes.
    Blank,
    /// Whatever is there.
    Anything,
}

/// A file as a disk. While it is open to write, no other run of this tool has it.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    blocks: u64,
}

impl FileDisk {
    /// Opens a volume's file.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Self::locked(file, path, access)
    }

    /// Opens a file to make a volume in, and makes it of the size asked for, once everything was looked at that may refuse it.
    pub fn create(path: &Path, mib: Option<u64>, over: Over) -> Result<Self> {
        let shown = path.display();
        let bytes = mib.map(|mib| mib.checked_mul(1 << 20).context("--mib is too large"));
        let bytes = bytes.transpose()?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(bytes.is_some())
            .truncate(false)
            .open(path);
        let file = match opened {
            Err(error) if bytes.is_none() && error.kind() == io::ErrorKind::NotFound => {
                bail!("there is no {shown}; --mib says how large to make it")
            }
            other => other.with_context(|| format!("cannot open {shown}"))?,
        };
        let mut disk = Self::locked(file, path, Access::Write)?;
        let there = disk.bytes()?;
        if let Some(bytes) = bytes {
            ensure!(
                there <= bytes,
                "{shown} has {there} bytes already; without --mib the volume gets all of them"
            );
            ensure!(
                there == bytes || disk.file.metadata()?.is_file(),
                "{shown} has {there} bytes, and only a file grows; without --mib the volume gets all of them"
            );
        }
        if over == Over::Blank
            && let Some(at) = blank::first_byte(&disk.file, there)?
        {
            bail!(
                "{shown} holds something, at byte {at} the first of it; --force makes a volume over it"
            );
        }
        if let Some(bytes) = bytes.filter(|bytes| *bytes > there) {
            disk.file.set_len(bytes)?;
            disk.blocks = bytes / BLOCK as u64;
        }
        Ok(disk)
    }

    /// A block device says its size only to who goes to its end.
    fn bytes(&mut self) -> Result<u64> {
        Ok(self.file.seek(SeekFrom::End(0))?)
    }

    fn locked(file: File, path: &Path, access: Access) -> Result<Self> {
        let free = match access {
            Access::Write => file.try_lock(),
            Access::Read => file.try_lock_shared(),
        };
        free.with_context(|| format!("{} is in use by another run", path.display()))?;
        let mut disk = Self { file, blocks: 0 };
        disk.blocks = disk.bytes()? / BLOCK as u64;
        Ok(disk)
    }

    /// Writes a copy of the first sector of a block over that of another one: a label or a root, whose sum for its new
    /// place is made anew.
    pub fn copy(&mut self, good: u64, bad: u64) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        self.read(good, &mut block)?;
        if let Ok(label) = Label::decode(good, &block) {
            label.encode(bad, &mut block);
        }
        self.write(bad, &block)?;
        self.flush()
    }
}

impl Blocks for FileDisk {
    type Error = io::Error;

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, lba * BLOCK as u64)
    }

    fn write(&mut self, lba: u64, block: &[u8]) -> io::Result<()> {
        if lba >= self.blocks {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.write_all_at(block, lba * BLOCK as u64)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.file.sync_data() {
            // A file that is open to read has nothing to flush.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}

impl volume_check::Disk for FileDisk {
    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, lba: u64, block: &mut [u8]) -> bool {
        lba < self.blocks && Blocks::read(self, lba, block).is_ok()
    }
}
