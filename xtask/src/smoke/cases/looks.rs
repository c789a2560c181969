//! Long work in the kernel.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const BATCH: &str = "@looks.work what=batch refused=0 urgent_ran=true";

inventory::submit! {
    Smoke {
        name: "looks",
        question: "Does long work in the kernel give way to somebody more urgent?",
        rows: &["CF-05"],
        manifest: "smoke/looks",
        required: &[BATCH],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_LOOKS,
        smoke: "looks",
        breaks: Break::Missing(BATCH),
    }
}
