//! What a process calls, as somebody sees it who was given the right to look.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const AGAIN: &str = "@trace.again after_the_first=ok";

inventory::submit! {
    Smoke {
        name: "trace",
        question: "Does a trace hold what a process calls, how that ended and how long it took, and end with its holder?",
        manifest: "smoke/trace",
        required: &[
            "@trace.refused none=outOfRange too_many=outOfRange nobody=notFound twice=busy",
            "@trace.calls now=5 sleep=5 slept=5 map=1 gate=1 other_gate=0 ordered=true dropped=0",
            AGAIN,
            "@trace.over ended=true",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_TRACE,
        smoke: "trace",
        breaks: Break::Missing(AGAIN),
    }
}
