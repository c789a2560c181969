//! Deadlines and cancellations.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const LATE: &str = "@deadline.late answered_in_vain=2 next=23";
const RING: &str = "@deadline.ring cancelled=cancelled timed=timedOut third_waits_on=true other=true held=3 third=true";

inventory::submit! {
    Smoke {
        name: "deadline-cancel",
        question: "Does each operation end at its own deadline or cancellation, and is what comes later discarded?",
        manifest: "smoke/deadline-cancel",
        required: &[
            "@deadline.call refused=timedOut early=false past=timedOut",
            LATE,
            RING,
            "@deadline.cancel of_nothing=notFound",
            "@deadline.receive registers=timedOut polled=timedOut ring=timedOut",
            "@deadline.sleep early=false within_a_second=true cut_short=timedOut",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_DEADLINE,
        smoke: "deadline-cancel",
        breaks: Break::Missing(RING),
    }
}
