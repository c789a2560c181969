//! Blocks that become zeros, blocks that are forgotten, and a write that lasts: what the disks' files hold, and what QEMU says it
//! was asked for.

use std::fs;

use anyhow::{Context, Result, ensure};
use sabotage::points;

use crate::smoke::case::{Peer, Smoke, SmokeFile, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::sabotage::{Break, Sabotage};

const BYTES: usize = 8 << 20;
const SECTOR: usize = 512;

/// As `block-clear` has them: first byte and count of bytes.
const ZEROED: (usize, usize) = (66_048, 200 << 10);
const FORGOTTEN: (usize, usize) = (1 << 20, 512 << 10);
const LASTS: (usize, usize) = (3 << 20, 4096);
const MARK: (usize, usize) = ((3 << 20) + (64 << 10), 4096);

/// Flags of an entry (`Documentation/admin-guide/device-mapper/log-writes.rst`).
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// An entry of QEMU's log: flags, first byte and count of bytes.
type Entry = (u64, usize, usize);

fn entries(log: &[u8]) -> Result<Vec<Entry>> {
    let word = |at: usize| -> Result<usize> {
        let bytes = log.get(at..at + 8).context("the log is cut")?;
        Ok(u64::from_le_bytes(bytes.try_into()?).try_into()?)
    };
    let mut at = SECTOR;
    (0..word(16)?)
        .map(|_| {
            let (sector, sectors, flags) = (word(at)?, word(at + 8)?, word(at + 16)? as u64);
            let bytes = sectors * SECTOR;
            at += SECTOR + if flags & DISCARD == 0 { bytes } else { 0 };
            Ok((flags, sector * SECTOR, bytes))
        })
        .collect()
}

/// What QEMU was asked to discard is what was named, and the write that lasts was flushed before anything else was asked for.
fn asked(entries: &[Entry]) -> Result<()> {
    let discarded: Vec<_> = entries
        .iter()
        .filter(|entry| entry.0 & DISCARD != 0)
        .map(|entry| (entry.1, entry.2))
        .collect();
    ensure!(discarded == [FORGOTTEN], "discarded was {discarded:?}");
    let at = |place: (usize, usize)| {
        let mut places = entries.iter();
        let found = places.position(|entry| (entry.1, entry.2) == place && entry.0 & DISCARD == 0);
        found.with_context(|| format!("nothing was written at {place:?}"))
    };
    let between = entries.get(at(LASTS)?..at(MARK)?).unwrap_or_default();
    ensure!(
        between.iter().any(|entry| entry.0 & (FLUSH | FUA) != 0),
        "what was to last was answered without a flush: {between:?}"
    );
    Ok(())
}

/// What a disk makes of a discard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discard {
    Done,
    Unknown,
}

/// The file holds what was there, but for what was named.
fn holds(name: &str, found: &[u8], discard: Discard) -> Result<()> {
    let old = pattern(BYTES);
    let mut expected = old.clone();
    expected[ZEROED.0..][..ZEROED.1].fill(0);
    for (place, first) in [(LASTS, 0), (MARK, 1)] {
        for (at, byte) in expected[place.0..][..place.1].iter_mut().enumerate() {
            *byte = ((at + first) * 3 + at / 256) as u8;
        }
    }
    let (from, bytes) = FORGOTTEN;
    let forgotten = &found[from..from + bytes];
    // What a host's file system makes of a hole, if it makes any.
    if discard == Discard::Done && forgotten.iter().all(|byte| *byte == 0) {
        expected[from..from + bytes].fill(0);
    }
    ensure!(found.len() == expected.len(), "{name} has another length");
    let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
    ensure!(
        differs.is_none(),
        "{name} differs from what it should hold, first at byte {differs:?}"
    );
    Ok(())
}

fn check(peer: &mut Peer<'_>) -> Result<()> {
    for (name, discard) in [
        ("nvme", Discard::Done),
        ("virtio", Discard::Done),
        ("plain", Discard::Unknown),
    ] {
        let found = fs::read(peer.work.join(format!("{name}.img")))?;
        holds(name, &found, discard)?;
        if discard == Discard::Done {
            let log = fs::read(peer.work.join(format!("{name}.log")))?;
            asked(&entries(&log)?).with_context(|| format!("the log of {name}"))?;
        }
    }
    Ok(())
}

const NVME: &str = "@clear.disk name=nvme zeroes=33554432 discards=1073741824 forgotten=ok zeroed=ok zeros=true past=outOfRange durable=ok";
const VIRTIO: &str = "@clear.disk name=virtio zeroes=33554432 discards=1073741824 forgotten=ok zeroed=ok zeros=true past=outOfRange durable=ok";
/// It does neither: zeros are written, and nothing is forgotten.
const PLAIN: &str = "@clear.disk name=plain zeroes=0 discards=0 forgotten=ok zeroed=ok zeros=true past=outOfRange durable=ok";
const REFUSED: &str = "@clear.refused name=nvme unclaimed=notGranted zero=notGranted discard=notGranted durable=notGranted none=zeroLength far=outOfRange much=outOfRange reader=readOnly";

inventory::submit! {
    Smoke {
        name: "block-clear",
        question: "Does the host find zeros exactly where a session made them, a discard of exactly what it named, and a flush behind a durable write?",
        rows: &["BD-04", "NV-39"],
        manifest: "smoke/block-clear",
        files: &[
            SmokeFile { name: "nvme.img", bytes: || pattern(BYTES) },
            SmokeFile { name: "nvme.log", bytes: Vec::new },
            SmokeFile { name: "virtio.img", bytes: || pattern(BYTES) },
            SmokeFile { name: "virtio.log", bytes: Vec::new },
            SmokeFile { name: "plain.img", bytes: || pattern(BYTES) },
        ],
        extra: &[
            "-blockdev", "driver=file,node-name=n,filename={work}/nvme.img,discard=unmap",
            "-blockdev", "driver=file,node-name=nl,filename={work}/nvme.log",
            "-blockdev", "driver=blklogwrites,node-name=nvme,file=n,log=nl,log-sector-size=512,log-super-update-interval=1,discard=unmap",
            "-device", "nvme,serial=clear,drive=nvme",
            "-blockdev", "driver=file,node-name=v,filename={work}/virtio.img,discard=unmap",
            "-blockdev", "driver=file,node-name=vl,filename={work}/virtio.log",
            "-blockdev", "driver=blklogwrites,node-name=virtio,file=v,log=vl,log-sector-size=512,log-super-update-interval=1,discard=unmap",
            "-device", "virtio-blk-pci,drive=virtio",
            "-blockdev", "driver=file,node-name=plain,filename={work}/plain.img",
            "-device", "virtio-blk-pci,drive=plain,discard=off,write-zeroes=off",
        ],
        steps: &[Step::Wait("@clear.done"), Step::Peer(check), Step::Type("halt")],
        required: &[
            REFUSED,
            NVME,
            VIRTIO,
            "@clear.refused name=plain unclaimed=notSupported zero=notSupported discard=notSupported durable=notGranted none=notSupported far=notSupported much=notSupported reader=readOnly",
            PLAIN,
            "@clear.done",
        ],
        sorted: true,
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::BLOCK_CLEAR_ANYWHERE,
        smoke: "block-clear",
        breaks: Break::Step("nvme differs from what it should hold"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::BLOCK_TRUST_FUA,
        smoke: "block-clear",
        breaks: Break::Step("was answered without a flush"),
    }
}
