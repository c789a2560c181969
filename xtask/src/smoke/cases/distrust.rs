//! What a processor learns of branches from one account, and another account.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const DISTRUSTING: &str = "@distrust.calls server=distrusting barriers=200";
const ENDS: &str = "@distrust.ends each_way=true";
const TURNS: &str = "@distrust.turns each_way=true";

// TCG emulates no predictor and ignores the register; `x-force-features` lets it offer the bit, so that the write is done.
inventory::submit! {
    Smoke {
        name: "distrust",
        question: "Is the processor told to forget what it learned of branches between accounts of which one is distrusting, and at no other switch?",
        rows: &["CF-10"],
        manifest: "smoke/distrust",
        extra: &["-cpu", "max,-erms,-fsrm,+ibpb,x-force-features=on"],
        cmdline: "",
        required: &[
            "@boot.speculation ibpb_offered=true",
            "@distrust.calls server=trusting barriers=0",
            DISTRUSTING,
            "@distrust.calls server=of-a-distrusting-one barriers=200",
            "@distrust.alone said=\"barriers=0\"",
            ENDS,
            TURNS,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_BRANCH_BARRIER,
        smoke: "distrust",
        breaks: Break::Missing(DISTRUSTING),
    }
}

inventory::submit! {
    Sabotage {
        point: points::FORGET_WHO_TRAINED,
        smoke: "distrust",
        breaks: Break::Missing(TURNS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::FORGET_ENDED_TRAINED,
        smoke: "distrust",
        breaks: Break::Missing(ENDS),
    }
}
