//! The disk fails while a volume changes: from some flush on, every write, or every flush, ends with an error.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sabotage::points;

use crate::smoke::case::{Peer, Smoke, SmokeFile, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::storage_recovery::{SYNCED, judge, synced};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";

/// A volume whose user is told that its disk will fail.
fn make() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(DISK);
    let tool = Tool::new(&path);
    tool.mkfs(8, "fails")?;
    tool.put("/fails", b"1")?;
    Ok(fs::read(&path)?)
}

/// An empty disk fails the smoke at its first step.
fn volume() -> Vec<u8> {
    make().unwrap_or_default()
}

/// The host finds everything that the guest called synced, and a sound volume.
fn judged(peer: &mut Peer<'_>) -> Result<()> {
    let last = synced(peer.session.serial().lines()).context("no round was synced")?;
    fs::write(peer.work.join(SYNCED), last.to_string())?;
    let work: &Path = peer.work;
    judge(work)
}

/// Counts ten flushes by QEMU's states: mounting takes one, and a round at least one.
macro_rules! failing {
    ($what:literal) => {
        &[
            "-drive",
            concat!(
                "if=none,id=bad,format=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={work}/volume.img,",
                failing!(@from 0 1 2), failing!(@from 1 2 3),
                failing!(@from 2 3 4), failing!(@from 3 4 5),
                failing!(@from 4 5 6), failing!(@from 5 6 7),
                failing!(@from 6 7 8), failing!(@from 7 8 9),
                failing!(@from 8 9 10), failing!(@from 9 10 11),
                $what
            ),
            "-device",
            "virtio-blk-pci,drive=bad",
        ]
    };
    (@from $rule:literal $state:literal $next:literal) => {
        concat!(
            "file.set-state.", $rule, ".event=flush_to_disk,file.set-state.", $rule, ".state=", $state,
            ",file.set-state.", $rule, ".new_state=", $next, ","
        )
    };
}

const TOLD: &str = "@load.failed told=deviceError sync_answered=false sync=readOnly write=readOnly kept=true whole=true";

const FAILING: Smoke = Smoke {
    manifest: "smoke/storage-load",
    files: &[SmokeFile {
        name: DISK,
        bytes: volume,
    }],
    steps: &[Step::Wait("@load.done"), Step::Peer(judged)],
    required: &[
        "@load.found whole=true",
        "synced round ",
        TOLD,
        "@load.done",
    ],
    forbidden: &["@kernel.panic", "@load.found whole=false"],
    ..PROGRAM
};

inventory::submit! {
    Smoke {
        name: "storage-write-fails",
        question: "Is nobody told of a sync after a write of the disk failed, and is everything there that was synced before?",
        rows: &["ST-11", "ST-18"],
        extra: failing!(
            "file.inject-error.0.event=write_aio,file.inject-error.0.iotype=write,file.inject-error.0.errno=5,file.inject-error.0.state=11"
        ),
        ..FAILING
    }
}

inventory::submit! {
    Smoke {
        name: "storage-flush-fails",
        question: "Is nobody told of a sync after a flush of the disk failed, and is everything there that was synced before?",
        rows: &["ST-08", "ST-11"],
        extra: failing!(
            "file.inject-error.0.event=flush_to_disk,file.inject-error.0.iotype=flush,file.inject-error.0.errno=5,file.inject-error.0.state=11"
        ),
        ..FAILING
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_HIDE_FAILURE,
        smoke: "storage-write-fails",
        breaks: Break::Missing(TOLD),
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_HIDE_FAILURE,
        smoke: "storage-flush-fails",
        breaks: Break::Missing(TOLD),
    }
}
