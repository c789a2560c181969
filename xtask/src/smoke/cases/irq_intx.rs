//! Interrupt lines, asserted by the devices themselves.

use sabotage::points;

use crate::smoke::case::{Boot, Smoke};
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "irq-intx",
        question: "Do two devices on one interrupt line each get their own interrupts, and only those?",
        rows: &["IR-01", "IR-03", "IR-09"],
        manifest: "smoke/irq-intx",
        memory_mib: 128,
        extra: &["-device", "edu,addr=2", "-device", "edu,addr=3"],
        required: &[
            "@interrupt.line pin=a level=true",
            "@intx.opened signal=line message_beside_pin=wrongState",
            "@intx.first heard=1 other=timedOut causes=1 quiet=timedOut",
            "@intx.level again=ok causes=2",
            "@intx.shared a=50 b=50",
            "@intx.left causes=4 unowned=0",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::LINE_TELLS_ALL,
        smoke: "irq-intx",
        breaks: Break::Missing("@intx.first heard=1 other=timedOut causes=1 quiet=timedOut"),
    }
}

inventory::submit! {
    Smoke {
        name: "irq-polled",
        question: "Where no table tells where a pin arrives, is that said, and the message still there?",
        rows: &["IR-09"],
        manifest: "smoke/irq-intx",
        boot: Boot::Uefi,
        memory_mib: 256,
        extra: &["-device", "edu,addr=2", "-device", "edu,addr=3"],
        required: &[
            "@interrupt.polled pin=a reason=no-table-names-its-line",
            "@intx.polled refusal=notSupported message=1",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}
