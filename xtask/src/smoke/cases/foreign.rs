//! What belongs to one process alone, in other hands.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const MEMORY: &str = "@foreign.tried interface=VirtualMemory methods=4 not_refused=\"\"";

// The owner sends whatever a process without grants finds, and the methods are the schema's: a new capability or method
// is tried without a change here, but for its line below.
inventory::submit! {
    Smoke {
        name: "foreign",
        question: "Is what a process has of its own refused in other hands, every method of it, before and after its owner's end?",
        manifest: "smoke/foreign",
        required: &[
            MEMORY,
            "@foreign.tried interface=ThreadSpawner methods=2 not_refused=\"\"",
            "@foreign.after served=0",
        ],
        forbidden: &["@kernel.panic", "@foreign.unknown"],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SERVE_STRANGERS,
        smoke: "foreign",
        breaks: Break::Missing(MEMORY),
    }
}
