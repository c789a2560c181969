//! What the guest wrote and flushed, recorded by QEMU beside it: after a cut only what was flushed is left, and every state that
//! a cut could have left at any moment is judged on the host.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use crash_lab::recorded::{self, durable, events, explore};
use sabotage::points;
use volume_format::BLOCK;

use crate::smoke::case::{Again, Peer, Smoke, SmokeFile, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::storage_recovery::{compare, synced};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";
const LOG: &str = "log.img";
const RECORDED: &str = "recorded.log";
const EXPECTED: &str = "expected";
const KEPT: &str = "@load.kept all=true";

/// A small volume, on which the load ends after some rounds. The first call makes it, and later ones are about the same one.
fn volume() -> Vec<u8> {
    static VOLUME: OnceLock<Vec<u8>> = OnceLock::new();
    let made = VOLUME.get_or_init(|| {
        let make = || -> Result<Vec<u8>> {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join(DISK);
            let tool = Tool::new(&path);
            tool.mkfs(4, "recorded")?;
            tool.put("/stop", b"12")?;
            Ok(fs::read(&path)?)
        };
        // An empty disk fails the smoke at its first step.
        make().unwrap_or_default()
    });
    made.clone()
}

/// Ends QEMU once the load has come to its end, and notes what it called synced.
fn cut(peer: &mut Peer<'_>) -> Result<()> {
    let last = synced(peer.session.serial().lines()).context("no round was synced")?;
    fs::write(peer.work.join(EXPECTED), last.to_string())?;
    peer.session.cut()
}

/// Leaves on the disk what was flushed, and nothing else, as a disk does that loses its cache.
fn lose_the_cache(work: &Path) -> Result<()> {
    fs::copy(work.join(LOG), work.join(RECORDED))?;
    let log = fs::read(work.join(RECORDED))?;
    let events = events(&log).map_err(|error| anyhow!(error))?;
    let before = recorded::image(&volume());
    let kept = durable(&before, &events);
    let mut bytes = vec![0; before.blocks as usize * BLOCK];
    for (lba, block) in &kept.content {
        bytes[*lba as usize * BLOCK..][..BLOCK].copy_from_slice(block);
    }
    let path = work.join(DISK);
    fs::write(&path, bytes)?;
    fs::write(work.join(LOG), [])?;
    let expected = fs::read(work.join(EXPECTED))?;
    Tool::new(&path).put("/expected", &expected)
}

/// Builds and judges every state.
fn judge(peer: &mut Peer<'_>) -> Result<()> {
    let log = fs::read(peer.work.join(RECORDED))?;
    let events = events(&log).map_err(|error| anyhow!(error))?;
    let age = |content: &crash_lab::work::Content| {
        compare(content, 0).map_err(|error| format!("{error:#}"))
    };
    let tried = explore(&recorded::image(&volume()), &events, &age);
    let tried = tried.map_err(|error| anyhow!(error))?;
    fs::write(peer.work.join("../states"), format!("{tried:?}\n"))?;
    ensure!(
        tried.flushes >= 12 && tried.rolled_back > 0 && tried.states > 1000,
        "too little was tried: {tried:?}"
    );
    Ok(())
}

const EXTRA: &[&str] = &[
    "-blockdev",
    "driver=file,node-name=data,filename={work}/volume.img",
    "-blockdev",
    "driver=file,node-name=log,filename={work}/log.img",
    "-blockdev",
    "driver=blklogwrites,node-name=logged,file=data,log=log,log-sector-size=512,log-super-update-interval=1",
    "-device",
];

const RECORD: Smoke = Smoke {
    files: &[
        SmokeFile {
            name: DISK,
            bytes: volume,
        },
        SmokeFile {
            name: LOG,
            bytes: Vec::new,
        },
    ],
    steps: &[Step::Wait("@load.done"), Step::Peer(cut)],
    again: &[Again {
        between: lose_the_cache,
        steps: &[Step::Wait("@load.done"), Step::Peer(judge)],
    }],
    required: &["@load.found whole=true", KEPT, "@load.done"],
    forbidden: &["@kernel.panic", "@load.found whole=false"],
    ..PROGRAM
};

const fn extra(device: &'static str) -> [&'static str; 8] {
    let mut all = [device; 8];
    let mut at = 0;
    while at < 7 {
        all[at] = EXTRA[at];
        at += 1;
    }
    all
}

inventory::submit! {
    Smoke {
        name: "storage-crash-record",
        question: "Is everything synced there when a virtio disk loses its cache, and is every state that a cut could have left sound?",
        rows: &["NV-37", "ST-08", "ST-11", "ST-18"],
        manifest: "smoke/storage-load",
        extra: &extra("virtio-blk-pci,drive=logged"),
        ..RECORD
    }
}

inventory::submit! {
    Smoke {
        name: "storage-crash-record-nvme",
        question: "Is everything synced there when an NVMe disk loses its cache, and is every state that a cut could have left sound?",
        rows: &["NV-37", "ST-08", "ST-18"],
        manifest: "smoke/storage-load-nvme",
        extra: &extra("nvme,serial=logged,drive=logged"),
        ..RECORD
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_SKIP_FLUSH,
        smoke: "storage-crash-record",
        breaks: Break::Missing(KEPT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_SKIP_COMMIT,
        smoke: "storage-crash-record",
        breaks: Break::Missing(KEPT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::VOLUME_SKIP_ROOT_FLUSH,
        smoke: "storage-crash-record",
        breaks: Break::Missing(KEPT),
    }
}
