//! Cookies, notices of dropped facets, incarnations.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const DROPPED: &str =
    "@facets.dropped held_elsewhere=0 holder=killed after_last=1 later=1 others=0";
const RENEWED: &str = "@facets.renewed before=ok incarnation=2 durable=ok bound=stale new=ok";
const SUCCESSOR: &str = "@facets.successor before=ok old_sessions=0 old_as_earlier=0 durable_as_own=0 durable_minted_in=1 queued_minted_in=1 new_session=ok";

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
            "@facets.closed said=\"most=4 minted_again=ok\"",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_DROP_NOTICE,
        smoke: "facets",
        breaks: Break::Missing(DROPPED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_INCARNATION_CHECK,
        smoke: "facets",
        breaks: Break::Missing(RENEWED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::NOTICE_TO_SUCCESSOR,
        smoke: "facets",
        breaks: Break::Missing(SUCCESSOR),
    }
}
