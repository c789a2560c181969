//! Places that processes share.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const READ_BESIDE_ONE: &str = "@shares.read-beside-one reader_waits=true";
const BESIDE_ONE: &str = "@shares.beside-one keeper_waits=true";

inventory::submit! {
    Smoke {
        name: "shares",
        question: "Does a process that takes every place to wait for the audit log or for input leave others theirs?",
        rows: &["CF-07"],
        manifest: "smoke/shares",
        required: &[
            "@shares.greedy held=4 refused=60",
            BESIDE_ONE,
            "@shares.beside-many keeper_waits=true",
            "@shares.again timed_out=12",
            "@shares.greedy-reader held=4 refused=60",
            READ_BESIDE_ONE,
            "@shares.read-beside-many reader_waits=true",
            "@shares.read-again timed_out=12",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SHARE_AUDIT_WAITS,
        smoke: "shares",
        breaks: Break::Missing(BESIDE_ONE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SHARE_CONSOLE_READS,
        smoke: "shares",
        breaks: Break::Missing(READ_BESIDE_ONE),
    }
}
