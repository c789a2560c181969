//! Revocation and its effects.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const FACET: &str = "@revoke.facet before=ok with_server=true own=revoked handed_on=revoked pending=revoked other=ok other_pending=true";
const MEMORY: &str = "@revoke.memory mapped=true reader=exited reader_sees=0 owner_sees=0 owner_sees_later=0 info=revoked map=revoked";
const REUSE: &str = "@revoke.reuse same_slot=true new=ok old=stale";

inventory::submit! {
    Smoke {
        name: "cap-revoke",
        question: "Does revoking end handles, calls under way and mappings at once, and nothing else?",
        manifest: "smoke/cap-revoke",
        required: &[
            FACET,
            MEMORY,
            "@revoke.narrower write=readOnly upgrade=readOnly execute=writeExecute revoke_wide=notSupported wide=ok after=revoked",
            REUSE,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_EPOCH_CHECK,
        smoke: "cap-revoke",
        breaks: Break::Missing(FACET),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_MAPPINGS,
        smoke: "cap-revoke",
        breaks: Break::Missing(MEMORY),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_GENERATION_CHECK,
        smoke: "cap-revoke",
        breaks: Break::Missing(REUSE),
    }
}
