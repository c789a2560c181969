//! `cargo xtask audit`: reads audit partitions of disk images with the very checks that the guest makes.
//!
//! Invariant: `verify` never writes to the image.

mod anchor;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use audit_format::{
    CELL_BYTES, Error, INSTALLATION_BYTES, Key, PARTITION_TYPE, RECORD_BYTES, Record, Region,
    Secret, recover,
};
use clap::{Args, Subcommand};
use partition::{BlockRead, Guid, VolumeKind, find_volumes};

use anchor::Seen;

use crate::disk::{Disk, Writes};

/// Bytes of a block of a raw image.
const BLOCK: u32 = 512;

/// What `cargo xtask audit` takes.
#[derive(Subcommand)]
pub enum AuditVerb {
    /// Check every segment of an audit partition
    Verify(VerifyArgs),
}

/// What `cargo xtask audit verify` takes.
#[derive(Args)]
pub struct VerifyArgs {
    /// A raw disk image
    disk: PathBuf,
    /// A file with the 64 hexadecimal digits of the secret
    #[arg(long)]
    key: PathBuf,
    /// Which audit partition of the disk, from 0
    #[arg(long, default_value_t = 0)]
    partition: usize,
    /// A file that remembers how far the log went: one that ends before that, or that is another one, is refused. Made where there
    /// is none
    #[arg(long)]
    anchor: Option<PathBuf>,
    /// Print every record too
    #[arg(long)]
    records: bool,
}

/// An audit partition of an image.
pub struct FileRegion {
    file: File,
    start: u64,
    cells: u64,
}

impl FileRegion {
    /// Opens the `nth` audit partition of a raw image, from 0.
    pub fn open(path: &Path, nth: usize, writes: Writes) -> Result<Self> {
        let disk = Disk::open(path, writes)?;
        ensure!(disk.format == "raw", "{} is no raw image", path.display());
        let file = File::options()
            .read(true)
            .write(writes == Writes::Kept)
            .open(path)?;
        let blocks = file.metadata()?.len() / u64::from(BLOCK);
        let mut image = Image { file, blocks };
        let layout = match find_volumes(&mut image) {
            Ok(layout) => layout,
            Err(error) => bail!("{}: {error:?}", path.display()),
        };
        let ours = |kind: &VolumeKind| matches!(kind, VolumeKind::Gpt { type_guid, .. } if *type_guid == Guid(PARTITION_TYPE));
        let mut found = layout.volumes.iter().filter(|volume| ours(&volume.kind));
        let volume = found
            .nth(nth)
            .with_context(|| format!("{} has no audit partition {nth}", path.display()))?;
        Ok(Self {
            start: layout.bytes_of(volume).0,
            cells: layout.bytes_of(volume).1 / CELL_BYTES as u64,
            file: image.file,
        })
    }

    fn seek(&mut self, cell: u64, bytes: usize) -> Result<(), std::io::Error> {
        if cell + (bytes / CELL_BYTES) as u64 > self.cells {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let at = self.start + cell * CELL_BYTES as u64;
        self.file.seek(SeekFrom::Start(at)).map(drop)
    }

    /// Everything in it.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.cells as usize * CELL_BYTES];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }
}

impl Region for FileRegion {
    type Error = std::io::Error;

    fn cells(&self) -> u64 {
        self.cells
    }

    fn read(&mut self, cell: u64, to: &mut [u8]) -> Result<(), std::io::Error> {
        self.seek(cell, to.len())?;
        self.file.read_exact(to)
    }

    fn write(&mut self, cell: u64, from: &[u8]) -> Result<(), std::io::Error> {
        self.seek(cell, from.len())?;
        self.file.write_all(from)
    }

    fn flush(&mut self) -> Result<(), std::io::Error> {
        self.file.sync_data()
    }
}

struct Image {
    file: File,
    blocks: u64,
}

impl BlockRead for Image {
    type Error = std::io::Error;

    fn block_bytes(&self) -> u32 {
        BLOCK
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.seek(SeekFrom::Start(lba * u64::from(BLOCK)))?;
        self.file.read_exact(buf)
    }
}

/// Holds the log of a disk image against an anchor, as `verify --anchor` does.
pub fn anchored(disk: &Path, nth: usize, secret: &Secret, anchor: &Path) -> Result<()> {
    let mut region = FileRegion::open(disk, nth, Writes::Dropped)?;
    let key_of = |installation: &[u8; INSTALLATION_BYTES]| Key::derive(secret, installation);
    let mut headers = Vec::new();
    let found = recover(&mut region, &key_of, &mut |header, _| headers.push(*header));
    let (found, key) = found.map_err(|error| anyhow::anyhow!("{error}"))?;
    ensure!(found.refused.is_none(), "the log is damaged");
    Seen::of(&found, &key, &headers).check(anchor)
}

/// Does what `verb` says.
pub fn run(verb: &AuditVerb) -> Result<ExitCode> {
    let AuditVerb::Verify(args) = verb;
    let text = fs::read_to_string(&args.key)
        .with_context(|| format!("cannot read the key file {}", args.key.display()))?;
    let secret = Secret::parse(text.trim())
        .with_context(|| format!("{} does not hold 64 hexadecimal digits", args.key.display()))?;
    let mut region = FileRegion::open(&args.disk, args.partition, Writes::Dropped)?;
    let key_of = |installation: &[u8; INSTALLATION_BYTES]| Key::derive(&secret, installation);
    let mut headers = Vec::new();
    let found = recover(&mut region, &key_of, &mut |header, records| {
        headers.push(*header);
        println!(
            "segment {:4}  boot {}  records {}..={}  dropped {}",
            header.index,
            header.boot,
            header.first,
            header.last(),
            header.dropped
        );
        if args.records {
            let (whole, _) = records.as_chunks::<RECORD_BYTES>();
            let records = whole.iter().filter_map(|bytes| Record::decode(bytes));
            records.for_each(|record| println!("{}", line(&record)));
        }
    });
    match found {
        Ok((found, key)) => {
            println!(
                "{} segments, {} records, {} boots, key {}",
                found.segments,
                found.records,
                found.superblock().boots,
                key.id()
            );
            if found.spoilt_copy {
                println!("one superblock copy is unreadable");
            }
            match (found.refused, &args.anchor) {
                (Some(refused), _) => println!("refused: {}", Error::<()>::Refused(refused)),
                (None, None) => return Ok(ExitCode::SUCCESS),
                (None, Some(anchor)) => match Seen::of(&found, &key, &headers).check(anchor) {
                    Ok(()) => return Ok(ExitCode::SUCCESS),
                    Err(error) => println!("refused: {error:#}"),
                },
            }
        }
        Err(Error::Device(error)) => return Err(error.into()),
        Err(other) => println!("refused: {other}"),
    }
    Ok(ExitCode::FAILURE)
}

fn line(record: &Record) -> String {
    let event = &record.event;
    format!(
        "  {:6} {:>14} ns  {:18} function {:#x} owner {} claim {} object {}.{} outcome {} detail {} value {}",
        record.sequence,
        record.ns,
        event.kind.name(),
        event.function,
        event.owner,
        event.claim,
        event.object,
        event.object_generation,
        event.outcome,
        event.detail,
        event.value
    )
}
