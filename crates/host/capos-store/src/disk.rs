//! A file as a disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use volume_core::{Access, Blocks};
use volume_format::{BLOCK, Label};

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

    /// Opens a file to make a volume in, and makes it of the size asked for.
    pub fn create(path: &Path, mib: Option<u64>) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(mib.is_some())
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if let Some(mib) = mib {
            let bytes = mib.checked_mul(1 << 20).context("too large")?;
            let there = file.metadata()?.len();
            ensure!(
                there <= bytes,
                "{} has {there} bytes already",
                path.display()
            );
            file.set_len(bytes)?;
        }
        Self::locked(file, path, Access::Write)
    }

    fn locked(file: File, path: &Path, access: Access) -> Result<Self> {
        let free = match access {
            Access::Write => file.try_lock(),
            Access::Read => file.try_lock_shared(),
        };
        free.with_context(|| format!("{} is in use by another run", path.display()))?;
        let blocks = file.metadata()?.len() / BLOCK as u64;
        Ok(Self { file, blocks })
    }

    /// Whether the places of labels and boot sectors hold nothing.
    pub fn is_blank(&mut self) -> Result<bool> {
        let mut start = vec![0; 16 * BLOCK];
        let bytes = start.len().min(self.blocks as usize * BLOCK);
        self.file.read_exact_at(&mut start[..bytes], 0)?;
        let mut last = vec![0; BLOCK];
        let end = self.blocks.saturating_sub(1);
        self.read(end, &mut last)?;
        Ok(start.iter().all(|byte| *byte == 0) && Label::decode(end, &last).is_err())
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
