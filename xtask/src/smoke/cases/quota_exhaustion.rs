//! Bounds of what a process makes the kernel hold.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const MEMORY: &str =
    "@quota.memory refused=overBudget some=true as_many_again=true whole=overBudget";

inventory::submit! {
    Smoke {
        name: "quota-exhaustion",
        question: "Is all that a process can make the kernel hold bounded, and does nobody else notice who meets a bound?",
        manifest: "smoke/quota-exhaustion",
        required: &[
            MEMORY,
            "@quota.handles refused=overBudget taken=31 again=31 others=ok",
            "@quota.mappings refused=overBudget some=true after=ok",
            "@quota.threads refused=overBudget taken=3 again=ok",
            "@quota.endpoints refused=overBudget taken=3 again=ok",
            "@quota.facets refused=overBudget taken=6 unheard=overBudget again=ok",
            "@quota.calls taken=128 timer=true",
            "@quota.timers gave_up=10000 kept_kib=0",
            "@quota.others greedy=0 kept_kib=0 server=true",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_QUOTA_CHECK,
        smoke: "quota-exhaustion",
        breaks: Break::Missing(MEMORY),
    }
}
