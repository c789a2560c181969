//! Bells across processes.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const NARROW: &str =
    "@bell.narrow granted=ok other=outOfRange narrower=outOfRange wider=outOfRange rung=6";

inventory::submit! {
    Smoke {
        name: "bell",
        question: "Is what one process rings heard by another, once, however the two race; and is only that rung which was granted?",
        manifest: "smoke/bell",
        smp: 2,
        required: &[
            "@bell.word first=1 second=4 none=timedOut empty_mask=badArgument",
            NARROW,
            "@bell.ring ninth=busy completed=2 own=2 left=32",
            "@bell.play rounds=20000 heard=20000 partner=exited code=0",
            "@bell.silence old=revoked old_narrows=revoked new=ok rung=1",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::BELL_RING_ANY,
        smoke: "bell",
        breaks: Break::Missing(NARROW),
    }
}
