//! The CD's files as an installer would see them: readable, and nothing else.

use std::fs;

use anyhow::{Result, ensure};

use sabotage::points;

use crate::image::Shape;
use crate::qemu::{Drive, FirmwareKind};
use crate::smoke::case::{Boot, Peer, Smoke, SmokeDisk, Step, Tamper};
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const TARGET: &str = "target.img";

const fn iso(drive: Drive) -> Boot {
    Boot::Image {
        firmware: FirmwareKind::Bios,
        shape: Shape::Iso,
        drive,
        tamper: Tamper::None,
    }
}

/// The disk an installer would write to is what it was.
fn untouched(peer: &mut Peer<'_>) -> Result<()> {
    let bytes = fs::read(peer.work.join(TARGET))?;
    ensure!(bytes == pattern(8 << 20), "the target disk was written to");
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "iso-install-source",
        question: "Are the CD's files served whole and read-only, with no way from them to the disk they would be installed on?",
        rows: &["BI-16"],
        manifest: "smoke/install-source",
        model: "pc",
        boot: iso(Drive::Cd),
        disks: &[SmokeDisk { name: TARGET, make: raw, bytes_per_s: 0 }],
        steps: &[Step::Wait("@install.done"), Step::Peer(untouched)],
        required: &[
            "@boot.programs modules=0 cdrom=4",
            "@boot.cdrom.closed programs=4",
            "@install.source",
            "@install.verified files=6 programs_listed=4",
            "@install.methods volume=8 directory=12 file=6",
            "@install.window read_only=readOnly store=notSupported root_read_only=true",
            "@install.target granted=false above=badArgument absolute=badArgument device=notFound",
            "@medium.bounds last=ok beyond=outOfRange across=outOfRange far=outOfRange none=zeroLength many=outOfRange \
             outside_window=outOfRange methods=2",
            "@medium.read-only-window read=readOnly untouched=true",
            "@install.done",
        ],
        forbidden: &["@kernel.panic"],
        // Programs run while others are read.
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::MEDIUM_INTO_READ_ONLY,
        smoke: "iso-install-source",
        breaks: Break::Missing("@medium.read-only-window read=readOnly untouched=true"),
    }
}

inventory::submit! {
    Smoke {
        name: "iso-install-source-absent",
        question: "Does the install source say why there is none where the kernel does not read the CD itself?",
        rows: &["BI-16"],
        manifest: "smoke/install-source",
        boot: iso(Drive::Cd),
        required: &[
            "@boot.programs modules=4 cdrom=0",
            "@install.absent info=noDevice",
            "@install.done",
        ],
        forbidden: &["@kernel.panic", "@install.source"],
        ..Smoke::DEFAULT
    }
}
