//! Four processors at once.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const PINNED: &str = "@smp.pinned threads=4 processors=4 moved=0";

inventory::submit! {
    Smoke {
        name: "smp",
        question: "Do four processors work together: threads where they belong, calls and wake-ups across, memory that all see alike?",
        manifest: "smoke/smp",
        smp: 4,
        required: &[
            "@smp.machine cpus=4",
            PINNED,
            "@smp.token passes=4000 wrong_words=0",
            "@smp.lock turns=20000 torn=0",
            "@smp.calls clients=4 right=4000 served=4000 server_alive=true",
            "@smp.killed processes=100 threads_each=4 memory_back=true",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::IGNORE_PIN,
        smoke: "smp",
        breaks: Break::Missing(PINNED),
    }
}
