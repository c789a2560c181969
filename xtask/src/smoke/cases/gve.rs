//! Google's virtual NIC: our own driver on the model that the vendor's driver works on.

use ::sabotage::points;
use anyhow::{Result, ensure};
use gve_format::QueueFormat;

use crate::qemu::Feature;
use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::echo_bytes;
use crate::smoke::models::{DeviceModel, ModelKind};
use crate::smoke::sabotage::{Break, Sabotage};

/// Bytes that go into the guest and come back.
const BYTES: usize = 4 << 20;

fn echo(peer: &mut Peer<'_>) -> Result<()> {
    echo_bytes(peer, BYTES)
}

const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
    "@device.quarantined",
];

/// A guest with the model, and QEMU's own network at the other end of its wire.
macro_rules! extra {
    ($net:literal) => {
        &[
            "-object", "memory-backend-memfd,id=mem,size=512M,share=on",
            "-device", r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/gve","type":"unix"}}"#,
            "-netdev", $net,
            "-netdev", "hubport,id=h0,hubid=0,netdev=net",
            "-netdev", "dgram,id=wire,local.type=unix,local.path={work}/bridge,remote.type=unix,remote.path={work}/card",
            "-netdev", "hubport,id=h1,hubid=0,netdev=wire",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ]
    };
}

pub(super) const fn card(
    format: QueueFormat,
    faults: &'static [&'static str],
    reports: &'static [&'static str],
) -> Option<DeviceModel> {
    Some(DeviceModel {
        socket: "gve",
        kind: ModelKind::Gve(format, faults),
        reports,
    })
}

pub(super) const BASE: Smoke = Smoke {
    model: "q35,memory-backend=mem",
    needs: Some(Feature::VfioUser),
    sorted: true,
    extra: extra!("user,id=net,hostfwd=tcp:127.0.0.1:0-:7,guestfwd=tcp:10.0.2.100:80-cmd:cat"),
    forbidden: FORBIDDEN,
    ..Smoke::DEFAULT
};

/// One smoke for each format of queues: lease, ping, both ways of TCP.
macro_rules! formats {
    ($($name:literal $rows:tt $format:ident $transport:literal,)*) => {
        $(inventory::submit! {
            Smoke {
                name: $name,
                question: concat!("Does our own driver carry a network over a gVNIC with ", $transport, " queues, and the device object to nothing?"),
                rows: &$rows,
                manifest: "smoke/gve",
                device_model: card(QueueFormat::$format, &[], &["model.command opcode=0x1 status=passed", "model.command opcode=0x2 status=passed"]),
                steps: &[
                    Step::Wait("@probe.listening"),
                    Step::Peer(echo),
                    Step::Wait("@probe.counters"),
                ],
                required: &[
                    concat!("@nic.ready transport=", $transport, " notice=interrupt mac=0x42010a00020f mtu=1460 link_up=true"),
                    "@net.dhcp lease=bound address=\"10.0.2.15\" prefix=24 router=\"10.0.2.2\" dns=\"10.0.2.3\"",
                    "@probe.echo gateway=ok",
                    "@probe.mirror bytes=131072 same=true",
                    "@probe.served bytes=4194304",
                    "@probe.counters wrong_sums=0 received=true transmitted=true",
                ],
                ..BASE
            }
        })*
    };
}

formats! {
    "gve" ["NI-28", "NI-29", "NI-30"] GqiQpl "gqi-qpl",
    "gve-dqo-qpl" ["NI-31"] DqoQpl "dqo-qpl",
    "gve-dqo-rda" ["NI-31"] DqoRda "dqo-rda",
}

pub(super) const SECOND: &str = "@service.started name=nic incarnation=2";

/// A device that does not serve, beside a shell that has nothing to do with it.
macro_rules! dead {
    ($name:literal, $row:literal, $question:literal, [$($fault:literal)*], [$($report:literal)*], $wait:expr, [$($fact:expr),*]) => {
        inventory::submit! {
            Smoke {
                name: $name,
                question: $question,
                rows: &[$row],
                manifest: "smoke/gve-dead",
                device_model: card(QueueFormat::GqiQpl, &[$($fault),*], &[$($report),*]),
                steps: &[$wait, Step::Type("ps"), Step::Type("halt")],
                required: &[$($fact),*],
                forbidden: &[
                    "@kernel.panic",
                    "@process.ended kind=faulted",
                    "@process.ended kind=panicked",
                ],
                ..BASE
            }
        }
    };
}

dead! {
    "gve-refused", "NI-28", "Is a gVNIC that refuses its page lists given up by name, while everybody else goes on?",
    ["refuse 3"], ["model.fault refuse"], Step::Wait("@service.ended name=netstack"),
    ["@nic.ready", "@service.ended name=netstack kind=exited code=1"]
}

dead! {
    "gve-hung", "NI-28", "Is a gVNIC that never carries a command out given up by name, while everybody else goes on?",
    ["hang 2"], ["model.fault hang"], Step::Wait(SECOND),
    ["@nic.failed refusal=timedOut"]
}

/// Waits until nobody starts the provider any more, whatever became of its device.
fn settle(peer: &mut Peer<'_>) -> Result<()> {
    let ends = ["@service.failed name=nic", "@service.given-up name=nic"];
    let waited = peer.session.wait(peer.deadline, |serial| {
        let lines = serial.lines();
        let over = |line: &String| ends.iter().any(|end| line.contains(end));
        lines.iter().any(over)
    });
    ensure!(waited == Waited::Seen, "the provider is started on and on");
    Ok(())
}

const QUARANTINED: &str = "@device.quarantined reason=no-proof-of-reset";

dead! {
    "gve-stuck", "NI-28", "Is a gVNIC that keeps its admin queue quarantined with its pages, while everybody else goes on?",
    ["sequence 1" "stuck-reset"], ["model.fault sequence" "model.fault stuck-reset"], Step::Peer(settle),
    [QUARANTINED]
}

inventory::submit! {
    Sabotage {
        point: points::GVE_RECEIPT_WITHOUT_RELEASE,
        smoke: "gve-stuck",
        breaks: Break::Missing(QUARANTINED),
    }
}

dead! {
    "gve-link", "NI-30", "Is a gVNIC's link that goes down told, while everybody else goes on?",
    ["link-down 1"], ["model.fault link-down"], Step::Wait("@nic.link"),
    ["@nic.ready link_up=true", "@nic.link up=false"]
}

const FRAMES: &str = "@hostile.frames little_room=lengthMismatch much_room=lengthMismatch misaligned=misaligned backwards=badArgument template=templateRefused nothing=lengthMismatch short=lengthMismatch long=lengthMismatch";
const LISTED: &str = "@hostile.listed other_half=outOfRange across=outOfRange behind=outOfRange other_buffer=outOfRange ring=outOfRange";

inventory::submit! {
    Smoke {
        name: "gve-hostile",
        question: "Is a provider of a gVNIC refused every page, length, register and order that is not its own to choose?",
        rows: &["NI-28"],
        manifest: "smoke/gve-hostile",
        device_model: card(QueueFormat::GqiQpl, &[], &["model.command opcode=0x3 status=passed", "model.command opcode=0x5 status=passed"]),
        required: &[
            "@hostile.registers status=ok admin=windowRefused doorbell=windowRefused write=windowRefused map=windowRefused",
            "@hostile.unlisted queue=wrongState",
            "@hostile.lists unknown=templateRefused nothing=lengthMismatch part=misaligned backwards=badArgument many=outOfRange",
            "@hostile.twice list=wrongState queue=wrongState vector=outOfRange",
            FRAMES,
            LISTED,
            "@hostile.pinned free=busy",
            "@hostile.reset free=ok queue=wrongState",
            "@hostile.done",
        ],
        ..BASE
    }
}

inventory::submit! {
    Sabotage {
        point: points::GVE_SKIP_LENGTH_CHECK,
        smoke: "gve-hostile",
        breaks: Break::Missing(FRAMES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::GVE_SKIP_LIST_CHECK,
        smoke: "gve-hostile",
        breaks: Break::Missing(LISTED),
    }
}
