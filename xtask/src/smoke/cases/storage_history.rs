//! The shell's history, through a cut of the power.

use std::path::Path;

use anyhow::Result;
use sabotage::points;

use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";
/// What an earlier day left; the second line cannot have been typed, and the third is too long.
const BEFORE: &str = "echo from   before\necho \u{1b}[2Jcleared\n";
const TYPED: &str = "echo typed   and cut";
/// Echoed with single blanks, so that it is no line that was typed.
const RUN_AGAIN: &str = "typed and cut";

fn before() -> String {
    format!("{BEFORE}echo {}\n", "x".repeat(3000))
}

fn make(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(8, "history")?;
    tool.put("/.history", before().as_bytes())
}

/// The power goes while the shell waits for the next line. Every line that was run is there.
fn cut(peer: &mut Peer<'_>) -> Result<()> {
    peer.session.cut()?;
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    let expected = format!("{}echo from   before\n{TYPED}\n", before());
    tool.holds("/.history", expected.as_bytes())
}

inventory::submit! {
    Smoke {
        name: "storage-history",
        question: "Is a line of the shell's history there again after the power was cut as soon as it had been run?",
        rows: &["ST-20"],
        disks: &[SmokeDisk { name: DISK, make, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        cmdline: "log=quiet",
        steps: &[
            Step::Prompt,
            Step::Send(b"\x10\r"),
            Step::Wait("from before"),
            Step::Type(TYPED),
            Step::Wait(RUN_AGAIN),
            Step::Prompt,
            Step::Peer(cut),
        ],
        again: &[Again {
            between: |_| Ok(()),
            steps: &[
                Step::Prompt,
                Step::Send(b"\x10\r"),
                Step::Wait(RUN_AGAIN),
                Step::Prompt,
                Step::Send(b"\x10\x10\r"),
                Step::Wait("from before"),
                Step::Type("halt"),
            ],
        }],
        required: &[RUN_AGAIN, "from before"],
        forbidden: &["@kernel.panic", "cleared"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_SKIP_COMMIT,
        smoke: "storage-history",
        breaks: Break::Step("/.history has 3042 bytes"),
    }
}
