//! Processor time as part of an account.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const RUNNING: &str = "@cpu-time.running counted=true listed=true";
const PAST: &str = "@cpu-time.past starters=true asleep=true grows=false";
const LOOP: &str = "@budget.loop alone=true within=true used_up=true bystander=true";
const CROWD: &str = "@budget.crowd bystander=true";
const GIVEN: &str = r#"@budget.given giver=exited said="too_much=overBudget more=overBudget own=100 again=300 within=true""#;

inventory::submit! {
    Smoke {
        name: "cpu-budget",
        question: "Does an account use as much of a processor as it was given, whatever its priority, and give of that on?",
        rows: &["CF-05"],
        manifest: "smoke/cpu-budget",
        // With an x2APIC QEMU 10 and later abort where instructions are counted.
        extra: &["-icount", "shift=0,sleep=off", "-cpu", "max,-erms,-fsrm,-x2apic"],
        required: &[LOOP, "@budget.ended looping=killed bystander=true", CROWD, GIVEN],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "cpu-time",
        question: "Is the processor time of a process counted in its account, and its starter's when it has ended?",
        rows: &["CF-03", "CF-05"],
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

inventory::submit! {
    Sabotage {
        point: points::IGNORE_BUDGETS,
        smoke: "cpu-budget",
        breaks: Break::Missing(LOOP),
    }
}

// The sabotage kernel looks at each interrupt who pays: here they come to programs that compute.
inventory::submit! {
    Sabotage {
        point: points::INTERRUPT_AT_ANY_COST,
        smoke: "cpu-time",
        breaks: Break::Panics("an interrupt at the cost of what it came to"),
    }
}
