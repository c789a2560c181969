//! What passes the interface, beside what QEMU saw pass.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use ::sabotage::points;
use anyhow::{Context, Result, ensure};

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::net_slirp::forwarded;
use crate::smoke::sabotage::{Break, Sabotage};

/// The frames that the shell is asked for.
const FRAMES: usize = 12;
/// How long the guest may leave a connection unanswered.
const PATIENCE: Duration = Duration::from_secs(10);
const BOUNDS: &str = "@trace.bounds granted=54 payload=notGranted short=outOfRange ring=outOfRange twice=busy beyond=0";

/// Connects where nobody listens: each time a SYN and a RST pass.
fn knock(peer: &mut Peer<'_>) -> Result<()> {
    let port = forwarded(peer, 2323)?;
    for _ in 0..FRAMES {
        // QEMU takes the connection before the guest refuses it. The next one waits for that: what passes goes both ways.
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let _ = stream.read(&mut [0]);
    }
    Ok(())
}

/// A frame of a pcap file: how long it was, and what of it was kept.
type Frame = (usize, Vec<u8>);

/// The frames behind a file's head.
fn frames(mut bytes: &[u8]) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| -> Result<usize> {
            let word = bytes.get(at..at + 4).context("a record that is cut off")?;
            Ok(u32::from_le_bytes(word.try_into()?) as usize)
        };
        let (kept, whole) = (word(8)?, word(12)?);
        let frame = bytes
            .get(16..16 + kept)
            .context("a frame that is cut off")?;
        frames.push((whole, frame.to_vec()));
        bytes = bytes.get(16 + kept..).unwrap_or_default();
    }
    Ok(frames)
}

fn from_hex(digits: &str) -> Result<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

/// Whether `part` is in `whole` in one run.
fn is_run_of(part: &[&Frame], whole: &[&Frame]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|run| run == part)
}

/// Each way, what the guest says to have seen is what QEMU wrote down, frame for frame, in one run.
fn compare(peer: &mut Peer<'_>) -> Result<()> {
    let lines = peer.session.serial().lines();
    let said: Vec<Vec<u8>> = lines
        .iter()
        .filter_map(|line| line.trim().strip_prefix("pcap "))
        .map(from_hex)
        .collect::<Result<_>>()?;
    let (head, records) = said.split_first().context("no head")?;
    ensure!(
        head.len() == 24 && head.starts_with(&[0x4d, 0x3c, 0xb2, 0xa1]),
        "the head is {head:?}"
    );
    let seen = frames(&records.concat())?;
    ensure!(seen.len() == FRAMES, "{} frames", seen.len());
    let wire = std::fs::read(peer.work.join("wire.pcap"))?;
    let wire = frames(wire.get(24..).context("no dump")?)?;
    let guest = [0x52, 0x54, 0, 0xca, 5, 1];
    for is_sent in [false, true] {
        let of = |all: &[Frame]| -> Vec<Frame> {
            let way = |frame: &&Frame| (frame.1.get(6..12) == Some(&guest[..])) == is_sent;
            all.iter().filter(way).cloned().collect()
        };
        let (part, whole) = (of(&seen), of(&wire));
        let (part, whole): (Vec<_>, Vec<_>) = (part.iter().collect(), whole.iter().collect());
        ensure!(
            is_run_of(&part, &whole),
            "sent={is_sent}: {part:?} is no run of what QEMU saw: {whole:?}"
        );
    }
    Ok(())
}

inventory::submit! {
    Smoke {
        name: "net-trace",
        question: "Is what the guest sees pass what QEMU sees pass, packet for packet, and no more of it than was granted?",
        rows: &["L4-12"],
        manifest: "smoke/net-trace",
        extra: &[
            "-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:2323",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::All(&["@net.dhcp lease=bound", "@net.ipv6 origin=advertised"]),
            Step::Wait("@trace.again"),
            Step::Type("packets 12"),
            Step::Wait("pcap 4d3cb2a1"),
            Step::Peer(knock),
            Step::Wait("12 frames"),
            Step::Peer(compare),
            Step::Type("halt"),
        ],
        required: &[
            BOUNDS,
            "@trace.again open=ok",
            "@net.traced snap=1514 ring=65536",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_TRACE_PAYLOAD,
        smoke: "net-trace",
        breaks: Break::Missing(BOUNDS),
    }
}
