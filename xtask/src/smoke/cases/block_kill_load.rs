//! A disk's driver is killed with 32 writes in flight, again and again, and the disk's own log is judged: also as that of a disk
//! that loses its cache whenever its controller is reset.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use crash_lab::recorded::{Block, Event, events};
use sabotage::points;
use volume_format::BLOCK;

use crate::smoke::case::{Again, Runs, Smoke, SmokeFile};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const DISK: &str = "data.img";
const LOG: &str = "log.img";
/// As `block-kill-load` writes them.
const MAGIC: u64 = 0x6c6f_6164_6361_706f;
const DISK_BYTES: usize = 2 << 20;
/// Sets of unflushed writes that are lost, besides all of them.
const SEEDS: u64 = 16;

fn word(block: &[u8], at: usize) -> u64 {
    let bytes = block.get(8 * at..8 * at + 8);
    bytes.map_or(0, |bytes| {
        bytes
            .iter()
            .rev()
            .fold(0, |all, byte| all << 8 | u64::from(*byte))
    })
}

/// Which of the unflushed writes a disk loses at a reset.
#[derive(Clone, Copy, Debug)]
enum Loss {
    All,
    /// Some, by a seed.
    Some(u64),
}

impl Loss {
    fn takes(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(seed) => {
                (number as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 != 0
            }
        }
    }
}

/// What the disk would hold if it lost its cache at each reset: at the first write that a new driver asked for. No write of an
/// old one comes after that.
fn lossy(events: &[Event], loss: Loss) -> Result<(BTreeMap<u64, Block>, u64)> {
    let (mut kept, mut cache) = (BTreeMap::new(), Vec::new());
    let mut incarnation = 0;
    for (number, event) in events.iter().enumerate() {
        match event {
            Event::Write(lba, block) => {
                ensure!(
                    word(block, 0) == MAGIC && word(block, 1) == *lba,
                    "entry {number} writes block {lba}, and not what was asked for"
                );
                let of = word(block, 3);
                ensure!(
                    of >= incarnation,
                    "entry {number} is a write that driver {of} was asked for, after one of driver {incarnation}"
                );
                if of > incarnation {
                    let mut at = 0;
                    cache.retain(|_| {
                        at += 1;
                        !loss.takes(number + at)
                    });
                    incarnation = of;
                }
                cache.push((*lba, block.clone()));
            }
            Event::Flush => kept.extend(cache.drain(..)),
            Event::Acknowledged(_) | Event::Submitted(_) | Event::Told(_) => {}
        }
    }
    Ok((kept, incarnation))
}

/// The disk that loses some, after the one that lost nothing: what it holds must be the same.
fn differs(kept: &BTreeMap<u64, Block>, disk: &[u8]) -> Option<String> {
    (0..).zip(disk.chunks(BLOCK)).find_map(|(lba, is)| {
        let left = kept.get(&lba).map(|block| block.as_slice());
        let was = left.map(|block| (word(block, 2), word(block, 3)));
        (left.unwrap_or(&[0; BLOCK]) != is).then(|| {
            let (write, driver) = (word(is, 2), word(is, 3));
            format!("block {lba} holds {was:?}, not write {write} of driver {driver}")
        })
    })
}

/// Leaves on the disk what is left where everything unflushed is lost at each reset; the guest judges it. Disks that lose a part
/// of it are judged here.
fn lose(work: &Path) -> Result<()> {
    let log = fs::read(work.join(LOG))?;
    let events = events(&log).map_err(|error| anyhow!(error))?;
    let disk = fs::read(work.join(DISK))?;
    let (kept, drivers) = lossy(&events, Loss::All)?;
    ensure!(drivers > 1, "one driver wrote everything");
    let mut left = vec![0; disk.len()];
    for (lba, block) in &kept {
        let at = *lba as usize * BLOCK;
        left.get_mut(at..at + BLOCK)
            .context("a block outside of the disk")?
            .copy_from_slice(block);
    }
    if differs(&kept, &disk).is_none() {
        for seed in 1..=SEEDS {
            let (kept, _) = lossy(&events, Loss::Some(seed))?;
            let differs = differs(&kept, &disk);
            ensure!(
                differs.is_none(),
                "a disk that loses set {seed}: {differs:?}"
            );
        }
    }
    fs::write(work.join(DISK), left)?;
    fs::write(work.join(LOG), [])?;
    Ok(())
}

const KEPT: &str = "@kill-load.kept whole=true";
const DONE: &str = "@kill-load.done kills=6 client_errors=0 wrong=0 deep=true";

const EXTRA: &[&str] = &[
    "-blockdev",
    "driver=file,node-name=data,filename={work}/data.img",
    "-blockdev",
    "driver=file,node-name=log,filename={work}/log.img",
    "-blockdev",
    "driver=blklogwrites,node-name=logged,file=data,log=log,log-sector-size=512,log-super-update-interval=1",
    "-device",
];

const fn extra(device: &'static str) -> [&'static str; 8] {
    let mut all = [device; 8];
    let mut at = 0;
    while at < 7 {
        all[at] = EXTRA[at];
        at += 1;
    }
    all
}

const KILL_LOAD: Smoke = Smoke {
    files: &[
        SmokeFile {
            name: DISK,
            bytes: || vec![0; DISK_BYTES],
        },
        SmokeFile {
            name: LOG,
            bytes: Vec::new,
        },
    ],
    smp: 2,
    again: &[Again {
        between: lose,
        steps: &[],
    }],
    required: &[DONE, KEPT],
    forbidden: &[
        "@kernel.panic",
        "@device.quarantined",
        "@process.ended kind=faulted",
        "@process.ended kind=panicked",
    ],
    ..PROGRAM
};

inventory::submit! {
    Smoke {
        name: "block-kill-load",
        question: "Does a client with 32 writes in flight lose nothing and see no error when the disk's driver is killed again and again, also on a disk that loses its cache at each reset?",
        rows: &["BD-04"],
        manifest: "smoke/block-kill-load",
        extra: &extra("virtio-blk-pci,drive=logged"),
        ..KILL_LOAD
    }
}

inventory::submit! {
    Smoke {
        name: "block-kill-load-nvme",
        question: "Does a client with 32 writes in flight lose nothing and see no error when the driver of an NVMe disk is killed again and again, also on a disk that loses its cache at each reset?",
        rows: &["BD-04"],
        manifest: "smoke/block-kill-load-nvme",
        extra: &extra("nvme,serial=logged,drive=logged"),
        ..KILL_LOAD
    }
}

const DEEP: Smoke = Smoke {
    required: &[
        "@kill-load.done kills=50 client_errors=0 wrong=0 deep=true",
        KEPT,
    ],
    runs: Runs::Deep,
    ..KILL_LOAD
};

inventory::submit! {
    Smoke {
        name: "block-kill-deep",
        question: "Does a client with 32 writes in flight lose nothing when the driver of a virtio disk is killed at 50 moments?",
        manifest: "smoke/block-kill-deep",
        extra: &extra("virtio-blk-pci,drive=logged"),
        ..DEEP
    }
}

inventory::submit! {
    Smoke {
        name: "block-kill-deep-nvme",
        question: "Does a client with 32 writes in flight lose nothing when the driver of an NVMe disk is killed at 50 moments?",
        manifest: "smoke/block-kill-deep-nvme",
        extra: &extra("nvme,serial=logged,drive=logged"),
        ..DEEP
    }
}

inventory::submit! {
    Sabotage {
        point: points::BLOCK_SKIP_FLUSH,
        smoke: "block-kill-load",
        breaks: Break::Missing(KEPT),
    }
}
