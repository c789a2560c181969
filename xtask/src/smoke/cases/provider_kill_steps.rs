//! A driver that dies at every moment of its life.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::sabotage::{Break, Sabotage};

const MEMORY: &str = "@steps.memory back=true";

fn numbered(path: &std::path::Path) -> anyhow::Result<()> {
    Ok(std::fs::write(path, pattern(8 << 20))?)
}

inventory::submit! {
    Smoke {
        name: "provider-kill-steps",
        question: "Whenever a disk's driver is killed, do its clients read on without a wrong byte or an error, and is every page back?",
        rows: &["DA-40", "DA-41", "DA-42"],
        manifest: "smoke/kill-steps",
        disks: &[SmokeDisk { name: "one.img", make: numbered, bytes_per_s: 16 << 20 }],
        smp: 2,
        required: &[
            "@steps.reads killed=120 wrong=0 errors=0 went_on=true readers_finished=1",
            MEMORY,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAK_FRAMES,
        smoke: "provider-kill-steps",
        breaks: Break::Missing(MEMORY),
    }
}
