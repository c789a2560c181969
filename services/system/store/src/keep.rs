//! Snapshots, and looking whether the volume is sound.

use sdk::Refusal;
use sdk::alloc::string::{String, ToString};
use sdk::alloc::{format, vec::Vec};
use volume::{Checked, Kept, Piece};
use volume_check::Disk;
use volume_core::{Access, Blocks, ObjectNamed, Owner, Scrubbed};
use volume_disk::VolumeDisk;
use volume_format::Stamp;
use volume_place::Range;

use crate::live::{Live, reported};
use crate::stat::source;

/// Keys that one piece of a scrub takes: others are served between two pieces.
const PIECE_KEYS: u32 = 32;
/// Bytes of a path that are told of a damaged file, from its end.
const PATH_BYTES: usize = 128;
/// Objects that are asked for the address of a damaged one.
const ASKED_OBJECTS: u64 = 4096;
/// Blocks in use that are counted while others wait.
const CHECKED_BLOCKS: u64 = 1 << 17;
/// Problems that are told.
const TOLD: usize = 24;

/// The disk, for the checker.
struct Reader<'a>(&'a mut VolumeDisk<Range>);

impl Disk for Reader<'_> {
    fn blocks(&self) -> u64 {
        Blocks::blocks(self.0)
    }

    fn read(&mut self, lba: u64, block: &mut [u8]) -> bool {
        Blocks::read(self.0, lba, block).is_ok()
    }
}

fn kept(group: u64, made: Stamp) -> Kept {
    Kept {
        group,
        made_ns: made.ns,
        time_source: source(made.source),
    }
}

impl Live {
    /// Makes everything durable, whatever others were told of losses.
    fn settle(&mut self) -> Result<u64, Refusal> {
        let mut seen = self.losses;
        self.sync(&mut seen)
    }

    /// What is kept in memory says nothing of the disk.
    fn forget(&mut self) {
        if !sabotage::sabotage!(STORE_SCRUB_MEMORY) {
            self.volume.disk_mut().forget();
        }
    }

    /// Keeps the volume as it is. Returns the snapshot's number.
    ///
    /// # Errors
    /// As clients see it.
    pub fn snapshot(&mut self) -> Result<u64, Refusal> {
        let group = self.change(volume_core::Volume::create_snapshot)?;
        self.settle()?;
        Ok(group)
    }

    /// The snapshot after the one with that number.
    ///
    /// # Errors
    /// As clients see it.
    pub fn next_snapshot(&mut self, after: u64) -> Result<Option<Kept>, Refusal> {
        let next = self.volume.next_snapshot(after);
        let next = next.map_err(|error| reported(&error))?;
        next.map(|group| self.kept(group)).transpose()
    }

    /// What is known of a snapshot.
    ///
    /// # Errors
    /// As clients see it.
    pub fn kept(&mut self, group: u64) -> Result<Kept, Refusal> {
        let made = self.volume.snapshot_made(group);
        Ok(kept(group, made.map_err(|error| reported(&error))?))
    }

    /// Lets a snapshot go.
    ///
    /// # Errors
    /// As clients see it.
    pub fn remove_snapshot(&mut self, group: u64) -> Result<(), Refusal> {
        self.change(|volume, now| volume.let_go(group, now))?;
        self.is_freeing = true;
        self.settle().map(|_| ())
    }

    /// Reads a piece of everything from the disk.
    ///
    /// # Errors
    /// As clients see it.
    pub fn scrub(&mut self, group: u64, after: &[u8]) -> Result<Piece, Refusal> {
        self.forget();
        let view = match group {
            0 => Ok(self.volume.live()),
            group => self.volume.snapshot(group),
        };
        let view = view.map_err(|error| reported(&error))?;
        let (mut seen, mut flaws) = (Scrubbed::default(), Vec::new());
        let next = self
            .volume
            .scrub(&view, after, PIECE_KEYS, &mut seen, |volume, flaw| {
                let owner = match volume.owner_of(&view, &flaw, ASKED_OBJECTS) {
                    None => String::from("the tree"),
                    Some(Owner::Object(address)) => ObjectNamed(address).to_string(),
                    Some(Owner::Path(path)) => {
                        let from = path.len().saturating_sub(PATH_BYTES);
                        let end = path.get(from..).unwrap_or_default();
                        format!("/{}", String::from_utf8_lossy(end))
                    }
                };
                flaws.push(format!("{owner}: {flaw}"));
            });
        let next = next.map_err(|error| reported(&error))?;
        Ok(Piece {
            next,
            files: seen.files,
            bytes: seen.bytes,
            flaws,
        })
    }

    /// Has a reader that shares no code with the volume's count everything.
    ///
    /// # Errors
    /// As clients see it.
    pub fn check(&mut self) -> Result<Checked, Refusal> {
        let usage = self.volume.usage();
        if usage.capacity.saturating_sub(usage.free) > CHECKED_BLOCKS {
            return Err(Refusal::TooLarge);
        }
        if self.volume.access() == Access::Write {
            self.settle()?;
        }
        let group = self.volume.txg();
        self.forget();
        let report = volume_check::check(&mut Reader(self.volume.disk_mut()));
        let problems = report.problems.iter();
        let problems = problems.map(|problem| format!("block {}: {}", problem.lba, problem.text));
        let repairs = report.repairs.iter().map(|(bad, good)| {
            format!("block {bad}: its copy in block {good} is good; capos-store check --repair writes it again")
        });
        let all = report.problems.len() + report.repairs.len();
        Ok(Checked {
            group,
            used: report.used,
            free: report.head.map_or(0, |head| head.free),
            inodes: report.inodes,
            problems: u32::try_from(all).unwrap_or(u32::MAX),
            list: problems.chain(repairs).take(TOLD).collect(),
        })
    }
}
