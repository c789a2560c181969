//! A disk that refuses some blocks: once, which nobody notices, and for good, which is told to whoever wants just that block.

use anyhow::{Context, Result, ensure};
use sabotage::points;

use crate::smoke::case::{Peer, Smoke, SmokeFile, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const BYTES: usize = 1 << 20;
/// As `block-errors` has them.
const WRITTEN_ONCE: usize = 500;
const NEVER_WRITTEN: usize = 700;
const BEFORE: usize = 41;

fn disk() -> Vec<u8> {
    (0..BYTES).map(|at| (at % 251) as u8).collect()
}

/// Rules of `blkdebug`: a block that is read the second time, one that never is, and the same of writes.
macro_rules! bad {
    ($file:literal) => {
        concat!(
            "if=none,format=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={work}/", $file, ",",
            bad!(@rule 0 "read" 100 "on"), ",", bad!(@rule 1 "read" 300 "off"), ",",
            bad!(@rule 2 "write" 500 "on"), ",", bad!(@rule 3 "write" 700 "off")
        )
    };
    (@rule $rule:literal $what:literal $sector:literal $once:literal) => {
        concat!(
            "file.inject-error.", $rule, ".event=", $what, "_aio,file.inject-error.", $rule, ".iotype=", $what,
            ",file.inject-error.", $rule, ".errno=5,file.inject-error.", $rule, ".sector=", $sector,
            ",file.inject-error.", $rule, ".once=", $once
        )
    };
}

/// The log names the block, and the files hold what was written around it.
fn judged(peer: &mut Peer<'_>) -> Result<()> {
    for said in ["@nvme.command-failed", "@blk.command-failed"] {
        let lines = peer.session.serial().lines();
        let is_named = |line: &String| line.contains(said) && line.contains("block~300 blocks~1");
        ensure!(
            lines.iter().any(is_named),
            "no {said} names the block that is never read"
        );
    }
    for name in ["nvme.img", "virtio.img"] {
        let found = std::fs::read(peer.work.join(name)).context(name)?;
        let mut expected = disk();
        expected[WRITTEN_ONCE * 512..][..512].fill(7);
        expected[(NEVER_WRITTEN - BEFORE) * 512..NEVER_WRITTEN * 512].fill(9);
        ensure!(found == expected, "{name} differs from what it should hold");
    }
    Ok(())
}

const ONCE: &str = "@errors.once disk=nvme read=true again=true written=ok";

inventory::submit! {
    Smoke {
        name: "block-errors",
        question: "Is a disk's error that passes noticed by nobody, and one that stays told to whoever wants that block, with its number, and to nobody else?",
        rows: &["MA-07"],
        manifest: "smoke/block-errors",
        // The log is what names the block.
        cmdline: "",
        files: &[
            SmokeFile { name: "nvme.img", bytes: disk },
            SmokeFile { name: "virtio.img", bytes: disk },
        ],
        extra: &[
            "-drive", concat!("id=bad-nvme,", bad!("nvme.img")),
            "-device", "nvme,serial=bad,drive=bad-nvme",
            "-drive", concat!("id=bad-virtio,", bad!("virtio.img")),
            "-device", "virtio-blk-pci,drive=bad-virtio",
        ],
        steps: &[Step::Wait("@errors.done"), Step::Peer(judged)],
        required: &[
            ONCE,
            "@errors.once disk=virtio read=true again=true written=ok",
            "@errors.read disk=nvme around=deviceError alone=deviceError before=true behind=true",
            "@errors.read disk=virtio around=deviceError alone=deviceError before=true behind=true",
            "@errors.write disk=nvme around=deviceError alone=deviceError before=ok kept=true flush=ok",
            "@errors.write disk=virtio around=deviceError alone=deviceError before=ok kept=true flush=ok",
            "@errors.done",
        ],
        sorted: true,
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::BLOCK_NEVER_RETRY,
        smoke: "block-errors",
        breaks: Break::Missing(ONCE),
    }
}
