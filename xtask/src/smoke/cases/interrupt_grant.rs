//! What an Interrupt lets its holder do, and what it refuses.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "interrupt-grant",
        question: "Does an interrupt obey its holder in everything it may and nobody in anything else?",
        rows: &["DA-15", "DA-16", "DA-41", "DA-46", "IR-11", "IR-12", "IR-18", "IR-19", "IR-20"],
        manifest: "smoke/interrupt-grant",
        memory_mib: 128,
        extra: &["-device", "edu,addr=4", "-device", "edu,addr=5"],
        required: &[
            "@grant.admission twice=alreadyExists pin_beside_message=wrongState no_such_source=outOfRange acknowledge_early=wrongState no_such_cpu=outOfRange",
            "@grant.other-cap heard=1 wait=timedOut acknowledge=wrongState",
            "@grant.acknowledge first=ok second=duplicate",
            "@grant.mask before=false masked=true unmasked=false causes=2",
            "@grant.after-reset wait=stale acknowledge=stale unmask=stale mask=stale affinity=stale info=stale",
            "@grant.opened-again causes=4",
            "@grant.after-release wait=any acknowledge=any unmask=any",
            "@grant.other-goes-on causes=8",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::ACKNOWLEDGE_AGAIN,
        smoke: "interrupt-grant",
        breaks: Break::Missing("@grant.acknowledge first=ok second=duplicate"),
    }
}
