//! A provider of virtio disks that tries everything a provider must not, on both transports.

use super::PROGRAM;
use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const DISKS: &[SmokeDisk] = &[
    SmokeDisk {
        name: "one.img",
        make: raw,
        bytes_per_s: 0,
    },
    SmokeDisk {
        name: "two.img",
        make: raw,
        bytes_per_s: 0,
    },
];

const FEATURES: &str = "@hostile.features indirect=badArgument event_index=badArgument access_platform=badArgument packed=badArgument secure_erase=badArgument";
const SIZES: &str = "@hostile.sizes odd=badArgument over_bound=outOfRange many_queues=outOfRange";
const READ: &str = "@hostile.plain-read status=0 right=true";
const REGISTERS: &str = "@hostile.registers capacity=ok status=windowRefused before=windowRefused past_the_end=outOfRange write_capacity=windowRefused write_status=windowRefused map=windowRefused";
const PORTS: &str = "@hostile.registers capacity=ok status=windowRefused before=windowRefused past_the_end=outOfRange write_capacity=windowRefused write_status=windowRefused map=outOfRange";
const TEMPLATES: &str = "@hostile.templates unknown=templateRefused scsi=templateRefused discard=templateRefused priority=templateRefused flush_sector=templateRefused short=templateRefused";
const LENGTHS: &str = "@hostile.lengths odd=lengthMismatch id=lengthMismatch flush_data=lengthMismatch past_the_disk=outOfRange over_its_end=outOfRange wrapping=outOfRange";
const BUFFERS: &str = "@hostile.buffers foreign=foreignBuffer freed=stale";
const BATCHES: &str = "@hostile.batches depth=4 accepted=4 refusal=queueFull free_in_flight=busy completed=true more=0 of_65=64";
const STALE: &str = "@hostile.after-reset stopped=wrongState old_queue=stale old_completion=stale";
const fn all(registers: &'static str) -> [&'static str; 12] {
    [
        FEATURES,
        SIZES,
        READ,
        registers,
        TEMPLATES,
        LENGTHS,
        BUFFERS,
        BATCHES,
        READ,
        STALE,
        READ,
        "@hostile.done",
    ]
}

inventory::submit! {
    Smoke {
        name: "virtio-hostile",
        question: "Is everything refused that would move a feature, a length or a stale object past the broker of a virtio disk?",
        rows: &["DA-27", "DA-34", "DA-48", "DA-49", "BD-04"],
        manifest: "smoke/virtio-hostile",
        disks: DISKS,
        disk_device: "virtio-blk-pci",
        required: &all(REGISTERS),
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-hostile-legacy",
        question: "Is the same refused of a legacy device, and every I/O port but those of its configuration?",
        rows: &["NI-17", "NI-20"],
        manifest: "smoke/virtio-hostile",
        disks: DISKS,
        disk_device: "virtio-blk-pci,disable-modern=on,vectors=0",
        required: &all(PORTS),
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::VIRTIO_SKIP_LENGTH_CHECK,
        smoke: "virtio-hostile",
        breaks: Break::Missing(LENGTHS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::VIRTIO_ANY_FEATURE,
        smoke: "virtio-hostile",
        breaks: Break::Missing(FEATURES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::VIRTIO_ANY_TEMPLATE,
        smoke: "virtio-hostile",
        breaks: Break::Missing(TEMPLATES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::VIRTIO_RECEIPT_WITHOUT_STATUS,
        smoke: "virtio-hostile",
        breaks: Break::Missing(FEATURES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::VIRTIO_CONFIG_EVERYTHING,
        smoke: "virtio-hostile-legacy",
        breaks: Break::Missing(PORTS),
    }
}

const FRAMES: &str = "@net.lengths no_frame=lengthMismatch long_frame=lengthMismatch little_room=lengthMismatch nothing=lengthMismatch past_the_buffer=outOfRange";

inventory::submit! {
    Smoke {
        name: "virtio-net-hostile",
        question: "Are a frame's bounds the broker's, and does each direction have an interrupt that nobody else can acknowledge?",
        rows: &["DA-45", "DA-46", "NI-03", "NI-09", "NI-10"],
        manifest: "smoke/virtio-net-hostile",
        extra: &[
            "-netdev", "user,id=n0,restrict=on",
            "-device", "virtio-net-pci,netdev=n0,romfile=",
        ],
        required: &[
            "@net.templates receive=templateRefused transmit=templateRefused",
            FRAMES,
            "@net.directions receive=badArgument transmit=badArgument",
            "@net.transmit-interrupt waited=ok completed=1 acknowledged_by_other=wrongState acknowledged=ok twice=duplicate other_delivered=0",
            "@net.receive-interrupt waited=ok frames=1 message=2 acknowledged=ok twice=duplicate",
            "@net.after-reset wait=stale acknowledge=stale",
            "@net.done",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::VIRTIO_SKIP_LENGTH_CHECK,
        smoke: "virtio-net-hostile",
        breaks: Break::Missing(FRAMES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ACCEPT_FOREIGN_BUFFER,
        smoke: "virtio-hostile",
        breaks: Break::Missing(BUFFERS),
    }
}
