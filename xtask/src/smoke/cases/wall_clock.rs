//! The time of day: from the machine's clock into files, and by whom it is set.

use std::path::Path;

use anyhow::{Result, ensure};

use sabotage::points;

use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

/// A clock that only who reads its century reads right; it goes by the guest's time.
const CLOCK: &[&str] = &["-rtc", "base=2126-03-04T05:00:00,clock=vm"];

const READ: &str = "@wall.read machine=true days_off=0 hour=5 changes=0 steady=true";
const NARROW: &str = "@wall.narrow other=notGranted wider=notGranted unsettable=badArgument own=ok";
const SET: &str = "@wall.set network=true person=true changes=2 exact=true stepped=true set_between=true timer=true";

inventory::submit! {
    Smoke {
        name: "wall-clock",
        question: "Is the time of day what the machine's clock shows, down to the century; and who may set it, in whose name?",
        rows: &["ST-17"],
        manifest: "smoke/wall-clock",
        extra: CLOCK,
        required: &[
            READ,
            "@wall.refused none=badArgument machine=badArgument firmware=badArgument early=outOfRange late=outOfRange \
             to_come=outOfRange changes=0",
            NARROW,
            SET,
            "@wall.done",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::FORGET_CENTURY,
        smoke: "wall-clock",
        breaks: Break::Missing(READ),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ANY_TIME_SOURCE,
        smoke: "wall-clock",
        breaks: Break::Missing(NARROW),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_TIME_SOURCE,
        smoke: "wall-clock",
        breaks: Break::Missing(SET),
    }
}

const BY_CLOCK: &str = " clock   by-clock.txt";
const DISK: &str = "volume.img";

fn empty(path: &Path) -> Result<()> {
    Tool::new(path).mkfs(24, "times")
}

/// What the guest shows of each file is what lies on the disk, read by another program.
fn as_shown(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    let listing = tool.run(&["ls", "-l", "/"], &[])?;
    let listing = String::from_utf8_lossy(&listing);
    let shown = peer.session.serial().lines();
    ensure!(listing.lines().count() == 2, "not two files: {listing}");
    for line in listing.lines() {
        let is_shown = shown.iter().any(|shown| shown.ends_with(line.trim()));
        ensure!(is_shown, "the guest shows something else than {line:?}");
    }
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "storage-times",
        question: "Has what is written to a volume the time of day at which it was written, with where that is from?",
        rows: &["ST-17"],
        disks: &[SmokeDisk { name: DISK, make: empty, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        extra: CLOCK,
        steps: &[
            Step::Type("date"),
            Step::Wait("UTC, by the machine's clock"),
            Step::Type("write /volume/by-clock.txt a"),
            Step::Type("date 2031-02-03 04:05"),
            Step::Wait("back"),
            Step::Type("write /volume/by-person.txt b"),
            Step::Type("ls -l /volume"),
            Step::Wait("2 files"),
            Step::Type("date 2031-02-30"),
            Step::Wait("is no date"),
            Step::Type("sync"),
            Step::Wait("everything is durable"),
            Step::Prompt,
            Step::Peer(as_shown),
            Step::Type("halt"),
        ],
        required: &[
            "2126-03-04 05:",
            "@time.set by=shell source=person",
            BY_CLOCK,
            "2031-02-03 04:",
            " person  by-person.txt",
        ],
        forbidden: &["@kernel.panic"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_FORGET_TIME,
        smoke: "storage-times",
        breaks: Break::Missing(BY_CLOCK),
    }
}
