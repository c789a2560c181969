//! A virtio entropy source, beside a processor that has none.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "virtio-rng",
        question: "Do a device's random bytes arrive by its own interrupt, and stay out of EntropySource?",
        rows: &["IR-13", "IR-14"],
        manifest: "smoke/virtio-rng",
        extra: &["-cpu", "max,-erms,-fsrm,-rdrand", "-device", "virtio-rng-pci"],
        required: &[
            "@rng.ready transport=modern notice=interrupt",
            "@random.read bytes=1024 differ=true plausible=true",
            "@random.bounds none=zeroLength many=outOfRange",
            "@random.noticed by_interrupt=true all_served=true",
            "@random.entropy-source refusal=notSupported",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::WEAK_ENTROPY,
        smoke: "virtio-rng",
        breaks: Break::Missing("@random.entropy-source refusal=notSupported"),
    }
}
