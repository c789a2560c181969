//! One capability of a claim without the others.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const GUESS: &str = "@implies.queue-without-buffer tried=768 accepted=0";
const WITHOUT: &str =
    "@implies.without-device claim_over=true mmio=stale pool=stale map=stale submit=stale";

inventory::submit! {
    Smoke {
        name: "non-implication",
        question: "Does one capability of a claim give its holder any of the others, by whatever number or method?",
        rows: &["DA-19", "DA-41", "DA-47"],
        manifest: "smoke/non-implication",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        required: &[
            "@implies.holder of=mmio capabilities_gained=0",
            "@implies.holder of=interrupt capabilities_gained=0",
            // Buffers are what a pool gives, and windows what a buffer gives; 4096 is no kind of access.
            "@implies.holder of=pool capabilities_gained=3",
            "@implies.holder of=buffer capabilities_gained=3",
            "@implies.holder of=queue capabilities_gained=1",
            GUESS,
            "@implies.untouched state=true generation=true cc=true in_flight=0 buffers=1",
            WITHOUT,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::GUESS_BUFFERS,
        smoke: "non-implication",
        breaks: Break::Missing(GUESS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_CLAIM,
        smoke: "non-implication",
        breaks: Break::Missing(WITHOUT),
    }
}
