//! Objects of a volume and names for them.

use std::path::Path;

use anyhow::{Result, ensure};
use sabotage::points;

use crate::smoke::case::{Again, Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

const DISK: &str = "volume.img";
/// Bytes of the object that `kept/long` is bound to.
const LONG: usize = 300_001;

fn empty(path: &Path) -> Result<()> {
    Tool::new(path).mkfs(8, "naming")
}

/// Another program, on another system, finds the names, and the object by its address.
fn judge(work: &Path) -> Result<()> {
    let path = work.join(DISK);
    let tool = Tool::new(&path);
    tool.check()?;
    let names = String::from_utf8(tool.run(&["names"], &[])?)?;
    let words: Vec<Vec<&str>> = names.lines().map(|l| l.split(' ').collect()).collect();
    let found: Vec<&str> = words
        .iter()
        .filter_map(|line| line.last().copied())
        .collect();
    let expected = ["kept/long", "mine-not", "mine/inner/deep", "secret"];
    ensure!(found == expected, "the volume's names are {found:?}");
    let address = words.first().and_then(|line| line.first());
    let bytes = tool.run(&["object", address.unwrap_or(&"none")], &[])?;
    let long: Vec<u8> = (0..LONG).map(|at| (at % 251) as u8).collect();
    ensure!(bytes == long, "the object has {} other bytes", bytes.len());
    Ok(())
}

fn judged(peer: &mut Peer<'_>) -> Result<()> {
    judge(peer.work)
}

const BELOW: &str = "@naming.below all=kept/long,mine-not,mine/inner/deep,mine/secret,secret mine=inner/deep,secret inner=deep \
     up=badArgument other=notFound kept=notFound from_above=true longest=notFound longer=badArgument";

const STEPS: &[Step] = &[Step::Wait("@naming.done"), Step::Peer(judged)];

inventory::submit! {
    Smoke {
        name: "storage-naming",
        question: "Are objects found by what they hold and by names, is nothing named beyond a namespace, and is all of it there in the next boot?",
        rows: &["ST-01", "ST-02", "ST-12"],
        manifest: "smoke/storage-naming",
        disks: &[SmokeDisk { name: DISK, make: empty, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        steps: STEPS,
        again: &[Again { between: judge, steps: STEPS }],
        required: &[
            "@naming.put sum=true first=true second=false same=true outside=outOfRange over_limit=outOfRange",
            "@naming.get whole=true tail=true beyond=0 unknown=notFound short=badArgument outside=outOfRange nothing=zeroLength",
            "@naming.bind raised=true taken=alreadyExists old=wrongState missing=notFound unknown=notFound resolved=true read=true",
            "@naming.names refused=true longest=ok longer=badArgument unbound=ok again=notFound",
            "@naming.held held=busy bound=busy gone=notFound anew=true stale=wrongState deleted=ok missing=notFound again=notFound back=true",
            BELOW,
            "@naming.apart above=ok read=true",
            "@naming.read-only put=readOnly delete=readOnly sync=readOnly through=readOnly bind=readOnly unbind=readOnly \
             names_sync=readOnly read=true",
            "@naming.done",
            "@naming.second-boot bytes=300001 names=1 whole=true again=false \
             all=kept/long,mine-not,mine/inner/deep,secret anew=true",
            "@naming.done",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_LEAVE_NAMESPACE,
        smoke: "storage-naming",
        breaks: Break::Missing(BELOW),
    }
}
