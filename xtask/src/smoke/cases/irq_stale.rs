//! Interrupts of before a reset, a release, a death, the end of a wait.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "irq-stale",
        question: "Has an interrupt of before a reset, a release, a death or the end of a wait no effect after it?",
        rows: &["DA-15", "DA-17", "IR-15", "IR-16", "IR-21"],
        manifest: "smoke/irq-stale",
        cmdline: "log=quiet",
        memory_mib: 128,
        extra: &["-device", "edu,addr=4"],
        required: &[
            "@stale.cancelled wait=timedOut next=ok again=timedOut",
            "@stale.reset waiter=revoked before=timedOut causes=16 after=timedOut",
            "@stale.release before=timedOut causes=16 after=timedOut",
            "@stale.death victim=dies-before code=0 before=timedOut causes=16 after=timedOut",
            "@stale.death victim=dies-after code=0 before=timedOut causes=16 after=timedOut",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::RESET_FORGETS_ROUTES,
        smoke: "irq-stale",
        breaks: Break::Missing("@stale.reset waiter=revoked before=timedOut causes=16 after=timedOut"),
    }
}
