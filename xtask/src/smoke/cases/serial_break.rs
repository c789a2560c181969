//! A break on the serial line, while a program never stops at the highest priority.

use anyhow::Result;

use sabotage::points;

use crate::smoke::case::{MONITOR, Peer, Smoke, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const HEARD: &str = "@diagnostics.command name=help outcome=shown";

/// Sends the break through QEMU's monitor.
fn send_break(peer: &mut Peer<'_>) -> Result<()> {
    peer.monitor("chardev-send-break serial").map(drop)
}

inventory::submit! {
    Smoke {
        name: "serial-break",
        question: "Does a break on the serial line reach the console while a program never stops at the highest priority?",
        rows: &["CF-05"],
        manifest: "smoke/break",
        extra: MONITOR,
        steps: &[
            Step::Wait("@diagnostics.ready"),
            Step::Wait("@spin.begun"),
            // More than the kernel keeps of what nobody reads.
            Step::Send(&[b'x'; 6000]),
            Step::Peer(send_break),
            Step::Send(b"\rhelp\n"),
            Step::Wait("@spin.over"),
        ],
        required: &["@diagnostics.ready called=false", "@spin.begun", HEARD, "@spin.over"],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::DEAF_TO_BREAKS,
        smoke: "serial-break",
        breaks: Break::Missing(HEARD),
    }
}

const ENDED: &str = "@diagnostics.end gone=true";

inventory::submit! {
    Smoke {
        name: "hog-ended",
        question: "Can a service that keeps every processor busy at the highest priority be ended from the serial line?",
        rows: &["CF-05"],
        manifest: "smoke/hog",
        smp: 2,
        extra: MONITOR,
        steps: &[
            Step::Wait("@diagnostics.ready"),
            Step::Wait("@hog.begun"),
            Step::Peer(send_break),
            Step::Send(b"\rend hog\n"),
            Step::Wait("@diagnostics.command name=end"),
            Step::Type("ps"),
            Step::Type("halt"),
        ],
        required: &[
            "@diagnostics.ready called=false",
            "@hog.begun cpus=2",
            ENDED,
            "@diagnostics.command name=end outcome=shown",
            "@diagnostics.ps processes=2",
        ],
        forbidden: &["@kernel.panic", "@hog.gave-up"],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_LOOPING,
        smoke: "hog-ended",
        breaks: Break::Missing(ENDED),
    }
}
