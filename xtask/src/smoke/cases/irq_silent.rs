//! A provider that never acknowledges.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "irq-silent",
        question: "Does a provider that never acknowledges stop nothing but itself: no line, no message, no timer?",
        rows: &["DA-16", "IR-03"],
        manifest: "smoke/irq-silent",
        cmdline: "log=quiet",
        memory_mib: 128,
        extra: &["-device", "edu,addr=2", "-device", "edu,addr=3", "-device", "edu,addr=6"],
        required: &[
            "@silent.asserts causes=1",
            "@silent.others line=50 message=50 ticks=50",
            "@silent.counted spurious=0 unowned=0",
            "@silent.successor causes=2",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::LINE_WAITS_FOR_ACKNOWLEDGEMENT,
        smoke: "irq-silent",
        breaks: Break::Missing("@silent.others line=50 message=50 ticks=50"),
    }
}
