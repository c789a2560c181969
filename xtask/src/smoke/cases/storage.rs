//! The capOS volume in the running system: written by the guest, and read and checked by `capos-store`, which is another
//! program on another system.

use std::path::Path;

use anyhow::Result;

use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::store::Tool;

const DISK: &str = "volume.img";
/// What is copied, and its sum.
const SEED_BYTES: usize = 4 << 20;
const SEED_SUM: &str = "f232e645abba334c7b356d613a430956189f538e4c0f7546bef2450b6059253a";
const FIRST: &str = "written in the first boot";
/// The sum of [`FIRST`] and a line feed: what is typed is echoed, and its sum is not.
const FIRST_SUM: &str = "1e27518ad881506eeede4126495a59bb2334d6caf63f529a2f9c626963eaf58d";
const SECOND: &str = "written in the second boot";

const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
];

/// A volume with one file.
fn seeded(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(32, "persist")?;
    tool.put("/seed.bin", &pattern(SEED_BYTES))
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

/// Between the boots: the tool reads what the guest wrote, and leaves something for the guest.
fn read_and_answer(work: &Path) -> Result<()> {
    let path = work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    tool.holds("/letters/first.txt", &line(FIRST))?;
    tool.holds("/letters/copy.bin", &pattern(SEED_BYTES))?;
    tool.put("/from-host.txt", b"written by capos-store\n")
}

/// While the second boot waits at its prompt, with everything synced.
fn read_again(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    tool.holds("/letters/first.txt", &line(SECOND))?;
    tool.holds("/kept.bin", &pattern(SEED_BYTES))?;
    tool.holds("/from-host.txt", b"written by capos-store\n")
}

const WRITE: &[Step] = &[
    Step::Type("mkdir /volume/letters"),
    Step::Type("cp /volume/seed.bin /volume/letters/copy.bin"),
    Step::Type("sync"),
    Step::Wait("everything is durable"),
    Step::Type("write /volume/letters/first.txt written in the first boot"),
    Step::Type("sync"),
    Step::Wait("everything is durable"),
    Step::Type("halt"),
];

const READ: &[Step] = &[
    Step::Type("cat /volume/letters/first.txt"),
    Step::Type("sha256 /volume/letters/first.txt"),
    Step::Type("sha256 /volume/letters/copy.bin"),
    Step::Type("cat /volume/from-host.txt"),
    Step::Type("write /volume/letters/first.txt written in the second boot"),
    Step::Type("mv /volume/letters/copy.bin /volume/kept.bin"),
    Step::Type("rm /volume/seed.bin"),
    Step::Type("ls /volume"),
    Step::Type("df"),
    Step::Type("sync"),
    Step::Wait("everything is durable"),
    Step::Prompt,
    Step::Peer(read_again),
    Step::Type("halt"),
];

const PERSIST: Smoke = Smoke {
    disks: &[SmokeDisk {
        name: DISK,
        make: seeded,
        bytes_per_s: 0,
    }],
    steps: WRITE,
    again: &[Again {
        between: read_and_answer,
        steps: READ,
    }],
    required: &[
        "@store.mounted access=write partition=0 cut=0",
        "/volume: everything is durable",
        FIRST_SUM,
        SEED_SUM,
        "written by capos-store",
        "2 files, 1 directory",
        "/volume: everything is durable",
    ],
    forbidden: FORBIDDEN,
    sorted: true,
    ..Smoke::DEFAULT
};

inventory::submit! {
    Smoke {
        name: "storage-persist",
        question: "Is what was written and synced in one boot there in the next one and for the host's tool, byte for byte, on a virtio disk?",
        rows: &["ST-05", "ST-10", "ST-11"],
        disk_device: "virtio-blk-pci",
        ..PERSIST
    }
}

inventory::submit! {
    Smoke {
        name: "storage-persist-nvme",
        question: "Is what was written and synced in one boot there in the next one and for the host's tool, byte for byte, on an NVMe disk?",
        rows: &["ST-05", "ST-10", "ST-11"],
        manifest: "smoke/store-nvme",
        ..PERSIST
    }
}

/// The sum of "before the driver ended" and a line feed.
const LATER_SUM: &str = "23050fb20ece3165fd7963bf1ce8266204a6e8a2aa75b8c73c848aaab8b3d550";

/// With everything synced, and every process ended once.
fn whole_after_kills(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    tool.holds("/first.txt", &line(FIRST))?;
    tool.holds("/later.txt", b"before the driver ended\n")?;
    tool.holds("/copy.bin", &pattern(SEED_BYTES))
}

inventory::submit! {
    Smoke {
        name: "storage-persist-service",
        question: "Is everything there that was synced, when the store or the disk's driver ended before or after?",
        rows: &["ST-11", "ST-20"],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: &[
            Step::Type("write /volume/first.txt written in the first boot"),
            Step::Type("sync"),
            Step::Type("kill store"),
            Step::Type("sha256 /volume/first.txt"),
            // Nothing of this is flushed when the driver ends.
            Step::Type("write /volume/later.txt before the driver ended"),
            Step::Type("kill virtio"),
            Step::Type("cp /volume/seed.bin /volume/copy.bin"),
            Step::Type("kill virtio"),
            Step::Type("sync"),
            Step::Type("kill store"),
            Step::Type("sha256 /volume/later.txt"),
            Step::Type("sha256 /volume/copy.bin"),
            // What was not synced when the store ended is not there, and whoever changed it is told.
            Step::Type("write /volume/lost.txt x"),
            Step::Type("kill store"),
            Step::Type("write /volume/lost.txt y"),
            Step::Type("ls /volume"),
            Step::Type("sync"),
            // Nor is it forgotten where somebody only read since.
            Step::Type("write /volume/gone.txt z"),
            Step::Type("kill store"),
            Step::Type("ls /volume"),
            Step::Type("sync"),
            Step::Type("sync"),
            Step::Prompt,
            Step::Peer(whole_after_kills),
            Step::Type("halt"),
        ],
        again: &[],
        required: &[
            FIRST_SUM,
            LATER_SUM,
            SEED_SUM,
            "its service was restarted, and what was changed since the last sync may be gone",
            "4 files, 0 directories",
            "4 files, 0 directories",
            "its service was restarted, and what was changed since the last sync is gone",
            "/volume: everything is durable",
        ],
        ..PERSIST
    }
}
