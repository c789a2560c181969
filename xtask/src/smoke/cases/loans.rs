//! What calls lend to their servers.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const LASTS: &str = "@loans.lasts bystander_waits=true client=timedOut";
const TIMED_OUT: &str = "@loans.timed-out client=timedOut bystander=runs";
const MOVED: &str = "@loans.moved bystander=runs keeper=answered client=answered";
const CHAIN: &str =
    "@loans.chain own=4 bystander_waits=true client=revoked bystander=runs between=revoked";

inventory::submit! {
    Smoke {
        name: "loans",
        question: "Does the priority that a call lends its server end with the call, whichever way the call ends?",
        rows: &["CF-06"],
        manifest: "smoke/loans",
        smp: 2,
        required: &[
            LASTS,
            TIMED_OUT,
            "@loans.cancelled client=cancelled bystander=runs",
            "@loans.client-killed client=killed bystander=runs",
            "@loans.revoked client=revoked bystander=runs",
            "@loans.dropped client=noReply bystander=runs",
            "@loans.answered-elsewhere client=answered bystander=runs",
            MOVED,
            "@loans.one-of-two first=timedOut bystander_waits=true second=timedOut bystander=runs",
            CHAIN,
            "@loans.chain own=11 bystander_waits=true client=revoked bystander=waits between=revoked",
            "@loans.through-ring served=true bystander=runs between=answered client=answered",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_LOANS,
        smoke: "loans",
        breaks: Break::Missing(TIMED_OUT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_MOVED_LOAN,
        smoke: "loans",
        breaks: Break::Missing(MOVED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LOANS_STOP_AT_ONE,
        smoke: "loans",
        breaks: Break::Missing(CHAIN),
    }
}
