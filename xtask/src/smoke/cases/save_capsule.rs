//! Save capsules sealed and restored in a guest, between a machine with a volume and others of the same user or of strangers.

use std::path::Path;

use ::sabotage::{Point, points};
use anyhow::Result;

use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";

/// A volume with the secret that the user's machines share.
fn volume(path: &Path) -> Result<()> {
    let tool = Tool::new(path);
    tool.mkfs(8, "capsules")?;
    tool.run(&["mkdir", "/keys"], &[])?;
    tool.put("/keys/capsules", "5e".repeat(32).as_bytes())
}

fn cut(peer: &mut Peer<'_>) -> Result<()> {
    peer.session.cut()
}

fn sound(work: &Path) -> Result<()> {
    Tool::new(&work.join(DISK)).check().map(drop)
}

const LEFT: &str = "@capsule.left version=2 number=2 shows=false handle=16";
const DRAWN: &str = "@capsule.drawn gate=passed";
const WAITS: &str = "@capsule.waits same=true version=2";
const SENT: &str = "@capsule.sent wrong_handle_kept=true then=0";
const STALE: &str = "@capsule.stale gate=stale seen=2";
const CHAIN: &str = "@capsule.chain gate=passed end=done version=1 reads=true next=3";
const LONG: &str = "@capsule.long gate=oversized";
const UNSIGNED: &str = "@capsule.unsigned gate=unsigned";
const KEY: &str = "@capsule.key gate=tampered";
const SECRET: &str = "@capsule.stranger of=secret gate=tampered";
const PROFILE: &str = "@capsule.stranger of=profile gate=wrongProfile";
const CONTENT: &str = "@capsule.stranger of=content gate=unknownContent";
const SCHEMA: &str = "@capsule.stranger of=schema gate=wrongSchema";
const RECORD: &str = "@capsule.record gate=otherRecord there=0";
const RESTORED: &str = "@capsule.restored gate=passed end=done version=3 reads=true";
const FORK: &str = "@capsule.fork gate=forked";
const GAP: &str = "@capsule.gap gate=gap seen=3 with=passed reads=true";
const BYTES: &str = "@capsule.bytes all_refused=true unchanged=true then=passed";
const ALLOWANCE: &str = "@capsule.allowance done=4 last=overQuota there=0 other=done";

inventory::submit! {
    Smoke {
        name: "save-capsule",
        question: "Does a save come back from a capsule, once the machine went down in the middle, and from none that was altered, is old or is another's?",
        rows: &["BS-01", "BS-09", "BS-06", "CS-06"],
        manifest: "smoke/save-capsule",
        disks: &[SmokeDisk {
            name: DISK,
            make: volume,
            bytes_per_s: 0,
        }],
        disk_device: "virtio-blk-pci",
        steps: &[Step::Wait(LEFT), Step::Peer(cut)],
        again: &[Again {
            between: sound,
            steps: &[Step::Wait("@capsule.done")],
        }],
        required: &[
            LEFT, DRAWN, WAITS, SENT, STALE, CHAIN, LONG, UNSIGNED, KEY, SECRET, PROFILE, CONTENT,
            SCHEMA, "@capsule.unchanged reads=true", RECORD, RESTORED, FORK, GAP, BYTES,
            ALLOWANCE,
        ],
        forbidden: &["@kernel.panic", "@capsule.not_sealed", "@capsule.not_held"],
        cmdline: "log=quiet",
        ..Smoke::DEFAULT
    }
}

const fn breaks(point: Point, fact: &'static str) -> Sabotage {
    Sabotage {
        point,
        smoke: "save-capsule",
        breaks: Break::Missing(fact),
    }
}

inventory::submit! { breaks(points::VAULT_FORGET_UNSENT, WAITS) }
inventory::submit! { breaks(points::CAPSULE_STALE, STALE) }
inventory::submit! { breaks(points::VAULT_WITHOUT_ANCHOR, CHAIN) }
inventory::submit! { breaks(points::CAPSULE_ANY_SIZE, LONG) }
inventory::submit! { breaks(points::CAPSULE_UNSIGNED, UNSIGNED) }
inventory::submit! { breaks(points::CAPSULE_SKIP_TAG, KEY) }
inventory::submit! { breaks(points::CAPSULE_ANY_SIGNATURE, SECRET) }
inventory::submit! { breaks(points::CAPSULE_ANY_PROFILE, PROFILE) }
inventory::submit! { breaks(points::CAPSULE_ANY_CONTENT, CONTENT) }
inventory::submit! { breaks(points::CAPSULE_ANY_SCHEMA, SCHEMA) }
inventory::submit! { breaks(points::VAULT_ANY_RECORD, RECORD) }
inventory::submit! { breaks(points::CAPSULE_FORKED, FORK) }
inventory::submit! { breaks(points::SAVE_FOR_NOTHING, ALLOWANCE) }
