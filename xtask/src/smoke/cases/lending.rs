//! How much of what is lent may be used.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const ENDPOINT: &str = r#"@lending.endpoint borrower=exited said="first=6 refused=overShare unheard=0 too_much=overShare lent_on=2 rest=1 renew=notSupported on_renew=notSupported" left=0 refused=overShare own=40 own_refused=nothing"#;
const MEMORY: &str = r#"@lending.memory reader=exited said="bytes=8192 first=2 last=3 beyond=outOfRange behind=outOfRange of_part=4096 too_much=outOfRange revoke=notSupported" beyond=outOfRange endless=outOfRange nothing=zeroLength inside_a_page=misaligned read_only=readOnly image=outOfRange"#;

inventory::submit! {
    Smoke {
        name: "lending",
        question: "Can whoever lends an endpoint or memory say how much of it may be used, and keep the rest?",
        rows: &["CF-13"],
        manifest: "smoke/lending",
        required: &[
            ENDPOINT,
            "@lending.none mint=overShare received_when_closed=revoked",
            "@lending.servers first=ok second=ok without=timedOut",
            MEMORY,
            "@lending.revoked part=true map=revoked",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEND_EVERYTHING,
        smoke: "lending",
        breaks: Break::Missing(ENDPOINT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::PART_IS_ALL,
        smoke: "lending",
        breaks: Break::Missing(MEMORY),
    }
}
