//! Virtio devices driven by hand, the modern way and the legacy way.

use super::PROGRAM;
use crate::smoke::case::Smoke;

inventory::submit! {
    Smoke {
        name: "virtio-queues",
        question: "Does every virtio device move bytes through its queue, whichever interface it has, and nothing else?",
        rows: &["BD-01", "BD-02", "NI-01", "DA-33", "DA-34"],
        manifest: "smoke/virtio-queues",
        extra: &[
            "-device", "virtio-rng-pci",
            "-device", "virtio-rng-pci,disable-modern=on,vectors=0",
            "-device", "virtio-rng-pci,disable-modern=on",
            "-device", "virtio-balloon-pci",
        ],
        required: &[
            "@virtio.up device=rngModern interface=modern queues=1 is_power=true",
            "@virtio.in-flight device=rngModern before=0 during=1 after=0",
            "@virtio.rng device=rngModern status=0 bytes=3050 mostly_filled=true outside=0",
            "@virtio.doorbells device=rngModern ring=windowRefused stop=windowRefused read_isr=windowRefused",
            "@virtio.after-reset device=rngModern submit=wrongState complete=stale",
            "@virtio.up device=rngLegacy interface=legacy",
            "@virtio.rng device=rngLegacy status=0 bytes=3050 mostly_filled=true outside=0",
            "@virtio.doorbells device=rngLegacy ring=windowRefused stop=windowRefused read_isr=windowRefused",
            "@virtio.after-reset device=rngLegacy submit=wrongState complete=stale",
            "@virtio.done",
        ],
        forbidden: &["@kernel.panic", "@virtio.failed"],
        ..PROGRAM
    }
}
