//! Clients of the network that take all they can get, and one beside them.

use ::sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

const BOUNDS: &str = "@hog.bounds round=1 narrower=64 then=overBudget listeners=4 no_listener=overBudget sockets=8 no_socket=overBudget";

inventory::submit! {
    Smoke {
        name: "net-shares",
        question: "Do two clients that take, flood and lie get what they were promised and no more, and cost the one beside them no byte?",
        rows: &["L4-13"],
        manifest: "smoke/net-shares",
        extra: &[
            "-netdev", "user,id=n0,guestfwd=tcp:10.0.2.100:80-cmd:cat",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
        ],
        required: &[
            BOUNDS,
            "@hog.bounds round=2 narrower=64 then=overBudget listeners=4 no_listener=overBudget sockets=8 no_socket=overBudget",
            "@hog.holds listeners=4 sockets=8",
            "@honest.done bytes=196608 held_meanwhile=true",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@hog.won",
            "@net.reopened",
            "@service.started name=netstack incarnation=2",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_IGNORE_SHARES,
        smoke: "net-shares",
        breaks: Break::Missing(BOUNDS),
    }
}
