//! What the kernel keeps of mappings that are gone.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::dmapool_grant::even;
use crate::smoke::sabotage::{Break, Sabotage};

const RECORDS: &str = "@windows.records rounds=10000 kept=false";

inventory::submit! {
    Smoke {
        name: "map-charge",
        question: "Does the kernel keep nothing of a mapping that is gone, whichever way it went?",
        rows: &["CF-01"],
        manifest: "smoke/map-charge",
        disks: &[SmokeDisk { name: "one.img", make: even, bytes_per_s: 0 }],
        required: &[
            RECORDS,
            "@windows.unmap none=notFound rest=ok same_place=true own_stays=true other_gone=notFound",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_MAP_RECORDS,
        smoke: "map-charge",
        breaks: Break::Missing(RECORDS),
    }
}
