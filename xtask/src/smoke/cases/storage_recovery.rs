//! The power goes while a volume is changed without end: QEMU is killed at moments that a seed chooses, and the host looks
//! before the guest does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crash_lab::work::Content;

use crate::session::Waited;
use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::store::Tool;

const DISK: &str = "volume.img";
/// Where the host keeps the last round that the guest called synced.
pub(super) const SYNCED: &str = "synced";
const SAYS_SYNCED: &str = "synced round ";
/// As the guest has them (`smoke-storage-load`).
const DATA_BYTES: usize = 24 << 10;
const FILES: u64 = 8;

fn empty(path: &Path) -> Result<()> {
    Tool::new(path).mkfs(8, "cut")
}

/// The last round of these lines that was synced.
pub(super) fn synced(lines: &[String]) -> Option<u64> {
    let mut rounds = lines.iter().rev().filter_map(|line| {
        let (_, rest) = line.split_once(SAYS_SYNCED)?;
        rest.split(',').next()?.parse().ok()
    });
    rounds.next()
}

/// Waits for some rounds and then for some milliseconds, both by the seed, and ends QEMU.
fn cut<const SEED: u64>(peer: &mut Peer<'_>) -> Result<()> {
    let mixed = SEED.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (rounds, pause) = (1 + mixed % 7, mixed >> 32 & 63);
    let waited = peer.session.wait(peer.deadline, |serial| {
        let said = serial.lines().iter();
        said.filter(|line| line.contains(SAYS_SYNCED)).count() as u64 >= rounds
    });
    ensure!(
        waited == Waited::Seen,
        "the guest does not get on: {waited:?}"
    );
    peer.session.idle(Duration::from_millis(pause));
    peer.session.cut()?;
    let last = synced(peer.session.serial().lines()).context("it was seen")?;
    fs::write(peer.work.join(SYNCED), last.to_string())?;
    Ok(())
}

/// What a data file holds that was written in a round.
fn data(round: u64) -> Vec<u8> {
    let word = |at: u64| {
        (round << 20 | at)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes()
    };
    (0..DATA_BYTES as u64 / 8).flat_map(word).collect()
}

/// Whether a volume holds what some round left, `synced` or a later one; the next round may have begun. Which it was.
pub(super) fn compare(content: &Content, synced: u64) -> Result<u64> {
    // Before the first round is whole the file is not there, or empty.
    let round = match content.get("round").map_or(&[][..], Vec::as_slice) {
        [] => 0,
        bytes => u64::from_le_bytes(bytes.try_into().context("the round")?),
    };
    ensure!(
        round >= synced,
        "round {synced} was synced, and the volume holds round {round}"
    );
    for number in round.saturating_sub(2).max(1)..=round {
        let name = format!("data-{}", number % FILES);
        let found = content.get(&name).with_context(|| format!("no {name}"))?;
        ensure!(
            *found == data(number),
            "{name} is not what round {number} wrote, and round {round} was whole"
        );
    }
    let names = content
        .keys()
        .filter_map(|path| path.strip_prefix("names/"));
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    ensure!(
        (round == 0 && names.is_empty())
            || names == [format!("round-{round}")]
            || names == [format!("round-{}", round + 1)],
        "after round {round} there are the names {names:?}"
    );
    Ok(round)
}

/// The files of a folder, by path.
pub(super) fn content(folder: &Path, above: &str, into: &mut Content) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{above}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => content(&entry.path(), &format!("{path}/"), into)?,
            false => drop(into.insert(path, fs::read(entry.path())?)),
        }
    }
    Ok(())
}

/// Between two boots: the checker finds nothing, and everything synced is there.
pub(super) fn judge(work: &Path) -> Result<()> {
    let path = work.join(DISK);
    let synced = fs::read_to_string(work.join(SYNCED))?.parse()?;
    let tool = Tool::new(&path);
    tool.check()?;
    let folder = work.join("exported");
    tool.run(&["export", folder.to_str().context("a path is text")?], &[])?;
    let mut found = Content::new();
    content(&folder, "", &mut found)?;
    fs::remove_dir_all(folder)?;
    compare(&found, synced)?;
    Ok(())
}

/// Before the last boot, which is to come to its end.
fn judge_and_stop(work: &Path) -> Result<()> {
    judge(work)?;
    Tool::new(&work.join(DISK)).put("/stop", b"5")
}

/// The last boot has synced everything.
fn judge_last(peer: &mut Peer<'_>) -> Result<()> {
    let last = synced(peer.session.serial().lines()).context("no round was synced")?;
    fs::write(peer.work.join(SYNCED), last.to_string())?;
    judge(peer.work)
}

macro_rules! again {
    ($($seed:literal)*) => {
        &[
            $(Again { between: judge, steps: &[Step::Peer(cut::<$seed>)] },)*
            Again {
                between: judge_and_stop,
                steps: &[Step::Wait("@load.done"), Step::Peer(judge_last)],
            },
        ]
    };
}

const RECOVERY: Smoke = Smoke {
    disks: &[SmokeDisk {
        name: DISK,
        make: empty,
        bytes_per_s: 0,
    }],
    disk_device: "virtio-blk-pci",
    steps: &[Step::Peer(cut::<1>)],
    again: again!(2 3 4 5 6 7 8),
    required: &["@load.found whole=true", "synced round ", "@load.done"],
    forbidden: &["@kernel.panic", "@load.found whole=false"],
    cmdline: "log=quiet",
    ..Smoke::DEFAULT
};

inventory::submit! {
    Smoke {
        name: "storage-writable-recovery",
        question: "Is everything synced there, and the volume sound, when QEMU was killed at any moment of changing it, on a virtio disk?",
        rows: &["ST-18"],
        manifest: "smoke/storage-load",
        ..RECOVERY
    }
}

inventory::submit! {
    Smoke {
        name: "storage-writable-recovery-nvme",
        question: "Is everything synced there, and the volume sound, when QEMU was killed at any moment of changing it, on an NVMe disk?",
        rows: &["ST-18"],
        manifest: "smoke/storage-load-nvme",
        disk_device: "nvme",
        ..RECOVERY
    }
}
