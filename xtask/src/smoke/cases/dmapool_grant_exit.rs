//! Death under DMA.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::dmapool_grant::even;
use crate::smoke::sabotage::{Break, Sabotage};

const ORDER: &str = r#"@exit.order steps="begun handles-revoked submissions-stopped mappings-removed interrupts-masked queues-quiesced device-reset bus-master-cleared scrubbed freed""#;
const MEMORY: &str = "@exit.memory dirty_at_first=0 changed_later=0";

inventory::submit! {
    Smoke {
        name: "dmapool-grant-exit",
        question: "Does memory that a device writes to when its holder dies reach nobody before the device has stopped and it is wiped?",
        rows: &["DA-12", "DA-42", "DA-44", "DA-53", "DA-54"],
        manifest: "smoke/grant-exit",
        disks: &[SmokeDisk { name: "slow.img", make: even, bytes_per_s: 1 << 20 }],
        memory_mib: 192,
        required: &[
            "@exit.victim kind=killed in_flight=6 memory_back=true",
            ORDER,
            MEMORY,
            "@exit.successor status=0 changed_by_then=0",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_SCRUB,
        smoke: "dmapool-grant-exit",
        breaks: Break::Missing(MEMORY),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_RUNNING,
        smoke: "dmapool-grant-exit",
        breaks: Break::Missing(MEMORY),
    }
}
