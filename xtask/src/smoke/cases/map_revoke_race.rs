//! The end of a window against whoever else has it.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::dmapool_grant::even;
use crate::smoke::sabotage::{Break, Sabotage};

const FREED: &str = "@windows.freed tries=8 freed=8 freed_page_reached=false";

inventory::submit! {
    Smoke {
        name: "map-revoke-race",
        question: "When a buffer is freed while its window is in use on another processor, does nobody reach the freed page?",
        rows: &["CF-02"],
        manifest: "smoke/map-revoke-race",
        disks: &[SmokeDisk { name: "one.img", make: even, bytes_per_s: 0 }],
        smp: 2,
        required: &[FREED, "@windows.revoke of_a_window=notSupported"],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SECOND_REVOKER_GOES_ON,
        smoke: "map-revoke-race",
        breaks: Break::Missing(FREED),
    }
}
