//! Calls, messages, rings, and the switch to the server.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const REFUSED: &str = "@ipc.refused reply_dropped=noReply method=noSuchMethod kernel_method=noSuchMethod handle=badHandle";
const LINKED: &str = "@ipc.linked calls=3 entries=3 after=serverDied";
const SWITCH: &str = "@ipc.switch direct=true";
const INHERIT: &str = "@ipc.inherit worked=true overtaken=false";

inventory::submit! {
    Smoke {
        name: "ipc",
        question: "Do calls, messages and rings carry what was sent, and does a call switch straight to its server?",
        manifest: "smoke/ipc",
        required: &[
            "@ipc.registers sum=42 cookie=7 before=0",
            "@ipc.message bytes=64 same=true",
            "@ipc.message bytes=4096 same=true",
            "@ipc.message bytes=16384 same=true",
            "@ipc.ring calls=32 completed=32 right=32",
            "@ipc.nop register=true ring=8",
            LINKED,
            REFUSED,
            SWITCH,
            INHERIT,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_NO_REPLY,
        smoke: "ipc",
        breaks: Break::Missing(REFUSED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_DIRECT_SWITCH,
        smoke: "ipc",
        breaks: Break::Missing(SWITCH),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_INHERIT,
        smoke: "ipc",
        breaks: Break::Missing(INHERIT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::TAKE_ANY_RECEIVER,
        smoke: "ipc",
        breaks: Break::Missing(LINKED),
    }
}
