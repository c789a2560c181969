//! Moving interrupts between CPUs under load.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "irq-affinity",
        question: "Does every completion arrive while its interrupt moves from CPU to CPU?",
        rows: &["IR-06", "IR-10", "DA-45"],
        manifest: "smoke/irq-affinity",
        smp: 4,
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        sorted: true,
        required: &[
            "@affinity.refused next=outOfRange past=outOfRange last=outOfRange",
            "@affinity.load completed=800 waits_in_vain=0",
            "@affinity.moved cpus=4 times=200",
            "@affinity.end unowned=0 vectors=2",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::MOVE_TELLS_NOBODY,
        smoke: "irq-affinity",
        breaks: Break::Missing("@affinity.load completed=800 waits_in_vain=0"),
    }
}
