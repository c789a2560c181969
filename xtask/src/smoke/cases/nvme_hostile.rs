//! A provider that tries everything a provider must not.

use std::path::Path;

use anyhow::Result;

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::nvme_fat_read::pattern;
use crate::smoke::sabotage::{Break, Sabotage};

pub(super) fn raw(path: &Path) -> Result<()> {
    Ok(std::fs::write(path, pattern(8 << 20))?)
}

inventory::submit! {
    Smoke {
        name: "nvme-hostile",
        question: "Is everything that would move an address, a length or a stale object past the broker refused?",
        rows: &["NV-02", "NV-03", "NV-04", "NV-05", "NV-06", "NV-09", "NV-36", "DA-27", "DA-37", "DA-38", "DA-48", "DA-49", "DA-65"],
        manifest: "smoke/nvme-hostile",
        // Two devices are torn down at once, a few pages at a time.
        sorted: true,
        disks: &[
            SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 },
            SmokeDisk { name: "two.img", make: raw, bytes_per_s: 0 },
        ],
        required: &[
            "@hostile.firmware-stopped ready=0",
            "@hostile.direct refusal=notSupported",
            "@hostile.identify status=0",
            "@hostile.plain-read status=0",
            "@hostile.registers read_cap=ok write_cc=windowRefused doorbell=windowRefused",
            "@hostile.templates prp1=templateRefused prp2=templateRefused cid=templateRefused opcode=templateRefused",
            "@hostile.admin create_sq=templateRefused create_cq=templateRefused",
            "@hostile.lengths shorter=lengthMismatch longer=lengthMismatch",
            "@hostile.foreign-buffer refusal=foreignBuffer",
            "@hostile.scrub filled_before=true empty_after=true",
            "@hostile.plain-read-again status=0",
            "@hostile.stopped ready=0",
            "@hostile.page-size refusal=badArgument",
            "@hostile.after-reset stopped=wrongState old_queue=stale old_wait=stale",
            "@hostile.new-queue status=0",
            "@hostile.done",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DIRECT_WITHOUT_DOMAIN,
        smoke: "nvme-hostile",
        breaks: Break::Missing("@hostile.direct refusal=notSupported"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_LENGTH_CHECK,
        smoke: "nvme-hostile",
        breaks: Break::Missing("@hostile.lengths shorter=lengthMismatch longer=lengthMismatch"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_SCRUB,
        smoke: "nvme-hostile",
        breaks: Break::Missing("@hostile.scrub filled_before=true empty_after=true"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LET_MPS_THROUGH,
        smoke: "nvme-hostile",
        breaks: Break::Missing("@hostile.page-size refusal=badArgument"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::RECEIPT_WITHOUT_CSTS,
        smoke: "nvme-hostile",
        breaks: Break::Missing("@hostile.firmware-stopped ready=0"),
    }
}
