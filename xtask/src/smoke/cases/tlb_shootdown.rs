//! Translations that another processor holds.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const MACHINE: &str = "@tlb.machine cpus=2";
const PROTECTED: &str =
    "@tlb.changed change=protect rounds=10 faulted=10 last=faulted text=\"page-fault: writing\"";

inventory::submit! {
    Smoke {
        name: "tlb-shootdown",
        question: "Does a processor that holds a translation lose it before the change of the mapping is over?",
        manifest: "smoke/tlb-shootdown",
        smp: 2,
        required: &[
            MACHINE,
            "@tlb.changed change=revoke rounds=10 faulted=0 last=exited text=\"processors 0 and 1, ok, saw 0x0\"",
            PROTECTED,
            "@tlb.changed change=unmap rounds=10 faulted=10 last=faulted text=\"page-fault: reading\"",
        ],
        forbidden: &["@kernel.panic", "@tlb.stale-use"],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_SHOOTDOWN,
        smoke: "tlb-shootdown",
        breaks: Break::Appears { fact: "@tlb.stale-use", after: PROTECTED },
    }
}

inventory::submit! {
    Sabotage {
        point: points::TAKE_LOADED_FOR_LEFT,
        smoke: "tlb-shootdown",
        breaks: Break::Appears { fact: "@tlb.stale-use", after: MACHINE },
    }
}
