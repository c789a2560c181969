//! Places that processes share.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const BESIDE_ONE: &str = "@shares.beside-one keeper_waits=true";

inventory::submit! {
    Smoke {
        name: "shares",
        question: "Does a process that takes every place to wait for the audit log leave others theirs?",
        rows: &["CF-07"],
        manifest: "smoke/shares",
        required: &[
            "@shares.greedy held=4 refused=60",
            BESIDE_ONE,
            "@shares.beside-many keeper_waits=true",
            "@shares.again timed_out=12",
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
