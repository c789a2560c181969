//! Cookies, notices of dropped facets, incarnations.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const DROPPED: &str =
    "@facets.dropped held_elsewhere=0 holder=killed after_last=1 later=1 others=0";
const RENEWED: &str = "@facets.renewed before=ok incarnation=2 durable=ok bound=stale new=ok";
const SUCCESSOR: &str = "@facets.successor before=ok old_sessions=0 durable_as_own=0 durable_minted_in=1 queued_minted_in=1 new_session=ok";

inventory::submit! {
    Smoke {
        name: "facets",
        question: "Does a server learn through which facet it is called, and once when the last handle of one is gone?",
        manifest: "smoke/facets",
        required: &[
            "@facets.cookies first=11 second=true",
            DROPPED,
            "@facets.opened cookie=33 open=0 closed=1",
            "@facets.after-call call=timedOut notice=true",
            RENEWED,
            SUCCESSOR,
            "@facets.successor-own session=1 earlier=0",
            "@facets.foreign revoke=wrongOwner not_a_facet=wrongKind still=ok",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: "skip-drop-notice",
        smoke: "facets",
        what: "The server is not told that the last handle of a facet is gone.",
        breaks: Break::Missing(DROPPED),
    }
}

inventory::submit! {
    Sabotage {
        point: "skip-incarnation-check",
        smoke: "facets",
        what: "A facet of an older incarnation goes on after a renewal.",
        breaks: Break::Missing(RENEWED),
    }
}

inventory::submit! {
    Sabotage {
        point: "notice-to-successor",
        smoke: "facets",
        what: "A server is told of its predecessor's facets as of its own.",
        breaks: Break::Missing(SUCCESSOR),
    }
}
