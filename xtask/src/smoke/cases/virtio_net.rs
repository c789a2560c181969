//! Network interfaces behind virtio, with QEMU's own DHCP server as the peer, and its record of the wire as the witness.

use anyhow::{Context, Result, ensure};

use crate::smoke::case::{Peer, Smoke, Step};

const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0xca, 0x05, 0x01];
const CAPTURE: &str = "wire.pcap";

/// One frame of a capture.
pub struct Frame<'a>(&'a [u8]);

impl Frame<'_> {
    fn is(&self, at: usize, bytes: &[u8]) -> bool {
        self.0.get(at..at + bytes.len()) == Some(bytes)
    }

    /// A BOOTP message between these UDP ports, about our address, with this DHCP message type (RFC 2131): IPv4 without
    /// options, UDP, and the type as the first option, where both sides put it.
    fn is_dhcp(&self, from: u8, to: u8, kind: u8) -> bool {
        self.is(12, &[0x08, 0x00, 0x45])
            && self.is(34, &[0, from, 0, to])
            && self.is(42 + 28, &MAC)
            && self.is(42 + 236, &[99, 130, 83, 99, 53, 1, kind])
    }
}

/// The frames of a capture file: a head of 24 bytes, then records with a head of 16, in the byte order of this machine
/// (the format of libpcap, version 2.4).
pub fn frames(capture: &[u8]) -> Result<Vec<Frame<'_>>> {
    let word = |at: usize| -> Result<u32> {
        let bytes = capture.get(at..at + 4).context("the capture ends early")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    ensure!(
        word(0)? == 0xa1b2_c3d4 && word(20)? == 1,
        "no capture of Ethernet"
    );
    let mut all = Vec::new();
    let mut at = 24;
    while at < capture.len() {
        let length = word(at + 8)? as usize;
        at += 16;
        all.push(Frame(
            capture.get(at..at + length).context("a frame ends early")?,
        ));
        at += length;
    }
    Ok(all)
}

/// The wire has seen two exchanges: a DISCOVER from the device's own address, and the OFFER that answers it.
fn check(peer: &mut Peer<'_>) -> Result<()> {
    let capture = std::fs::read(peer.work.join(CAPTURE))?;
    let frames = frames(&capture)?;
    let sent = |frame: &&Frame<'_>| frame.is(6, &MAC) && frame.is_dhcp(68, 67, 1);
    let got = |frame: &&Frame<'_>| !frame.is(6, &MAC) && frame.is_dhcp(67, 68, 2);
    let discovers = frames.iter().filter(sent).count();
    let offers = frames.iter().filter(got).count();
    ensure!(
        discovers >= 2 && offers >= 2,
        "of {} frames {discovers} are ours and {offers} answer them",
        frames.len()
    );
    Ok(())
}

const STEPS: &[Step] = &[
    Step::Wait("@net.counters received=true transmitted=true"),
    Step::Peer(check),
    Step::Wait("@service.ended name=asker"),
    Step::Type("halt"),
];

const FORBIDDEN: &[&str] = &[
    "@kernel.panic",
    "@process.ended kind=faulted",
    "@process.ended kind=panicked",
    "@device.quarantined",
];

inventory::submit! {
    Smoke {
        name: "virtio-net",
        question: "Does a frame go each way between a virtio interface's client and a real peer, by the device's interrupts?",
        rows: &["NI-02", "NI-03", "NI-04", "NI-05", "NI-06", "NI-07", "NI-08", "NI-09", "NI-10", "NI-11", "DA-45", "DA-46"],
        manifest: "smoke/virtio-net",
        extra: &[
            "-netdev", "user,id=n0,restrict=on",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
        ],
        steps: STEPS,
        required: &[
            "@nic.ready transport=modern notice=interrupt mac=0x525400ca0501",
            "@net.info mac=0x525400ca0501 mtu=1500 frame_bytes=1514 link_up=true polled=false",
            "@net.bounds outside=outOfRange wrapping=outOfRange short=lengthMismatch long=lengthMismatch little_room=lengthMismatch post_outside=outOfRange second_session=busy",
            "@net.offer address=\"10.0.2.15\"",
            "@net.again message=2",
            "@net.counters received=true transmitted=true interrupts=true brought_up=2",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-net-legacy",
        question: "Does a legacy virtio interface with long queues and no interrupt move the same frames, through its I/O ports?",
        rows: &["NI-12", "NI-17", "NI-20"],
        manifest: "smoke/virtio-net-polled",
        extra: &[
            "-netdev", "user,id=n0,restrict=on",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=,disable-modern=on,vectors=0,rx_queue_size=1024",
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
        ],
        steps: STEPS,
        required: &[
            "@nic.ready transport=legacy notice=polled mac=0x525400ca0501 receive_depth=1024",
            "@net.info mac=0x525400ca0501 mtu=1500 frame_bytes=1514 link_up=true polled=true",
            "@net.offer address=\"10.0.2.15\"",
            "@net.again message=2",
            "@net.counters received=true transmitted=true interrupts=false brought_up=2",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "virtio-net-crash",
        question: "Do frames go on when the interface's driver is killed with pages at the device, and is the device stopped first?",
        rows: &["DA-53"],
        manifest: "smoke/virtio-net-crash",
        extra: &[
            "-netdev", "user,id=n0,restrict=on",
            "-device", "virtio-net-pci,netdev=n0,romfile=",
        ],
        required: &[
            "@process.ended name=nic kind=killed",
            "@device.teardown step=device-reset proof=virtio-status-zero in-flight=true",
            "@device.released",
            "@service.started name=nic incarnation=2",
            "@net.rounds many=true sessions_lost=true",
        ],
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}
