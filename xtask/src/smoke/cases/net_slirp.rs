//! The network stack with QEMU's own network as the peer, and this machine's TCP behind it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use ::sabotage::points;
use anyhow::{Context, Result, ensure};

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::sabotage::{Break, Sabotage};

/// Bytes that are sent into the guest, and must come back.
const BYTES: usize = 512 * 1024;
/// How long the guest may leave a connection silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port on this machine that QEMU forwards to a port of the guest: it chose a free one.
pub fn forwarded(peer: &Peer<'_>, port: u16) -> Result<u16> {
    let said = peer.monitor("info usernet")?;
    let line = said.lines().find(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        line.contains("HOST_FORWARD") && words.get(5) == Some(&port.to_string().as_str())
    });
    let word = line.and_then(|line| line.split_whitespace().nth(3));
    let port = word.with_context(|| format!("no such port in {said:?}"))?;
    Ok(port.parse()?)
}

/// Sends bytes and takes them back at the same time, ends its own side, and sees the guest end the other.
pub fn echo(peer: &mut Peer<'_>) -> Result<()> {
    echo_bytes(peer, BYTES)
}

/// The same with so many bytes.
pub fn echo_bytes(peer: &mut Peer<'_>, count: usize) -> Result<()> {
    let port = forwarded(peer, 7)?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let all: Vec<u8> = (0..count).map(|place| (place % 251) as u8).collect();
    let mut sender = stream.try_clone()?;
    let bytes = all.clone();
    let sending = thread::spawn(move || {
        sender.write_all(&bytes)?;
        sender.shutdown(Shutdown::Write)
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).context("reading back")?;
    sending
        .join()
        .map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    // Same or not, the guest may end now: it closes this, or cuts it off with the machine.
    let mut knock = TcpStream::connect(("127.0.0.1", port))?;
    knock.set_read_timeout(Some(PATIENCE))?;
    let _ = knock.read(&mut [0]);
    let differs = got.iter().zip(&all).position(|(got, sent)| got != sent);
    ensure!(
        got == all,
        "{} of {count} bytes came back, the first that differs at {differs:?}",
        got.len()
    );
    Ok(())
}

const LISTEN: &str =
    "@probe.listen other_port=notGranted wider=notGranted lower=notGranted same=ok";
const CONNECT: &str = "@probe.connect elsewhere=notGranted other_port=notGranted malformed=malformedAddress wider=notGranted";

inventory::submit! {
    Smoke {
        name: "net-slirp",
        question: "Does the network stack get a lease, ping the gateway, and carry bytes both ways, with no more than was granted?",
        rows: &["L4-01", "L4-02", "L4-05", "L4-06", "L4-10", "L4-13"],
        manifest: "smoke/net-slirp",
        extra: &[
            "-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:7,guestfwd=tcp:10.0.2.100:80-cmd:cat",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
            "-monitor", "unix:{work}/monitor,server=on,wait=off",
        ],
        steps: &[
            Step::Wait("@probe.listening"),
            Step::Peer(echo),
            Step::Wait("@probe.counters"),
        ],
        required: &[
            "@net.dhcp lease=bound address=\"10.0.2.15\" prefix=24 router=\"10.0.2.2\" dns=\"10.0.2.3\"",
            "@probe.lease address=\"10.0.2.15\"",
            "@probe.echo gateway=ok long=ok too_long=outOfRange nobody=timedOut malformed=malformedAddress",
            LISTEN,
            "@probe.window read_only=readOnly twice=alreadyExists",
            CONNECT,
            "@probe.mirror bytes=131072 same=true",
            "@probe.served bytes=524288",
            "@probe.counters wrong_sums=0 received=true transmitted=true",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
            "@net.reopened",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_LISTEN_ANYWHERE,
        smoke: "net-slirp",
        breaks: Break::Missing(LISTEN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_WIDEN_PORTS,
        smoke: "net-slirp",
        breaks: Break::Missing(LISTEN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_CONNECT_ANYWHERE,
        smoke: "net-slirp",
        breaks: Break::Missing(CONNECT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::NET_WIDEN_PREFIX,
        smoke: "net-slirp",
        breaks: Break::Missing(CONNECT),
    }
}
