//! The end of a server, and its successor.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const KILLED: &str = "@death.killed server=killed delivered=serverDied completed_others=0";
const QUEUED: &str = "@death.queued past_deadline=timedOut incarnation=2 served_by_successor=true through_bound=stale";

inventory::submit! {
    Smoke {
        name: "server-death",
        question: "When a server dies, do delivered calls hear of it, and do queued ones go on with its successor?",
        manifest: "smoke/server-death",
        required: &[
            "@death.before durable=0 bound=1",
            KILLED,
            QUEUED,
            "@death.after durable=ok bound=stale new=ok",
            "@death.server role=breaks-off-receive kind=faulted caller=ok answer=77",
            "@death.server role=breaks-off-answer kind=faulted caller=noReply answer=0",
            "@death.last caller=22 without_server=timedOut without_endpoint=revoked",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_SERVER_DIED,
        smoke: "server-death",
        breaks: Break::Missing(KILLED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_INCARNATION_CHECK,
        smoke: "server-death",
        breaks: Break::Missing(QUEUED),
    }
}
