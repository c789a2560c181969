//! What a process was given, and its threads and its image.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const IMAGE: &str =
    "@limits.image unused=true in_half=overBudget in_its_own=overBudget in_twice=ok counted=true";
const PRIORITY: &str = "@limits.priority shares_the_processor=true";

inventory::submit! {
    Smoke {
        name: "limits",
        question: "Do a process's limits hold for its threads and for its image?",
        rows: &["CF-03"],
        manifest: "smoke/limits",
        required: &[IMAGE, PRIORITY],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::IMAGE_FOR_NOTHING,
        smoke: "limits",
        breaks: Break::Missing(IMAGE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::THREAD_ABOVE_PROCESS,
        smoke: "limits",
        breaks: Break::Missing(PRIORITY),
    }
}
