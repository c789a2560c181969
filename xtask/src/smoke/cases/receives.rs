//! More pending RECEIVEs than one piece of memory holds.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const PENDING: &str = "@receives.pending threads=130 all=true memory=true mint=ok";

inventory::submit! {
    Smoke {
        name: "receives",
        question: "Does an endpoint take any number of pending RECEIVEs, whatever memory lies in one piece?",
        manifest: "smoke/receives",
        required: &[PENDING],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::ONE_BLOCK_QUEUE,
        smoke: "receives",
        breaks: Break::Missing(PENDING),
    }
}
