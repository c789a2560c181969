//! A mapping and what is at its address.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;

const SEQUENCE: &str = "@identity.sequence revoked=ok owner=\"same_place=true words_lost=0\"";

inventory::submit! {
    Smoke {
        name: "map-identity",
        question: "Does a revocation end the mappings of its object and nothing else, whatever is at their addresses by then?",
        rows: &["CF-01"],
        manifest: "smoke/map-identity",
        smp: 2,
        required: &[
            SEQUENCE,
            "@identity.race rounds=3 own_words_lost=0 unmap_refused=0",
        ],
        ..PROGRAM
    }
}
