//! Virtio devices driven by hand, the modern way and the legacy way.

use super::PROGRAM;
use crate::smoke::case::Smoke;

inventory::submit! {
    Smoke {
        name: "virtio-queues",
        question: "Does every virtio device move bytes through its queue, whichever interface it has, and nothing else?",
        rows: &["BD-01", "BD-02"],
        manifest: "smoke-virtio-queues",
        extra: &[
            "-device", "virtio-rng-pci",
            "-device", "virtio-rng-pci,disable-modern=on,vectors=0",
            "-device", "virtio-rng-pci,disable-modern=on",
            "-device", "virtio-balloon-pci",
        ],
        required: &[
            "@virtio.up device=rngModern interface=modern queues=1 depth=8",
            "@virtio.rng device=rngModern status=0 bytes=3050 mostly_filled=true outside=0",
            "@virtio.up device=rngLegacy interface=legacy",
            "@virtio.rng device=rngLegacy status=0 bytes=3050 mostly_filled=true outside=0",
            "@virtio.done",
        ],
        forbidden: &["@kernel.panic", "@virtio.failed"],
        ..PROGRAM
    }
}
