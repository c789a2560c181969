//! One MSI that the device cannot mask.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "irq-msi",
        question: "Does everything that a device says with its one MSI arrive, once, also while nobody could take it?",
        rows: &["IR-04", "IR-05"],
        manifest: "smoke/irq-msi",
        memory_mib: 128,
        extra: &["-device", "edu,addr=4"],
        required: &[
            "@msi.opened signal=msi masked=true",
            "@msi.factorial of=10 value=3628800 causes=1 dispatches=1",
            "@msi.dma opcode=1 causes=256 completed=1",
            "@msi.dma opcode=2 causes=256 completed=1",
            "@msi.copied same=true",
            "@msi.before-acknowledge early=timedOut next=ok causes=3 again=timedOut",
            "@msi.while-masked early=timedOut causes=4 again=timedOut",
            "@interrupt.storm kind=msi",
            "@msi.flood storms=1",
            "@msi.after-flood kept=ok causes=16",
            "@msi.done",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DROP_LATE_MESSAGE,
        smoke: "irq-msi",
        breaks: Break::Missing("@msi.before-acknowledge early=timedOut next=ok causes=3 again=timedOut"),
    }
}
