//! A device that falls silent.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result};

use sabotage::points;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::sabotage::{Break, Sabotage};

const RESET: &str = "@silent.reset reset=quarantined quarantined=true claim=quarantined";

/// Breaks the link to the controller: the port that it hangs at forwards nothing any more, neither memory nor buses. It
/// is done through the ports of configuration space, which the kernel does not use where it has memory for that.
fn unplug(peer: &mut Peer<'_>) -> Result<()> {
    let mut monitor = UnixStream::connect(peer.work.join("monitor")).context("no monitor")?;
    monitor
        .write_all(b"o /w 0xcf8 0x80001004\no /h 0xcfc 0\no /w 0xcf8 0x80001018\no /w 0xcfc 0\n")?;
    // Read what it says, or it may be gone before it has read everything.
    monitor.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut said = Vec::new();
    let _ = monitor.read_to_end(&mut said);
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "quarantine",
        question: "Is a device that falls silent out of use for good, with every page that it might still write to?",
        rows: &["DA-40", "DA-44", "DA-53"],
        manifest: "smoke/quarantine",
        extra: &[
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
            "-drive", "if=none,id=far,file=null-co://,file.size=8M,file.read-zeroes=on,format=raw",
            "-device", "pcie-root-port,id=link,addr=2",
            "-device", "nvme,bus=link,drive=far,serial=far",
        ],
        steps: &[Step::Wait("@silent.before"), Step::Peer(unplug)],
        required: &[
            "@silent.before read_status=0",
            "@silent.gone no_registers=true",
            RESET,
            "@silent.refused",
            "@silent.for-good claim=quarantined memory_kept=true",
        ],
        forbidden: &["@kernel.panic", "@device.released"],
        ..Smoke::DEFAULT
    }
}

const KEPT: &str = "@touched.silent given_again=overBudget without_pages=ok difference=0";

inventory::submit! {
    Smoke {
        name: "touched-pages",
        question: "Does whoever gave an account pay for pages that a device may still touch when the account has ended, until the device has stopped?",
        rows: &["CF-03"],
        manifest: "smoke/touched-pages",
        extra: &[
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
            "-drive", "if=none,id=far,file=null-co://,file.size=8M,file.read-zeroes=on,format=raw",
            "-device", "pcie-root-port,id=link,addr=2",
            "-device", "nvme,bus=link,drive=far,serial=far",
        ],
        steps: &[Step::Wait("@touched.ready"), Step::Peer(unplug)],
        required: &[
            "@touched.held given_again=overBudget",
            "@touched.stopped given_again=ok",
            KEPT,
        ],
        forbidden: &["@kernel.panic"],
        // Memory comes back before the device is said to be released.
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::FORGIVE_ENDED,
        smoke: "touched-pages",
        breaks: Break::Missing(KEPT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::CLAIM_QUARANTINED,
        smoke: "quarantine",
        breaks: Break::Missing(RESET),
    }
}
