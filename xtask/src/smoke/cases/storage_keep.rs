//! Snapshots, and whether a volume is sound, asked from inside the guest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use sabotage::points;

use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";
/// The sums of "kept as it was" and of "changed since", each with a line feed.
const KEPT_SUM: &str = "89b9b73551646cd5e69f236ebe919652b560eacb6ad9523d6123234a5abd48a6";
const CHANGED_SUM: &str = "c39aa3341b8b83f137c66e78b097b7a5461886cca793f32aa32a6766a78d7188";

fn empty(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(24, "kept")?;
    tool.put("/gone.bin", &pattern(300_000))
}

/// The number of the snapshot that was made last.
fn number(peer: &Peer<'_>) -> Result<u64> {
    let mut lines = peer.session.serial().lines().iter().rev();
    let made = lines.find_map(|line| line.strip_suffix(" keeps /volume as it is now"));
    let number = made.and_then(|path| path.rsplit_once('@')?.1.parse().ok());
    number.context("the guest made no snapshot")
}

fn typed(peer: &mut Peer<'_>, line: &str) -> Result<()> {
    let waited = peer.session.answer_prompt(line, peer.deadline)?;
    ensure!(waited == Waited::Seen, "no prompt for {line}");
    Ok(())
}

/// Looks at the snapshot, tries to change it, and has everything counted while it is there.
fn look(peer: &mut Peer<'_>) -> Result<()> {
    let kept = number(peer)?;
    for line in [
        format!("ls /volume@{kept}"),
        format!("sha256 /volume@{kept}/letter.txt"),
        format!("sha256 /volume@{kept}/gone.bin"),
        format!("write /volume@{kept}/letter.txt no"),
        format!("mkdir /volume@{kept}/no"),
        format!("rm /volume@{kept}/letter.txt"),
        "sha256 /volume/letter.txt".to_owned(),
        "ls /volume".to_owned(),
        "snap".to_owned(),
        "scrub".to_owned(),
        "fsck".to_owned(),
    ] {
        typed(peer, &line)?;
    }
    let waited = peer
        .session
        .wait(peer.deadline, crate::serial::Serial::is_prompt_ready);
    ensure!(waited == Waited::Seen, "no prompt");
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    let listed = tool.run(&["snapshots"], &[])?;
    ensure!(
        String::from_utf8_lossy(&listed).trim() == kept.to_string(),
        "the host sees other snapshots"
    );
    typed(peer, &format!("snap rm {kept}"))?;
    typed(peer, &format!("cat /volume@{kept}/letter.txt"))?;
    typed(peer, "snap rm 1")
}

fn whole(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    // What the letter holds the guest has shown before.
    ensure!(tool.run(&["snapshots"], &[])?.is_empty(), "one is left");
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "storage-snapshots",
        question: "Does a snapshot show what was, unchangeable, while the volume goes on, and does what it held come back when it is let go?",
        disks: &[SmokeDisk { name: DISK, make: empty, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: &[
            Step::Type("write /volume/letter.txt kept as it was"),
            Step::Type("snap"),
            Step::Type("snap new"),
            Step::Wait("keeps /volume as it is now"),
            Step::Type("write /volume/letter.txt changed since"),
            Step::Type("rm /volume/gone.bin"),
            Step::Type("sync"),
            Step::Wait("everything is durable"),
            Step::Prompt,
            Step::Peer(look),
            Step::Type("fsck"),
            Step::Type("sync"),
            Step::Prompt,
            Step::Peer(whole),
            Step::Type("halt"),
        ],
        required: &[
            "/volume has no snapshots",
            "2 files, 0 directories",
            KEPT_SUM,
            UNCHANGED,
            CHANGED_SUM,
            "1 file, 0 directories",
            "/volume: read 3 files, 293 KiB, 1 snapshots; 0 damaged",
            "0 problem(s)",
            "is let go",
            "there is no such snapshot",
            "/volume has no snapshot 1",
            "0 problem(s)",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

const UNCHANGED: &str = "/letter.txt: it cannot be written";

inventory::submit! {
    Sabotage {
        point: points::STORE_CHANGE_SNAPSHOT,
        smoke: "storage-snapshots",
        breaks: Break::Missing(UNCHANGED),
    }
}

const ROTS: &str = "this is what the block holds that will rot ";

/// Two files, of which one is known by what it holds.
fn two_files(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(24, "rots")?;
    tool.put("/rots.txt", ROTS.repeat(200).as_bytes())?;
    tool.put("/whole.bin", &pattern(100_000))
}

/// Changes a bit of a block on the disk, below the running guest, which has read the file before.
fn rot(peer: &mut Peer<'_>) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    let path = peer.work.join(DISK);
    let disk = fs::read(&path)?;
    let mut found = disk.windows(ROTS.len());
    let at = found.position(|bytes| bytes == ROTS.as_bytes());
    let at = at.context("the disk does not hold the file")?;
    let file = fs::OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&[disk[at] ^ 1], at as u64)?;
    Ok(())
}

const NAMED: &str = "/volume/rots.txt: damaged: block ";
const COUNTED: &str = "1 problem(s)";

inventory::submit! {
    Smoke {
        name: "storage-scrub",
        question: "Is a block that rots below the running guest named by the guest's own scrub and counted by its own check, and nothing written?",
        rows: &["ST-04"],
        disks: &[SmokeDisk { name: DISK, make: two_files, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: &[
            Step::Type("sha256 /volume/rots.txt"),
            Step::Type("scrub"),
            Step::Type("fsck volume"),
            Step::Wait("0 problem(s)"),
            Step::Prompt,
            Step::Peer(rot),
            Step::Type("scrub volume"),
            Step::Type("fsck"),
            Step::Wait("problem(s)"),
            Step::Type("sha256 /volume/whole.bin"),
            Step::Type("scrub disk2"),
            Step::Type("halt"),
        ],
        required: &[
            "/volume: read 2 files, ",
            "0 snapshots; 0 damaged",
            "0 problem(s)",
            NAMED,
            "0 snapshots; 1 damaged",
            "does not add up",
            COUNTED,
            "  /volume/whole.bin",
            "scrub: /disk2 is no capOS volume",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_SCRUB_MEMORY,
        smoke: "storage-scrub",
        breaks: Break::Missing(NAMED),
    }
}
