//! The provider dies with reads in flight.

use std::path::Path;

use anyhow::Result;

use crate::disk::FatImage;
use crate::smoke::case::{MONITOR, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::pattern;

pub(super) fn files(path: &Path) -> Result<()> {
    FatImage::create(path, 64, 32, "FILES")?.file("BIG.BIN", &pattern(4 << 20))?;
    Ok(())
}

/// Lets the disk do no more than what it has begun: what is asked of it from now on stays in flight.
pub fn hold_disk(peer: &mut Peer<'_>) -> Result<()> {
    peer.monitor("block_set_io_throttle d0 1 0 0 0 0 0")
        .map(drop)
}

/// Lets it go on, as slowly as before.
pub(super) fn slow_disk(peer: &mut Peer<'_>) -> Result<()> {
    peer.monitor("block_set_io_throttle d0 524288 0 0 0 0 0")
        .map(drop)
}

/// Lets it go on, as fast as it can.
pub fn free_disk(peer: &mut Peer<'_>) -> Result<()> {
    peer.monitor("block_set_io_throttle d0 0 0 0 0 0 0")
        .map(drop)
}

inventory::submit! {
    Smoke {
        name: "provider-crash",
        question: "Does a read that is in flight when its driver is killed come back right, through the driver's successor?",
        rows: &["DA-40", "DA-42", "DA-53"],
        manifest: "smoke/provider-crash",
        // Slow enough that the reader is still at it when the second driver is killed.
        disks: &[SmokeDisk { name: "files.img", make: files, bytes_per_s: 1 << 19 }],
        extra: MONITOR,
        // What is typed while the driver comes up would lie in the middle of its facts.
        steps: &[
            Step::Wait("@nvme.ready"), Step::Wait("@crasher.armed round=1"), Step::Type("sha256 /disk/BIG.BIN"),
            Step::Peer(hold_disk), Step::Wait("@device.released"), Step::Peer(slow_disk),
            Step::Wait("@crasher.armed round=2"),
            Step::Peer(hold_disk), Step::Wait("@device.released"), Step::Peer(free_disk),
            Step::Wait("@nvme.ready"), Step::Type("sha256 /disk/BIG.BIN"), Step::Type("halt"),
        ],
        required: &[
            "@process.ended name=nvme kind=killed",
            "@device.teardown step=device-reset proof=csts-rdy-zero in-flight=true",
            "@device.released",
            "@service.started name=nvme incarnation=2",
            "@crasher.done name=nvme killed=2",
            "f232e645abba334c7b356d613a430956189f538e4c0f7546bef2450b6059253a",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@process.ended kind=faulted", "@process.ended kind=panicked"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
