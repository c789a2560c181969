//! Local APICs whose registers are MSRs.

use sabotage::points;

use crate::qemu::Feature;
use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "x2apic",
        question: "Do interrupts of devices, timers and other CPUs arrive through local APICs in x2APIC mode?",
        rows: &["IR-23", "IR-24"],
        manifest: "smoke/interrupt-grant",
        smp: 2,
        memory_mib: 128,
        extra: &["-device", "edu,addr=4", "-device", "edu,addr=5", "-cpu", "max,-erms,-fsrm,+x2apic"],
        needs: Some(Feature::X2apic),
        sorted: true,
        required: &[
            "@boot.apic x2apic=true",
            "@boot.cpus online=2 listed=2",
            "@grant.other-cap heard=1 wait=timedOut acknowledge=wrongState",
            "@grant.acknowledge first=ok second=duplicate",
            "@grant.opened-again causes=4",
            "@grant.other-goes-on causes=8",
        ],
        forbidden: &["@kernel.panic", "@boot.cpu-silent", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::IGNORE_X2APIC,
        smoke: "x2apic",
        breaks: Break::Missing("@boot.apic x2apic=true"),
    }
}
