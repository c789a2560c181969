//! Saving on a volume of the guest with a bridge on the host that is away, comes back, is another machine's, or goes back in time.

use std::fs;
use std::path::Path;
use std::process::Command;

use ::sabotage::points;
use anyhow::{Context, Result, ensure};
use save_bridge::provider::folder::Folder;
use save_core::{Expect, Facet, Key, LedgerName, Name, Refusal, RetryKey, SaveStore};
use save_lab::mortal::ADMITTED;

use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::save_bridge::{facet, has_said};
use crate::smoke::namespace::Namespace;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

/// The bridge that dies again and again, as long as there is a file `on`.
const SCRIPT: &str = r#"
ip link set lo up
bridge() {
  ulimit -c 0
  while true; do
    [ -e "$work/on" ] && "$xtask" mortal-bridge "$work/saves" 127.0.0.1:8787
    sleep 0.2
  done
}
bridge </dev/null >>"$work/bridge" 2>&1 &
"#;

const DISK: &str = "volume.img";
const SWITCH: &str = "on";
const STORE: &str = "saves/store";
/// What the bridge had before another machine wrote.
const EARLIER: &str = "earlier";

/// A volume with the token that the bridge knows the machine by, which stands in no manifest.
fn volume(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(8, "saves")?;
    tool.run(&["mkdir", "/keys"], &[])?;
    let (token, _) = ADMITTED[0];
    tool.put("/keys/bridge", format!("{token}\n").as_bytes())
}

fn cut(peer: &mut Peer<'_>) -> Result<()> {
    peer.session.cut()
}

fn still_away(work: &Path) -> Result<()> {
    Tool::new(&work.join(DISK)).check().map(drop)
}

fn comes_back(work: &Path) -> Result<()> {
    still_away(work)?;
    fs::write(work.join(SWITCH), [])?;
    Ok(())
}

fn far(work: &Path) -> Result<Facet<Folder>> {
    facet(work, ADMITTED[0].1)
}

fn said(refusal: Refusal) -> anyhow::Error {
    anyhow::Error::msg(refusal)
}

fn name(text: &str) -> Result<Name> {
    Name::new(text).map_err(said)
}

fn starts() -> Result<Key> {
    Ok(Key::profile(name("starts")?))
}

/// By a reader that has seen nothing of the guest's: what was saved without a bridge is there, once, and in its order. What a guest
/// says that was told otherwise is judged as it is.
fn once(peer: &mut Peer<'_>) -> Result<()> {
    if !has_said(peer, ALL) || !has_said(peer, THIRD) {
        return Ok(());
    }
    let mut far = far(peer.work)?;
    let ledger = LedgerName(name("diary")?);
    let lines = far.read_ledger(&ledger, 0).map_err(said)?.items;
    let lines: Vec<String> = lines
        .iter()
        .map(|line| String::from_utf8_lossy(&line.payload).into_owned())
        .collect();
    let wanted = ["start 1", "start 2", "start 3"];
    ensure!(lines == wanted, "at the bridge there are {lines:?}");
    let counts = far.history(&starts()?).map_err(said)?;
    let counts: Vec<&[u8]> = counts.iter().map(|record| &record.payload[..]).collect();
    let rises = counts.windows(2).all(|pair| pair[0] < pair[1]);
    ensure!(
        rises && counts.last() == Some(&&3u64.to_le_bytes()[..]),
        "at the bridge there are the counts {counts:?}"
    );
    let birth = Key::checkpoint(name("birth")?);
    let born = far.history(&birth).map_err(said)?;
    ensure!(born.len() == 1 && born[0].payload == b"born", "{born:?}");
    Ok(())
}

const OFFLINE: Smoke = Smoke {
    namespace: Some(Namespace {
        script: SCRIPT,
        needs: &[],
    }),
    manifest: "smoke/save-offline",
    disks: &[SmokeDisk {
        name: DISK,
        make: volume,
        bytes_per_s: 0,
    }],
    disk_device: "virtio-blk-pci",
    extra: &[
        "-netdev",
        "user,id=n0",
        "-device",
        "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
    ],
    forbidden: &[
        "@kernel.panic",
        "@diary.refused",
        "@process.ended kind=faulted",
        "@process.ended kind=panicked",
    ],
    cmdline: "log=quiet",
    sorted: true,
    ..Smoke::DEFAULT
};

const SECOND: &str = "@diary.saved starts=2 lines=2";
const THIRD: &str = "@diary.saved starts=3 lines=3";
const ALL: &str = "@diary.brought birth=done starts=done lines=done";

inventory::submit! {
    Smoke {
        name: "save-offline",
        question: "Is what was saved without a bridge there after QEMU was killed, and at the bridge once when that is back?",
        rows: &["CS-01", "CS-05", "CS-07"],
        steps: &[Step::Wait("@diary.saved starts=1 lines=1"), Step::Peer(cut)],
        again: &[
            Again {
                between: still_away,
                steps: &[Step::Wait("@diary.saved"), Step::Peer(cut)],
            },
            Again {
                between: comes_back,
                steps: &[Step::Wait("@diary.done"), Step::Peer(once)],
            },
        ],
        required: &[
            "@diary.saved starts=1 lines=1",
            SECOND,
            THIRD,
            ALL,
        ],
        ..OFFLINE
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVE_VOLUME_SKIP_COMMIT,
        smoke: "save-offline",
        breaks: Break::Missing(SECOND),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVE_SKIP_QUEUE,
        smoke: "save-offline",
        breaks: Break::Missing(ALL),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let end = Command::new("cp").arg("-a").arg(from).arg(to).status();
    ensure!(end.context("cp")?.success(), "cannot copy {from:?}");
    Ok(())
}

/// Another machine counts, at the same bridge.
fn another_counts(work: &Path) -> Result<()> {
    copy(&work.join(STORE), &work.join(EARLIER))?;
    let mut other = far(work)?;
    let there = other.get(&starts()?).map_err(said)?.context("no count")?;
    let put = other.put(
        &starts()?,
        Expect::Version(there.version),
        RetryKey([77; 16]),
        &10u64.to_le_bytes(),
    );
    put.map_err(said).map(drop)
}

/// The bridge has what it had before.
fn goes_back(work: &Path) -> Result<()> {
    fs::remove_dir_all(work.join(STORE))?;
    copy(&work.join(EARLIER), &work.join(STORE))
}

/// Both counts are there, and nothing between.
fn merged(peer: &mut Peer<'_>) -> Result<()> {
    if !has_said(peer, MERGED) {
        return Ok(());
    }
    let counts = far(peer.work)?.history(&starts()?).map_err(said)?;
    let counts: Vec<&[u8]> = counts.iter().map(|record| &record.payload[..]).collect();
    let [.., theirs, ours] = &counts[..] else {
        anyhow::bail!("at the bridge there are the counts {counts:?}")
    };
    let ten = 10u64.to_le_bytes();
    ensure!(
        *theirs == ten && *ours == ten,
        "at the bridge there are the counts {counts:?}"
    );
    Ok(())
}

fn on(path: &Path) -> Result<()> {
    volume(path)?;
    let work = path.parent().context("a disk lies in a folder")?;
    Ok(fs::write(work.join(SWITCH), [])?)
}

const MERGED: &str = "@diary.merged mine=2 theirs=10 now=10";
const BACK: &str = "@diary.brought birth=done starts=rollback lines=rollback";

inventory::submit! {
    Smoke {
        name: "save-distrust",
        question: "Is what another machine brought merged and not written over, and a bridge that goes back in time noticed after a restart?",
        rows: &["CS-02", "CS-07"],
        disks: &[SmokeDisk {
            name: DISK,
            make: on,
            bytes_per_s: 0,
        }],
        steps: &[Step::Wait("@diary.done")],
        again: &[
            Again {
                between: another_counts,
                steps: &[Step::Wait("@diary.done"), Step::Peer(merged)],
            },
            Again {
                between: goes_back,
                steps: &[Step::Wait("@diary.done")],
            },
        ],
        required: &[ALL, MERGED, BACK],
        ..OFFLINE
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVE_OVER_OTHERS,
        smoke: "save-distrust",
        breaks: Break::Missing(MERGED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVE_FORGET_SEEN,
        smoke: "save-distrust",
        breaks: Break::Missing(BACK),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVE_BELIEVE_BRIDGE,
        smoke: "save-distrust",
        breaks: Break::Missing(BACK),
    }
}
