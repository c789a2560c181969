//! A mapping and what is at its address.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const SEQUENCE: &str = "@identity.sequence revoked=ok owner=\"same_place=true words_lost=0\"";

inventory::submit! {
    Smoke {
        name: "map-identity",
        question: "Does a revocation end the mappings of its object and nothing else, whatever is at their addresses by then?",
        rows: &["CF-01"],
        manifest: "smoke/map-identity",
        smp: 2,
        required: &[SEQUENCE],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "map-identity-race",
        question: "Does it so while the owner unmaps and maps anew in the middle of the walk over a thousand mappings?",
        rows: &["CF-01"],
        manifest: "smoke/map-identity-race",
        smp: 2,
        required: &["@identity.race rounds=3 own_words_lost=0 unmap_refused=0"],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::MAP_BY_ADDRESS,
        smoke: "map-identity",
        breaks: Break::Missing(SEQUENCE),
    }
}
