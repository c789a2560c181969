//! A connection whose interface loses its driver.

use crate::smoke::case::{Smoke, Step};
use crate::smoke::cases::net_slirp::echo;

inventory::submit! {
    Smoke {
        name: "net-crash",
        question: "Does a connection carry every byte both ways while the interface's driver is killed under it?",
        rows: &["L4-01"],
        manifest: "smoke/net-crash",
        extra: &[
            "-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:7",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::Wait("@mirror.listening"),
            Step::Peer(echo),
            Step::Wait("@mirror.served"),
        ],
        required: &[
            "@mirror.killed name=nic times=1",
            "@net.reopened session=2",
            "@mirror.served bytes=524288 sessions=2",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@device.quarantined",
            "@service.started name=netstack incarnation=2",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
