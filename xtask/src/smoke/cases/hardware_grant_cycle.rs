//! One holder of a device after the other.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const CLAIMS: &str =
    "@cycle.claims cycles=300 generation_rises=300 begun_unconfigured=300 reads=75";
const BUS_MASTER: &str = "@cycle.bus-master on_at_claim=0";
const OLD: &str = "@cycle.old refused=224 of=224";
const MEMORY: &str = "@cycle.memory back=true";
const LOG: &str = "@cycle.log earlier_lost=false told=true";

inventory::submit! {
    Smoke {
        name: "hardware-grant-cycle",
        question: "After three hundred holders, is a device as it was, is every page back, and is what they kept worthless?",
        rows: &["CF-09", "DA-18", "DA-35", "DA-41", "DA-44"],
        manifest: "smoke/grant-cycle",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 64 << 20 }],
        required: &[CLAIMS, BUS_MASTER, OLD, MEMORY, LOG],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_GENERATION,
        smoke: "hardware-grant-cycle",
        breaks: Break::Missing(CLAIMS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_BUS_MASTER,
        smoke: "hardware-grant-cycle",
        breaks: Break::Missing(BUS_MASTER),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_CLAIM_CHECK,
        smoke: "hardware-grant-cycle",
        breaks: Break::Missing(OLD),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAK_FRAMES,
        smoke: "hardware-grant-cycle",
        breaks: Break::Missing(MEMORY),
    }
}

inventory::submit! {
    Sabotage {
        point: points::STATE_WITHOUT_END,
        smoke: "hardware-grant-cycle",
        breaks: Break::Missing(LOG),
    }
}
