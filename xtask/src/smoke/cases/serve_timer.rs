//! Timers inside the loop that serves.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;

inventory::submit! {
    Smoke {
        name: "serve-timer",
        question: "Is a server woken at its time, and are calls answered before and after?",
        manifest: "smoke/serve-timer",
        required: &["@serve.ticks enough=true early=0 calls=6 numbers=6"],
        ..PROGRAM
    }
}
