//! Processor time as part of an account.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const RUNNING: &str = "@cpu-time.running counted=true listed=true";
const PAST: &str = "@cpu-time.past starters=true asleep=true grows=false";

inventory::submit! {
    Smoke {
        name: "cpu-time",
        question: "Is the processor time of a process counted in its account, and its starter's when it has ended?",
        rows: &["CF-05"],
        manifest: "smoke/cpu-time",
        smp: 2,
        required: &[RUNNING, PAST],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::COUNT_AT_SWITCHES,
        smoke: "cpu-time",
        breaks: Break::Missing(RUNNING),
    }
}

inventory::submit! {
    Sabotage {
        point: points::FORGET_CPU_TIME,
        smoke: "cpu-time",
        breaks: Break::Missing(PAST),
    }
}
