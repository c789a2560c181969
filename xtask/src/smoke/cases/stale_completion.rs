//! Commands and completions of before a reset.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const IN_FLIGHT: &str = "@stale.in-flight submitted=6 revoked_once=true others=0 then=stale pins_left=0 written_after_the_proof=0";
const UNTAKEN: &str = "@stale.untaken answered_without_data=0 old_revoked_once=true old_others=0 old_then=stale new_answered_once=true failed=0 more=0";

inventory::submit! {
    Smoke {
        name: "stale-completion",
        question: "Does a reset end every command of before once, and does nothing of before answer, wake or write afterwards?",
        rows: &["DA-15", "DA-28", "DA-51", "DA-52", "DA-56"],
        manifest: "smoke/stale-completion",
        // What is in flight is in flight for long, so that a reset comes in between.
        disks: &[SmokeDisk { name: "slow.img", make: raw, bytes_per_s: 1 << 20 }],
        required: &[
            IN_FLIGHT,
            "@stale.before-reset submit=wrongState complete=stale info=ok admin_complete=stale wait=stale acknowledge=stale unmask=stale buffers_freed=6",
            UNTAKEN,
            "@stale.polled answered=8 interrupts=0 revoked=1 then=stale buffer_free=ok",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_RUNNING,
        smoke: "stale-completion",
        breaks: Break::Missing(IN_FLIGHT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_COMPLETIONS,
        smoke: "stale-completion",
        breaks: Break::Missing(UNTAKEN),
    }
}
