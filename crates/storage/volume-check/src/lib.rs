//! A checker of capOS volumes, written from `docs/volume-format.md` alone: it shares no line with the code that writes
//! them, so that a mistake in one is not made by the other.
//!
//! Owns: its own decoder, and the walk over everything that a volume's last root reaches. Invariant: it never writes
//! and never recurses, every walk ends because no block is visited twice, and damage is reported, not believed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
mod roots;
mod space;
mod tree;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

pub use roots::Head;

/// Bytes of a block.
pub const BLOCK: usize = 4096;

/// The disk, to read.
pub trait Disk {
    /// All blocks.
    fn blocks(&self) -> u64;
    /// Fills one block; says whether the disk gave it.
    fn read(&mut self, lba: u64, block: &mut [u8]) -> bool;
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The block.
    pub lba: u64,
    /// What it is and what is wrong with it.
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The root that counts.
    pub head: Option<Head>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Second copies that are bad while the first is good, or the other way round: the block, and the good one.
    pub repairs: Vec<(u64, u64)>,
    /// Newer groups that a cut tore.
    pub cut: u64,
    /// Blocks in use, counted.
    pub used: u64,
    /// Inodes of the live tree.
    pub inodes: u64,
}

impl Report {
    fn say(&mut self, lba: u64, text: impl Into<String>) {
        // What is beyond so many says nothing new.
        if self.problems.len() < 1000 {
            self.problems.push(Problem {
                lba,
                text: text.into(),
            });
        }
    }
}

/// What a walk needs.
pub(crate) struct Walk<'a, D> {
    pub disk: &'a mut D,
    pub uuid: [u8; 16],
    pub blocks: u64,
    /// The group of the root that counts.
    pub newest: u64,
    pub report: Report,
    /// Blocks that the last root reaches.
    pub live: BTreeSet<u64>,
    /// Blocks that keys 7 name.
    pub dead: BTreeSet<u64>,
    /// Blocks that snapshots reach.
    pub kept: BTreeSet<u64>,
}

/// Checks a whole volume.
pub fn check<D: Disk>(disk: &mut D) -> Report {
    let mut report = Report::default();
    let Some((uuid, blocks)) = roots::label(disk, &mut report) else {
        return report;
    };
    let mut walk = Walk {
        disk,
        uuid,
        blocks,
        newest: 0,
        report,
        live: BTreeSet::new(),
        dead: BTreeSet::new(),
        kept: BTreeSet::new(),
    };
    let Some(head) = roots::find(&mut walk) else {
        walk.report.say(1, "no root of either ring is sound");
        return walk.report;
    };
    walk.newest = head.txg;
    walk.report.head = Some(head);
    tree::check(&mut walk, &head);
    space::check(&mut walk, &head);
    walk.report
}
