//! Google's virtual NIC whose driver dies under load, or that does what it must not do: a connection goes on.

use ::sabotage::points;
use anyhow::Result;
use gve_format::QueueFormat;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::gve::{BASE, SECOND, card};
use crate::smoke::cases::net_slirp::echo_bytes;
use crate::smoke::sabotage::{Break, Sabotage};

/// What goes through while the driver comes and goes.
fn little(peer: &mut Peer<'_>) -> Result<()> {
    echo_bytes(peer, 512 << 10)
}

const MIRRORED: &[Step] = &[
    Step::Wait("@mirror.listening"),
    Step::Peer(little),
    Step::Wait("@mirror.served"),
];

const STAYS: &[&str] = &[
    "@kernel.panic",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
    "@device.quarantined",
    "@service.started name=netstack incarnation=2",
];

inventory::submit! {
    Smoke {
        name: "gve-crash",
        question: "Does a connection carry every byte both ways while the gVNIC's driver is killed under it, twice?",
        rows: &["NI-29"],
        manifest: "smoke/gve-crash",
        device_model: card(QueueFormat::GqiQpl, &[], &["model.reset", "model.reset", "model.reset"]),
        steps: MIRRORED,
        required: &[
            "@mirror.killed name=nic times=2",
            "@device.teardown step=device-reset proof=admin-queue-released in-flight=true",
            "@service.started name=nic incarnation=3",
            "@mirror.served bytes=524288",
        ],
        forbidden: STAYS,
        ..BASE
    }
}

inventory::submit! {
    Smoke {
        name: "gve-faulty",
        question: "Does each received frame that cannot be end the gVNIC's driver, and the connection above it go on?",
        rows: &["NI-29"],
        manifest: "smoke/gve-faulty",
        device_model: card(
            QueueFormat::GqiQpl,
            // So far apart that the first is noticed before the second: no window of TCP holds as many.
            &["sequence 60", "long 260"],
            &["model.fault sequence", "model.reset", "model.fault long", "model.reset"],
        ),
        steps: MIRRORED,
        required: &[
            "@device.teardown step=device-reset proof=admin-queue-released in-flight=true",
            CORRUPT,
            THIRD,
            "@mirror.served bytes=524288",
        ],
        forbidden: STAYS,
        ..BASE
    }
}

const CORRUPT: &str = "@service.ended name=nic kind=exited code=1";
const THIRD: &str = "@service.started name=nic incarnation=3";

inventory::submit! {
    Sabotage {
        point: points::GVE_SKIP_SEQUENCE_CHECK,
        smoke: "gve-faulty",
        breaks: Break::Missing(THIRD),
    }
}

inventory::submit! {
    Smoke {
        name: "gve-spurious",
        question: "Does a transmission that nobody asked for end the gVNIC's driver, does it bring a device up again that asks for it, and the connection go on?",
        rows: &["NI-29"],
        manifest: "smoke/gve-faulty",
        device_model: card(
            QueueFormat::GqiQpl,
            &["spurious 40", "ask-reset 250"],
            &["model.fault spurious", "model.reset", "model.fault ask-reset", "model.reset"],
        ),
        steps: MIRRORED,
        required: &[CORRUPT, SECOND, "@nic.reset-asked", "@mirror.served bytes=524288"],
        forbidden: STAYS,
        ..BASE
    }
}

inventory::submit! {
    Sabotage {
        point: points::GVE_BELIEVE_COUNTER,
        smoke: "gve-spurious",
        breaks: Break::Missing(CORRUPT),
    }
}
