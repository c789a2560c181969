//! Two clients of one volume.

use std::path::Path;

use anyhow::Result;

use sabotage::points;

use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";
const SINGLE: &str = "@writable.single-writer second=busy removed=busy reads=12 moved=ok";

fn empty(path: &Path) -> Result<()> {
    Tool::new(path).mkfs(24, "writable")
}

/// The guest has synced what it leaves.
fn judge(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    let mut lengths = vec![0; 20_000];
    lengths[10_000..10_020].fill(7);
    tool.holds("/lengths", &lengths)?;
    tool.holds("/a/kept", &[])
}

const WRITABLE: Smoke = Smoke {
    disks: &[SmokeDisk {
        name: DISK,
        make: empty,
        bytes_per_s: 0,
    }],
    steps: &[Step::Wait("@writable.done"), Step::Peer(judge)],
    required: &[
        "@writable.names taken=alreadyExists taken_dir=alreadyExists missing=notFound through_file=notDirectory up=badArgument \
         absolute=badArgument empty=badArgument dot=badArgument full_dir=notEmpty gone=notFound",
        "@writable.rename renamed=ok target=alreadyExists source=notFound across=badArgument moved=ok moved_over=alreadyExists \
         below_itself=badArgument moved_dir=ok",
        "@writable.emptied file=ok inner=ok outer=ok",
        SINGLE,
        "@writable.given-back edited=true",
        "@writable.removed read=stale stat=stale",
        "@writable.read-only create=readOnly mkdir=readOnly remove=readOnly rename=readOnly edit=readOnly sync=readOnly write=readOnly \
         append=readOnly truncate=readOnly file_sync=readOnly list=ok",
        "@writable.times none=true",
        "@writable.lengths appended_at=10100 grown=10150 hole_is_zero=true cut_is_zero=true none=zeroLength outside=outOfRange \
         long=outOfRange over_limit=tooLarge cut_over_limit=tooLarge untouched=20000",
        "@writable.full refused=noSpace over=noSpace put=noSpace sync=ok whole=true unbound=ok deleted=ok cut=ok removed=ok again=ok freed=true",
        "@writable.done",
    ],
    ..PROGRAM
};

inventory::submit! {
    Smoke {
        name: "storage-writable",
        question: "Has a file one writer, a facet that reads no way to write, and each wrong name and length its own refusal, on a virtio disk?",
        rows: &["ST-06", "ST-09", "ST-10", "ST-11", "ST-17", "ST-21"],
        manifest: "smoke/storage-writable",
        disk_device: "virtio-blk-pci",
        ..WRITABLE
    }
}

inventory::submit! {
    Smoke {
        name: "storage-writable-nvme",
        question: "Has a file one writer, a facet that reads no way to write, and each wrong name and length its own refusal, on an NVMe disk?",
        rows: &["ST-06", "ST-09", "ST-10", "ST-11"],
        manifest: "smoke/storage-writable-nvme",
        ..WRITABLE
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_SHARE_WRITER,
        smoke: "storage-writable",
        breaks: Break::Missing(SINGLE),
    }
}
