//! Using a device while somebody takes it away.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::dmapool_grant::even;
use crate::smoke::sabotage::{Break, Sabotage};

const ANSWERS: &str = "@race.answers each_once=true strange=0 some_revoked=true";
const MEMORY: &str = "@race.memory back=true";

inventory::submit! {
    Smoke {
        name: "revoke-race",
        question: "When four processors use and take away one device at once, does everything end in a result or a refusal, once?",
        rows: &["DA-50"],
        manifest: "smoke/revoke-race",
        disks: &[SmokeDisk { name: "one.img", make: even, bytes_per_s: 0 }],
        smp: 4,
        required: &[
            "@race.operations rounds=90 some_done=true some_refused=true wrong_refusals=0",
            ANSWERS,
            "@race.pages dirty=0",
            MEMORY,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LOSE_REVOKED,
        smoke: "revoke-race",
        breaks: Break::Missing(ANSWERS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAK_FRAMES,
        smoke: "revoke-race",
        breaks: Break::Missing(MEMORY),
    }
}
