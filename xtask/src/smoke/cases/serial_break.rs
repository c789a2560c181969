//! A break on the serial line, while a program never stops at the highest priority.

use std::io::Write;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};

use sabotage::points;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const HEARD: &str = "@diagnostics.command name=help outcome=shown";

/// Sends the break through QEMU's monitor.
fn send_break(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join("monitor");
    let mut monitor = UnixStream::connect(&path).context("QEMU's monitor")?;
    monitor.write_all(b"chardev-send-break serial\n")?;
    // The monitor takes a line when it comes to it; its answer is of no interest.
    std::thread::sleep(std::time::Duration::from_millis(500));
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "serial-break",
        question: "Does a break on the serial line reach the console while a program never stops at the highest priority?",
        rows: &["CF-05"],
        manifest: "smoke/break",
        extra: &["-monitor", "unix:{work}/monitor,server=on,wait=off"],
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
