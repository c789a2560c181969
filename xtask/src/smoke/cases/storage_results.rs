//! Directories and files that a service gives as results.

use std::path::Path;

use anyhow::Result;
use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::store::Tool;

fn empty(path: &Path) -> Result<()> {
    Tool::new(path).mkfs(8, "results")
}

const READ_ONLY: &str =
    "@results.read-only create=readOnly mkdir=readOnly remove=readOnly edit=readOnly read=true";

inventory::submit! {
    Smoke {
        name: "userspace-directory-file-smoke",
        question: "Do directories and files that a service gives lead below and never above, change nothing where what gave them does not, and stay when that goes?",
        rows: &["ST-21"],
        manifest: "smoke/directory-file",
        disks: &[SmokeDisk { name: "volume.img", make: empty, bytes_per_s: 0 }],
        disk_device: "virtio-blk-pci",
        required: &[
            "@results.below made=true opened=true write=readOnly truncate=readOnly up=badArgument dots=badArgument absolute=badArgument",
            READ_ONLY,
            "@results.alone opened=true after_the_writer=true",
            "@results.done",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::STORE_WIDEN_RESULT,
        smoke: "userspace-directory-file-smoke",
        breaks: Break::Missing(READ_ONLY),
    }
}
